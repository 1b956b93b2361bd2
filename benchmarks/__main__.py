"""``python -m benchmarks``: list the benchmarks, or run some or all of them.

python -m benchmarks            run all
python -m benchmarks live       run one, or several by name
python -m benchmarks --list     list the benchmarks
python -m benchmarks --quick    fewer repetitions, for a first look
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

# name → what it measures, and its arguments for --quick
ALL = {
    "start": ("import time, time of watch(), idle CPU", ["--quick"]),
    "watch": ("a write → the reader, by each way to watch; what watching costs", ["--writes", "60", "--idle", "4"]),
    "fold": (
        "a changed item: compared, numbered, logged, folded in; beside one who has only the messages",
        ["--quick"],
    ),
    "pump": ("a heartbeat, a lock's progress, a workflow: with 10,000 files and items, beside ten", ["--quick"]),
    "fanout": ("server CPU per message delivered to 1,000 clients, beside C and a first design", ["--quick"]),
    "server": (
        "file replaced → client; a client that does not read; memory of idle clients",
        ["--files", "60", "--idle", "2000"],
    ),
    "history": ("100,000 checkpoints as DataFrames, beside reading the files", ["--files", "10000", "--rounds", "1"]),
    "forecast": ("how often an interval holds, on simulated builds; time of one forecast", ["--quick"]),
    "live": ("file replaced → text painted, step by step; clicks while the kernel is busy", ["--quick"]),
    "frames": ("2,000 components, 100 changes ten times a second: frames per second", ["--quick"]),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(ALL)}")
    parser.add_argument("--list", action="store_true", help="only list the benchmarks")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    args = parser.parse_args()
    if unknown := set(args.names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    failed = []
    for name, (text, quick) in ALL.items():
        if args.list:
            print(f"{name:8} {text}")
        if args.list or (args.names and name not in args.names):
            continue
        print(f"== {name}: {text}", flush=True)
        started = time.monotonic()
        # Each runs in a process of its own, so that none inherits imports, files or threads of another.
        command = [sys.executable, "-m", f"benchmarks.bench_{name}", *(quick if args.quick else [])]
        if subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode:
            failed.append(name)
        print(f"   ({time.monotonic() - started:.0f} s)\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
