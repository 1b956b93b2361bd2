"""Take the README's pictures: the live cell in a real JupyterLab, on a simulated build.

``python tools/screenshots.py`` writes ``docs/images/``. Chromium must be on the PATH, or named by CHROMIUM.

- ``jupyterlab-{light,dark}.png``: the whole window;
- ``cell-{light,dark}-{600,1200}.png``: the cell alone, at that width in CSS pixels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from buildwidget.demo.model import Simulation  # noqa: E402
from buildwidget.demo.runner import length  # noqa: E402
from tests.lab.face import Face  # noqa: E402
from tests.lab.jupyterlab import FLAGS, THEMES, Lab, Notebook, find_chromium, until  # noqa: E402

SHARE = 0.62  # of the build is over
WIDTHS = (600, 1200)
CELL = "import buildwidget as bw\nbw.watch('shop', height={height})"


def write_build(folder: Path, scenario: str, seed: int, share: float) -> None:
    """Write a build of several hours as it stands at ``share`` of its time."""
    minutes = length(scenario, seed) * share
    start = datetime.now(UTC) - timedelta(minutes=minutes)
    for step in Simulation(scenario, seed, start=start).steps():
        if step.minute > minutes:
            break
        for write in step.writes:
            path = folder / write.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if write.append else "w", encoding="utf-8", newline="") as file:
                file.write(write.content)


def at_width(page: Page, width: int, height: int) -> None:
    """Make the window so wide that the cell has this width."""

    def fits() -> bool:
        now = page.locator(Face.ROOT).first.evaluate("root => root.getBoundingClientRect().width")
        if abs(now - width) < 1:
            return True
        size = page.viewport_size
        assert size is not None
        page.set_viewport_size({"width": round(size["width"] + width - now), "height": height})
        page.evaluate("() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
        return False

    until(fits, f"the cell is {width} px wide")


def quiet(notebook: Notebook) -> None:
    """No blinking cursor, no running animation, nothing half drawn."""
    notebook.page.evaluate("() => document.activeElement?.blur()")
    notebook.page.evaluate("() => document.fonts.ready.then(() => null)")
    notebook.page.mouse.move(2, 2)


def take(page: Page, path: Path, **options: Any) -> None:
    """One picture."""
    page.screenshot(path=path, animations="disabled", caret="hide", **options)
    print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {path.stat().st_size // 1024} KiB")


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Take the README's pictures.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--scenario", default="failure")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--share", type=float, default=SHARE, help="how much of the build's time is over, 0 to 1")
    args = parser.parse_args()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, sync_playwright() as playwright:
        write_build(Path(folder) / "shop", args.scenario, args.seed, args.share)
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
        page = lab.page(browser, 1280, 860)
        notebook = lab.open(page, [CELL.format(height=480), "# Your own work goes on down here."], "live.ipynb")
        notebook.run(0)
        face = Face(notebook, 0)
        face.wait()
        face.wait_live()
        for theme, name in zip(THEMES, ("light", "dark"), strict=False):
            page.set_viewport_size({"width": 1280, "height": 860})
            notebook.theme(theme)
            quiet(notebook)
            take(page, out / f"jupyterlab-{name}.png")
            for width in WIDTHS:
                at_width(page, width, 1400)
                quiet(notebook)
                box = page.locator(Face.ROOT).first.bounding_box()
                assert box is not None
                clip = {"x": box["x"] - 8, "y": box["y"] - 8, "width": box["width"] + 16, "height": box["height"] + 16}
                take(page, out / f"cell-{name}-{width}.png", clip=clip)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
