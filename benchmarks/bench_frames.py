"""A large build in the real cell: 2,000 components with features, of which 100 change ten times a second.

The peer: the frames of the same page, with the same cell in it, while nothing changes.
"""

from __future__ import annotations

import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks._numbers import quantile
from tests.lab.builds import Project, component, feature
from tests.lab.face import Face
from tests.lab.jupyterlab import Lab

# Notes the time of each frame, and how often text changed in the cell.
FRAMES = """selector => {
  const frames = (window.benchFrames = []);
  window.benchChanges = 0;
  window.benchRun = true;
  const step = now => { frames.push(now); if (window.benchRun) requestAnimationFrame(step); };
  requestAnimationFrame(step);
  window.benchObserver = new MutationObserver(found => { window.benchChanges += found.length; });
  const options = { subtree: true, childList: true, characterData: true, attributes: true };
  window.benchObserver.observe(document.querySelector(selector), options);
}"""
STOP = """() => {
  window.benchRun = false;
  window.benchObserver.disconnect();
  return [window.benchFrames, window.benchChanges];
}"""


def per_second(frames: list[float]) -> list[int]:
    """Frames in each whole second."""
    counts = [0] * int((frames[-1] - frames[0]) / 1000)
    for at in frames:
        second = int((at - frames[0]) / 1000)
        if second < len(counts):
            counts[second] += 1
    return counts


def report(name: str, frames: list[float], changes: int) -> float:
    counts = per_second(frames)
    gaps = [b - a for a, b in itertools.pairwise(frames)]
    print(
        f"   {name:14} median {statistics.median(counts):.0f} fps, worst second {min(counts)} fps; "
        f"gap between frames p99 {quantile(gaps, 0.99):.0f} ms, longest {max(gaps):.0f}; {changes} DOM changes"
    )
    return statistics.median(counts)


def contents(project: Project, count: int, changed: int, versions: int) -> list[bytes]:
    """What the file holds, one after the other."""
    parts = [component(f"part-{n:04d}", progress=n % 100) for n in range(count)]
    things = [feature(f"thing-{n:04d}", f"part-{n:04d}") for n in range(count)]
    made = [project.content(parts, things)]
    for _ in range(versions):
        # some of those in sight change each time, as in a build whose work is at the top
        for n in {*random.sample(range(count), changed - 10), *range(10)}:
            parts[n]["progress"] = random.randrange(100)
            parts[n]["status"] = random.choice(["in_progress", "completed", "error"])
        made.append(project.content(parts, things))
    return made


def main(*, quick: bool = False) -> None:
    seconds = 4 if quick else 10
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, lab.browser() as page:
        project = Project(Path(folder) / "project")
        versions = contents(project, 2_000, 100, 40)
        project.replace(versions[0])
        notebook = lab.open(page, ["import buildwidget as bw\nw = bw.watch('project')\nw"])
        notebook.run(0)
        face = Face(notebook, 0)
        face.wait_count("components", 2_000)
        page.wait_for_timeout(2_000)

        page.evaluate(FRAMES, Face.ROOT)
        page.wait_for_timeout(seconds * 1000 / 2)
        still = report("still:", *page.evaluate(STOP))

        stop = threading.Event()

        def write() -> None:
            due = time.monotonic()
            turn = 1
            while not stop.is_set():
                project.replace(versions[1 + turn % 40])
                turn += 1
                due += 0.1
                stop.wait(max(0.0, due - time.monotonic()))

        before = notebook.evaluate("w.session.seq")
        writer = threading.Thread(target=write)
        writer.start()
        page.wait_for_timeout(1_000)
        page.evaluate(FRAMES, Face.ROOT)
        page.wait_for_timeout(seconds * 1000 + 100)
        frames, changes = page.evaluate(STOP)
        stop.set()
        writer.join()
        live = report("100 × 10 Hz:", frames, changes)
        told = (notebook.evaluate("w.session.seq") - before) / (seconds + 1.1)
        print(f"   {told:.0f} messages a second were numbered; {live / still:.2f} × the frames of the still page")
        print(f"   median frames per second {'ok' if live >= 50 else 'MISSED'} (target ≥ 50)")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
