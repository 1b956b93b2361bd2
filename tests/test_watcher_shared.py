"""Many projects in one process: on Linux they share one inotify instance, and none hears what is another's."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from buildwidget.watching.inotify import Inotify
from buildwidget.watching.limits import explain

from .watching import BASE, DEADLINE, Reader, reading, write

A = f"{BASE}/checkpoints/checkpoint_a.json"


def instances() -> int:
    """How many inotify instances this process has open."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify"
    return found


def watches() -> int:
    """How many folders this process watches."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify":
                found += Path(f"/proc/self/fdinfo/{fd}").read_text().count("inotify wd")
    return found


def make(tmp_path: Path, name: str) -> Path:
    (tmp_path / name / BASE / "checkpoints").mkdir(parents=True)
    return tmp_path / name


def test_as_many_projects_as_you_like_take_one_instance(tmp_path):
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(reading(make(tmp_path, f"p{number}"))) for number in range(150)]
        assert {reader.source.state for reader in readers} == {"notify"}
        assert instances() == 1
        assert sum(thread.name == "buildwidget-inotify" for thread in threading.enumerate()) == 1
        for reader in (readers[0], readers[149]):
            write(reader.root / A)
            reader.sees(A, "created")
        assert not readers[1].changes
    assert instances() == 0


def test_two_sessions_of_one_project_and_of_nested_ones(tmp_path):
    """The kernel has one watch of a folder, whoever asks: closing one session leaves the other's."""
    outer = make(tmp_path, "outer")
    (outer / BASE / "checkpoints" / BASE / "checkpoints").mkdir(parents=True)
    inner = outer / BASE / "checkpoints"  # its root is a folder that the other one watches, for more
    with reading(outer) as first:
        with reading(inner) as nested, reading(outer) as second:
            before = watches()
            write(outer / A)
            first.sees(A, "created")
            second.sees(A, "created")
            write(inner / A)
            nested.sees(A, "created")
            first.sees(f"{BASE}/checkpoints/{A}", "created")
            assert watches() == before == 5
        write(outer / A, "[1]")
        first.sees(A, "modified")
        # What is written into a file that stays open is told too: the nested one wanted less than that.
        with (outer / BASE / "checkpoints" / "build.log").open("w") as log:
            first.sees(f"{BASE}/checkpoints/build.log", "created")
            first.quiet()
            first.forget()
            log.write("line\n")
            log.flush()
            first.sees(f"{BASE}/checkpoints/build.log", "modified")
        assert first.source.state == "notify"
    assert watches() == 0


def test_a_folder_moved_away_is_told_to_all_who_watch_it(tmp_path):
    project = make(tmp_path, "shop")
    write(project / A)
    with reading(project, scan_interval=3600) as one, reading(project, scan_interval=3600) as two:
        (project / BASE / "checkpoints").rename(tmp_path / "away")
        for reader in (one, two):
            reader.sees(A, "deleted")
        one.forget()
        write(tmp_path / "away" / "checkpoint_b.json")
        write(project / A, "[2]")
        for reader in (one, two):
            reader.sees(A, "created")
        assert one.seen(A)
        assert not one.seen(f"{BASE}/checkpoints/checkpoint_b.json")


def test_names_that_are_no_utf8(tmp_path):
    project = make(tmp_path, "shop")
    with reading(project, scan_interval=3600) as reader:
        name = os.fsdecode(b"checkpoint_\xff\xfe.json")
        write(project / BASE / name)
        reader.sees(f"{BASE}/{name}", "created")


def test_sessions_come_and_go_in_many_threads(tmp_path):
    """The last one closes the instance while others open one: nobody is left without."""
    failures: list[BaseException] = []

    def live(number: int) -> None:
        try:
            project = make(tmp_path, f"p{number}")
            for turn in range(15):
                with reading(project, scan_interval=3600) as reader:
                    assert reader.source.state == "notify"
                    write(project / BASE / f"{turn}.json")
                    reader.sees(f"{BASE}/{turn}.json", "created")
        except BaseException as error:  # told in the main thread
            failures.append(error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert instances() == 0


FORK = """
import os, sys, threading, warnings
from pathlib import Path
from tests.watching import reading, write
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork with threads is what is tried here
one, two = Path(sys.argv[1]), Path(sys.argv[2])
with reading(one, scan_interval=3600) as mine:
    write(one / ".buildrunner" / "a.json")
    mine.sees(".buildrunner/a.json", "created")
    child = os.fork()
    if child == 0:
        try:
            with reading(two, scan_interval=3600) as own:
                write(two / ".buildrunner" / "b.json")
                own.sees(".buildrunner/b.json", "created")
                assert own.source.state == "notify"
            mine.source.stop()  # what was inherited can be stopped, and takes nothing from the parent
            mine.source._notifier.close()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    write(one / ".buildrunner" / "c.json")
    mine.sees(".buildrunner/c.json", "created")
    assert mine.source.state == "notify"
print("both")
"""


def test_a_forked_child_has_an_instance_of_its_own(tmp_path):
    one, two = make(tmp_path, "one"), make(tmp_path, "two")
    command = [sys.executable, "-W", "error", "-c", FORK, str(one), str(two)]
    here = Path(__file__).parent.parent
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50, cwd=here)
    assert done.stdout == "both\n", done.stderr
    assert not done.stderr


STOPPED = """
import sys
from pathlib import Path
from tests.watching import reading
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
one, two = Path(sys.argv[1]), Path(sys.argv[2])
with reading(one, scan_interval=3600) as first, reading(two, scan_interval=3600) as second:
    print("ready", flush=True)
    sys.stdin.readline()
    first.until(lambda: len({c.path for c in first.changes}) == int(sys.argv[3]), "all files of the first", 40)
    second.until(lambda: second.seen(".buildrunner/last.json"), "the last file of the second", 40)
print("all", flush=True)
"""


def test_an_overflow_of_the_kernels_queue_is_told_to_all_sessions(tmp_path):
    """A process that is stopped reads nothing: the kernel keeps so many events, and says only that it dropped some."""
    one, two = make(tmp_path, "one"), make(tmp_path, "two")
    # each file makes three events
    count = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 3 + 500
    command = [sys.executable, "-c", STOPPED, str(one), str(two), str(count)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGSTOP)
            for number in range(count):
                (one / BASE / f"{number}.json").write_text("{}")
            (two / BASE / "last.json").write_text("{}")
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate("go\n", timeout=50)
        finally:
            process.kill()
    assert out == "all\n", err[-3000:]
    assert f"the notifier of {one} lost events" in err
    assert f"the notifier of {two} lost events" in err


def test_a_session_that_has_no_time_costs_no_memory(tmp_path):
    """The notices that wait for it are bounded; past that it looks for itself."""
    notifier = Inotify()
    try:
        (tmp_path / "busy").mkdir()
        notifier.add([("busy", str(tmp_path / "busy"))])
        lost = False
        end = time.monotonic() + DEADLINE
        number = 0
        while not notifier._lost and time.monotonic() < end:
            (tmp_path / "busy" / f"{number}").touch()
            number += 1
        assert number > 4_000
        while not lost and time.monotonic() < end:
            lost = notifier.wait(0.1).lost
        assert lost
    finally:
        notifier.close()


# -- limits ---------------------------------------------------------------------------------------------------------


def test_a_limit_is_named_with_its_number():
    """Which of three limits was reached is found out, and how much of it is in use."""
    instance = Inotify()
    try:
        number = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
        text = str(explain(OSError(24, "Too many open files"), "inotify_init1").strerror)
        assert f"fs.inotify.max_user_instances is {number}, at least " in text
        used = int(text.partition("at least ")[2].split(maxsplit=1)[0])
        assert used >= 1
        assert "sysctl fs.inotify.max_user_instances=" in text
        number = Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
        text = str(explain(OSError(28, "No space left on device"), "/p").strerror)
        assert f"fs.inotify.max_user_watches is {number}, at least " in text
    finally:
        instance.close()


def test_the_instances_of_a_user_used_up(tmp_path, caplog):
    """The real limit: it is this user's, so it is used up for a moment only."""
    from inotify_simple import INotify

    project = make(tmp_path, "shop")
    held = []
    reader = Reader(project)
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(INotify())
        reader.source.start()
        reader.until(lambda: "scanned instead of watched" in caplog.text, "the warning")
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert reader.source.ready.wait(DEADLINE)
        warned = [record.getMessage() for record in caplog.records if "scanned instead" in record.getMessage()]
        assert len(warned) == 1
        number = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
        assert f"fs.inotify.max_user_instances is {number}" in warned[0]
        write(project / A, json.dumps({}))
        reader.sees(A, "created")
        assert reader.source.state == "poll"
    finally:
        reader.source.stop()


def test_a_closed_notifier_can_be_closed_again():
    notifier = Inotify()
    notifier.close()
    notifier.close()
    assert instances() == 0
