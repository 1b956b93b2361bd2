"""A project that cannot be read for a while: what is known of it stays, and it is said once, with the reason."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildwidget import BuildSession
from buildwidget.model import State

from .watching import BASE, DEADLINE, WAYS, write

A = f"{BASE}/checkpoints/checkpoint_a.json"


@pytest.fixture(params=list(WAYS))
def way(request):
    return WAYS[request.param]


@pytest.fixture
def permissions() -> Iterator[None]:
    """Root reads everything: for the threads of one test, it does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = struct.pack("Ii", 0x20080522, 0)  # version 3 of the interface, this thread
    now = ctypes.create_string_buffer(24)
    assert libc.capget(head, now) == 0
    before = now.raw
    words = list(struct.unpack("6I", before))
    words[0] &= ~(1 << 1 | 1 << 2)  # effective: not CAP_DAC_OVERRIDE, not CAP_DAC_READ_SEARCH
    assert libc.capset(head, struct.pack("6I", *words)) == 0
    try:
        yield
    finally:
        assert libc.capset(head, before) == 0


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@contextlib.contextmanager
def watching(project: Path, way: dict[str, object]) -> Iterator[BuildSession]:
    session = BuildSession(project, scan_interval=0.1, **way).open()
    try:
        until(lambda: session.loaded, "loaded")
        yield session
    finally:
        session.close()


def codes(state: State) -> dict[str, str]:
    return {warning.file_path: warning.code for warning in state.warnings}


def checkpoint(progress: int) -> str:
    return json.dumps({"id": "c", "components": [{"id": "a", "status": "in_progress", "progress": progress}]})


@pytest.mark.parametrize("which", ["", BASE, f"{BASE}/checkpoints"])
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_permission_taken_away_keeps_the_state(project, way, permissions, which, mode, caplog):
    write(project / A, checkpoint(10))
    folder = project / which
    with watching(project, way) as session:
        assert session.snapshot().progress.percent == 10.0
        folder.chmod(mode)
        try:
            until(lambda: "unreadable" in codes(session.snapshot()).values(), "the warning")
            end = time.monotonic() + 0.6  # some scans and some looks for another folder
            until(lambda: time.monotonic() > end, "some scans")
            state = session.snapshot()
            assert state.progress.percent == 10.0
            assert [c.component_id for c in state.components] == ["a"]
            (warning,) = state.warnings
            assert "Permission denied" in warning.message
            assert caplog.text.count("Permission denied") == 1
        finally:
            folder.chmod(0o700)
        (project / A).write_text(checkpoint(20))
        until(lambda: session.snapshot().progress.percent == 20.0, "the change after it")
        until(lambda: not session.snapshot().warnings, "no warning any more")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("call", ["stat", "lstat", "scandir"])
def test_a_drive_that_fails_keeps_the_state(project, monkeypatch, number, call, caplog):
    """No real drive fails at command: the system's answers are replaced here, for what lies in the project."""
    write(project / A, checkpoint(10))
    real = getattr(os, call)
    broken = False

    def answer(path, *args, **options):
        if broken and isinstance(path, str) and str(project / BASE) in path:
            raise OSError(number, os.strerror(number), path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, call, answer)
    with watching(project, {"poll": True}) as session:
        broken = True
        os.utime(project / BASE / "checkpoints")
        until(lambda: "unreadable" in codes(session.snapshot()).values(), "the warning")
        seq = session.seq
        end = time.monotonic() + 0.6
        until(lambda: time.monotonic() > end, "some scans")
        assert session.snapshot().progress.percent == 10.0
        assert session.seq <= seq + 4  # the file itself may be told of, once
        assert os.strerror(number) in session.snapshot().warnings[0].message
        assert 1 <= caplog.text.count(os.strerror(number)) <= 2  # once for each folder
        broken = False
        (project / A).write_text(checkpoint(20))
        until(lambda: session.snapshot().progress.percent == 20.0, "the change after it")
        until(lambda: not session.snapshot().warnings, "no warning any more")


# -- what is waited for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["project", BASE])
def test_a_missing_folder_is_said_to_be_waited_for(tmp_path, way, missing):
    project = tmp_path / "shop"
    if missing == BASE:
        project.mkdir()
    with watching(project, way) as session:
        until(lambda: codes(session.snapshot()) == {BASE: "waiting"}, "the word")
        message = session.snapshot().warnings[0].message
        assert message.startswith("Waiting: ")
        assert str(project) in message
        assert str(project / BASE) in message
        if missing == "project":
            assert f"the folder {project} does not exist" in message
            project.mkdir()
            until(lambda: f"{project / BASE} does not exist" in session.snapshot().warnings[0].message, "half of it")
        write(project / A, checkpoint(10))
        until(lambda: session.snapshot().progress.percent == 10.0, "the build")
        until(lambda: not session.snapshot().warnings, "no waiting any more")
        kinds = [row.event for row in session.since(0) or () if type(row.event).__name__ == "FileChange"]
        assert {event.file_path for event in kinds} <= {A}
