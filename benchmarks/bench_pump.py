"""What one change costs between the reader and the log, in a small project and in one a thousand times as large.

The changes are those that a running build makes all the time: a lock's heartbeat, a lock's ``progress.json``, one
workflow file, one item of the newest checkpoint. The baseline is the same change in a project of about ten files and
items: the cost must follow what changed, not what there is.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks._numbers import table, verdict
from buildwidget.merge import Merge
from buildwidget.session import BuildSession
from buildwidget.state import BuildState, Change
from buildwidget.systems import Record, parse

BASE = ".buildrunner"
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
NOW = START + timedelta(hours=3)
LONG_AGO = START - timedelta(days=3)  # when all plans but one were written, and their locks left behind
HEARTBEAT = f"{BASE}/locks/plan0-phase-1/heartbeat"
PROGRESS = f"{BASE}/locks/plan0-phase-1/progress.json"
WORKFLOW = f"{BASE}/workflows/workflow_0_checkpoint.json"
CHECKPOINT = f"{BASE}/checkpoints/checkpoint_20260301_090000_000001.json"
KINDS = {"heartbeat": HEARTBEAT, "progress of a lock": PROGRESS, "workflow": WORKFLOW, "checkpoint": CHECKPOINT}
LIMIT_MS, LIMIT_RATIO = 2.0, 2.0


def plan(number: int) -> str:
    phases = [
        f"### Phase {n}: Step {n} of {number}\n\n**Status:** {'in_progress' if n == 1 else 'not_started'}\n"
        f"**Files:**\n\n- `src/part{number}/step{n}.py` (NEW)\n\n**Deliverables:**\n\n- [ ] Write it\n- [ ] Test it\n"
        for n in range(1, 11)
    ]
    return f"# Build: Plan {number}\n\n**Status:** IN PROGRESS\n\n" + "\n".join(phases)


def content(path: str, version: int, items: int) -> bytes:
    """The given version of one of the files that change."""
    at = (START + timedelta(hours=2, seconds=version)).isoformat()
    if path == HEARTBEAT:
        return at.encode()
    if path == PROGRESS:
        body: dict[str, Any] = {"phase": "1", "status": "running", "updated_at": at}
        body |= {"tasks_total": 1_000, "tasks_done": version % 1_000}
    elif path == WORKFLOW:
        body = workflow(0, at) | {"completed_items": [f"step{n}" for n in range(version % 8)]}
    else:
        parts = [
            {
                "id": f"part{n}",
                "name": f"Part {n}",
                "status": "in_progress",
                "progress": (version if n == 0 else n) % 100,
            }
            for n in range(items // 2)
        ]
        things = [
            {"id": f"thing{n}", "name": f"Thing {n}", "status": "in_progress", "progress": n % 100}
            for n in range(items - items // 2)
        ]
        body = {"id": Path(path).stem, "timestamp": START.isoformat(), "status": "created", "files_created": []}
        body["metadata"] = {"components": parts, "features": things}
    return json.dumps(body).encode()


def workflow(number: int, at: str) -> dict[str, Any]:
    return {
        "workflow_id": str(number),
        "phase": f"flow {number}",
        "timestamp": at,
        "state_data": {"status": "running", "total_items": 10, "completed_count": number % 10, "failed_count": 0},
    }


def files(size: int) -> Iterator[tuple[str, bytes]]:
    """A project of about ``size`` files and twice as many items (checkpoint, plans and workflows)."""
    for path in KINDS.values():
        yield path, content(path, 0, max(2, size // 2))
    for number in range(max(1, size // 20)):
        yield f"{BASE}/builds/BUILD_plan{number}.md", plan(number).encode()
    for number in range(max(1, size // 100)):
        claim = {"phase": "1", "build": f"BUILD_plan{number}", "host": "one", "claimed_at": LONG_AGO.isoformat()}
        yield f"{BASE}/locks/plan{number}-phase-1/claim.json", json.dumps(claim).encode()
    for number in range(1, max(2, size - size // 20 - size // 100)):
        at = (START + timedelta(seconds=number)).isoformat()
        yield f"{BASE}/workflows/workflow_{number}_checkpoint.json", json.dumps(workflow(number, at)).encode()


def written(path: str) -> datetime:
    is_left = ("/locks/" in path or "/builds/" in path) and "plan0-" not in path and "plan0." not in path
    return LONG_AGO if is_left else START + timedelta(hours=2)


def read(path: str, raw: bytes, version: int = 0) -> tuple[str, Record]:
    return path, parse(path, raw, written(path) + timedelta(seconds=version))


class Pure:
    """Merge and fold alone, without files."""

    def __init__(self, size: int) -> None:
        self.items = max(2, size // 2)
        self.merge, self.state = Merge("bench"), BuildState()
        found = list(files(size))
        self.files = len(found)
        self.take([read(path, raw) for path, raw in found])
        counts = self.state.session.counts
        self.kept = counts.components + counts.features + counts.tasks + counts.phases

    def take(self, said: list[tuple[str, Record]]) -> list[Change]:
        changes = self.state.diff(self.merge.update(said, NOW), session_id="bench", now=NOW)
        for change in changes:
            self.state.apply(*change)
        return changes

    def cost(self, path: str, version: int) -> float:
        said = [read(path, content(path, version, self.items), version)]
        started = time.perf_counter()
        changes = self.take(said)
        took = time.perf_counter() - started
        assert changes, path
        return took * 1e3


class Live:
    """A session that watches real files; one batch of it is timed, from the read to the log."""

    def __init__(self, size: int, root: Path) -> None:
        self.items, self.root = max(2, size // 2), root
        for path, raw in files(size):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(raw)
            os.utime(root / path, (written(path).timestamp(),) * 2)
        self.session = BuildSession(root, session_id="bench")
        self.took: list[float] = []
        self.done = threading.Event()
        inner: Callable[[Any], None] = self.session._batch

        def timed(changes: Any) -> None:
            before, started = self.session.seq, time.perf_counter()
            inner(changes)
            self.took.append((time.perf_counter() - started) * 1e3)
            if self.session.seq != before:
                self.done.set()

        self.session._batch = timed  # type: ignore[method-assign]
        self.session.open()
        while not self.session.loaded:
            time.sleep(0.01)

    def cost(self, path: str, version: int) -> float:
        self.took.clear()
        self.done.clear()
        temporary = self.root / (path + ".tmp")
        temporary.write_bytes(content(path, version, self.items))
        temporary.replace(self.root / path)
        if not self.done.wait(20):
            raise TimeoutError(path)
        time.sleep(0.005)
        return sum(self.took)


def compare(title: str, small: Pure | Live, large: Pure | Live, rounds: int, kinds: list[str]) -> None:
    rows, met = [], True
    for name in kinds:
        pairs = [(small.cost(KINDS[name], n), large.cost(KINDS[name], n)) for n in range(1, rounds + 1)]
        few, many = (statistics.median(values) for values in zip(*pairs, strict=True))
        # The content of a checkpoint is what changed: it has as many items as it has.
        counts = name != "checkpoint"
        met = met and not (counts and (many > LIMIT_MS or many / few > LIMIT_RATIO))
        said = f"{verdict(many, LIMIT_MS)}, {verdict(many / few, LIMIT_RATIO)}" if counts else ""
        rows.append([name, f"{few:.3f}", f"{many:.3f}", f"{many / few:.1f} ×", said])
    print(table([f"{title}, median ms", "ten", "10,000", "ratio", ""], rows))


def main(*, quick: bool = False) -> None:
    rounds = 15 if quick else 100
    small, large = Pure(10), Pure(10_000)
    print(f"   {small.files} files, {small.kept} items; {large.files:,} files, {large.kept:,} items")
    gc.collect()
    gc.freeze()
    compare("merge, diff and fold", small, large, rounds, list(KINDS))
    with tempfile.TemporaryDirectory() as folder:
        few, many = Live(10, Path(folder) / "few"), Live(10_000, Path(folder) / "many")
        gc.collect()
        gc.freeze()
        try:
            compare("a batch of a session", few, many, rounds, [name for name in KINDS if name != "checkpoint"])
        finally:
            few.session.close()
            many.session.close()


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
