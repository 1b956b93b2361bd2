"""The time of the import and of `watch`, and the CPU time of a kernel that watches an unchanging build.

The baselines: a bare ``python -c pass`` for the import, an idle kernel for the CPU.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._numbers import table, verdict
from tests.lab.builds import Project, component, feature
from tests.lab.jupyterlab import ROOT, Lab

IMPORT = "import time; t = time.perf_counter(); import buildwidget; print(time.perf_counter() - t)"
WATCH = [
    """
import time, buildwidget as bw
t = time.perf_counter()
w = bw.watch('project')
first = time.perf_counter() - t
""",
    """
later = []
for _ in range(9):
    t = time.perf_counter()
    w = bw.watch('project')
    later.append(time.perf_counter() - t)
""",
]


def python(code: str) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return (time.perf_counter() - started) * 1000, done.stdout


def imports(repeat: int) -> None:
    python(IMPORT)  # compiles, and warms the file cache
    bare, whole, inside = [], [], []
    for _ in range(repeat):  # interleaved, so that a busy moment hits both
        bare.append(python("pass")[0])
        wall, printed = python(IMPORT)
        whole.append(wall)
        inside.append(float(printed) * 1000)
    a, b, c = map(statistics.median, (bare, whole, inside))
    print(f"   import buildwidget: {c:.1f} ms  {verdict(c, 150)}")
    print(f"   the whole process {b:.0f} ms, a bare Python {a:.0f} ms: {b - a:.0f} ms more, {b / a:.2f} ×")


def make_project(root: Path) -> Project:
    project = Project(root)
    parts = [component(f"part{n:02d}") for n in range(12)]
    things = [feature(f"thing{n:02d}", f"part{n % 12:02d}") for n in range(40)]
    for number in range(1, 21):
        project.put(parts, things, number=number)
    return project


def watching(lab: Lab, page, repeat: int) -> None:
    first, later = [], []
    for _ in range(repeat):
        notebook = lab.open(page, WATCH)
        notebook.run_all()
        first.append(notebook.evaluate("first") * 1000)
        later += [seconds * 1000 for seconds in notebook.evaluate("later")]
        notebook.close()
    a, b = statistics.median(first), statistics.median(later)
    print(f"   watch(), the first in a process: {a:.0f} ms, worst {max(first):.0f}  {verdict(a, 300)}")
    print(f"   watch(), later ones: {b:.1f} ms, worst {max(later):.1f}  {verdict(b, 100)}")


def idle(lab: Lab, page, seconds: float) -> None:
    """Measure all kernels at the same time, so that they run under the same load."""
    cells = ["import buildwidget as bw, pandas, anywidget, ipywidgets", "w = bw.watch('project')", "w"]
    names = {
        "idle kernel (the peer)": cells[:1],
        "watching, not displayed": cells[:2],
        "watching, displayed in JupyterLab": cells,
    }
    kernels: dict[str, psutil.Process] = {}
    for name, sources in names.items():
        notebook = lab.open(page, sources)
        notebook.run_all()
        kernels[name] = psutil.Process(notebook.kernel_pid())
    page.wait_for_timeout(3000)
    used = {name: _cpu(process) for name, process in kernels.items()}
    started = time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    took = time.monotonic() - started
    share = {name: (_cpu(process) - used[name]) / took * 100 for name, process in kernels.items()}
    floor = share["idle kernel (the peer)"]
    rows = [
        [name, f"{value:.2f} %", "" if value == floor else f"+{value - floor:.2f} %  {verdict(value - floor, 1)}"]
        for name, value in share.items()
    ]
    print("   " + table(["kernel", "of a core", "over the peer"], rows).replace("\n", "\n   "))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main(*, quick: bool = False) -> None:
    imports(3 if quick else 9)
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, lab.browser() as page:
        make_project(Path(folder) / "project")
        watching(lab, page, 2 if quick else 5)
        idle(lab, page, 10 if quick else 60)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
