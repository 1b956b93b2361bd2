"""Take the README's pictures: the live cell in a real JupyterLab, on a simulated build.

``python tools/screenshots.py`` writes ``docs/images/``. Chromium must be on the PATH, or named by CHROMIUM.

- ``jupyterlab-{light,dark}.png``: the whole window;
- ``cell-{light,dark}.png``: the cell alone, 1,200 CSS pixels wide;
- ``cell-{light,dark}-narrow.png``: the same, 600 wide;
- ``page-{light,dark}.png``: the server's page; ``--page`` takes only these.

``python tools/screenshots.py --look OUT`` is for checking changes of the views: it takes cell and page at several
widths (``--widths``), in both themes, of simulated builds (``--scenarios``) and of project folders (``--projects``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from buildwidget.demo import write_instant  # noqa: E402
from buildwidget.server import serve  # noqa: E402
from tests.lab.face import Face  # noqa: E402
from tests.lab.jupyterlab import FLAGS, THEMES, Lab, Notebook, find_chromium  # noqa: E402

SHARE = 0.75  # of the build is over
WIDTHS = {"": 1200, "-narrow": 600}
SHOWN = f".jp-NotebookPanel:not(.lm-mod-hidden) {Face.ROOT}"
CELL = "import buildwidget as bw\nbw.watch('meadow-clinic', height={height})"


def write_build(folder: Path, scenario: str, seed: int, share: float) -> None:
    """Write a build of several hours as it stands now, at ``share`` of its time."""
    write_instant(folder, scenario, seed, end=datetime.now(UTC), share=share)


def arrange(notebook: Notebook, face: Face) -> None:
    """Sort by attention, and open the checklist of one phase or feature that runs."""
    notebook.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    face.root.get_by_label("Sort by").select_option("attention")
    running = face.root.locator("[role=row][data-key^='feature:']").filter(has_text="In progress").first
    running.locator(".bw-twisty").click()
    face.root.locator("[role=row][data-key^='check:']").first.wait_for()


def quiet(notebook: Notebook) -> None:
    """Scroll to the top, remove focus and pointer, and wait for the fonts."""
    script = "() => { for (const one of document.querySelectorAll('.jp-WindowedPanel-outer')) one.scrollTop = 0; }"
    notebook.page.evaluate(script)
    notebook.page.evaluate("() => document.activeElement?.blur()")
    notebook.page.evaluate("() => document.fonts.ready.then(() => null)")
    notebook.page.mouse.move(2, 2)


def _box(page: Page) -> dict[str, int]:
    """Return the bounding box of the cell in CSS pixels."""
    box = page.locator(SHOWN).first.bounding_box()
    assert box is not None
    return {"x": round(box["x"]), "y": round(box["y"]), "width": round(box["width"]), "height": round(box["height"])}


def take(page: Page, path: Path, **options: Any) -> None:
    """Take one picture."""
    page.screenshot(path=path, animations="disabled", caret="hide", **options)
    print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {path.stat().st_size // 1024} KiB")


def take_page(folder: Path, out: Path, browser: Any) -> None:
    """The server's page, on the same build."""
    with serve(folder / "meadow-clinic") as server:
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme=theme)
            page.goto(server.url)
            page.locator("[role=row]").nth(3).wait_for()
            page.get_by_label("Sort by").select_option("attention")
            page.evaluate("() => document.activeElement?.blur()")
            take(page, out / f"page-{theme}.png")
            page.close()


def look(out: Path, builds: dict[str, Path], widths: list[int]) -> None:
    """Every build in the cell and on the page, at every width, in both themes."""
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*FLAGS], ignore_default_args=["--hide-scrollbars"]
        )
        page = lab.page(browser, 1280, 1000)
        for name, build in builds.items():
            cell = f"import buildwidget as bw\nbw.watch({str(build)!r}, height=480)"
            notebook = lab.open(page, [cell], f"{name}.ipynb")
            notebook.run(0)
            face = Face(notebook, 0)
            face.wait()
            # The words that say that the picture is kept up to date; without a build it is "waiting".
            face.root.locator(".bw-conn-live, .bw-conn-waiting").wait_for(timeout=30_000)
            notebook.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
            for theme, word in zip(THEMES, ("light", "dark"), strict=False):
                notebook.theme(theme)
                for width in widths:
                    notebook.resize(SHOWN, width, 1400)
                    quiet(notebook)
                    clip = _box(page)
                    take(page, out / f"{name}-cell-{width}-{word}.png", clip=clip)
            with serve(build) as server:
                for word in ("light", "dark"):
                    for width in widths:
                        window = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=word)
                        window.goto(server.url)
                        shown = window.locator("[role=row], .bw-waiting-title").locator("visible=true")
                        shown.first.wait_for(timeout=10_000)
                        take(window, out / f"{name}-page-{width}-{word}.png")
                        window.close()
        browser.close()


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Take the README's pictures.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--scenario", default="plan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=SHARE, help="how much of the build's time is over, 0 to 1")
    parser.add_argument("--page", action="store_true", help="only the server's page")
    parser.add_argument("--look", type=Path, metavar="OUT", help="cell and page at several widths, into this folder")
    parser.add_argument("--widths", type=int, nargs="+", default=[400, 800, 1400], help="CSS pixels, for --look")
    parser.add_argument(
        "--scenarios",
        nargs="*",
        default=["plan", "plan-failure", "success", "failure"],
        help="simulated builds for --look",
    )
    parser.add_argument("--projects", type=Path, nargs="*", default=[], help="project folders for --look")
    args = parser.parse_args()
    out: Path = (args.look or args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    if args.look:
        with tempfile.TemporaryDirectory() as folder:
            builds: dict[str, Path] = {}
            for scenario in args.scenarios:
                builds[scenario] = Path(folder) / scenario
                write_build(builds[scenario], scenario, args.seed, args.share)
            look(out, builds | {project.name: project.resolve() for project in args.projects}, args.widths)
        return 0
    if args.page:
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            write_build(Path(folder) / "meadow-clinic", args.scenario, args.seed, args.share)
            take_page(Path(folder), out, playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS]))
        return 0
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, sync_playwright() as playwright:
        write_build(Path(folder) / "meadow-clinic", args.scenario, args.seed, args.share)
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
        page = lab.page(browser, 1280, 860)
        notebook = lab.open(page, [CELL.format(height=480), "# Your own work goes on down here."], "live.ipynb")
        notebook.run(0)
        face = Face(notebook, 0)
        face.wait()
        face.wait_live()
        arrange(notebook, face)
        for theme, name in zip(THEMES, ("light", "dark"), strict=False):
            page.set_viewport_size({"width": 1280, "height": 860})
            notebook.theme(theme)
            quiet(notebook)
            take(page, out / f"jupyterlab-{name}.png")
            for suffix, width in WIDTHS.items():
                notebook.resize(Face.ROOT, width, 1400)
                quiet(notebook)
                clip = _box(page)
                take(page, out / f"cell-{name}{suffix}.png", clip=clip)
        take_page(Path(folder), out, browser)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
