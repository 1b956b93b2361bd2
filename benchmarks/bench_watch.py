"""The latency from a write to the reader, and the CPU time of watching an unchanging project.

    python benchmarks/bench_watch.py [--writes 300] [--idle 20] [--files 100]

Each notifier is measured in a process of its own, interleaved over the rounds, against two floors of the same run: a
thread that calls stat on the one file in a loop (`stat loop`), and on Linux a bare read of inotify (`bare inotify`).
The ratio is to the latter.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from buildwidget.watcher import ChangeSource

WAYS = {
    "inotify": {"notifier": "inotify"},
    "watchfiles": {"notifier": "watchfiles"},
    "poll": {"poll": True},
}
FLOORS = ["bare inotify", "stat loop"]
LINUX = sys.platform == "linux"


class Source:
    """The product: a `ChangeSource` whose reader takes changes at once."""

    def __init__(self, root, target, news, **options):
        self.source = ChangeSource(root, wake=self.wake, tick=lambda: None, **options)
        self.news = news
        self.source.start()
        self.source.ready.wait()
        self.stop = self.source.stop

    def wake(self):
        if self.source.take():
            self.news(time.perf_counter())


class Loop:
    """A floor: a thread that detects changes in `run`."""

    def __init__(self, root, target, news):
        self.stopping = False
        self.target, self.news = target, news
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping = True
        self.thread.join()


class StatLoop(Loop):
    def run(self):
        last = None
        while not self.stopping:
            found = os.stat(self.target)
            now = (found.st_mtime_ns, found.st_ino)
            if last is not None and now != last:
                self.news(time.perf_counter())
            last = now
            time.sleep(0.0001)


class BareInotify(Loop):
    def run(self):
        libc = ctypes.CDLL(None)
        fd = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(fd, os.fsencode(os.path.dirname(self.target)), 0x80)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not self.stopping:
            if poll.poll(100):
                os.read(fd, 65536)
                self.news(time.perf_counter())
        os.close(fd)


def make(way, root, target, news):
    if way == "stat loop":
        return StatLoop(root, target, news)
    if way == "bare inotify":
        return BareInotify(root, target, news)
    return Source(root, target, news, **WAYS[way])


def project(files):
    root = Path(tempfile.mkdtemp(prefix="bench-watch-"))
    folder = root / ".buildrunner" / "checkpoints"
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"checkpoint_{number:06}.json").write_text('{"id": "x"}')
    return root, folder


def latency(way, writes, files):
    root, folder = project(files)
    target = str(folder / "checkpoint_000000.json")
    arrived = threading.Event()
    at = [0.0]

    def news(when):
        if not arrived.is_set():
            at[0] = when
            arrived.set()

    watcher = make(way, root, target, news)
    text = json.dumps({"id": "x", "pad": "x" * 5600})
    taken = []
    time.sleep(3.2 if way == "poll" else 0.3)
    for number in range(writes):
        Path(target + ".tmp").write_text(text + " " * (number % 7))
        arrived.clear()
        began = time.perf_counter()
        os.replace(target + ".tmp", target)
        assert arrived.wait(5), f"{way}: write {number} was never seen"
        taken.append((at[0] - began) * 1e3)
        time.sleep(0.04 + (number % 13) * 0.001)
    watcher.stop()
    return taken


def idle(way, seconds, files):
    root, folder = project(files)
    watcher = make(way, root, str(folder / "checkpoint_000000.json"), lambda when: None)
    process = psutil.Process()
    time.sleep(4)  # until folders are old enough to be trusted
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, took = process.cpu_times(), time.monotonic() - began
    watcher.stop()
    return 100 * (after.user + after.system - before.user - before.system) / took


def child(arguments):
    run = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def row(name, times, floor):
    times = sorted(times)
    median, p95, p99 = (times[min(len(times) - 1, int(len(times) * q))] for q in (0.5, 0.95, 0.99))
    print(f"{name:14} {median:8.2f} {p95:8.2f} {p99:8.2f} {times[-1]:8.2f} {median / floor:8.1f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--idle", type=float, default=20.0)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, way = options.one.split(":")
        value = (
            latency(way, options.writes, options.files) if what == "latency" else idle(way, options.idle, options.files)
        )
        print(json.dumps(value))
        return
    ways = [way for way in [*FLOORS, *WAYS] if LINUX or "inotify" not in way]
    rounds = 3
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            writes = str(max(1, options.writes // rounds))
            times[way] += child(["--one", f"latency:{way}", "--writes", writes, "--files", str(options.files)])
    floor = statistics.median(times[ways[0]])
    print(f"file replaced -> taken, {options.files} files, ms\n{'':14} {'median':>8} {'p95':>8} {'p99':>8} {'max':>8}")
    for way in ways:
        row(way, times[way], floor)
    print("\nidle, % of one core, with 22 ticks a second")
    for way in WAYS:
        if way in ways:
            arguments = ["--one", f"idle:{way}", "--idle", str(options.idle), "--files", str(options.files)]
            print(f"{way:14} {child(arguments):8.2f}")


if __name__ == "__main__":
    main()
