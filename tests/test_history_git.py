"""The past that is only in git: real repositories, with what people and tools do to them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildwidget.history import _git, read_history
from buildwidget.history._git import GitError, GitVersion, NotAGitRepositoryError, digest, read_git, versions
from buildwidget.history._history import History
from buildwidget.history._read import read_files
from buildwidget.history._scan import Root, files_of, roots_of
from buildwidget.history._store import Store

from .projects import Project, component

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CHECKPOINTS = ".buildrunner/checkpoints"
NOBODY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": f"{who.lower()}@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)


class Repository:
    """A git repository; its clock goes on by a minute with each commit."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self.minute = 0
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *words: str | bytes, given: bytes | None = None, at: datetime | None = None) -> str:
        when = str(at or START + timedelta(minutes=self.minute))
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            env={**os.environ, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when},
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(self, at: datetime | None = None) -> str:
        """All that is there; returns the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "saved", at=at)
        self.minute += 1
        return self.git("rev-parse", "HEAD")


def told_of(root: Path, below: str = ".buildrunner", **options: Any) -> tuple[list[GitVersion], list[tuple[str, ...]]]:
    warnings: list[tuple[str, ...]] = []
    found = list(versions(root, below, warn=lambda *what: warnings.append(what), **options))
    return found, warnings


def contents(root: Path) -> list[tuple[str, str]]:
    found, warnings = told_of(root)
    assert warnings == []
    return [(version.path, version.data.decode()) for version in found]


def taken(root: Path) -> tuple[History, dict[str, bytes]]:
    store = Store(roots_of(root))
    newest = read_git(store, 0)
    return History(store), newest


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop")


# -- what comes back --------------------------------------------------------------------------------------------------


def test_what_a_rollback_overwrote_comes_back(repository: Repository) -> None:
    project = Project(repository.root)
    path = project.checkpoint("c1", [component("api", 40)], timestamp="2026-03-01T08:59:00Z", status="created")
    first = repository.commit()
    before = path.read_bytes()
    project.checkpoint("c1", [component("api", 40)], timestamp="2026-03-01T08:59:00Z", status="rolled_back")
    second = repository.commit()

    found, warnings = told_of(repository.root)
    assert warnings == []
    assert [(one.path, one.commit, one.time) for one in found] == [
        (f"{CHECKPOINTS}/c1.json", first, START),
        (f"{CHECKPOINTS}/c1.json", second, START + timedelta(minutes=1)),
    ]
    assert [one.data for one in found] == [before, path.read_bytes()]

    history, newest = taken(repository.root)
    table = history.checkpoints
    assert table["version"].tolist() == [1, 2]
    assert table["status"].tolist() == ["created", "rolled_back"]
    assert table["modified"].tolist() == [START, START + timedelta(minutes=1)]
    assert table["size"].tolist() == [len(before), path.stat().st_size]
    assert newest == {f"{CHECKPOINTS}/c1.json": digest(path.read_bytes())}
    assert len(history.warnings) == 0


def test_deleted_files_come_back(repository: Repository) -> None:
    project = Project(repository.root)
    for number in range(3):
        project.checkpoint(f"c{number}", [component("api", 10 * number)], timestamp=f"2026-03-01T09:0{number}:00Z")
        repository.commit()
    for number in (1, 2):
        (project.dir / f"checkpoints/c{number}.json").unlink()
    repository.commit()
    history, newest = taken(repository.root)
    assert history.checkpoints["checkpoint_id"].tolist() == ["c0", "c1", "c2"]
    assert history.components["progress"].tolist() == [0, 10, 20]
    assert set(newest) == {f"{CHECKPOINTS}/c{number}.json" for number in range(3)}


def test_what_is_on_disk_comes_after_and_not_twice(repository: Repository) -> None:
    project = Project(repository.root)
    for number in range(3):
        project.checkpoint("c1", [component("api", 10 * number)], timestamp="2026-03-01T09:00:00Z")
        project.checkpoint("c2", [component("api", 10 * number)], timestamp="2026-03-01T09:00:01Z")
        repository.commit()
    project.checkpoint("c2", [component("api", 0)], timestamp="2026-03-01T09:00:01Z")  # as it was first
    store = Store(roots_of(repository.root))
    newest = read_git(store, 0)
    fresh = [path for path in files_of(store.roots[0]) if newest[path] != digest((repository.root / path).read_bytes())]
    assert fresh == [f"{CHECKPOINTS}/c2.json"]
    read_files(store, 0, fresh)
    history = History(store)
    versions_of = history.checkpoints.groupby("checkpoint_id")["version"].agg(list)
    assert versions_of.to_dict() == {"c1": [1, 2, 3], "c2": [1, 2, 3, 4]}
    assert history.components.query("checkpoint_id == 'c2'")["progress"].tolist() == [0, 10, 20, 0]
    assert history.items["progress"].tolist() == [0], "the file on disk is the present"


def test_each_content_of_a_file_is_there_once(repository: Repository) -> None:
    for text in ("a", "b", "a", "a", "c", "b"):
        write(repository.root, f"{CHECKPOINTS}/x.json", text)
        write(repository.root, f"{CHECKPOINTS}/y.json", "a")
        repository.commit()
    x, y = f"{CHECKPOINTS}/x.json", f"{CHECKPOINTS}/y.json"
    assert contents(repository.root) == [(x, "a"), (y, "a"), (x, "b"), (x, "c")]


def test_a_file_without_a_time_is_as_old_as_its_commit(repository: Repository) -> None:
    Project(repository.root).write("features.json", {"features": [{"id": "login", "status": "planned"}]})
    repository.commit()
    history, _ = taken(repository.root)
    assert history.checkpoints["ts"].tolist() == [START]
    assert history.checkpoints["ts_source"].tolist() == ["mtime"]


def test_a_project_may_be_a_folder_of_the_repository(repository: Repository) -> None:
    for name in ("apps/shop", "apps/blog", "."):
        write(repository.root, f"{name}/{CHECKPOINTS}/x.json", f"of {name}")
    repository.commit()
    for name in ("apps/shop", "apps/blog", "."):
        assert contents(repository.root / name) == [(f"{CHECKPOINTS}/x.json", f"of {name}")]


def test_only_the_folder_that_was_named(repository: Repository) -> None:
    write(repository.root, f"{CHECKPOINTS}/x.json", "x")
    write(repository.root, ".buildrunner/features.json", "f")
    write(repository.root, ".buildrunner-old/checkpoints/x.json", "old")
    write(repository.root, "package.json", "p")
    repository.commit()
    assert [one.path for one in told_of(repository.root)[0]] == [f"{CHECKPOINTS}/x.json", ".buildrunner/features.json"]
    assert [one.path for one in told_of(repository.root, CHECKPOINTS)[0]] == [f"{CHECKPOINTS}/x.json"]
    assert len(told_of(repository.root, "")[0]) == 4
    assert told_of(repository.root, ".build[r]unner")[0] == [], "a name is no pattern"


def test_branches_tags_stashes_and_what_was_reset(repository: Repository) -> None:
    file = f"{CHECKPOINTS}/x.json"
    write(repository.root, file, "main")
    repository.commit()
    repository.git("checkout", "-q", "-b", "never-merged")
    write(repository.root, file, "branch")
    repository.commit()
    repository.git("checkout", "-q", "--detach", "main")
    write(repository.root, file, "tagged")
    repository.commit()
    repository.git("tag", "keep")
    repository.git("checkout", "-q", "main")
    write(repository.root, file, "stashed")
    repository.git("stash", "-q")
    repository.minute += 1
    write(repository.root, file, "amended away")
    repository.commit()
    write(repository.root, file, "amended")
    repository.git("commit", "-q", "-a", "--amend", "-m", "again")
    repository.minute += 1
    repository.git("reset", "-q", "--hard", "HEAD~1")
    assert [text for _, text in contents(repository.root)] == [
        *("main", "branch", "tagged", "stashed", "amended away", "amended"),
    ]


def test_what_only_a_merge_has(repository: Repository) -> None:
    file = f"{CHECKPOINTS}/x.json"
    write(repository.root, file, "base")
    repository.commit()
    repository.git("checkout", "-q", "-b", "side")
    write(repository.root, file, "side")
    repository.commit()
    repository.git("checkout", "-q", "main")
    write(repository.root, file, "main")
    repository.commit()
    repository.git("merge", "-q", "--no-commit", "-s", "ours", "side")
    write(repository.root, file, "both")
    repository.commit()
    assert repository.git("rev-list", "--merges", "--count", "HEAD") == "1"
    assert [text for _, text in contents(repository.root)] == ["base", "side", "main", "both"]
    # A merge that took one side brings nothing new, and hides nothing of the other.
    repository.git("checkout", "-q", "-b", "other", "HEAD~1")
    write(repository.root, file, "given up")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "-s", "ours", "-m", "ours", "other")
    repository.git("branch", "-q", "-D", "other", "side")
    assert [text for _, text in contents(repository.root)] == ["base", "side", "main", "both", "given up"]


def test_a_commit_comes_after_its_parent_whatever_the_clock_says(repository: Repository) -> None:
    for text, hours in (("a", 5), ("b", 1), ("c", 9)):
        write(repository.root, f"{CHECKPOINTS}/x.json", text)
        repository.commit(at=START + timedelta(hours=hours))
    assert [text for _, text in contents(repository.root)] == ["a", "b", "c"]
    assert [one.time.hour for one in told_of(repository.root)[0]] == [14, 10, 18]


def test_odd_names(repository: Repository) -> None:
    names = [" with  spaces .json", "two\nlines.json", 'quo"te\t.json', "-n.json", ":(glob)*.json", "žluť.json"]
    for name in names:
        write(repository.root, f"{CHECKPOINTS}/{name}", name)
    body = json.dumps({"id": "odd", "timestamp": "2026-03-01T09:00:00Z", "tasks_completed": ["t"]})
    odd = os.fsencode(repository.root / CHECKPOINTS) + b"/not \xff utf-8.json"
    Path(os.fsdecode(odd)).write_text(body)
    repository.commit()
    found, warnings = told_of(repository.root)
    assert warnings == []
    assert sorted(one.path for one in found) == sorted(
        [*(f"{CHECKPOINTS}/{name}" for name in names), f"{CHECKPOINTS}/not \udcff utf-8.json"]
    )
    history, newest = taken(repository.root)
    assert history.checkpoints["file_path"].tolist() == [f"{CHECKPOINTS}/not \\xff utf-8.json"]
    assert newest == {f"{CHECKPOINTS}/not \udcff utf-8.json": digest(body.encode())}, "as the disk has it"
    assert len(history.warnings) == len(names)
    assert history.arrow("warnings").num_rows == len(names)


def test_a_repository_of_longer_ids(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop", "--object-format=sha256")
    write(repository.root, f"{CHECKPOINTS}/x.json", "x")
    commit = repository.commit()
    (one,) = told_of(repository.root)[0]
    assert (one.data, one.commit, len(one.blob)) == (b"x", commit, 64)


def test_no_links_no_submodules(repository: Repository) -> None:
    inner = Repository(repository.root / ".buildrunner/inner")
    write(inner.root, "x.json", "inner")
    inner.commit()
    (repository.root / CHECKPOINTS).mkdir()
    (repository.root / CHECKPOINTS / "link.json").symlink_to("/etc/passwd")
    write(repository.root, f"{CHECKPOINTS}/run.json", "x")
    (repository.root / CHECKPOINTS / "run.json").chmod(0o755)
    repository.git("-c", "advice.addEmbeddedRepo=false", "add", "-A")
    repository.commit()
    assert contents(repository.root) == [(f"{CHECKPOINTS}/run.json", "x")]


def test_nothing_was_committed(repository: Repository) -> None:
    Project(repository.root).checkpoint("c1", [component("api")])
    assert contents(repository.root) == [], "no commit at all"
    write(repository.root, ".gitignore", ".buildrunner\n")
    repository.commit()
    assert contents(repository.root) == [], "nothing of the build"
    history, newest = taken(repository.root)
    assert newest == {}
    assert len(history.checkpoints) == 0


# -- which files ------------------------------------------------------------------------------------------------------


def test_the_files_that_are_read_are_those_that_are_read_from_disk(repository: Repository) -> None:
    names = [
        *(
            ".buildrunner/features.json",
            ".buildrunner/other.json",
            ".buildrunner/build.log",
            ".buildrunner/context/a.md",
        ),
        *(f"{CHECKPOINTS}/a.json", f"{CHECKPOINTS}/.a.json", f"{CHECKPOINTS}/a.json.tmp", f"{CHECKPOINTS}/b/c.json"),
        *(".buildrunner/locks/one/progress.json", ".buildrunner/locks/one/checkpoints/a.json"),
        *(".buildrunner/state/workflows/workflow_a.json", ".buildrunner/state/workflows/b.json"),
        *(".buildrunner/a/orchestration_state.json", ".buildrunner/node_modules/checkpoints/a.json"),
        *(".buildrunner/1/2/3/4/5/6/7/checkpoints/a.json", ".buildrunner/1/2/3/4/5/6/7/8/checkpoints/a.json"),
        *("notes.json", "loose/a.json", "loose/a.json.bak", "loose/.b.json", "loose/c.txt", "loose/deep/er/a.json"),
    ]
    body = json.dumps({"id": "x", "timestamp": "2026-03-01T09:00:00Z"})
    for name in names:
        write(repository.root, name, body)
    repository.commit()
    for root in (
        roots_of(repository.root)[0],
        roots_of(repository.root / CHECKPOINTS)[0],
        roots_of(repository.root / "loose")[0],
    ):
        assert files_of(root), root
        found = versions(root.path, root.below, wanted=lambda path, root=root: _git._is_read(root, path))
        assert sorted(one.path for one in found) == files_of(root)


def test_loose_files(repository: Repository) -> None:
    for number in range(2):
        body = {"id": f"c{number}", "timestamp": f"2026-03-01T09:0{number}:00Z", "tasks_completed": ["t"]}
        write(repository.root, "backup/now.json", json.dumps(body))
        repository.commit()
    history, newest = taken(repository.root / "backup")
    assert history.checkpoints["checkpoint_id"].tolist() == ["c0", "c1"]
    assert list(newest) == ["now.json"]


def test_what_is_wrong_with_a_version_is_told_with_its_commit_and_once(repository: Repository) -> None:
    commits = []
    for text in ('{"id": "c1"', '{"id": "c1", "a"', "{"):
        write(repository.root, f"{CHECKPOINTS}/c1.json", text)
        commits.append(repository.commit())
    odd = {"id": "c2", "timestamp": "2026-03-01T09:00:00Z", "metadata": {"components": [{"name": "who"}, 7]}}
    for phase in ("one", "two"):
        write(repository.root, f"{CHECKPOINTS}/c2.json", json.dumps({**odd, "phase": phase}))
        commits.append(repository.commit())
    history, newest = taken(repository.root)
    assert list(newest) == [f"{CHECKPOINTS}/c2.json"]
    messages = history.warnings.query("file_path.str.endswith('c2.json')")["message"].tolist()
    assert messages
    assert all(message.endswith(f"(in commit {commits[3][:12]})") for message in messages)
    broken = history.warnings.query("file_path.str.endswith('c1.json')")
    assert set(broken["code"]) == {"not_json"}
    for message in broken["message"]:
        assert message.endswith(tuple(f"(in commit {commit[:12]})" for commit in commits[:3]))


# -- repositories that are not whole ----------------------------------------------------------------------------------


@pytest.fixture
def long(repository: Repository) -> Repository:
    for text in "abc":
        write(repository.root, f"{CHECKPOINTS}/x.json", text)
        repository.commit()
    return repository


def test_a_shallow_clone_says_so(long: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    long.git("clone", "-q", "--depth", "2", f"file://{long.root}", str(clone))
    found, warnings = told_of(clone)
    assert [one.data for one in found] == [b"b", b"c"]
    ((path, code, message),) = warnings
    assert (path, code) == (".buildrunner", "shallow_clone")
    assert "git fetch --unshallow" in message


def test_a_partial_clone_says_so_and_fetches_nothing(long: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    long.git("config", "uploadpack.allowFilter", "true")
    long.git("clone", "-q", "--filter=blob:none", f"file://{long.root}", str(clone))
    packs = sorted((clone / ".git/objects/pack").iterdir())
    found, warnings = told_of(clone)
    assert [one.data for one in found] == [b"c"], "what is checked out"
    ((path, code, message),) = warnings
    assert (path, code) == (".buildrunner", "partial_clone")
    assert message.startswith("2 of 3 versions are not in the repository")
    assert sorted((clone / ".git/objects/pack").iterdir()) == packs


def test_a_clone_without_folders_is_an_error(long: Repository, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    long.git("config", "uploadpack.allowFilter", "true")
    long.git("clone", "-q", "--filter=tree:0", "--no-checkout", f"file://{long.root}", str(clone))
    with pytest.raises(GitError, match=r"git cannot list the commits of .*clone.*without --filter"):
        told_of(clone)


def loose_object(repository: Repository, name: str) -> Path:
    path = repository.root / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    return path


def test_a_broken_object_is_a_warning(long: Repository) -> None:
    blob = long.git("rev-parse", f"HEAD~1:{CHECKPOINTS}/x.json")
    content = loose_object(long, blob).read_bytes()
    loose_object(long, blob).write_bytes(content[:-4] + b"????")
    commit = long.git("rev-parse", "HEAD~1")
    found, warnings = told_of(long.root)
    assert [one.data for one in found] == [b"a", b"c"]
    assert any(commit[:12] in message or "1 of 3" in message for _, _, message in warnings)
    assert {code for _, code, _ in warnings} == {"unreadable"}


def test_a_lost_object_is_a_warning(long: Repository) -> None:
    loose_object(long, long.git("rev-parse", f"HEAD~2:{CHECKPOINTS}/x.json")).unlink()
    found, warnings = told_of(long.root)
    assert [one.data for one in found] == [b"b", b"c"]
    ((_, code, message),) = warnings
    assert code == "unreadable"
    assert message == "1 of 3 versions are not in the repository: git fsck says more"


def test_a_lost_folder_is_an_error(long: Repository) -> None:
    loose_object(long, long.git("rev-parse", f"HEAD~1:{CHECKPOINTS}")).unlink()
    with pytest.raises(GitError, match=r"git cannot list the commits of .*shop: .*git fsck"):
        told_of(long.root)


def test_an_object_that_breaks_off_is_a_warning_and_the_rest_is_read(long: Repository) -> None:
    files = [f"{CHECKPOINTS}/y{number}.json" for number in range(3)]
    for file in files:
        write(long.root, file, file + random.Random(7).randbytes(40_000).hex())
    commit = long.commit()
    path = loose_object(long, long.git("rev-parse", f"HEAD:{files[1]}"))
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + b"?" * 50 + content[20_050:])
    found, warnings = told_of(long.root)
    assert [one.path for one in found[3:]] == [files[0], files[2]]
    ((path, code, message),) = warnings
    assert (path, code) == (files[1], "unreadable")
    assert message.startswith(f"the version of commit {commit[:12]} cannot be read: ")
    assert "error" in message


def test_a_huge_version_is_a_warning(long: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    write(long.root, f"{CHECKPOINTS}/x.json", "x" * 2000)
    commit = long.commit()
    monkeypatch.setattr(_git, "MAX_BYTES", 1000)
    found, warnings = told_of(long.root)
    assert [one.data for one in found] == [b"a", b"b", b"c"]
    assert warnings == [
        (
            f"{CHECKPOINTS}/x.json",
            "too_big",
            f"the version of commit {commit[:12]} has 2,000 bytes; at most 1,000 are read",
        )
    ]


# -- no git, or not ours ----------------------------------------------------------------------------------------------


def test_no_repository_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = Project(tmp_path / "shop")
    with pytest.raises(NotAGitRepositoryError, match=r"shop is not in a git repository.*without git") as caught:
        taken(project.root)
    assert isinstance(caught.value, ValueError)


def test_no_git_is_an_error_that_says_what_to_do(long: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(long.root))
    with pytest.raises(GitError, match=r"git is needed .*shop.*install it"):
        told_of(long.root)


def test_a_repository_that_git_refuses_is_an_error_in_its_words(long: Repository) -> None:
    (long.root / ".git/config").write_text("[core]\n\trepositoryformatversion = 99\n")
    with pytest.raises(GitError, match=r"git cannot read the repository of .*shop: .*version"):
        told_of(long.root)


def test_it_is_the_repository_of_the_folder_also_inside_a_hook(
    long: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git/index"))
    monkeypatch.setenv("GIT_TRACE", "1")
    assert [text for _, text in contents(long.root)] == ["a", "b", "c"]


def test_nothing_that_a_repository_says_is_run(long: Repository, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\nexit 0\n")
    program.chmod(0o755)
    hooks = long.root / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (hooks / name).write_bytes(program.read_bytes())
        (hooks / name).chmod(0o755)
    for key in (
        *("core.fsmonitor", "core.pager", "pager.rev-list", "pager.diff-tree", "core.sshCommand", "core.editor"),
        *("diff.external", "diff.json.textconv", "diff.json.command", "filter.json.smudge", "filter.json.clean"),
        *("gpg.program", "core.alternateRefsCommand", "credential.helper", "uploadpack.packObjectsHook"),
    ):
        long.git("config", key, str(program))
    long.git("config", "log.showSignature", "true")
    (long.root / ".gitattributes").write_text("*.json diff=json filter=json\n")
    assert [text for _, text in contents(long.root)] == ["a", "b", "c"]
    assert not marker.exists()


def test_a_replaced_commit_is_what_was_committed(long: Repository) -> None:
    long.git("replace", long.git("rev-parse", "HEAD~1"), long.git("rev-parse", "HEAD~2"))
    assert [text for _, text in contents(long.root)] == ["a", "b", "c"]


def test_the_repository_is_left_as_it_was(long: Repository) -> None:
    def picture() -> dict[str, tuple[int, int]]:
        paths = [path for path in (long.root / ".git").rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = picture()
    contents(long.root)
    assert picture() == before


# -- many -------------------------------------------------------------------------------------------------------------


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


def test_git_ends_when_nobody_reads_on(long: Repository) -> None:
    before = len(children())
    found = versions(long.root)
    assert next(found).data == b"a"
    found.close()
    assert len(children()) == before
    with pytest.raises(RuntimeError, match="enough"), contextlib.closing(versions(long.root)) as found:
        for _ in found:
            raise RuntimeError("enough")
    assert len(children()) == before


def imported(root: Path, steps: Iterator[bytes]) -> Repository:
    """A repository made at once, from a stream of commands."""
    repository = Repository(root)
    repository.git("fast-import", "--quiet", "--force", given=b"".join(steps))
    return repository


def commit_of(number: int, *files: bytes) -> bytes:
    when = int(START.timestamp()) + 60 * number
    return b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\ndata 0\n%s\n" % (when, b"".join(files))


def change(path: str, data: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)


def test_a_thousand_commits_are_read_in_seconds(tmp_path: Path) -> None:
    def body(number: int) -> bytes:
        items = [component(f"c{at}", min(100, number // (at + 1)), "in_progress") for at in range(20)]
        moment = START + timedelta(minutes=number)
        head = {"id": f"checkpoint_{number:04}", "timestamp": moment.isoformat(), "phase": "build"}
        return json.dumps({**head, "metadata": {"components": items}}).encode()

    def steps() -> Iterator[bytes]:
        for number in range(1000):
            yield commit_of(
                number,
                change(f"{CHECKPOINTS}/checkpoint_{number:04}.json", body(number)),
                change(f"{CHECKPOINTS}/latest.json", body(number)),
                *([b"D %s/checkpoint_%04d.json\n" % (CHECKPOINTS.encode(), number - 5)] if number >= 5 else []),
            )

    repository = imported(tmp_path / "shop", steps())
    (repository.root / CHECKPOINTS).mkdir(parents=True)
    store = Store(roots_of(repository.root))
    told: list[int] = []
    begun = time.perf_counter()
    newest = read_git(store, 0, on_progress=told.append)
    seconds = time.perf_counter() - begun
    print(f"1,000 commits, 2,000 versions: {seconds:.2f} s")
    assert len(store.files) == 2000
    assert store.warnings == []
    assert store.versions[0, f"{CHECKPOINTS}/latest.json"] == 1000
    assert newest[f"{CHECKPOINTS}/latest.json"] == digest(body(999))
    assert sum(told) == 2000
    assert seconds < 15  # well below one on a machine that does nothing else


STEP = st.dictionaries(st.sampled_from(["a.json", "b c.json", "d/e.json"]), st.sampled_from([b"", b"1", b"2\n", None]))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=6))
def test_every_first_occurrence_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, steps: list[dict]) -> None:
    def commands() -> Iterator[bytes]:
        for number, step in enumerate(steps):
            yield commit_of(
                number,
                *(
                    b'D ".buildrunner/%s"\n' % name.encode() if data is None else change(f'".buildrunner/{name}"', data)
                    for name, data in step.items()
                ),
            )

    expected = []
    for number, step in enumerate(steps):
        for name, data in sorted(step.items()):
            if data is not None and (name, data) not in [one[:2] for one in expected]:
                expected.append((name, data, number))
    root = imported(tmp_path_factory.mktemp("git") / "shop", commands()).root
    found, warnings = told_of(root)
    assert warnings == []
    assert [
        (one.path.removeprefix(".buildrunner/"), one.data, round((one.time - START).total_seconds() / 60))
        for one in found
    ] == expected


def test_a_root_says_what_is_looked_at() -> None:
    home = Root("shop", Path("/shop"))
    assert _git._is_read(home, f"{CHECKPOINTS}/a.json")
    assert not _git._is_read(home, ".buildrunner/build.log")
    assert not _git._is_read(home, f"{CHECKPOINTS}/a.md")


# -- times that were not renewed, and links ---------------------------------------------------------------------------


@pytest.mark.parametrize("stated", ["2026-03-01T00:00:00Z", "2026-03-01", "2026-02-27T15:30:00Z"])
def test_versions_an_hour_apart_whose_time_was_not_renewed_are_different_moments(
    repository: Repository, stated: str
) -> None:
    project = Project(repository.root)
    moments = [START + timedelta(hours=number) for number in range(5)]
    for number, moment in enumerate(moments):
        features = [
            {"id": f"f{at}", "status": "completed" if at < number else "in_progress" if at == number else "pending"}
            for at in range(4)
        ]
        project.write("features.json", {"last_updated": stated, "features": features})
        repository.commit(moment)
    os.utime(project.dir / "features.json", (moments[-1].timestamp(),) * 2)
    history = read_history(repository.root, git=True)
    assert history.checkpoints["ts"].tolist()[1:] == moments[1:]
    assert history.checkpoints["ts"].nunique() == 5
    burnup = history.burnup(kind="feature")
    assert burnup["done"].tolist() == [0, 1, 2, 3, 4]
    cycles = history.cycle_time(kind="feature").set_index("item_id")["cycle_time"]
    assert [cycles[f"f{at}"] for at in (1, 2, 3)] == [timedelta(hours=1)] * 3


def test_versions_in_a_linked_folder_come_back(tmp_path: Path) -> None:
    """By every road the same: the folder itself, or a link to one elsewhere in the project."""
    told = []
    for name in ("plain", "linked"):
        repository = Repository(tmp_path / name / "shop")
        project = Project(repository.root, make=False)
        project.dir.mkdir()
        if name == "linked":
            (repository.root / "store/saved").mkdir(parents=True)
            (project.dir / "checkpoints").symlink_to("../store/saved")
        else:
            (project.dir / "checkpoints").mkdir()
        for progress in (10, 40, 70):
            project.checkpoint("c1", [component("api", progress)], timestamp="2026-03-01T08:59:00Z")
            repository.commit()
        history = read_history(repository.root, git=True)
        assert history.warnings.empty
        told.append(history.components[["version", "component_id", "progress"]].to_numpy().tolist())
        assert set(history.checkpoints["file_path"]) == {f"{CHECKPOINTS}/c1.json"}
    assert told[0] == told[1] == [[1, "api", 10.0], [2, "api", 40.0], [3, "api", 70.0]]
