"""The watcher against writers that are as unkind as real ones, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from buildwidget.watcher import FileChange, Retry, Torn, read_file

from .watching import BASE, WAYS, Reader, reading

A = f"{BASE}/checkpoints/checkpoint_a.json"
REWRITES = 1000
# Seconds. Polling promises less.
SETTLED = {"inotify": 0.11, "watchfiles": 0.11, "poll": 0.35}

# Rewrites a file in random chunks at random moments; prints each number that it left alone for a while, and the last.
WRITER = """
import json, os, random, sys, time
path, how, count, seed, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
chance = random.Random(seed)
for number in range(1, count + 1):
    text = json.dumps({"number": number, "pad": ["x" * chance.randrange(40) for _ in range(chance.randrange(400))]})
    target = path if how == "in place" else path + ".tmp"
    with open(target, "w") as file:
        while text:
            size = chance.randrange(1, 2000)
            file.write(text[:size])
            text = text[size:]
            if chance.random() < 0.5:
                file.flush()
            if chance.random() < 0.1:
                time.sleep(chance.random() * 0.004)
    if how == "rename":
        os.replace(target, path)
    if number % 40 == 0 or number == count:
        time.sleep(pause)
        print(number, flush=True)
    elif chance.random() < 0.3:
        time.sleep(chance.random() * 0.004)
"""

BURST = """
import os, sys
folder, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    with open(os.path.join(folder, f"checkpoint_{number:06}.json"), "w") as file:
        file.write('{"number": %d}' % number)
"""


class Numbers:
    """Reads as a session does: at once, again a little later when it is torn, and counts what stayed broken."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.retry = Retry()
        self.seen: list[int] = []
        self.broken: list[str] = []
        self.torn = 0
        reader.on_change = self.read

    def read(self, change: FileChange) -> None:
        fingerprint = None
        try:
            raw, found = read_file(self.reader.root, change.path)
            fingerprint = (found.st_mtime_ns, found.st_size, found.st_ino)
            self.seen.append(json.loads(raw)["number"])
            self.retry.settled(change.path)
        except FileNotFoundError:
            pass
        except (Torn, ValueError) as error:
            self.torn += 1
            delay = self.retry.failed(change.path, time.monotonic(), fingerprint)
            if delay is None:
                self.broken.append(repr(error))
            else:
                self.reader.source.put_back(change, delay)


class Witness(threading.Thread):
    """Another reader in this process, who simply reads all the time, and says what stayed long enough to be seen.

    On a machine so busy that this process gets no turn for a tenth of a second, nobody in it could see a state that
    lasts as long: the witness does not hold that against the watcher.
    """

    def __init__(self, path: Path, enough: float) -> None:
        super().__init__()
        self.path, self.enough = path, enough
        self.settled: set[int] = set()
        self.stopping = False

    def run(self) -> None:
        number, since = None, 0.0
        while not self.stopping:
            try:
                found = json.loads(self.path.read_bytes())["number"]
            except (OSError, ValueError):
                found = None
            now = time.monotonic()
            if found != number:
                number, since = found, now
            elif number is not None and now - since >= self.enough:
                self.settled.add(number)
            time.sleep(0.004)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["in place", "rename"])
@pytest.mark.parametrize("way", WAYS)
def test_every_settled_state_of_a_file_rewritten_all_the_time(project, way, how):
    with reading(project, **WAYS[way]) as reader:
        numbers = Numbers(reader)
        command = [sys.executable, "-c", WRITER, str(project / A), how, str(REWRITES), "7", str(SETTLED[way])]
        witness = Witness(project / A, SETTLED[way] * 0.7)
        witness.start()
        try:
            writer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
        finally:
            witness.stopping = True
            witness.join()
        settled = {int(line) for line in writer.stdout.split()}
        assert REWRITES in settled
        assert settled & witness.settled
        reader.until(lambda: numbers.seen and numbers.seen[-1] == REWRITES, "the last state")
        reader.quiet()
        assert numbers.seen[-1] == REWRITES
        assert not (settled & witness.settled) - set(numbers.seen)
        assert not numbers.broken
        assert not reader.source.pending()
        # Never back in time, whatever was read twice.
        assert numbers.seen == sorted(numbers.seen)


@pytest.mark.parametrize("way", WAYS)
def test_a_burst_of_a_thousand_files_within_two_seconds(project, way):
    with reading(project, **WAYS[way]) as reader:
        numbers = Numbers(reader)
        subprocess.run([sys.executable, "-c", BURST, str(project / BASE / "checkpoints"), "1000"], check=True)
        ended = time.monotonic()
        reader.until(lambda: len(set(numbers.seen)) == 1000, "all thousand files")
        assert time.monotonic() - ended < 2.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", WAYS)
def test_more_files_than_the_queue_of_the_kernel_holds(project, way):
    """12,000 files while the watching thread cannot run: the kernel drops events, the scan finds the files."""
    with reading(project, **WAYS[way]) as reader:
        numbers = Numbers(reader)
        release = threading.Event()
        held = threading.Event()

        def hold(change: FileChange) -> None:
            held.set()
            release.wait(60)
            reader.on_change = numbers.read

        reader.on_change = hold
        (project / BASE / "first.json").write_text('{"number": -1}')
        assert held.wait(10)
        subprocess.run([sys.executable, "-c", BURST, str(project / BASE / "checkpoints"), "12000"], check=True)
        release.set()
        reader.until(lambda: len(set(numbers.seen) - {-1}) == 12_000, "all twelve thousand files", 30.0)


@pytest.mark.parametrize("way", WAYS)
def test_folders_come_and_go_under_writers(project, way):
    """Whatever was deleted and made again in between: in the end, what is there is known, and nothing else is."""
    script = """
import os, random, shutil, sys
base, chance = sys.argv[1], random.Random(5)
for turn in range(400):
    folder = os.path.join(base, chance.choice(["a", "b", "a/c", "a/c/d", "."]))
    if chance.random() < 0.25 and not folder.endswith("."):
        shutil.rmtree(folder, ignore_errors=True)
    elif chance.random() < 0.1 and os.path.isdir(folder) and not folder.endswith("."):
        shutil.rmtree(folder + "-old", ignore_errors=True)
        os.rename(folder, folder + "-old")
    else:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{chance.randrange(5)}.json"), "w") as file:
            file.write('{"number": %d}' % turn)
"""
    with reading(project, **WAYS[way]) as reader:
        known: dict[str, int] = {}

        def follow(change: FileChange) -> None:
            if change.change_type == "deleted":
                known.pop(change.path, None)
                return
            try:
                known[change.path] = json.loads(read_file(project, change.path)[0])["number"]
            except FileNotFoundError:
                known.pop(change.path, None)
            except (Torn, ValueError):
                reader.source.put_back(change, 0.002)

        reader.on_change = follow
        subprocess.run([sys.executable, "-c", script, str(project / BASE)], check=True)

        def there() -> dict[str, int]:
            files = (project / BASE).rglob("*.json")
            return {path.relative_to(project).as_posix(): json.loads(path.read_text())["number"] for path in files}

        try:
            reader.until(lambda: known == there(), "the same picture")
        except AssertionError:
            assert known == there()
            raise


def test_a_reader_that_scans_meanwhile_disturbs_nothing(project):
    """A refresh comes from another thread, at any time."""
    with reading(project) as reader:
        numbers = Numbers(reader)
        stop = threading.Event()

        def refresh() -> None:
            while not stop.wait(0.001):
                reader.source.scan()

        threads = [threading.Thread(target=refresh) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            folder = Path(project / BASE / "checkpoints")
            for number in range(300):
                path = folder / f"checkpoint_{number % 7}.json"
                part = path.with_suffix(".tmp")
                part.write_text(json.dumps({"number": number}))
                os.replace(part, path)
                if number % 5 == 0:
                    reader.until(lambda number=number: number in numbers.seen, f"{number}")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert "deleted" not in {change.change_type for change in reader.changes}
