"""Files to read in tests: invented ones; and real ones of public projects, where they lie beside the repository.

The real ones are other people's text and are not part of the repository: they are looked for in ``../shared/corpus``
and ``../shared/reality``.
The closing lines of the test run say how many of them were read.
"""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from buildwidget.systems import Record, parse

from .made_files import made

REAL_FILES = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"
REALITY = REAL_FILES.parent / "reality"
MTIME = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

CHECKPOINT = ".buildrunner/checkpoints/checkpoint_20260301_090000_000001.json"
ORCHESTRATION = ".buildrunner/state/orchestration_state.json"
WORKFLOW = ".buildrunner/workflows/workflow_0a1b2c3d_checkpoint.json"
POOL = ".buildrunner/workflows/pool_a0b1c2d3_checkpoint.json"
LOCK = ".buildrunner/locks/phase-5/progress.json"
FEATURES = ".buildrunner/features.json"
PLAN = ".buildrunner/orchestration.json"
CURRENT = ".buildrunner/current-phase.json"

read_real_files: set[str] = set()
"""The real files that were read in this run."""


class Sample(NamedTuple):
    """One file to read.

    ``kind`` is a name such as ``lock_progress``, ``path`` the path it has in its project, ``name`` tells it from all
    others. An invented one has ``content``, a real one a ``file``.
    """

    kind: str
    path: str
    name: str
    content: bytes | None = None
    file: Path | None = None

    @property
    def raw(self) -> bytes:
        if self.file is None:
            assert self.content is not None
            return self.content
        read_real_files.add(self.name)
        return self.file.read_bytes()

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.raw)

    def parse(self) -> Record:
        return parse(self.path, self.raw, MTIME)

    def write(self, folder: Path) -> Path:
        """Write the file into a project."""
        target = folder / self.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.raw)
        return target


def made_samples(kind: str | None = None) -> list[Sample]:
    """The invented files of one kind, or all of them."""
    return [
        Sample(one.kind, one.path, f"{one.kind}, {one.about}", content=one.raw)
        for one in made()
        if kind in (None, one.kind)
    ]


def real_samples(kind: str | None = None) -> list[Sample]:
    """The real JSON files of one kind, or all of them; none where there are none."""
    return [
        Sample(file.parent.name, _path(file.name.split("@")[0]), file.name, file=file)
        for file in sorted(REAL_FILES.glob(f"{kind or '*'}/*.json"))
    ]


def real_project_files() -> list[Sample]:
    """Real files of every kind of BuildRunner projects; none where there are none."""
    index = REALITY / "files" / "index.tsv"
    rows = [line.split("\t") for line in index.read_text("utf-8").splitlines()[1:]] if index.is_file() else []
    return [Sample(row[0].split("/")[0], row[2], row[0], file=REALITY / "files" / row[0]) for row in rows]


class Moment(NamedTuple):
    """A real project at one moment, and what is true of it (``truth``)."""

    id: str
    truth: dict[str, Any]

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.truth["observed_at"])

    def unpack(self, folder: Path) -> Path:
        """Write the project into a folder, with its modification times, and return its root."""
        read_real_files.add(f"moment {self.id}")
        root = folder / self.id
        root.mkdir()
        with tarfile.open(REALITY / "moments" / f"{self.id}.tar.xz") as archive:
            archive.extractall(root, filter="data")
        return root


def moments() -> list[Moment]:
    """All moments; none where there are none."""
    file = REALITY / "truth.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.is_file() else []
    return [Moment(row["id"], row) for row in rows]


def samples(kind: str | None = None) -> list[Sample]:
    """The invented files and the real ones."""
    return made_samples(kind) + real_samples(kind)


def _path(name: str) -> str:
    path = name.replace("__", "/")
    return "." + path if path.startswith("buildrunner/") else path


def record(path: str, data: object) -> Record:
    """What a made-up file says."""
    return parse(path, json.dumps(data).encode(), MTIME)
