"""Write the lock files: exact versions, without the URLs of an index.

``requirements.lock`` is what the demo needs (the package, its extra ``all`` and its build), ``requirements-dev.lock``
is that and the dependency group ``dev``. Run it with ``make lock``: it keeps the versions that still fit.
``make lock LOCK_ARGS=--upgrade`` takes the newest.

pip itself chooses the versions, for the oldest Python that is promised, and only those that come as wheels: so a
machine without a compiler can install them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11.2"  # Debian 12; some packages leave out the first releases of 3.11
HEADER = f"# Exact versions for Linux and Python {PYTHON} or newer. Written by `make lock`; do not edit.\n"


def group(groups: dict[str, list[Any]], name: str) -> list[str]:
    """The requirements of a dependency group, with the groups it includes."""
    found: list[str] = []
    for entry in groups[name]:
        found += group(groups, entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def extra(project: dict[str, Any], name: str) -> list[str]:
    """The requirements of an extra, with the extras of the package itself that it includes."""
    found: list[str] = []
    for entry in project["optional-dependencies"][name]:
        own = re.fullmatch(rf"{project['name']}\[([\w,]+)\]", entry)
        found += [one for part in own[1].split(",") for one in extra(project, part)] if own else [entry]
    return found


def resolve(requirements: list[str], constraints: list[Path]) -> dict[str, str]:
    """Name → version of everything that the requirements need."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"),
            *("--dry-run", "--ignore-installed", "--report", str(report), "--target", folder),
            *("--python-version", PYTHON, "--only-binary", ":all:"),
            *(word for path in constraints for word in ("--constraint", str(path))),
            *requirements,
        ]
        if subprocess.run(command, check=False).returncode:
            sys.exit("The versions do not fit together. `make lock LOCK_ARGS=--upgrade` drops the present ones.")
        found = json.loads(report.read_text())["install"]
    names = {re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower(): entry["metadata"]["version"] for entry in found}
    return dict(sorted(names.items()))


def main(arguments: list[str]) -> None:
    """Write both files."""
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"The lock is made with Python 3.11, and this is {sys.version.split()[0]}. Make .venv with it.")
    if arguments not in ([], ["--upgrade"]):
        sys.exit("usage: python scripts/lock.py [--upgrade]")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = [
        *project["project"]["dependencies"],
        *extra(project["project"], "all"),
        *project["build-system"]["requires"],
    ]
    dev = [*runtime, *group(project["dependency-groups"], "dev")]
    targets = {ROOT / "requirements.lock": runtime, ROOT / "requirements-dev.lock": dev}
    kept = [path for path in targets if path.exists() and not arguments]
    written: list[Path] = []
    for path, requirements in targets.items():
        versions = resolve(requirements, [*kept, *written])
        path.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in versions.items()))
        written.append(path)
        print(f"{path.name}: {len(versions)} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
