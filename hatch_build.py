"""Build the front end: ``js/`` into ``buildwidget/static/``.

There are two entry points:

- hatchling calls `FrontEndHook` for every wheel, sdist and editable install. It builds the front end unless it is
  current, and fails if a file of the cell or the page is missing afterwards.
- ``python hatch_build.py`` does the same on the command line; ``python hatch_build.py packages`` only installs the npm
  packages.

The front end is current if the stamp file in ``static/`` holds the hash of all inputs of the build, and the built files
have the hashes in it. An sdist contains sources, built files and stamp, so building a wheel from it needs no Node.js.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
ASSETS = ("widget.js", "page.js", "page.css", "page.html")
STAMP = ".build.json"
# The inputs of the build besides js/src. Tests and the settings of the linter are none.
INPUTS = ("package.json", "package-lock.json", "tsconfig*.json", "scripts/build.*")


class FrontEndError(RuntimeError):
    """The front end cannot be built, or is missing."""


class FrontEndHook(BuildHookInterface[Any]):
    """Builds the front end before hatchling collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build if needed, then check that the assets exist."""
        del version, build_data
        build_assets(Path(self.root))


def build_assets(root: Path, *, force: bool = False) -> bool:
    """Make ``buildwidget/static`` current. Return whether anything was built.

    Raises
    ------
    FrontEndError
        If the assets are missing or out of date and cannot be built here.
    """
    js, static = root / "js", root / "buildwidget" / "static"
    if not (js / "package.json").is_file():
        _require(static, "there is no js/ folder to build it from")
        return False
    wanted = source_hash(js)
    if not force and _is_current(static, wanted):
        return False
    started = time.monotonic()
    install_packages(root)
    _say("front end: building js/ into buildwidget/static/")
    _npm(js, "run", "--silent", "build")
    _require(static, "`npm run build` in js/ ended without writing it")
    stamp = {"sources": wanted, "files": {path.name: _digest(path) for path in _built(static)}}
    _write(static / STAMP, json.dumps(stamp, indent=1, sort_keys=True) + "\n")
    _say(f"front end: done in {time.monotonic() - started:.1f} s")
    return True


def install_packages(root: Path, *, force: bool = False) -> bool:
    """Install the npm packages of ``js/package-lock.json`` if needed. Return whether they were installed."""
    js = root / "js"
    lock = hashlib.sha256((js / "package-lock.json").read_bytes()).hexdigest()
    key = f"{lock} node {_node_version()}\n"
    stamp = js / "node_modules" / ".buildwidget-stamp"
    if not force and stamp.is_file() and stamp.read_text() == key:
        return False
    _say("front end: installing the npm packages of js/package-lock.json")
    started = time.monotonic()
    _npm(js, "ci", "--no-audit", "--no-fund", "--no-progress")
    _write(stamp, key)
    _say(f"front end: packages installed in {time.monotonic() - started:.1f} s")
    return True


def source_hash(js: Path) -> str:
    """Return one hash of the paths and contents of all inputs of the build."""
    files = {path for path in (js / "src").rglob("*") if path.is_file() and not path.name.startswith(".")}
    for pattern in INPUTS:
        files.update(path for path in js.glob(pattern) if path.is_file())
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(js).as_posix()):
        total.update(f"{path.relative_to(js).as_posix()} {_digest(path)}\n".encode())
    return total.hexdigest()


def _is_current(static: Path, wanted: str) -> bool:
    try:
        stamp = json.loads((static / STAMP).read_text())
        return (
            stamp["sources"] == wanted
            and all(name in stamp["files"] for name in ASSETS)
            and all(_digest(static / name) == digest for name, digest in stamp["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no stamp, or a broken one: build


def _built(static: Path) -> list[Path]:
    return sorted(path for path in static.iterdir() if path.is_file() and not path.name.startswith("."))


def _require(static: Path, why: str) -> None:
    for asset in (static / name for name in ASSETS):
        if not asset.is_file() or asset.stat().st_size == 0:
            raise FrontEndError(
                f"buildwidget/static/{asset.name} is missing: {why}. The package cannot be built without it."
            )


def _node_version() -> str:
    node = shutil.which("node")
    if node is None:
        return "none"
    return subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _npm(js: Path, *arguments: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FrontEndError(
            "The front end in js/ is newer than buildwidget/static/ (or was never built), and npm is not on the PATH. "
            "Install Node.js 20 or newer and try again, or install a wheel."
        )
    command = " ".join(["npm", *arguments])
    done = subprocess.run(
        [npm, *arguments],
        cwd=js,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
    )
    if done.returncode:
        _say(done.stdout.rstrip())
        raise FrontEndError(f"`{command}` in js/ failed with exit code {done.returncode}. Its output is above.")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, text: str) -> None:
    """Write a file atomically, so that a stamp is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run the command line: ``packages`` or ``assets`` (the default), each with ``--force``."""
    force = "--force" in arguments
    words = [word for word in arguments if word != "--force"]
    if words not in ([], ["assets"], ["packages"]):
        _say("usage: python hatch_build.py [packages | assets] [--force]")
        return 2
    try:
        if words == ["packages"]:
            install_packages(ROOT, force=force)
        else:
            build_assets(ROOT, force=force)
    except FrontEndError as error:
        _say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
