"""One live build: real files in, numbered messages out, under any loop, blocked or free."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from buildwidget import events as ev
from buildwidget.model import BuildStatus
from buildwidget.session import BuildSession
from buildwidget.state import fold

from .projects import Project, component, until


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "shop")


@pytest.fixture
def session(project: Project) -> Iterator[BuildSession]:
    session = BuildSession(project.root)
    yield session
    session.close()


def progress_of(session: BuildSession, name: str = "api") -> float | None:
    return next((c.progress for c in session.snapshot().components if c.component_id == name), None)


def assert_log_is_the_state(session: BuildSession) -> None:
    with session.lock:
        rows = session.since(0)
        assert rows is not None
        assert [r.event.seq for r in rows] == list(range(1, session.seq + 1))
        folded = fold(ev.decode(r.data) for r in rows).snapshot()
        assert msgspec.json.encode(folded) == msgspec.json.encode(session.snapshot())


def test_what_is_there_and_what_comes(project: Project, session: BuildSession) -> None:
    project.checkpoint(components=[component("api", 10)])
    session.open()
    until(lambda: progress_of(session) == 10.0)
    project.checkpoint(components=[component("api", 60), component("web", 5)])
    until(lambda: progress_of(session) == 60.0)
    assert session.snapshot().session.counts.components == 2
    assert session.snapshot().session.project == "shop"
    assert_log_is_the_state(session)


def test_a_project_that_comes_later(tmp_path: Path) -> None:
    session = BuildSession(tmp_path / "later").open()
    try:
        assert session.snapshot().session.project == "later"
        Project(tmp_path / "later").checkpoint(components=[component("api", 10)])
        until(lambda: progress_of(session) == 10.0)
    finally:
        session.close()


def test_a_deleted_checkpoint_goes(project: Project, session: BuildSession) -> None:
    first = project.checkpoint(components=[component("api", 10)])
    session.open()
    until(lambda: progress_of(session) == 10.0)
    first.unlink()
    until(lambda: not session.snapshot().checkpoints)
    assert progress_of(session) is None
    assert_log_is_the_state(session)


def test_context_and_file_changes(project: Project, session: BuildSession) -> None:
    project.write("context/blockers.md", "# none")
    session.open()
    until(lambda: session.snapshot().context)
    project.write("context/blockers.md", "# one\n" + "x" * 70_000)
    rows = until(lambda: [r.event for r in session.since(0) or [] if isinstance(r.event, ev.FileChange)][1:])
    last = until(lambda: [r.event for r in session.since(0) or [] if getattr(r.event, "size", 0) == 70_006])[-1]
    assert rows
    assert last.file_path == ".buildrunner/context/blockers.md"
    assert last.content.startswith("# one")
    assert len(last.content) == 65_536


BAD = {
    "empty": b"",
    "not_json": b'{"id": "x", "components": [',
    "not_object": b"[1, 2]",
    "not_utf8": b'{"id": "\xff\xfe"}',
    "too_deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
}


@pytest.mark.parametrize("code", BAD)
def test_a_broken_file_warns_and_the_last_good_state_stays(project: Project, session: BuildSession, code: str) -> None:
    path = project.checkpoint(components=[component("api", 10)])
    session.open()
    until(lambda: progress_of(session) == 10.0)
    path.write_bytes(BAD[code])
    [warning] = until(lambda: session.snapshot().warnings)
    assert warning.code == code
    assert warning.file_path == f".buildrunner/checkpoints/{path.name}"
    assert warning.message
    assert progress_of(session) == 10.0
    project.checkpoint(components=[component("api", 20)])
    until(lambda: progress_of(session) == 20.0 and not session.snapshot().warnings)
    assert_log_is_the_state(session)


def test_what_is_no_file_warns(project: Project, session: BuildSession) -> None:
    session.open()
    os.mkfifo(project.dir / "checkpoints" / "fifo.json")
    (project.dir / "checkpoints" / "folder.json").mkdir()
    outside = project.root.parent / "secret.json"
    outside.write_text('{"id": "secret"}')
    (project.dir / "checkpoints" / "link.json").symlink_to(outside)
    big = project.dir / "checkpoints" / "big.json"
    with big.open("wb") as file:
        file.truncate(100 * 2**20)
    until(lambda: len(session.snapshot().warnings) == 4)
    codes = {w.file_path.rsplit("/", 1)[1]: w.code for w in session.snapshot().warnings}
    assert codes.keys() == {"fifo.json", "folder.json", "link.json", "big.json"}
    assert codes["big.json"] == "too_big"
    project.checkpoint(components=[component("api", 20)])
    until(lambda: progress_of(session) == 20.0)
    assert not session.snapshot().session.counts.checkpoints - 1


def test_a_file_without_permission_warns() -> None:
    """In a process of its own, which gives up root's rights if it has them: root may read everything."""
    code = textwrap.dedent(
        """
        import os, sys, time
        from buildwidget.session import BuildSession
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        session = BuildSession(sys.argv[1]).open()
        end = time.monotonic() + 10
        while not (session.loaded and session.snapshot().warnings) and time.monotonic() < end:
            time.sleep(0.01)
        state = session.snapshot()
        session.close()
        print([c.component_id for c in state.components], [(w.code, w.message) for w in state.warnings])
        """
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        project = Project(Path(folder) / "shop")
        project.checkpoint(components=[component("api", 10)])
        project.write("checkpoints/secret.json", "{}").chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", code, str(project.root)], capture_output=True, text=True, timeout=30, check=False
        )
    said = "['api'] [('unreadable', 'permission denied; make it readable')]\n"
    assert done.stdout == said, done.stderr


def test_a_folder_that_leads_outside_warns_until_it_is_mended(tmp_path: Path) -> None:
    project = Project(tmp_path / "shop", make=False)
    project.dir.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (project.dir / "checkpoints").symlink_to(tmp_path / "elsewhere")
    session = BuildSession(project.root).open()
    try:
        [warning] = until(lambda: session.snapshot().warnings)
        assert warning.file_path == ".buildrunner/checkpoints"
        (project.dir / "checkpoints").unlink()
        project.checkpoint(components=[component("api", 5)])
        until(lambda: progress_of(session) == 5.0 and not session.snapshot().warnings)
    finally:
        session.close()


def test_a_name_that_is_no_text_takes_nothing_with_it(tmp_path: Path) -> None:
    project = Project(tmp_path / os.fsdecode(b"sh\xffop"))
    project.checkpoint(components=[component("api", 5)])
    (project.dir / "checkpoints" / os.fsdecode(b"bad\xff.json")).write_text("[]")
    odd = {"id": "odd", "timestamp": "2026-03-01T08:00:00", "components": "many"}
    (project.dir / "checkpoints" / os.fsdecode(b"odd\xff.json")).write_text(json.dumps(odd))
    session = BuildSession(project.root).open()
    try:
        until(lambda: progress_of(session) == 5.0 and len(session.snapshot().warnings) == 2)
        assert session.snapshot().warnings[0].file_path == ".buildrunner/checkpoints/bad\\xff.json"
        assert session.snapshot().warnings[1].file_path == ".buildrunner/checkpoints/odd\\xff.json"
        assert_log_is_the_state(session)
    finally:
        session.close()


@pytest.mark.parametrize("session_id", ["\udcff", "shop\ud800", "\udfff-1"])
def test_a_session_id_that_is_no_text_is_refused_at_once(session_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be a session id") as refused:
        BuildSession(None, session_id=session_id)
    assert type(refused.value) is ValueError


def test_a_time_that_no_calendar_has_takes_nothing_with_it(project: Project, session: BuildSession) -> None:
    odd = project.checkpoint("odd", components=[component("odd", 1)], timestamp="2026-03-01T08:00:00")
    try:
        os.utime(odd, (1e12, 1e12))
    except (OverflowError, OSError):
        pytest.fail("this file system takes no such time; the test needs another one")
    project.checkpoint(components=[component("api", 5)])
    session.open()
    until(lambda: progress_of(session) == 5.0)
    assert session.snapshot().session.counts.checkpoints == 2


def test_a_change_is_shown_though_somebody_held_the_lock(project: Project, session: BuildSession) -> None:
    session.open()
    until(lambda: session.loaded)
    with session.lock:
        project.checkpoint(components=[component("api", 5)])
        time.sleep(0.2)  # longer than the pump is patient
        held = session.seq
    until(lambda: progress_of(session) == 5.0, 2)
    assert session.seq > held


def test_a_change_is_shown_though_the_loop_found_the_lock_held(project: Project) -> None:
    """The loop has no patience: it gives way at once, and must be asked again."""

    async def main() -> None:
        session = BuildSession(project.root).open(asyncio.get_running_loop())
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with session.lock:
                held.set()
                free.wait(10)

        holder = threading.Thread(target=hold)
        tried: list[int] = []
        try:
            async with asyncio.timeout(10):
                while not session.loaded:
                    await asyncio.sleep(0.002)
                take, session._pump = session._pump, lambda *a, **k: (tried.append(1), take(*a, **k))[1]
                holder.start()
                await asyncio.to_thread(held.wait)
                project.checkpoint(components=[component("api", 5)])
                while not tried:
                    await asyncio.sleep(0.002)
                free.set()
                while progress_of(session) != 5.0:
                    await asyncio.sleep(0.002)
        finally:
            free.set()
            holder.join(10)
            session.close()

    asyncio.run(main())


@pytest.mark.parametrize("say", ["a program", "a log file"])
def test_an_unfinished_line_is_shown_in_a_project_where_nothing_else_happens(
    project: Project, session: BuildSession, say: str
) -> None:
    session.open()
    until(lambda: session.loaded)
    if say == "a program":
        session.write_terminal("how far? ")
    else:
        (project.root / ".buildrunner" / "build.log").write_text("how far? ")
    until(lambda: [line.text for line in session.snapshot().terminal.tail] == ["how far? "], 2)


def test_an_interrupt_in_the_middle_loses_nothing(project: Project) -> None:
    """Ctrl-C at a random moment of a refresh: the next one has everything."""
    project.checkpoint(components=[component(f"c{n}", n % 100) for n in range(2000)])
    code = textwrap.dedent(
        """
        import os, random, signal, sys, threading, time
        from buildwidget.session import BuildSession
        for n in range(8):
            session = BuildSession(sys.argv[1])
            session._opened = True  # nobody but this thread reads
            timer = threading.Timer(random.random() * 0.06, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                session.refresh()
                timer.join()
            except KeyboardInterrupt:
                pass
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                pass
            session.refresh()
            assert len(session.snapshot().components) == 2000, (n, len(session.snapshot().components))
        print("fine")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.root)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout == "fine\n", done.stderr


def test_an_old_file_moved_into_place_is_news(project: Project, session: BuildSession) -> None:
    session.open()
    until(lambda: session.loaded)
    before = time.time()
    old = project.write("draft.tmp", {"id": "cp", "timestamp": "2026-03-01T09:00:00", "status": "created"})
    os.utime(old, (1_700_000_000, 1_700_000_000))
    os.replace(old, project.dir / "checkpoints" / "cp.json")
    until(lambda: session.snapshot().checkpoints)
    updated = session.snapshot().updated_at
    assert updated is not None
    assert updated.timestamp() >= before - 1


def test_a_log_that_grows_does_not_keep_it_loading(project: Project, session: BuildSession) -> None:
    session.open()
    until(lambda: session.loaded)
    for n in range(5):
        project.write("logs/build.log", f"line {n}\n" * (n + 1))
        session.refresh()
        assert session.loaded


def test_the_time_of_an_old_build_is_its_own(project: Project, session: BuildSession) -> None:
    path = project.checkpoint(components=[component("api", 100, "completed")])
    for entry in (path, path.parent, project.dir):
        os.utime(entry, (1_700_000_000, 1_700_000_000))
    session.open()
    until(lambda: progress_of(session) == 100.0)
    updated = session.snapshot().updated_at
    assert updated is not None
    assert updated.timestamp() == 1_700_000_000
    assert session.snapshot().session.status is BuildStatus.COMPLETED


def test_refresh_is_synchronous(project: Project, session: BuildSession) -> None:
    session.open()
    for n in range(20):
        project.checkpoint(components=[component("api", n)])
        session.refresh()
        assert progress_of(session) == n


async def collect(session: BuildSession, since: int | None, wanted: int) -> list[Any]:
    got: list[Any] = []
    async for event in session.subscribe(since=since):
        got.append(event)
        if getattr(event, "progress", None) == wanted and isinstance(event, ev.ComponentUpdate):
            break
    return got


def test_subscribing_under_asyncio(project: Project) -> None:
    async def main() -> list[Any]:
        project.checkpoint(components=[component("api", 10)])
        async with BuildSession(project.root) as session:
            assert progress_of(session) == 10.0
            task = asyncio.ensure_future(collect(session, 0, 90))
            for n in (20, 90):
                await asyncio.sleep(0.05)
                project.checkpoint(components=[component("api", n)])
            async with asyncio.timeout(10):
                return await task

    got = asyncio.run(main())
    assert [e.seq for e in got] == list(range(1, len(got) + 1))


def test_subscribing_under_trio(project: Project) -> None:
    async def main() -> list[Any]:
        project.checkpoint(components=[component("api", 10)])
        with trio.fail_after(10):
            async with BuildSession(project.root) as session:
                start = session.seq
                project.checkpoint(components=[component("api", 90)])
                return await collect(session, start, 90)
        raise AssertionError

    assert trio.run(main)


def test_a_subscription_ends_with_the_session(project: Project) -> None:
    async def main() -> int:
        async with BuildSession(project.root) as session:

            async def count() -> int:
                return len([event async for event in session.subscribe(since=0)])

            task = asyncio.ensure_future(count())
            await asyncio.sleep(0)
            session.close()
            async with asyncio.timeout(5):
                return await task

    assert asyncio.run(main()) >= 1


def test_a_subscriber_left_behind_gets_a_gap_and_a_snapshot(project: Project, session: BuildSession) -> None:
    async def main() -> list[Any]:
        session.log._max_messages = 5
        session.open()
        for n in range(20):
            project.checkpoint(components=[component("api", n)])
            session.refresh()
        got = []
        async for event in session.subscribe(since=1):
            got.append(event)
            if event.__struct_config__.tag == "snapshot":
                break
        return got

    gap, snapshot = asyncio.run(main())
    assert isinstance(gap, ev.Gap)
    assert gap.from_seq == 2
    assert snapshot.seq == gap.to_seq == session.seq
    assert snapshot.state.components[0].progress == 19.0


def test_a_free_loop_does_the_work(project: Project) -> None:
    threads: set[int] = set()

    async def main() -> None:
        session = BuildSession(project.root).open(asyncio.get_running_loop())
        session.listen(lambda rows: threads.add(threading.get_ident()))
        try:
            async with asyncio.timeout(10):
                while not session.loaded:
                    await asyncio.sleep(0.002)
                threads.clear()
                for n in range(1, 6):
                    project.checkpoint(components=[component("api", n)])
                    while progress_of(session) != n:
                        await asyncio.sleep(0.002)
        finally:
            session.close()

    asyncio.run(main())
    assert threads == {threading.get_ident()}


def test_a_blocked_loop_is_rescued_and_takes_over_again(project: Project) -> None:
    seen: list[tuple[float, float]] = []

    async def main() -> None:
        session = BuildSession(project.root).open(asyncio.get_running_loop())
        try:
            while not session.loaded:
                await asyncio.sleep(0.002)
            stop = threading.Event()

            def write() -> None:
                for n in range(1, 21):
                    project.checkpoint(components=[component("api", n)])
                    written = time.monotonic()
                    until(lambda n=n: progress_of(session) == n, 5)
                    seen.append((n, time.monotonic() - written))
                stop.set()

            writer = threading.Thread(target=write)
            writer.start()
            while not stop.is_set():
                time.sleep(0.2)  # the loop is blocked: nothing but the rescue can show it
                await asyncio.sleep(0)
            writer.join()
            await asyncio.sleep(0.05)
            project.checkpoint(components=[component("api", 99)])
            async with asyncio.timeout(5):
                while progress_of(session) != 99:
                    await asyncio.sleep(0.002)
            assert not session.busy
            assert_log_is_the_state(session)
        finally:
            session.close()

    asyncio.run(main())
    assert [n for n, _ in seen] == list(range(1, 21))
    assert sorted(s for _, s in seen)[10] < 0.15


WRITER = textwrap.dedent(
    """
    import json, os, random, sys, time
    path, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = random.Random(7)
    settled = []
    for n in range(count):
        files = [f"src/module_{i}.py" for i in range(rng.randint(1, 400))]
        parts = [{"id": "api", "status": "in_progress", "progress": n % 100, "files": files}]
        text = json.dumps({"id": "cp", "timestamp": "2026-03-01T09:00:00", "phase": f"step {n}", "status": "created",
                           "metadata": {"components": parts}})
        target = path if mode == "in_place" else path + ".tmp"
        with open(target, "w") as file:
            at = 0
            while at < len(text):
                size = rng.randint(1, 4000)
                file.write(text[at:at + size]); file.flush()
                at += size
                if rng.random() < 0.2: time.sleep(rng.random() * 0.003)
        if mode == "replace": os.replace(target, path)
        pause = rng.choice([0, 0, 0, 0.001, 0.004, 0.02])
        if n % 100 == 99:
            pause = 0.5
            settled.append(n)
        time.sleep(pause)
    print(json.dumps(settled))
    """
)


@pytest.mark.parametrize("mode", ["in_place", "replace"])
@pytest.mark.timeout(120)
def test_a_thousand_rewrites(project: Project, session: BuildSession, mode: str) -> None:
    """No warning ever shows; every state that stood for half a second is shown; the last one exactly."""
    path = project.dir / "checkpoints" / "cp.json"
    shown: list[str] = []
    warnings: list[Any] = []

    def heard(rows: list[Any]) -> None:
        for row in rows:
            if isinstance(row.event, ev.CheckpointUpdate):
                shown.append(row.event.phase or "")
            elif isinstance(row.event, ev.Warning_ | ev.Error):
                warnings.append(row.event)

    session.open()
    session.listen(heard)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), mode, "1000"], capture_output=True, text=True, check=True, timeout=100
    )
    until(lambda: shown and shown[-1] == "step 999", 5)
    assert warnings == []
    assert {f"step {n}" for n in json.loads(done.stdout)} <= set(shown)
    assert progress_of(session) == 99.0
    assert_log_is_the_state(session)


def test_a_burst_of_a_thousand_files(project: Project, session: BuildSession) -> None:
    session.open()
    until(lambda: session.loaded)
    for n in range(1000):
        project.checkpoint(f"checkpoint_20260301_09{n // 60 % 60:02d}{n % 60:02d}_{n:06d}", [component("api", n % 100)])
    until(lambda: session.snapshot().session.counts.checkpoints == 1000, 10)
    assert len(session.snapshot().checkpoints) == 200


def test_close_leaves_nothing_behind(project: Project) -> None:
    def inotifies() -> int:
        links = (
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        )
        return sum("inotify" in link for link in links)

    before = set(threading.enumerate()), inotifies()
    for _ in range(20):
        session = BuildSession(project.root).open()
        until(lambda session=session: session.loaded)
        session.close()
        session.close()
    gc.collect()
    until(lambda: (set(threading.enumerate()), inotifies()) == before, 5)
    with pytest.raises(RuntimeError, match="closed"):
        session.open()
