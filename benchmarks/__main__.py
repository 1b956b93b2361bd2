"""``python -m benchmarks``: list the benchmarks, or run some or all of them.

python -m benchmarks            run all
python -m benchmarks live       run one, or several by name
python -m benchmarks --list     say which there are
python -m benchmarks --quick    fewer repetitions, for a first look
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

ALL = {
    "start": "import time, time of watch(), idle CPU",
    "live": "file replaced → text painted, step by step; clicks while the kernel is busy",
    "frames": "2,000 components, 100 changes ten times a second: frames per second",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(ALL)}")
    parser.add_argument("--list", action="store_true", help="only say which there are")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    args = parser.parse_args()
    if unknown := set(args.names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    if args.list:
        for name, text in ALL.items():
            print(f"{name:8} {text}")
        return 0
    for name in args.names or ALL:
        print(f"== {name}: {ALL[name]}", flush=True)
        started = time.monotonic()
        importlib.import_module(f"benchmarks.bench_{name}").main(quick=args.quick)
        print(f"   ({time.monotonic() - started:.0f} s)\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
