"""Take the pictures of docs/history.md: the charts of a history in a real JupyterLab, on simulated builds.

``python tools/plot_pictures.py`` writes ``docs/images/history-*.png``, each chart in a light theme and in a dark one.
Chromium must be on the PATH, or named by CHROMIUM.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.jupyterlab import FLAGS, THEMES, Lab, Notebook, find_chromium  # noqa: E402

WIDTH = 720
SETUP = """
from datetime import UTC, datetime
from pathlib import Path
from buildwidget.demo import prepare, write_instant
from buildwidget.history import read_history

def plots(scenario):
    folder = prepare(Path(scenario))
    write_instant(folder, scenario, 0, end=datetime(2026, 3, 2, 17, tzinfo=UTC))
    return read_history(folder, cache=False).plot

growth, failure, rollback, stall = map(plots, ("growth", "failure", "rollback", "stall"))
"""
CHARTS = {
    "burnup": "stall.burnup(forecast=True, width={width})",
    "flow": "growth.cumulative_flow(width={width})",
    "timeline": "failure.timeline(kind='component', width={width})",
    "cycle-time": "rollback.cycle_time(width={width})",
    "forecast": "stall.forecast(width={width})",
}


def chart(notebook: Notebook, cell: int) -> Locator:
    """Return the chart that a cell shows."""
    scroll = (
        "cell => window.jupyterapp.shell.currentWidget.content.widgets[cell].node.scrollIntoView({block: 'center'})"
    )
    notebook.page.evaluate(scroll, cell)
    found = notebook.page.locator(f"[data-windowed-list-index='{cell}'] .vega-embed svg.marks").first
    found.wait_for()
    return found


def take(out: Path, width: int) -> None:
    """Take all pictures and write them into ``out``."""
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
        page = lab.page(browser, width + 200, 1000)
        cells = [SETUP, *(code.format(width=width) for code in CHARTS.values())]
        notebook = lab.open(page, cells, "charts.ipynb")
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        for cell in range(len(cells)):
            notebook.run(cell)
        for theme, suffix in zip(THEMES, ("light", "dark"), strict=False):
            notebook.theme(theme)
            page.evaluate("() => document.activeElement?.blur()")
            for cell, name in enumerate(CHARTS, start=1):
                path = out / f"history-{name}-{suffix}.png"
                chart(notebook, cell).screenshot(path=path, animations="disabled")
                print(f"{path.name}: {path.stat().st_size // 1024} KiB")
        browser.close()


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Take the pictures of docs/history.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--width", type=int, default=WIDTH)
    args = parser.parse_args()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    take(out, args.width)
    return 0


if __name__ == "__main__":
    sys.exit(main())
