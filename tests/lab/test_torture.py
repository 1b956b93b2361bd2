"""Files as they should not be: rewritten under the reader's eyes, by the thousand, broken in every way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .builds import component, feature
from .jupyterlab import until

SEEN = """([selector, pattern]) => {
  const seen = (window.seen = new Set());
  const warned = (window.warned = new Set());
  const look = () => {
    const root = document.querySelector(selector);
    if (!root) return;
    for (const [, found] of root.textContent.matchAll(new RegExp(pattern, 'g'))) seen.add(Number(found));
    for (const one of root.querySelectorAll('[role=alert], .bw-warning, .bw-error')) warned.add(one.textContent);
  };
  const where = window.jupyterapp.shell.currentWidget.node;
  new MutationObserver(look).observe(where, { subtree: true, childList: true, characterData: true });
}"""


@pytest.mark.parametrize("mode", ["in_place", "replace"])
def test_1000_rewrites(show, project, mode):
    project.put([component("torture", name="torture 000000")])
    notebook, face = show()
    notebook.page.evaluate(SEEN, [face.ROOT, r"torture (\d+)"])
    notebook.evaluate("[globals().update(warned=[]), w.on('warning', lambda e: warned.append(e.message))] and None")
    script = Path(__file__).with_name("torture.py")
    done = subprocess.run(
        [sys.executable, str(script), str(project.folder), mode, "1000", "7"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    face.wait_text(f"torture {told['last']:06d}", timeout=3)
    assert len(told["settled"]) > 20
    seen = notebook.page.evaluate("() => [...window.seen]")
    assert sorted(set(told["settled"]) - set(seen)) == [], "settled states that were never shown"
    assert notebook.evaluate("warned") == []
    assert notebook.page.evaluate("() => [...window.warned]") == []
    assert face.warnings() == []
    assert len(seen) > 100, "it was live meanwhile"


def test_a_burst_of_1000_files(show, project):
    project.put([component("api")], number=0)
    _, face = show()
    face.wait_text("Api")
    files = [(project.path(n), project.content([component("api", name=f"Api {n}")], number=n)) for n in range(1, 1001)]
    started = time.monotonic()
    for path, data in files:
        path.write_bytes(data)
    wrote = time.monotonic() - started
    face.wait_count("checkpoints", 1001, timeout=2)
    face.wait_text("Api 1000", timeout=2)
    assert time.monotonic() - started < 2 + wrote
    assert face.warnings() == []


def _deep() -> bytes:
    return b'{"id":"x","metadata":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001


def _bad_contents(project) -> dict[str, bytes]:
    good = project.content([component("api")], number=2)
    return {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "no JSON": b"It is not what it should be.",
        "a list": b"[1, 2, 3]",
        "a number": b"42",
        "NaN": project.content([component("api", name="Api good", progress="@")], number=2).replace(b'"@"', b"NaN"),
        "too deep": _deep(),
        "invalid UTF-8": good.replace(b"building", b"build\xff\xfe"),
        "an id twice": project.content([component("api", name="Api bad"), component("api", name="Api good")], number=2),
        "a cycle": project.content(
            [component("api", name="Api good", dependencies=["web"]), component("web", dependencies=["api"])], number=2
        ),
        "progress -5": project.content([component("api", name="Api good", progress=-5)], number=2),
        "progress 1e308": project.content([component("api", name="Api good", progress=1e308)], number=2),
    }


def _odd_files(project):
    """Things that are not ordinary files, by name; each a function that makes one at the path."""

    def outside(path: Path) -> None:
        target = project.root.parent / f"{project.root.name}.outside.json"
        target.write_bytes(project.content([component("secret", name="Secret")], number=2))
        path.symlink_to(target)

    def large(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(100 * 2**20)  # a hole: it takes no room

    def locked(path: Path) -> None:
        path.touch(mode=0o000)

    odd = {
        "a directory": Path.mkdir,
        "a FIFO": os.mkfifo,
        "100 MB": large,
        "a link out of the project": outside,
        "a link to itself": lambda path: path.symlink_to(path),
    }
    if os.geteuid() != 0:  # for root nothing is forbidden
        odd["no permission"] = locked
    return odd


def test_bad_files_are_named_and_the_last_good_state_stays(show, project):
    project.put([component("api", name="Api good")], [feature("login", name="Login good")])
    _, face = show()
    face.wait_text("Api good")
    path = project.path(2)
    bad: list[str] = []
    makers = {
        **{name: lambda path, data=data: path.write_bytes(data) for name, data in _bad_contents(project).items()},
        **_odd_files(project),
    }
    for name, make in makers.items():
        make(path)
        try:
            face.wait_warning(path.name, timeout=4)
            text = face.text()
            if "Api good" not in text or "Login good" not in text:
                bad.append(f"{name}: the last good state is gone")
            if "Secret" in text:
                bad.append(f"{name}: it was read")
        except AssertionError:
            bad.append(f"{name}: no warning")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        try:
            face.wait_no_warnings(timeout=4)
        except AssertionError:
            bad.append(f"{name}: the warning stays when the file is gone: {face.warnings()}")
            break
    assert bad == []
    project.put([component("api", name="Api alive")], [feature("login")])
    face.wait_text("Api alive")


def test_a_broken_rewrite_keeps_what_was_there_and_heals(show, project):
    project.put([component("api", name="Api good")])
    _, face = show()
    face.wait_text("Api good")
    project.rewrite(project.content([component("api", name="Api half")])[:150])
    face.wait_warning(project.path().name)
    assert "Api good" in face.text()
    project.rewrite(project.content([component("api", name="Api whole")]))
    face.wait_text("Api whole")
    face.wait_no_warnings()


def test_folders_come_and_go(show, project):
    """What was read stays true to the disk when folders are deleted, made again and moved."""
    project.put([component("api")])
    _, face = show()
    face.wait_text("Api")
    shutil.rmtree(project.folder)
    face.wait_gone("Api")
    project.folder.mkdir()
    project.put([component("api", name="Api again")])
    face.wait_text("Api again")
    shutil.rmtree(project.root / ".buildrunner")
    face.wait_gone("Api again")
    project.folder.mkdir(parents=True)
    project.put([component("api", name="Api once more")])
    face.wait_text("Api once more", timeout=5)
    until(lambda: face.warnings() == [], "no warning")
