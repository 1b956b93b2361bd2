"""Rewrite one checkpoint again and again, as unkindly as a real writer can be. Run as a program, in its own process.

``python torture.py FOLDER in_place|replace COUNT SEED`` prints JSON: the numbers of the states that stayed as they were
for a while (``settled``), and the last one.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

SETTLED = 0.105  # seconds; what is unchanged for 100 ms must be shown


def settle() -> None:
    """Leave the file alone for long enough. On a machine that others keep busy, 100 ms are soon gone: longer there."""
    crowd = os.getloadavg()[0] / (os.cpu_count() or 1)
    time.sleep(SETTLED * min(5.0, max(1.0, crowd)))


def content(name: str, number: int, padding: int) -> bytes:
    parts = [{"id": "torture", "name": f"torture {number:06d}", "status": "in_progress", "progress": number % 100}]
    parts += [
        {"id": f"part{n:02d}", "name": f"Part {n}", "status": "in_progress", "progress": 5} for n in range(padding)
    ]
    body = {"id": name, "timestamp": "2026-03-02T09:00:01Z", "phase": "building", "status": "created"}
    return json.dumps({**body, "metadata": {"components": parts}}).encode()


def in_place(path: Path, data: bytes, chance: random.Random) -> None:
    with path.open("wb", buffering=0) as file:
        at = 0
        while at < len(data):
            size = chance.randint(1, 1 + len(data) // 3)
            file.write(data[at : at + size])
            at += size
            if chance.random() < 0.7:
                time.sleep(chance.uniform(0, 0.003))


def replace(path: Path, data: bytes, chance: random.Random) -> None:
    temporary = path.with_suffix(".tmp") if chance.random() < 0.5 else path.parent.parent / "part.tmp"
    in_place(temporary, data, chance)
    os.replace(temporary, path)


def main(folder: str, mode: str, count: int, seed: int) -> None:
    path = Path(folder) / "checkpoint_20260302_090001_000001.json"
    chance = random.Random(seed)
    write = in_place if mode == "in_place" else replace
    settled = []
    for number in range(1, count + 1):
        write(path, content(path.stem, number, chance.choice([0, 10, 60])), chance)
        if number == count or chance.random() < 0.04:
            settle()
            settled.append(number)
        elif chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.012))
    print(json.dumps({"settled": settled, "last": count}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
