from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from buildwidget.compat import get_checkpoint_summary, parse_checkpoint
from buildwidget.errors import CheckpointError
from buildwidget.reading.files import stamp_of
from buildwidget.systems.paths import is_wanted
from buildwidget.watcher import ChangeSource, FileChange, FileWatcher, Retry, Torn, open_file, read_file
from buildwidget.watching import source as source_module
from buildwidget.watching.folder import young_for
from buildwidget.watching.notify import Sleeper, on_network
from buildwidget.watching.pending import Pending

from .watching import BASE, DEADLINE, WAYS, Reader, reading, write

A = f"{BASE}/checkpoints/checkpoint_a.json"


@pytest.fixture(params=list(WAYS))
def way(request):
    return WAYS[request.param]


def reasons(source: ChangeSource) -> dict[str, str]:
    return {path: obstacle.reason for path, obstacle in source.obstacles.items()}


def replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".tmp")
    part.write_text(text)
    part.replace(path)


# -- which files, and when ------------------------------------------------------------------------------------


def test_created_modified_deleted(project, way):
    with reading(project, **way) as reader:
        assert reader.source.state == ("poll" if way.get("poll") else "notify")
        path = write(project / A)
        reader.sees(A, "created")
        path.write_text('{"id": 1}')
        reader.sees(A, "modified")
        path.unlink()
        reader.sees(A, "deleted")
        assert reader.seen(A)[0] == "created"
        assert reader.seen(A)[-1] == "deleted"


def test_what_is_there_at_the_start_is_reported_once_in_order(project, way):
    names = [f"{BASE}/checkpoints/checkpoint_{number:03}.json" for number in range(50)]
    for name in names:
        path = write(project / name)
        os.utime(path, (1_000_000_000, 1_000_000_000.5))
    with reading(project, **way) as reader:
        reader.until(lambda: len(reader.changes) >= 50, "all files")
        assert [change.path for change in reader.changes] == names
        assert {change.change_type for change in reader.changes} == {"created"}


def test_writers_that_rename(project, way):
    path = write(project / A)
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        for number in range(5):
            reader.forget()
            replace(path, json.dumps({"n": number}))
            reader.sees(A, "modified")
        assert "deleted" not in reader.seen(A)
        assert not reader.seen(A + ".tmp")
        path.rename(path.with_name("checkpoint_b.json"))
        reader.sees(A, "deleted")
        reader.sees(f"{BASE}/checkpoints/checkpoint_b.json", "created")


def test_a_file_that_stays_open_is_reported(project, way):
    with reading(project, **way) as reader, (project / BASE / "build.log").open("w") as log:
        reader.sees(f"{BASE}/build.log", "created")
        for number in range(3):
            reader.forget()
            log.write(f"line {number}\n")
            log.flush()
            reader.sees(f"{BASE}/build.log", "modified")


def test_a_change_of_the_same_size_at_the_same_moment_is_reported(project, way):
    """Two writes within one tick of the clock that stamps files leave the same fingerprint."""
    path = write(project / A, "old")
    last = []
    with reading(project, **way) as reader:
        reader.on_change = lambda change: last.append((project / change.path).read_text())
        for number in range(100, 160):
            path.write_text(str(number))
            if number % 3 == 0:
                reader.until(lambda number=number: last and last[-1] == str(number), f"{number}")


def test_only_our_files(project, way):
    with reading(project, **way) as reader:
        for name in ("notes.txt", "README.md", "checkpoints/x.json.tmp", "checkpoints/x.json~", "checkpoints/.#x.json"):
            write(project / BASE / name)
        write(project / BASE / "checkpoints" / ".x.json.swp")
        write(project / "outside.json")
        wanted = ["features.json", "context/blockers.md", "logs/build.log", "build.log", "state/deep/er/o.json"]
        for name in wanted:
            write(project / BASE / name)
        reader.until(lambda: len({change.path for change in reader.changes}) >= len(wanted), "the wanted files")
        reader.source.scan()
        time.sleep(0)
        assert {change.path for change in reader.changes} == {f"{BASE}/{name}" for name in wanted}


@pytest.mark.parametrize(
    ("folder", "name", "wanted"),
    [
        (BASE, "features.json", True),
        (f"{BASE}/checkpoints", "x.json.tmp", False),
        (f"{BASE}/checkpoints", "x.json~", False),
        (f"{BASE}/checkpoints", ".#x.json", False),
        (f"{BASE}/checkpoints", ".x.json.swp", False),
        (f"{BASE}/context", "a.md", True),
        (f"{BASE}/context/more", "a.md", True),
        (f"{BASE}/contexts", "a.md", False),
        (BASE, "a.md", False),
        (f"{BASE}/logs", "a.log", True),
        (f"{BASE}/logs", "a.log.1", False),
        (f"{BASE}/builds", "BUILD_shop.md", True),
        (f"{BASE}/builds", "notes.md", False),
        (f"{BASE}/builds/old", "BUILD_shop.md", False),
        (f"{BASE}/locks/phase-3", "heartbeat", True),
        (f"{BASE}/locks", "heartbeat", False),
        (BASE, "decisions.log", True),
    ],
)
def test_is_wanted(folder, name, wanted):
    assert is_wanted(folder, name) is wanted


def test_depth_is_bounded_and_what_is_deeper_is_told(project, way, caplog):
    inside = f"{BASE}/" + "/".join("12345678") + "/a.json"
    beyond = f"{BASE}/" + "/".join("123456789") + "/a.json"
    folder = beyond.removesuffix("/a.json")
    with reading(project, **way) as reader:
        write(project / beyond)
        write(project / inside)
        reader.sees(inside, "created")
        reader.sees(folder, "created")
        assert reader.source.obstacles[folder].code == "folder_too_deep"
        reader.source.scan()
        assert not reader.seen(beyond)
        assert caplog.text.count("lies more than 8 folders below .buildrunner") == 1
        shutil.rmtree(project / folder)
        reader.until(lambda: not reader.source.obstacles, "the end of it")


@pytest.mark.parametrize("names", ["known", "new"])
def test_content_that_changes_in_place_with_its_size_and_mtime_kept(project, way, names):
    """As with ``rsync --inplace -t`` and ``touch -r``; the folder's mtime can be kept, too."""
    path = write(project / A, "[1]")
    folder = path.parent
    for one in (path, folder):
        os.utime(one, (1_700_000_000, 1_700_000_000))
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        reader.until(lambda: young_for(stamp_of(path.stat())) == 0.0, "a file that is old enough")
        reader.quiet()
        reader.forget()
        if names == "known":
            with path.open("r+") as file:
                file.write("[2]")
            os.utime(path, (1_700_000_000, 1_700_000_000))
            reader.sees(A, "modified")
        else:
            write(folder / "b.json")
            os.utime(folder, (1_700_000_000, 1_700_000_000))
            reader.sees(f"{BASE}/checkpoints/b.json", "created")


# -- folders that come and go -------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [BASE, "project"])
def test_a_missing_folder_is_waited_for(tmp_path, way, missing):
    project = tmp_path / "shop"
    if missing == BASE:
        project.mkdir()
    with reading(project, **way) as reader:
        assert reader.source.state == "waiting"
        write(project / A)
        reader.sees(A, "created")
        assert reader.source.state != "waiting"


@pytest.mark.parametrize("which", [f"{BASE}/checkpoints", BASE, ""])
def test_deleted_and_made_again(project, way, which):
    write(project / A)
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        for number in range(4):
            reader.forget()
            shutil.rmtree(project / which)
            reader.sees(A, "deleted")
            path = write(project / A, json.dumps(number))
            reader.sees(A, "created")
            reader.forget()
            path.write_text(json.dumps([number]))
            reader.sees(A, "modified")


def test_made_again_at_once(project, way):
    """The new folder may even get the old one's inode number."""
    write(project / A)
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        for number in range(10):
            reader.forget()
            shutil.rmtree(project / BASE)
            path = write(project / A, json.dumps(number))
            reader.until(lambda: reader.seen(A), "the file again")
            reader.forget()
            path.write_text(json.dumps([number]))
            reader.until(lambda: reader.seen(A), "the file again, once more")


@pytest.mark.parametrize("which", ["checkpoints", ""])
def test_swapped_by_rename(project, way, which):
    write(project / A, "1")
    old, new, aside = project / BASE / which, project / "new", project / "aside"
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        reader.forget()
        write(new / Path(A).relative_to(f"{BASE}/{which}"), "22")
        write(new / Path(A).relative_to(f"{BASE}/{which}").with_name("checkpoint_b.json"))
        old.rename(aside)
        new.rename(old)
        reader.until(lambda: "deleted" not in reader.seen(A)[-1:] and reader.seen(A), "the file that is now there")
        reader.sees(f"{BASE}/checkpoints/checkpoint_b.json", "created")
        reader.forget()
        (project / A).write_text("333")
        reader.sees(A, "modified")
        # What was moved away is not ours any more.
        reader.quiet()
        reader.forget()
        write(aside / Path(A).relative_to(f"{BASE}/{which}"), "not ours")
        write(project / BASE / "z.json")
        reader.sees(f"{BASE}/z.json", "created")
        assert not reader.seen(A)


def test_new_folders_with_files_in_them(project, way):
    paths = [f"{BASE}/locks/phase-{number}/progress.json" for number in range(40)]
    with reading(project, **way) as reader:
        for path in paths:
            write(project / path)
        reader.until(lambda: {change.path for change in reader.changes} >= set(paths), "all of them")
        reader.forget()
        for path in paths:
            (project / path).write_text("[1]")
        reader.until(lambda: {change.path for change in reader.changes} >= set(paths), "all of them again")


def test_a_folder_moved_in_with_its_files(project, way):
    write(project / "elsewhere" / "deep" / "a.json")
    with reading(project, **way) as reader:
        (project / "elsewhere").rename(project / BASE / "state")
        reader.sees(f"{BASE}/state/deep/a.json", "created")
        shutil.rmtree(project / BASE / "state")
        reader.sees(f"{BASE}/state/deep/a.json", "deleted")


# -- links, and things that are no files ------------------------------------------------------------------------


def test_links_inside_the_project(project, way):
    target = write(project / "shared" / "real.json", "1")
    write(project / "folder" / "b.json", "1")
    with reading(project, **way) as reader:
        (project / A).symlink_to(target)
        (project / BASE / "state").symlink_to("../folder")
        reader.sees(A, "created")
        reader.sees(f"{BASE}/state/b.json", "created")
        reader.forget()
        target.write_text("22")
        (project / "folder" / "b.json").write_text("22")
        reader.sees(A, "modified")
        reader.sees(f"{BASE}/state/b.json", "modified")
        # turned to another file and another folder
        write(project / "folder2" / "c.json")
        reader.forget()
        (project / A).unlink()
        (project / A).symlink_to(write(project / "shared" / "other.json", "333"))
        (project / BASE / "state").unlink()
        (project / BASE / "state").symlink_to("../folder2")
        reader.until(lambda: reader.seen(A), "the link's new target")
        reader.sees(f"{BASE}/state/b.json", "deleted")
        reader.sees(f"{BASE}/state/c.json", "created")
        assert not reader.source.obstacles


def test_links_that_leave_the_project(project, way, tmp_path):
    secret = write(tmp_path / "secret" / "s.json", '{"secret": 1}')
    with reading(project, **way) as reader:
        (project / A).symlink_to(secret)
        (project / BASE / "state").symlink_to(secret.parent)
        reader.sees(A, "created")
        reader.sees(f"{BASE}/state", "created")
        assert reasons(reader.source) == {A: "link leaves the project", f"{BASE}/state": "link leaves the project"}
        assert not reader.seen(f"{BASE}/state/s.json")
        with pytest.raises(CheckpointError) as error:
            read_file(project, A)
        assert error.value.code == "outside"
        # back inside
        (project / A).unlink()
        write(project / A)
        (project / BASE / "state").unlink()
        write(project / BASE / "state" / "s.json")
        reader.sees(f"{BASE}/state/s.json", "created")
        reader.until(lambda: not reader.source.obstacles, "nothing odd any more")


def test_buildrunner_as_a_link(project, way, tmp_path):
    shutil.rmtree(project / BASE)
    write(project / "one" / "a.json")
    write(project / "two" / "b.json")
    write(tmp_path / "secret" / "s.json")
    base = project / BASE
    base.symlink_to("one")
    with reading(project, **way) as reader:
        reader.sees(f"{BASE}/a.json", "created")
        base.unlink()
        base.symlink_to("two")
        reader.sees(f"{BASE}/b.json", "created")
        reader.sees(f"{BASE}/a.json", "deleted")
        (project / "two" / "b.json").write_text("[2]")
        reader.sees(f"{BASE}/b.json", "modified")
        base.unlink()
        base.symlink_to(tmp_path / "secret")
        reader.sees(f"{BASE}/b.json", "deleted")
        reader.sees(BASE, "created")
        reader.until(lambda: reasons(reader.source) == {BASE: "link leaves the project"}, "the reason")
        reader.until(lambda: reader.source.state == "waiting", "waiting")
        assert not reader.seen(f"{BASE}/s.json")
        base.unlink()
        write(base / "c.json")
        reader.sees(f"{BASE}/c.json", "created")
        assert not reader.source.obstacles


def test_links_in_circles_and_in_two_ways(project, way):
    write(project / A)
    (project / BASE / "again").symlink_to("checkpoints")
    (project / BASE / "up").symlink_to("..")
    (project / BASE / "self").symlink_to(".")
    (project / BASE / "loop.json").symlink_to("loop.json")
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        reader.source.scan()
        reader.until(lambda: not reader.source.pending(), "nothing left")
        assert {change.path for change in reader.changes} <= {A, f"{BASE}/loop.json"}


def test_things_that_are_no_files(project, way):
    with reading(project, **way) as reader:
        folder = project / BASE / "checkpoints"
        (folder / "d.json").mkdir()
        os.mkfifo(folder / "f.json")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            here = os.open(folder, os.O_RDONLY)
            listener.bind(f"/proc/self/fd/{here}/s.json")  # the name of a socket must be short
            os.close(here)
            for name in "dfs":
                reader.sees(f"{BASE}/checkpoints/{name}.json", "created")
        assert reasons(reader.source) == {
            f"{BASE}/checkpoints/d.json": "is a directory",
            f"{BASE}/checkpoints/f.json": "is a FIFO",
            f"{BASE}/checkpoints/s.json": "is a socket",
        }
        for name in "dfs":
            with pytest.raises(CheckpointError) as error:
                read_file(project, f"{BASE}/checkpoints/{name}.json")
            assert error.value.code == "not_a_file"
        (folder / "d.json").rmdir()
        write(folder / "d.json")
        reader.until(lambda: reader.seen(f"{BASE}/checkpoints/d.json")[-1] != "deleted", "something there again")
        reader.until(lambda: f"{BASE}/checkpoints/d.json" not in reader.source.obstacles, "a file after all")


def test_buildrunner_as_a_file(project, way):
    shutil.rmtree(project / BASE)
    (project / BASE).write_text("not a folder")
    with reading(project, **way) as reader:
        reader.sees(BASE, "created")
        assert reasons(reader.source) == {BASE: "is not a directory"}
        (project / BASE).unlink()
        write(project / A)
        reader.sees(A, "created")
        assert not reader.source.obstacles


# -- the life of a source --------------------------------------------------------------------------------------


def test_put_back_comes_again_and_a_new_change_brings_it_at_once(project, way):
    path = write(project / A)
    os.utime(path, (1_000_000_000.5, 1_000_000_000.5))  # too old to be looked at twice
    with reading(project, **way) as reader:
        reader.sees(A, "created")
        source = reader.source
        reader.quiet()
        reader.forget()
        began = time.monotonic()
        source.put_back(FileChange(A, "created"), 0.2)
        assert source.take() == []
        assert 0.0 < (source.due_in() or 0.0) <= 0.2
        reader.sees(A, "created")
        assert time.monotonic() - began >= 0.2
        reader.forget()
        source.put_back(FileChange(A, "created"), 3600)
        path.write_text("[2]")
        reader.sees(A, "created")
        assert source.due_in() is None
        assert not source.pending()


def test_scan_finds_without_a_thread(project):
    source = ChangeSource(project, wake=lambda: None)
    os.utime(write(project / A), (1_000_000_000.5, 1_000_000_000.5))
    source.scan()
    assert source.take() == [FileChange(A, "created")]
    end = time.monotonic() + DEADLINE
    source.scan()
    while source.take():  # its ctime is of this moment, whatever its mtime says
        assert time.monotonic() < end
        source.scan()
    doubted: list[FileChange] = []
    while not doubted:
        assert time.monotonic() < end
        write(project / A)
        source.scan()
        assert source.take() == [FileChange(A, "modified")]
        source.scan()  # within a tick of the clock: it may hold something else by now
        doubted = source.take()
    (project / A).unlink()
    source.scan()
    assert source.take() == [FileChange(A, "deleted")]


def test_a_file_from_the_future_is_reported_once(project, way):
    """Another machine's clock may be ahead."""
    with reading(project, **way) as reader:
        path = project / BASE / "a.json"
        write(path)
        ahead = time.time() + 3600.5
        os.utime(path, (ahead, ahead))
        reader.sees(f"{BASE}/a.json", "created")
        reader.quiet()


def test_ticks_come_and_failing_callbacks_do_no_harm(project, way, caplog):
    def fail() -> None:
        raise RuntimeError("broken on purpose")

    with reading(project, **way) as reader:
        reader.until(lambda: reader.ticks >= 10, "ten ticks")
        reader.on_change = lambda change: fail()
        write(project / BASE / "a.json")
        reader.until(lambda: "broken on purpose" in caplog.text, "the failure in the log")
        reader.on_change = None
        write(project / BASE / "b.json")
        reader.sees(f"{BASE}/b.json", "created")


def test_who_wants_no_tick_gets_none_until_it_is_asked_for(project, way):
    """Hundreds of still projects in one process must not cost a core in ticks for nothing."""
    ticks: list[str] = []
    with reading(project, tick=lambda: ticks.append(threading.current_thread().name), **way) as reader:
        reader.until(lambda: ticks and reader.source.ready.is_set(), "the first tick")
        for number in range(3):  # the thread lives and works all the time
            write(project / BASE / f"{number}.json")
            reader.sees(f"{BASE}/{number}.json", "created")
        assert len(ticks) == 1
        reader.source.tick_in(0.0)
        reader.until(lambda: len(ticks) == 2, "the tick that was asked for")
        reader.source.tick_in(60.0)
        reader.source.tick_in(0.01)  # the sooner one counts
        reader.until(lambda: len(ticks) == 3, "the sooner tick")
        assert len(set(ticks)) == 1
        assert ticks[0] != threading.current_thread().name


def descriptors() -> set[tuple[str, str]]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add((fd, os.readlink(f"/proc/self/fd/{fd}")))
    return {(fd, what) for fd, what in found if "/proc/" not in what}


def test_stop_leaves_no_thread_and_no_descriptor(project, way):
    before, threads = descriptors(), threading.active_count()
    for number in range(5):
        with reading(project, **way) as reader:
            write(project / BASE / f"new{number}" / "a.json")
            reader.sees(f"{BASE}/new{number}/a.json", "created")
            thread = next(thread for thread in threading.enumerate() if thread.name == "buildwidget-watch")
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert not thread.is_alive()
        reader.source.stop()
    assert threading.active_count() == threads
    end = time.monotonic() + 5  # watchfiles lets go of its own in a thread of its own
    while descriptors() - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not descriptors() - before


def test_stop_before_start_and_from_its_own_thread_and_start_again(project, way):
    source = ChangeSource(project, wake=lambda: None, **way)
    source.stop()
    with reading(project, **way) as reader:
        reader.on_change = lambda change: reader.source.stop()
        write(project / A)
        thread = reader.source._thread
        assert thread is not None
        thread.join(DEADLINE)
        assert not thread.is_alive()
        reader.on_change = None
        reader.source.start()
        write(project / BASE / "b.json")
        reader.sees(f"{BASE}/b.json", "created")


def test_start_returns_at_once(project):
    for number in range(3000):
        (project / BASE / f"{number}.json").touch()
    source = ChangeSource(project, wake=lambda: None)
    began = time.monotonic()
    source.start()
    try:
        assert time.monotonic() - began < 0.5
        assert source.ready.wait(DEADLINE)
        assert len(source.take()) == 3000
    finally:
        source.stop()


def test_without_a_notifier_it_scans_and_tries_again(project, caplog, monkeypatch):
    """The limits of a user can be used up: here, those of this process's descriptors."""
    monkeypatch.setattr(source_module, "REOPEN_INTERVAL", 1.0)
    caplog.set_level(logging.WARNING, "buildwidget.watcher")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    reader = Reader(project)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir("/proc/self/fd")) + 3, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        reader.source.start()  # and finds no descriptor free
        reader.until(lambda: "scanned instead of watched" in caplog.text, "the warning")
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert reader.source.ready.wait(DEADLINE)
        write(project / A)
        reader.sees(A, "created")
        reader.until(lambda: reader.source.state == "notify", "the notifier again")
        write(project / BASE / "b.json")
        reader.sees(f"{BASE}/b.json", "created")
    finally:
        reader.source.stop()


def test_local_folders_are_not_on_the_network():
    assert not on_network("/proc/self")
    assert not on_network("/dev/shm")


def test_a_watch_that_was_lost_is_found_out(project):
    with reading(project, scan_interval=0.1) as reader:
        reader.source._notifier.remove([BASE, f"{BASE}/checkpoints"])
        write(project / A)
        reader.sees(A, "created")
        reader.until(lambda: f"{BASE}/checkpoints" in getattr(reader.source._notifier, "_wds", ()), "a new watch")
        assert reader.source.state == "notify"


def test_a_notifier_that_never_tells_is_not_relied_on(project, monkeypatch):
    """As on a network drive that others write to."""
    monkeypatch.setattr(source_module, "open_notifier", lambda *_: Sleeper())
    with reading(project, scan_interval=0.1) as reader:
        assert reader.source.state == "notify"
        end = time.monotonic() + DEADLINE
        number = 0
        while reader.source.state != "poll":
            assert time.monotonic() < end
            reader.forget()
            number += 1
            (project / A).write_text(json.dumps([number]))
            reader.until(lambda: reader.seen(A), "the change")


# -- reading --------------------------------------------------------------------------------------------------------


def test_read_file_gives_bytes_and_stat(project):
    text = "x" * 100_000
    write(project / A, text)
    raw, found = read_file(project, A)
    assert raw.decode() == text
    assert found.st_size == len(text)
    assert stat.S_ISREG(found.st_mode)
    write(project / A, "")
    assert read_file(project, A)[0] == b""


@pytest.mark.parametrize("rel", ["../secret.json", f"{BASE}/../../secret.json", "/etc/hostname", f"{BASE}/link/s.json"])
def test_read_file_refuses_what_is_outside(project, tmp_path, rel):
    write(tmp_path / "secret.json")
    write(tmp_path / "away" / "s.json")
    (project / BASE / "link").symlink_to(tmp_path / "away")
    with pytest.raises(CheckpointError) as error:
        read_file(project, rel)
    assert error.value.code == "outside"
    assert str(project) in str(error.value)


def test_read_file_in_a_project_that_is_a_link(project, tmp_path):
    write(project / A, "here")
    (tmp_path / "link").symlink_to(project)
    assert read_file(tmp_path / "link", A)[0] == b"here"


def test_read_file_says_what_is_wrong(project):
    write(project / A, "x" * 2000)
    with pytest.raises(CheckpointError, match="2,000 bytes; at most 1,000") as error:
        read_file(project, A, max_bytes=1000)
    assert error.value.code == "too_big"
    with pytest.raises(FileNotFoundError):
        read_file(project, f"{BASE}/none.json")
    with pytest.raises(FileNotFoundError):
        read_file(project, f"{A}/below.json")
    fd, _ = open_file(project, A)
    os.close(fd)


def test_read_file_notices_a_writer(project):
    """While somebody appends all the time, a reading is whole as of one moment, or it is torn; never in between."""
    path = write(project / A, "")
    stop = threading.Event()

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"x" * 4096)
                if file.tell() > 64 << 20:
                    file.truncate(0)

    thread = threading.Thread(target=append)
    thread.start()
    torn = 0
    try:
        end = time.monotonic() + DEADLINE
        while not torn and time.monotonic() < end:
            try:
                raw, found = read_file(project, A, max_bytes=128 << 20)
                assert len(raw) == found.st_size
            except Torn:
                torn += 1
    finally:
        stop.set()
        thread.join()
    assert torn


# -- patience, and the queue --------------------------------------------------------------------------------------


def test_retry_backs_off_and_gives_up_after_a_second():
    retry = Retry()
    now, delays = 100.0, []
    while (delay := retry.failed("a", now, 1)) is not None:
        delays.append(delay)
        now += delay
    assert delays[:5] == [0.001, 0.002, 0.004, 0.008, 0.016]
    assert max(delays) == 0.25
    assert now == pytest.approx(101.0)
    assert "a" not in retry
    assert retry.failed("a", now, 1) == 0.001


def test_retry_begins_anew_when_the_file_changed_but_not_for_ever():
    retry = Retry()
    now, number = 0.0, 0
    while retry.failed("a", now, number) is not None:
        now, number = now + 0.5, number + 1
    assert now == 10.0
    retry.failed("b", 0.0)
    retry.settled("b")
    assert len(retry) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["write", "delete", "take", "back"])), max_size=40))
def test_a_reader_who_looks_always_ends_with_what_is_there(steps):
    """A reader looks at the present file, which may be newer than the change that brought him."""
    pending = Pending(clock=lambda: 0.0)
    files: dict[str, int] = {}
    known: dict[str, int] = {}
    last: dict[str, FileChange] = {}

    def look() -> None:
        for change in pending.take():
            last[change.path] = change
            if change.change_type != "deleted":
                known[change.path] = files[change.path]
            else:
                known.pop(change.path, None)

    for number, (path, step) in enumerate(steps):
        if step == "write":
            pending.add(path, "modified" if path in files else "created")
            files[path] = number
        elif step == "delete" and path in files:
            pending.add(path, "deleted")
            del files[path]
        elif step == "take":
            look()
        elif step == "back" and path in last:
            pending.put_back(last.pop(path), 0.0)
    look()
    assert known == files
    assert not pending.take()


def test_a_deletion_waits_a_moment_for_a_creation():
    now = [0.0]
    pending = Pending(clock=lambda: now[0])
    pending.add("a", "deleted")
    assert pending.take(lambda path: True) == []
    pending.add("a", "created")
    assert pending.take(lambda path: True) == [FileChange("a", "modified")]
    pending.add("a", "deleted")
    assert pending.take(lambda path: False) == [FileChange("a", "deleted")]
    pending.add("a", "deleted")
    while not (taken := pending.take(lambda path: True)):
        assert pending.due_in() == pytest.approx(0.01)
        now[0] += 0.01
    assert taken == [FileChange("a", "deleted")]
    assert now[0] == pytest.approx(0.1, abs=0.011)


def test_pending_merges_and_orders():
    now = [0.0]
    pending = Pending(clock=lambda: now[0])
    pending.add("b", "created")
    pending.add("a", "created")
    pending.add("b", "modified")
    pending.add("gone", "created")
    pending.add("gone", "deleted")
    now[0] = 1.0
    pending.add("0", "deleted")
    pending.add("0", "created")
    pending.add("soon", "modified", 0.5)
    assert pending.ring()
    assert not pending.ring()
    assert pending.take() == [
        FileChange("a", "created"),
        FileChange("b", "created"),
        FileChange("gone", "deleted"),
        FileChange("0", "modified"),
    ]
    assert pending.due_in() == 0.5
    pending.add("soon", "modified", 0.0)
    assert pending.due_in() == 0.0
    assert pending.ring()
    (change,) = pending.take()
    pending.put_back(change, 2.0)
    pending.put_back(FileChange("other", "created"), 1.0)
    now[0] = 2.0
    assert pending.ring()
    assert pending.take() == [FileChange("other", "created")]
    pending.put_back(FileChange("other", "created"), 1.0)
    pending.add("other", "deleted")
    assert pending.take() == [FileChange("other", "deleted")]


# -- FileWatcher -----------------------------------------------------------------------------------------------


class Told:
    """A callback that keeps what it was told, and a way to wait for it in any loop."""

    def __init__(self, sleep=asyncio.sleep) -> None:
        self.calls: list[tuple[str, str]] = []
        self.threads: set[int] = set()
        self.sleep = sleep

    def __call__(self, path: Path, kind: str) -> None:
        self.calls.append((path.name, kind))
        self.threads.add(threading.get_ident())

    async def until(self, condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"not in time; told: {self.calls[-20:]}"
            await self.sleep(0.005)

    async def has(self, name: str, kind: str) -> None:
        await self.until(lambda: (name, kind) in self.calls)


@pytest.fixture(params=[None, True], ids=["notify", "poll"])
def poll(request):
    return request.param


async def story(project: Path, told: Told, poll: bool | None) -> None:
    write(project / A, '{"there": "before"}')
    async with FileWatcher(project, told, poll=poll):
        path = project / BASE / "checkpoints" / "b.json"
        path.write_text("{")
        await told.sleep(0.1)
        path.write_text('{"n": 1}')
        await told.has("b.json", "created")
        write(project / BASE / "context" / "blockers.md", "# None")
        await told.has("blockers.md", "created")
        (project / A).write_text('{"there": "after"}')
        await told.has(Path(A).name, "modified")
        path.unlink()
        await told.has("b.json", "deleted")
    assert told.threads == {threading.get_ident()}
    assert sorted(told.calls) == [
        ("b.json", "created"),
        ("b.json", "deleted"),
        ("blockers.md", "created"),
        (Path(A).name, "modified"),
    ]
    assert "buildwidget-watch" not in [thread.name for thread in threading.enumerate()]


async def test_filewatcher_in_asyncio(project, poll):
    await story(project, Told(), poll)


def test_filewatcher_in_trio(project, poll):
    trio.run(story, project, Told(trio.sleep), poll)


async def test_filewatcher_tells_once_per_settled_change(project, poll):
    told = Told()
    async with FileWatcher(project, told, poll=poll):
        for number in range(1, 11):
            text = json.dumps({"items": list(range(2000)), "number": number})
            with (project / A).open("w") as file:
                for start in range(0, len(text), 500):
                    file.write(text[start : start + 500])
                    file.flush()
                    await asyncio.sleep(0.001)
            await told.until(lambda number=number: len(told.calls) >= number)
            await asyncio.sleep(0.15)
            assert len(told.calls) == number
        assert [kind for _, kind in told.calls] == ["created"] + ["modified"] * 9


async def test_filewatcher_tells_of_a_broken_file_after_a_second(project):
    told = Told()
    async with FileWatcher(project, told) as watcher:
        began = time.monotonic()
        write(project / A, '{"cut": [1, 2')
        await told.has(Path(A).name, "created")
        assert time.monotonic() - began >= 0.9
        with pytest.raises(CheckpointError, match="cut off") as error:
            watcher.read_checkpoint(A)
        assert error.value.code == "not_json"


async def test_filewatcher_callbacks_async_failing_and_stopping(project, caplog):
    calls: list[str] = []
    watcher = FileWatcher(project)

    async def callback(path: Path, kind: str) -> None:
        await asyncio.sleep(0)
        calls.append(path.name)
        if path.name == "bad.json":
            raise RuntimeError("broken on purpose")
        if path.name == "last.json":
            await watcher.stop()
            calls.append("stopped")

    watcher.callback = callback
    await watcher.start()
    await watcher.start()
    told = Told()
    write(project / BASE / "bad.json")
    await told.until(lambda: "bad.json" in calls)
    write(project / BASE / "good.json")
    await told.until(lambda: "good.json" in calls)
    assert "broken on purpose" in caplog.text
    write(project / BASE / "last.json")
    await told.until(lambda: "last.json" in calls)
    await watcher.stop()
    await watcher.stop()
    # and again
    calls.clear()
    await watcher.start()
    write(project / BASE / "more.json")
    await told.until(lambda: "more.json" in calls)
    await watcher.stop()


def test_filewatcher_ends_with_its_loop(project):
    async def forget_to_stop() -> FileWatcher:
        watcher = FileWatcher(project)
        await watcher.start()
        return watcher

    watcher = asyncio.run(forget_to_stop())
    assert "buildwidget-watch" not in [thread.name for thread in threading.enumerate()]
    watcher = trio.run(forget_to_stop)
    assert "buildwidget-watch" not in [thread.name for thread in threading.enumerate()]
    del watcher


async def test_filewatcher_waits_for_a_missing_folder_and_keeps_out_links(tmp_path, caplog):
    told = Told()
    write(tmp_path / "secret.json")
    project = tmp_path / "shop"
    async with FileWatcher(project, told):
        write(project / A)
        await told.has(Path(A).name, "created")
        (project / BASE / "link.json").symlink_to(tmp_path / "secret.json")
        await told.until(lambda: "link leaves the project" in caplog.text)
        write(project / BASE / "z.json")
        await told.has("z.json", "created")
        assert "link.json" not in [name for name, _ in told.calls]


def test_filewatcher_lists(project, tmp_path):
    watcher = FileWatcher(project)
    assert watcher.get_checkpoint_files() == []
    assert watcher.get_context_files() == []
    assert watcher.get_latest_checkpoint() is None
    folder = project / BASE / "checkpoints"
    newest = write(folder / "checkpoint_20251117_224022_364548.json")
    oldest = write(folder / "checkpoint_20251117_213005_705272.json")  # written later, as a rollback does
    write(folder / "checkpoint_x.json.tmp")
    (folder / "checkpoint_20261117_213005_705272.json").mkdir()
    write(tmp_path / "secret.json")
    (folder / "checkpoint_20271117_213005_705272.json").symlink_to(tmp_path / "secret.json")
    os.utime(newest, (1, 1))
    assert watcher.get_checkpoint_files() == [oldest, newest]
    assert watcher.get_latest_checkpoint() == newest
    blockers = write(project / BASE / "context" / "blockers.md")
    assert watcher.get_context_files() == [blockers]


def test_filewatcher_reads(project, tmp_path):
    watcher = FileWatcher(project)
    path = write(project / A, '{"id": "x", "progress": NaN}')
    assert watcher.read_checkpoint(path)["id"] == "x"
    assert watcher.read_checkpoint(A)["id"] == "x"
    (tmp_path / "link").symlink_to(project)
    assert FileWatcher(tmp_path / "link").read_checkpoint(path)["id"] == "x"
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="found a list") as error:
        watcher.read_checkpoint(path)
    assert error.value.code == "not_object"
    secret = write(tmp_path / "secret.json")
    for outside in (secret, "../secret.json"):
        with pytest.raises(CheckpointError) as error:
            watcher.read_checkpoint(outside)
        assert error.value.code == "outside"
    text = write(project / BASE / "context" / "a.md", "# Größe")
    assert watcher.read_context(text) == "# Größe"
    text.write_bytes(b"\xff ok")
    assert watcher.read_context(text) == "� ok"


def test_filewatcher_reads_numbers_of_any_length_and_from_home(project, monkeypatch):
    monkeypatch.setenv("HOME", str(project.parent))
    write(project / A, '{"id": "x", "n": ' + "9" * 5000 + "}")
    watcher = FileWatcher("~/shop")
    assert watcher.project_root == project
    assert watcher.read_checkpoint(A)["id"] == "x"
    assert watcher.read_checkpoint(f"~/shop/{A}")["id"] == "x"
    assert parse_checkpoint(f"~/shop/{A}")["id"] == "x"
    assert get_checkpoint_summary(f"~/shop/{A}")["id"] == "x"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": "x", "n": ' + b"9" * 5_000 + b"}",
        b'{"id": "x", "n": 1e400}',
        b'{"id": "x", "n": NaN}',
        b'{"id": "x", "n": "\\ud800"}',
        b'\xef\xbb\xbf{"id": "x"}',
        b'{"id": "x", "n": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"[1]",
        b"\xff",
    ],
    ids=["digits", "huge", "nan", "half-a-pair", "bom", "deep", "list", "bytes"],
)
def test_filewatcher_reads_what_parse_checkpoint_reads(project, raw):
    from buildwidget import parse_checkpoint

    path = project / A
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    said = []
    for read in (FileWatcher(project).read_checkpoint, parse_checkpoint):
        try:
            data = read(path)
        except CheckpointError as error:
            said.append((error.code, error.reason, error.place))
        else:
            said.append((data["id"], repr(data.get("n"))))
    # Only how a number that is none is shown differs: as it was written, and as plain JSON.
    if raw[17:] not in (b"1e400}", b"NaN}"):
        assert said[0] == said[1]
    assert len(said[0]) == len(said[1])


@pytest.mark.asyncio
async def test_a_file_that_is_odd_costs_no_neighbour_its_event(project):
    heard = []
    watcher = FileWatcher(project, lambda path, kind: heard.append(path.name))
    await watcher.start()
    try:
        (project / BASE / "checkpoints").mkdir(parents=True, exist_ok=True)
        for name in ("a", "b", "c"):
            n = "9" * 5_000 if name == "b" else "1"
            (project / BASE / "checkpoints" / f"checkpoint_{name}.json").write_text(f'{{"id": "{name}", "n": {n}}}')
        wanted = {f"checkpoint_{name}.json" for name in "abc"}
        async with asyncio.timeout(20):
            while set(heard) < wanted:
                await asyncio.sleep(0.01)
    finally:
        await watcher.stop()


def test_filewatcher_waits_a_moment_for_a_writer(project):
    path = write(project / A, '{"cut":')
    began = threading.Event()

    def finish() -> None:
        began.wait()
        path.write_text('{"cut": false}')

    thread = threading.Thread(target=finish)
    thread.start()
    threading.Timer(0.01, began.set).start()
    assert FileWatcher(project).read_checkpoint(path) == {"cut": False}
    thread.join()
