"""The commits of a branch, and what each changed of a project's files: contents, deletions, renames; oldest first."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ..reading.files import BASE, MAX_BYTES
from ._git import LATEST, Git, split_stream

__all__ = ["FileChange", "GitChange", "changes"]

_SIMILAR: Final = "-M60%"  # how much of a renamed file must be the same


class FileChange(msgspec.Struct, frozen=True):
    """What a commit did to one file. ``data`` is None for a deletion; ``before`` is the old path of a renamed file."""

    path: str
    data: bytes | None
    before: str | None = None


class GitChange(msgspec.Struct, frozen=True):
    """One commit: its id, its time, the first line of its message, and what it changed."""

    commit: str
    time: datetime
    label: str
    files: list[FileChange]


class _Listed(msgspec.Struct):
    commit: str
    seconds: int
    label: str
    files: list[tuple[str, str | None, str | None]]  # path, blob (None: deleted), path before


def changes(root: Path, below: str = BASE, *, wanted: Callable[[str], bool]) -> Generator[GitChange]:
    """Yield the commits of the present branch that changed wanted files below a folder, by time, oldest first.

    A merge counts with what it changed of its first parent: after the commits of the merged branch, that is only what
    the merge itself decided.

    Parameters
    ----------
    root
        The project. It may be a folder somewhere in the repository.
    below
        The folder to look in, relative to the project.
    wanted
        Called with a path; returns whether to read it.

    Raises
    ------
    NotAGitRepositoryError, GitError
        See `buildwidget.history._git.versions`.
    """
    git = Git(root)
    listed = list(_listed(git, below, wanted))
    blobs = sorted({blob for entry in listed for _, blob, _ in entry.files if blob is not None})
    sizes = git.sizes(blobs, local_only=git.is_partial())
    asked = [
        blob
        for entry in listed
        for _, blob, _ in entry.files
        if blob is not None and 0 <= sizes.get(blob, -1) <= MAX_BYTES
    ]
    with contextlib.closing(git.contents(asked)) as contents:
        for entry in listed:
            files: list[FileChange] = []
            for path, blob, before in entry.files:
                data: bytes | None = None
                if blob is not None:
                    if not 0 <= sizes.get(blob, -1) <= MAX_BYTES:
                        continue
                    data = next(contents, None)
                    if data is None:
                        continue  # `versions` warns of it
                files.append(FileChange(path, data, before))
            if files:
                yield GitChange(entry.commit, datetime.fromtimestamp(entry.seconds, UTC), entry.label, files)


def _listed(git: Git, below: str, wanted: Callable[[str], bool]) -> Generator[_Listed]:
    words = (
        *("log", "HEAD", "--date-order", "--reverse", "--diff-merges=first-parent", "--raw", "-z", "--no-abbrev"),
        *(_SIMILAR, "--relative", "--format=%x00%H %ct %s", "--", below or "."),
    )
    with git.ask(*words) as asked:
        entry: _Listed | None = None
        parts = split_stream(asked.out)
        for part in parts:
            text = part.lstrip(b"\n")
            if text.startswith(b":"):
                _, mode, _, blob, letter = text.decode("ascii").split(" ")
                first = os.fsdecode(next(parts, b""))
                second = os.fsdecode(next(parts, b"")) if letter[0] in "RC" else None
                if entry is not None:
                    _add(entry, mode, blob, letter[0], first, second, wanted)
            elif text:
                if entry is not None and entry.files:
                    yield entry
                commit, seconds, *label = text.decode("utf-8", "replace").split(" ", 2)
                entry = _Listed(commit, max(0, min(int(seconds), LATEST)), label[0] if label else "", [])
        if entry is not None and entry.files:
            yield entry
        asked.failed()


def _add(
    entry: _Listed, mode: str, blob: str, letter: str, first: str, second: str | None, wanted: Callable[[str], bool]
) -> None:
    path = second or first
    if letter == "R" and wanted(first) and not wanted(path):
        entry.files.append((first, None, None))
    if not wanted(path):
        return
    if letter == "D":
        entry.files.append((path, None, None))
    elif mode.startswith("100"):
        entry.files.append((path, blob, first if letter == "R" and wanted(first) else None))
