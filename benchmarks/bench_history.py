"""The time to read a history, relative to the time to read its files.

    python -m benchmarks.bench_history [--files 100000] [--rounds 3]

The files are those of a build with 10 components and 20 features, 5.6 KB each: with every checkpoint a few items have
changed, as in real builds. The floor is to open and read all files in one thread. Every figure is measured in a process
of its own, alternating with the floor; ratios are medians of the rounds. ``different`` is the worst case: every item
differs in every checkpoint, so that no parsed item can be reused.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ["Checkout", "Refunds", "Booking", "Reports", "Accounts", "Search", "Billing", "Stock", "Mail", "Audit"]
TYPES = ["frontend", "backend", "database", "service", "api"]


def write(folder: Path, files: int, *, different: bool = False) -> None:
    """Write the checkpoints of builds that follow each other, 1,000 each."""
    rng = random.Random(1)
    folder.mkdir(parents=True)
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    components: list[dict] = []
    features: list[dict] = []
    for number in range(files):
        if number % 1000 == 0:
            components = [
                {
                    "id": f"comp-{at}",
                    "name": word,
                    "type": TYPES[at % 5],
                    "status": "not_started",
                    "progress": 0,
                    "dependencies": [f"comp-{at - 1}"] if at else [],
                }
                for at, word in enumerate(WORDS)
            ]
            features = [
                {
                    "id": f"feat-{at}",
                    "name": f"{WORDS[at % 10]} part {at}",
                    "priority": ["critical", "high", "medium", "low"][at % 4],
                    "component": f"comp-{at % 10}",
                    "status": "planned",
                    "progress": 0,
                    "estimatedTime": 30 + at,
                }
                for at in range(20)
            ]
        moment += dt.timedelta(seconds=rng.randint(1, 60), microseconds=rng.randint(0, 999_999))
        stamp = moment.isoformat().replace("+00:00", "Z")
        for group in (components, features):
            for one in rng.sample(group, 2):
                step(one, rng, stamp, component=group is components)
            if different:
                for one in group:
                    one["progress"] = round(rng.random() * 100, 6)
        name = moment.strftime("checkpoint_%Y%m%d_%H%M%S_%f")
        body = {
            "id": name,
            "timestamp": stamp,
            "phase": f"build_{number // 1000}_batch_{number % 1000 // 100}",
            "tasks_completed": [f"task {at}" for at in range(number % 1000 // 100)],
            "files_created": [f"src/part_{at}.py" for at in range(number % 1000 // 100)],
            "status": "created",
            "metadata": {"name": f"Checkpoint {number}", "components": components, "features": features},
        }
        (folder / f"{name}.json").write_text(json.dumps(body))


def step(one: dict, rng: random.Random, stamp: str, *, component: bool) -> None:
    """Advance an item a little."""
    if one["status"] == "completed":
        if rng.random() < 0.02:
            one["status"] = "failed"
        return
    one["progress"] = min(100, one["progress"] + rng.randint(0, 3))
    one["status"] = "completed" if one["progress"] >= 100 else "in_progress"
    if component:
        one.setdefault("startTime", stamp)
        one["testsPass"] = rng.random() < 0.9
        if one["progress"] >= 100:
            one["endTime"] = stamp


# -- what is measured, each in a process of its own --------------------------------------------------------------------


def floor(folder: Path) -> float:
    started = time.perf_counter()
    for name in sorted(os.listdir(folder)):
        fd = os.open(f"{folder}/{name}", os.O_RDONLY)
        os.read(fd, 32_768)
        os.close(fd)
    return time.perf_counter() - started


def scan(folder: Path) -> float:
    started = time.perf_counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat()
    return time.perf_counter() - started


def normalize(folder: Path) -> float:
    """Read all files with json.load, then call json_normalize once for each table."""
    import pandas as pd

    started = time.perf_counter()
    found = []
    for name in sorted(os.listdir(folder)):
        with open(folder / name) as file:
            found.append(json.load(file))
    pd.json_normalize(found)
    for kind in ("components", "features"):
        pd.json_normalize(found, ["metadata", kind], ["id", "timestamp"], record_prefix=f"{kind}_", errors="ignore")
    return time.perf_counter() - started


def normalize_each(folder: Path) -> float:
    """Call json_normalize for each file and concatenate; measured on 1,000 files, scaled to 10,000."""
    import pandas as pd

    started = time.perf_counter()
    parts: dict[str, list] = {"checkpoints": [], "components": [], "features": []}
    for name in sorted(os.listdir(folder))[:1000]:
        with open(folder / name) as file:
            one = json.load(file)
        parts["checkpoints"].append(pd.json_normalize(one))
        for kind in ("components", "features"):
            parts[kind].append(pd.json_normalize(one, ["metadata", kind], ["id", "timestamp"], record_prefix="_"))
    for frames in parts.values():
        pd.concat(frames, ignore_index=True)
    return 10 * (time.perf_counter() - started)


def measure(what: str, project: Path) -> None:
    """Measure one figure; print seconds, peak memory in MiB, and the seconds of the transitions, as JSON."""
    folder = project / ".buildrunner" / "checkpoints"
    extra = 0.0
    plain = {"floor": floor, "scan": scan, "normalize": normalize, "normalize_each": normalize_each}
    if what in plain:
        seconds = plain[what](folder)
    else:
        import pandas as pd  # noqa: F401 (imported before the measurement, as in a notebook)
        import pyarrow as pa  # noqa: F401

        from buildwidget.history import read_history

        processes = 2 if what == "cold2" else 1
        started = time.perf_counter()
        history = read_history(project, cache=what.startswith("warm"), processes=processes, progress=False)
        frames = [history.checkpoints, history.components, history.features]
        seconds = time.perf_counter() - started
        assert len(frames[2]) == 20 * len(frames[0])
        if what == "cold":
            started = time.perf_counter()
            assert len(history.transitions)
            extra = time.perf_counter() - started
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, extra]))


def run(what: str, project: Path, cache: Path) -> tuple[float, float, float]:
    command = [sys.executable, "-m", "benchmarks.bench_history", "--measure", what, "--project", str(project)]
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return tuple(json.loads(done.stdout))


def change(project: Path, number: int) -> None:
    """Rewrite ten files."""
    folder = project / ".buildrunner" / "checkpoints"
    names = sorted(os.listdir(folder))
    for at in range(10):
        path = folder / names[at * len(names) // 10 + number]
        body = json.loads(path.read_text())
        body["metadata"]["components"][0]["progress"] = 50 + number
        path.with_suffix(".tmp").write_text(json.dumps(body))
        path.with_suffix(".tmp").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="keep the files here, for the next time")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.project)
        return
    with tempfile.TemporaryDirectory() as temporary:
        compare(args.data or Path(temporary), Path(temporary) / "cache", args.files, args.rounds)


def compare(data: Path, cache: Path, files: int, rounds: int) -> None:
    projects = {
        "usual": (data / f"usual-{files}", files, False),
        "small": (data / "small", min(10_000, files), False),
        "different": (data / f"different-{files}", files, True),
    }
    for project, count, different in projects.values():
        if not project.exists():
            write(project / ".buildrunner" / "checkpoints", count, different=different)
    usual, small, different = (entry[0] for entry in projects.values())
    size = statistics.mean(path.stat().st_size for path in list((usual / ".buildrunner/checkpoints").iterdir())[:1000])
    print(f"{files:,} files of {size / 1000:.1f} KB; {rounds} rounds", flush=True)
    rows: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    seconds: dict[str, list[float]] = {}
    run("warm", usual, cache)  # fills the cache
    for number in range(rounds):
        for name, what, project in (
            ("scan alone", "scan", usual),
            ("cold", "cold", usual),
            ("cold, two processes", "cold2", usual),
            ("warm, ten files changed", "warm", usual),
            ("cold, all items different", "cold", different),
        ):
            base = statistics.median(run("floor", project, cache)[0] for _ in range(3))
            if what == "warm":
                change(usual, number)
            took, peak, extra = run(what, project, cache)
            rows.setdefault(name, []).append(took / base)
            seconds.setdefault(name, []).append(took)
            memory[name] = max(memory.get(name, 0.0), peak)
            if name == "cold":
                rows.setdefault("transitions, after that", []).append(extra / base)
                seconds.setdefault("transitions, after that", []).append(extra)
    for name, ratios in rows.items():
        peak = f"   peak {memory[name]:5.0f} MiB" if name in memory else ""
        print(
            f"  {name:28} {statistics.median(seconds[name]):6.2f} s  {statistics.median(ratios):6.2f} × reading{peak}"
        )
    ours = min(run("cold", small, cache)[0] for _ in range(3))
    print(f"  10,000 files: ours {ours:.2f} s")
    for name, what in (("once for all files", "normalize"), ("once for each file, from 1,000", "normalize_each")):
        theirs = run(what, small, cache)[0]
        print(f"    json.load and json_normalize, {name}: {theirs:.1f} s, {theirs / ours:.0f} times as long")
    shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
