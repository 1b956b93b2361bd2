"""The past that is only in git: every version of a build's files that was ever committed.

A rollback rewrites checkpoints, and a clean-up deletes them. Where the project is in a git repository, and its
``.buildrunner`` was committed now and then, the versions before are still there.

Git is only used to read: nothing is written, no hook and no pager runs, nothing is fetched, and
what the repository's configuration could make it run is off. Contents come one after the other out of one process, so
a long history does not need much memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final, Self, TypeVar

from ..errors import GitError, NotAGitRepositoryError
from ..reading.files import BASE, FOREIGN, MAX_BYTES, MAX_DEPTH, as_text
from ..reading.values import UNKNOWN_WORD
from ..systems import shape_of
from ._read import PIECE, is_plain
from ._scan import Root, is_plain_folder, is_tabled, links_inside
from ._store import Stamp, Store

__all__ = ["LATEST", "Git", "GitVersion", "digest", "read_git", "split_stream", "versions"]

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = 9_223_372_035  # seconds; in nanoseconds it is still an int64 (the year 2262)
_DEATHS: Final = 10  # so many objects may be broken before git is no longer asked
_OPTIONS: Final = (
    "--no-pager",
    "--no-optional-locks",
    "--no-replace-objects",  # what was committed, not what stands for it now
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
)
# What a user has set for git in general stays: safe.directory is there. What points git at another repository, as it
# is set inside a hook, must not be handed on; what traces would be in the way.
_KEPT: Final = ("GIT_CONFIG_", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")
_SET: Final = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # a git that does not know the line above cannot fetch either
}


@dataclass(frozen=True, slots=True)
class GitVersion:
    """One version of one file, as it was committed first.

    Attributes
    ----------
    path
        Relative to the project, with ``/``. Bytes that are not UTF-8 are as `os.fsdecode` gives them.
    data
        What was in it.
    commit, blob
        The ids that git has for the commit and for the content.
    seconds
        The commit's time, in seconds since 1970.
    """

    path: str
    data: bytes
    commit: str
    blob: str
    seconds: int

    @property
    def time(self) -> datetime:
        """When it was committed, in UTC."""
        return _EPOCH + timedelta(seconds=self.seconds)


def digest(data: bytes) -> bytes:
    """What `read_git` knows a content by."""
    return hashlib.blake2b(data, digest_size=16).digest()


# -- into a store -----------------------------------------------------------------------------------------------------


def read_git(store: Store, root: int, *, on_progress: Callable[[int], object] | None = None) -> dict[str, bytes]:
    """Take every committed version of a project's files into a store. Do this before the files on disk are read.

    `checkpoints.version` counts the versions of a file from 1: first those in git, each different content once, in the
    order of the commits; then the file on disk, if it is not equal to the last of them. A content that comes back (A,
    B, and A again) is one version in git, where it was first; on disk it is the newest version even so.

    A version is as old as its commit: that is what ``modified`` holds, and ``ts`` too when the file itself does not
    say when it was written. What is wrong with a version becomes a warning that names the commit; the same thing wrong
    with many versions of a file gives one warning.

    Parameters
    ----------
    store
        Where to.
    root
        Which of its projects, by its place in ``store.roots``.
    on_progress
        Called now and then with the number of versions read since.

    Returns
    -------
    dict of str to bytes
        Of every file that was taken in: path → `digest` of the last version. A file on disk that has this digest is
        known already.

    Raises
    ------
    NotAGitRepositoryError
        If the project is not in a git repository.
    GitError
        If there is no git, or it refuses to read this repository.
    """
    home = store.roots[root]
    newest: dict[str, bytes] = {}
    faults: set[tuple[str, str, str]] = set()
    since = 0

    def warn(path: str, code: str, message: str) -> None:
        store.warn(root, as_text(path), code, message)

    found = _versions_of(home, warn)
    with contextlib.closing(found):
        for version in found:
            before = len(store.warnings)
            path = as_text(version.path)
            stamp = Stamp(len(version.data), version.seconds * 1_000_000_000, 0, 0)
            if store.add(root, path, version.data, stamp, plain=is_plain(home, path)):
                newest[version.path] = digest(version.data)
            if len(store.warnings) > before:
                _name_commit(store, before, version.commit, faults)
            since += 1
            if on_progress is not None and since == PIECE:
                on_progress(since)
                since = 0
    if on_progress is not None and since:
        on_progress(since)
    return newest


def _versions_of(home: Root, warn: Callable[[str, str, str], object]) -> Generator[GitVersion]:
    """The versions of a project's files under the names by which they are found on disk: git follows no links."""
    yield from versions(home.path, home.below, wanted=lambda path: _is_read(home, path), warn=warn)
    for link, target in links_inside(home).items():

        def named(path: str, link: str = link, target: str = target) -> str:
            return link + path[len(target) :]

        def tell(path: str, code: str, message: str, target: str = target) -> None:
            if path != target:  # a warning about the whole repository was given already
                warn(path, code, message)

        inside = versions(home.path, target, wanted=lambda path, name=named: _is_read(home, name(path)), warn=tell)
        with contextlib.closing(inside):
            for version in inside:
                yield dataclasses.replace(version, path=named(version.path))


def _name_commit(store: Store, first: int, commit: str, faults: set[tuple[str, str, str]]) -> None:
    """Say in the newest warnings which commit they are about; drop what was said of an older version."""
    kept: list[tuple[int, str, str, str]] = []
    for number, path, code, message in store.warnings[first:]:
        if code == UNKNOWN_WORD:  # `Store.unique_warnings` drops the repetitions
            kept.append((number, path, code, message))
        elif (path, code, message) not in faults:
            faults.add((path, code, message))
            kept.append((number, path, code, f"{message} (in commit {commit[:12]})"))
    store.warnings[first:] = kept


def _is_read(home: Root, path: str) -> bool:
    """Whether a file of this name would be read if it were on disk, as `files_of` finds them."""
    folder, _, name = path.rpartition("/")
    folders = folder.split("/") if folder else []
    depth = len(folders) - (home.below.count("/") + 1 if home.below else 0)
    if name.startswith(".") or depth > MAX_DEPTH or not FOREIGN.isdisjoint(folders):
        return False
    if home.loose:
        return ".json" in name
    if is_plain_folder(folder):
        return name.endswith(".json")
    return is_tabled(shape_of(path))


# -- out of git -------------------------------------------------------------------------------------------------------


def versions(
    root: Path,
    below: str = BASE,
    *,
    wanted: Callable[[str], bool] | None = None,
    warn: Callable[[str, str, str], object] | None = None,
) -> Generator[GitVersion]:
    """Every version of every file in a folder of a project that was ever committed, oldest first.

    Looked at are the commits of all branches, tags and stashes, also of those that were never merged, and those that
    only the reflog still knows: what a `git reset` or an amended commit left behind. A commit comes after those that
    it is based on, and otherwise by its time. Files that are deleted now are included. Links and submodules are not.

    Parameters
    ----------
    root
        The project. It may be a folder somewhere in the repository.
    below
        The folder to look in, relative to the project, with ``/``. Empty: all of it.
    wanted
        Called with a path; returns whether to read it. By default all are read.
    warn
        Called with a path, a code and a message when versions are left out: ``too_big`` (more than 32 MiB),
        ``unreadable``, ``shallow_clone``, ``partial_clone``.

    Yields
    ------
    GitVersion
        Each content of each path once, where it was committed first.

    Raises
    ------
    NotAGitRepositoryError
        If the project is not in a git repository.
    GitError
        If there is no git, or it refuses to read this repository.
    """

    def tell(path: str, code: str, message: str) -> None:
        if warn is not None:
            warn(path, code, message)

    git = Git(root)
    if git.is_shallow():
        tell(
            below,
            "shallow_clone",
            "the repository is a shallow clone: what was committed before its first commit is not here; "
            "git fetch --unshallow gets it",
        )
    partial = git.is_partial()
    listed = _listed(git, below, wanted, tell)
    sizes = git.sizes({entry.blob for entry in listed}, local_only=partial)
    missing = sum(1 for entry in listed if entry.blob not in sizes)
    if missing:
        code = "partial_clone" if partial else "unreadable"
        why = "the repository is a partial clone; clone it without --filter" if partial else "git fsck says more"
        tell(below, code, f"{missing:,} of {len(listed):,} versions are not in the repository: {why}")
    small: list[_Entry] = []
    for entry in listed:
        size = sizes.get(entry.blob, -1)
        if size > MAX_BYTES:
            tell(
                entry.path,
                "too_big",
                f"the version of commit {entry.commit[:12]} has {size:,} bytes; at most {MAX_BYTES:,} are read",
            )
        elif size >= 0:
            small.append(entry)
    with contextlib.closing(git.contents([entry.blob for entry in small])) as contents:
        for entry, data in zip(small, contents, strict=True):
            if data is None:
                message = f"the version of commit {entry.commit[:12]} cannot be read: {git.complaint}"
                tell(entry.path, "unreadable", message)
            else:
                yield GitVersion(entry.path, data, entry.commit, entry.blob, entry.seconds)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Which content a path had first in which commit."""

    path: str
    commit: str
    blob: str
    seconds: int


def _listed(
    git: Git, below: str, wanted: Callable[[str], bool] | None, tell: Callable[[str, str, str], object]
) -> list[_Entry]:
    """What was committed, oldest first, each content of a path once."""
    times = git.commits(below)
    seen: set[tuple[str, str]] = set()
    paths: dict[bytes, str | None] = {}
    found: list[_Entry] = []
    with git.ask(
        *(
            "diff-tree",
            "--stdin",
            "-r",
            "-m",
            "--root",
            "--raw",
            "-z",
            "--no-renames",
            "--relative",
            "--",
            below or ".",
        ),
        given=times,
    ) as asked:
        commit, seconds = "", 0
        parts = split_stream(asked.out)
        for part in parts:
            if not part.startswith(b":"):
                commit = part.split(maxsplit=1)[0].decode("ascii") if part.strip() else commit
                seconds = times.get(commit, seconds)
                continue
            # ":mode-before mode-now blob-before blob-now letter", and then the path
            _, mode, _, blob, *_ = part.decode("ascii").split(" ")
            name = next(parts, b"")
            if not mode.startswith("100"):
                continue  # deleted, a link, a submodule
            if name not in paths:
                path = os.fsdecode(name)
                paths[name] = path if wanted is None or wanted(path) else None
            path = paths[name]
            if path is not None and (path, blob) not in seen:
                seen.add((path, blob))
                found.append(_Entry(path, commit, blob, seconds))
        if asked.failed():
            tell(below, "unreadable", f"not every commit can be read: {asked.complaint()}")
    return found


def split_stream(stream: IO[bytes]) -> Iterator[bytes]:
    """The parts of a stream whose parts end with NUL."""
    rest = b""
    while piece := stream.read(1 << 16):
        *parts, rest = (rest + piece).split(b"\0")
        yield from parts


class Git:
    """Questions to git about the repository that a folder is in.

    Raises
    ------
    NotAGitRepositoryError, GitError
        See `versions`.
    """

    def __init__(self, root: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise GitError(f"git is needed to read the history of {root}, and is not installed; install it, or read "
                           "the project without git")  # fmt: skip
        self._root = root
        self._begin = [program, "-C", str(root), *_OPTIONS]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(_KEPT)}
        self._env = {**kept, **_SET}
        self.complaint = ""
        self._shallow = self._line("rev-parse", "--is-shallow-repository") == "true"

    def is_shallow(self) -> bool:
        """Whether only the newest commits are here."""
        return self._shallow

    def is_partial(self) -> bool:
        """Whether git would fetch what is not here when it is asked for."""
        with self.ask("config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$") as asked:
            return bool(asked.out.read())

    def commits(self, below: str) -> dict[str, int]:
        """The commits that changed something below a folder, in order, and when they were made."""
        times: dict[str, int] = {}
        with self.ask(
            *("rev-list", "--all", "--reflog", "--full-history", "--date-order", "--reverse", "--timestamp"),
            *("--", below or "."),
        ) as asked:
            for line in asked.out:
                seconds, commit = line.decode("ascii").split()
                times[commit] = max(0, min(int(seconds), LATEST))
            if asked.failed():
                hint = "clone it without --filter" if self.is_partial() else "git fsck says more"
                raise GitError(f"git cannot list the commits of {self._root}: {asked.complaint()}; {hint}")
        return times

    def sizes(self, blobs: Iterable[str], *, local_only: bool) -> dict[str, int]:
        """How many bytes these contents have; those that are not in the repository are left out."""
        names = sorted(blobs)
        if local_only:  # asked for another one, git would try to fetch it, and end where it cannot
            with self.ask("cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)") as asked:
                here = {line.decode("ascii").strip() for line in asked.out} & set(names)
            names = [name for name in names if name in here]
        each = zip(names, self._each(names, "--batch-check", lambda _, size: size), strict=True)
        return {name: size for name, size in each if size is not None}

    def contents(self, blobs: list[str]) -> Generator[bytes | None]:
        """What is in each of these, out of one process; None for one that cannot be read."""

        def read(out: IO[bytes], size: int) -> bytes | None:
            data = out.read(size + 1)
            return data[:-1] if len(data) == size + 1 else None

        return self._each(blobs, "--batch", read)

    def _each(self, blobs: list[str], mode: str, read: Callable[[IO[bytes], int], T | None]) -> Generator[T | None]:
        """One answer of ``git cat-file`` for each. Git ends at an object that is broken: then it begins after it."""
        at = deaths = 0
        while at < len(blobs) and deaths <= _DEATHS:
            with self.ask("cat-file", mode, "--buffer", given=blobs[at:]) as asked:
                while at < len(blobs):
                    header = asked.out.readline().split()
                    if len(header) == 2:  # "missing"
                        self.complaint = "it is not in the repository"
                        answer = None
                    elif len(header) != 3 or (answer := read(asked.out, int(header[2]))) is None:
                        break
                    at += 1
                    yield answer
                else:
                    return
                asked.failed()
                self.complaint = asked.complaint()
            deaths += 1
            at += 1
            yield None
        for _ in range(at, len(blobs)):
            yield None

    def _line(self, *words: str) -> str:
        """A short answer."""
        with self.ask(*words) as asked:
            answer = asked.out.read().decode("utf-8", "replace").strip()
            if not asked.failed():
                return answer
            complaint = asked.complaint()
        if "not a git repository" in complaint:
            raise NotAGitRepositoryError(
                f"{self._root} is not in a git repository, so there is no history in git to read; "
                "name a project that is, or read this one without git"
            )
        raise GitError(f"git cannot read the repository of {self._root}: {complaint}")

    def ask(self, *words: str, given: Iterable[str] = ()) -> _Asked:
        """A running git, to be used with ``with``; ``given`` are lines for it to read."""
        return _Asked([*self._begin, *words], given, self._env)


class _Asked:
    """A running git. It has ended when the ``with`` has.

    What it reads and its complaints are in files without a name, so neither side ever waits for the other.
    """

    def __init__(self, command: list[str], given: Iterable[str], env: dict[str, str]) -> None:
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(tempfile.TemporaryFile())
            self._said: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())
            source.writelines(line.encode("ascii") + b"\n" for line in given)
            source.seek(0)
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (git, and words from above)
                command, stdin=source, stdout=subprocess.PIPE, stderr=self._said, env=env, bufsize=1 << 18
            )
            stack.callback(self._end)
            self._stack = stack.pop_all()
        assert self._process.stdout is not None
        self.out: IO[bytes] = self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()

    def failed(self) -> bool:
        """Wait for its end; whether something was wrong. Nothing more is read from it."""
        self.out.close()
        return self._process.wait() != 0

    def complaint(self) -> str:
        """What it said on standard error, on one line."""
        self._said.seek(0)
        lines = self._said.read(1 << 16).decode("utf-8", "replace").split("\n")
        messages = [line.strip() for line in lines if line.strip() and not line.startswith(("hint:", "warning:"))]
        text = " ".join(messages) or f"it ended with code {self._process.returncode}"
        return "".join(c if c.isprintable() else "?" for c in text.removeprefix("fatal: "))[:500]
