"""Complete ``js/package-lock.json``: `npm ci` refuses a lock that leaves out a package for another system.

Some tools come as one package per system (``@rollup/rollup-darwin-arm64`` …), all of them optional. npm leaves those
out of the lock that the registry in use does not serve, and then `npm ci` calls the lock incomplete on every machine.
This writes an entry for each: its version and, from its name, the system it is for. npm skips an entry for another
system without asking for it. Entries that npm wrote itself are left alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "js" / "package-lock.json"
SYSTEMS = ("aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32")
EXACT = re.compile(r"\d+\.\d+\.\d+[\w.+-]*")


def system_of(name: str) -> dict[str, list[str]]:
    """``os``, ``cpu`` and ``libc`` from a name such as ``@biomejs/cli-linux-arm64-musl``; empty if it says none."""
    words = name.rpartition("/")[2].split("-")
    at = next((i for i, word in enumerate(words) if word in SYSTEMS), None)
    if at is None or at + 1 == len(words):
        return {}
    found = {"cpu": [words[at + 1]]}
    if words[at] == "linux" and "musl" in words[-1]:
        found["libc"] = ["musl"]
    return {**found, "os": [words[at]]}


def missing(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries that the lock should have: one for each optional package of a locked one."""
    packages: dict[str, dict[str, Any]] = lock["packages"]
    found: dict[str, dict[str, Any]] = {}
    for owner in packages.values():
        for name, version in owner.get("optionalDependencies", {}).items():
            place = f"node_modules/{name}"
            system = system_of(name)
            if place not in packages and system and EXACT.fullmatch(version):
                entry = {"version": version, "dev": owner.get("dev", False), "optional": True, **system}
                found[place] = {key: value for key, value in sorted(entry.items()) if value is not False}
    return found


def main() -> None:
    """Complete the lock in place."""
    lock = json.loads(LOCK.read_text())
    added = missing(lock)
    packages = {**lock["packages"], **added}
    lock["packages"] = {key: packages[key] for key in sorted(packages)}
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n")
    print(f"js/package-lock.json: {len(lock['packages'])} packages, {len(added)} of them added", file=sys.stderr)


if __name__ == "__main__":
    main()
