"""Install the package as users do, and check its effect on an environment: ``make installs``.

Two environments are made in a temporary folder, from the wheel:

- a new one with the base: its size, that ``pip check`` passes, and that the cell works in it;
- one with older versions of packages that web and data projects use: installing ``buildwidget[all]`` must change none
  of them, and the server, the history and a chart must work there.

It needs the package index, and takes some minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
LARGEST: Final = 295  # MiB that an environment with the base may take

OLDER: Final = [
    "fastapi==0.115.6",
    "pandas==2.2.*",
    "pyarrow==17.*",
    "starlette==0.41.3",
    "uvicorn==0.32.1",
    "websockets==13.1",
]

BASE: Final = """
import asyncio, sys, time
import buildwidget as bw

async def main():
    w = bw.watch(sys.argv[1])
    end = time.monotonic() + 30
    while not len(w.components):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    w.close()
    print(f"the cell: {len(w.components)} components, {w.percent} %")

asyncio.run(main())
"""

EVERYTHING: Final = """
import sys, urllib.request
import buildwidget as bw
from buildwidget.client import connect_sync
from buildwidget.server import router

server = bw.serve(sys.argv[1])
with connect_sync(server.url) as stream:
    print(f"the server: {len(stream.snapshot().components)} components for a client")
server.stop()
history = bw.read_history(sys.argv[1])
print(f"the history: {len(history.checkpoints)} versions, a chart of {len(history.plot.burnup().to_json())} bytes")
print(f"the router: {len(router.routes)} routes")
"""


def run(*command: object, where: Path = ROOT) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(list(map(str, command)), cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Environment:
    """A virtual environment."""

    def __init__(self, folder: Path) -> None:
        run(sys.executable, "-m", "venv", folder)
        self.folder, self.python = folder, folder / "bin" / "python"

    def pip(self, *words: object) -> str:
        """Run pip in it."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", "--no-input", *words)

    def versions(self) -> dict[str, str]:
        """Name → version of what is installed."""
        return {entry["name"].lower(): entry["version"] for entry in json.loads(self.pip("list", "--format", "json"))}


def project(folder: Path) -> Path:
    """A project with one checkpoint."""
    file = folder / ".buildrunner" / "checkpoints" / "checkpoint_20260301_090000_000001.json"
    file.parent.mkdir(parents=True)
    component = {"id": "api", "name": "API", "type": "api", "status": "in_progress", "progress": 40}
    body = {"id": file.stem, "timestamp": "2026-03-01T09:00:00", "phase": "build_1_start", "components": [component]}
    file.write_text(json.dumps(body))
    return folder


def main() -> None:
    """Make both environments; exits with a message at the first fault."""
    with tempfile.TemporaryDirectory(prefix="buildwidget-installs-") as name:
        place = Path(name)
        run(sys.executable, "-m", "hatchling", "build", "--clean", "-t", "wheel", "--directory", place / "dist")
        (wheel,) = (place / "dist").glob("*.whl")
        shop = project(place / "shop")

        base = Environment(place / "base")
        base.pip("install", wheel)
        size = int(run("du", "-sm", base.folder).split()[0])
        print(f"the base: {len(base.versions())} packages, {size} MiB (at most {LARGEST})")
        print(f"pip check: {base.pip('check').strip()}")
        print(run(base.python, "-c", BASE, shop, where=place).strip())

        older = Environment(place / "older")
        older.pip("install", *OLDER)
        before = older.versions()
        older.pip("install", f"{wheel}[all]")
        after = older.versions()
        changed = {name: (version, after.get(name)) for name, version in before.items() if after.get(name) != version}
        print(f"[all] beside older versions: {len(after) - len(before)} packages added, changed: {changed or 'none'}")
        print(f"pip check: {older.pip('check').strip()}")
        print(run(older.python, "-c", EVERYTHING, shop, where=place).strip())
        if changed or size > LARGEST:
            sys.exit("the base is too large, or installing changed other packages; see above")


if __name__ == "__main__":
    main()
