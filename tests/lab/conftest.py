"""One JupyterLab and one browser for all tests of this folder; one fresh notebook, and kernel, for each test."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page, sync_playwright

from .builds import Project
from .face import Face
from .jupyterlab import FLAGS, ROOT, Lab, Notebook, find_chromium

RESULTS = ROOT / "test-results"
HERE = Path(__file__).parent
_REPORT = pytest.StashKey[pytest.TestReport]()

Open = Callable[..., Notebook]
Show = Callable[..., tuple[Notebook, Face]]


# Last, because they are slow, and because sync Playwright keeps an event loop running in this thread: an asynchronous
# test could not start one of its own in the meantime.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.xdist_group("lab"))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120))
    items[:] = [item for item in items if item not in set(mine)] + mine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


class _Tab:
    """The page that all notebooks are opened in; a new one after a test has failed."""

    def __init__(self, lab: Lab, browser: Any) -> None:
        self._lab, self._browser = lab, browser
        self._page: Page | None = None
        self.foreign: list[str] = []
        self.console: list[str] = []

    def page(self) -> Page:
        if self._page is None:
            self._page = self._lab.page(self._browser)
            self._page.on("request", self._requested)
            self._page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
            self._page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.foreign.clear()
        self.console.clear()
        return self._page

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self._lab.url, "data:", f"blob:{self._lab.url}")):
            self.foreign.append(request.url)

    def drop(self) -> None:
        if self._page is not None:
            self._page.context.close()
            self._page = None


@pytest.fixture(scope="package")
def tab(lab: Lab) -> Iterator[_Tab]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
        try:
            yield _Tab(lab, browser)
        finally:
            browser.close()


@pytest.fixture
def page(tab: _Tab) -> Page:
    return tab.page()


@pytest.fixture
def open_notebook(request: pytest.FixtureRequest, lab: Lab, tab: _Tab, page: Page) -> Iterator[Open]:
    """Open a notebook with these cells. Whatever happens in a test, nothing may leave this machine."""
    opened: list[Notebook] = []

    def open_(*cells: str) -> Notebook:
        opened.append(lab.open(page, cells))
        return opened[-1]

    yield open_
    report = request.node.stash.get(_REPORT, None)
    if report is None or report.failed:
        _keep(request.node, page, lab, tab)
        for notebook in opened:
            lab.end_kernel(notebook.name)
        tab.drop()
    else:
        for notebook in opened:
            notebook.close()
    assert tab.foreign == [], "something asked for what is not on this machine"


def _keep(node: pytest.Item, page: Page, lab: Lab, tab: _Tab) -> None:
    """After a failure: a screenshot in test-results/, and in the report what the browser and the server said."""
    RESULTS.mkdir(exist_ok=True)
    picture = RESULTS / (re.sub(r"[^\w.-]+", "-", node.name) + ".png")
    try:
        page.screenshot(path=picture, timeout=5_000)
        node.add_report_section("teardown", "screenshot", str(picture.relative_to(ROOT)))
    except Error as error:
        node.add_report_section("teardown", "screenshot", f"none: {error}")
    node.add_report_section("teardown", "console of the page", "\n".join(tab.console[-40:]))
    node.add_report_section("teardown", "log of JupyterLab", lab.log())


@pytest.fixture
def project(lab: Lab, request: pytest.FixtureRequest) -> Project:
    """An empty project next to the notebooks."""
    return Project(lab.root / ("p-" + re.sub(r"\W+", "-", request.node.name)))


@pytest.fixture
def show(open_notebook: Open, project: Project) -> Show:
    """Open a notebook with the live cell of the project, and more cells; run the live cell."""

    def show_(*more: str) -> tuple[Notebook, Face]:
        source = f"import buildwidget as bw\nw = bw.watch({project.root.name!r})\nw"
        notebook = open_notebook(source, *more)
        notebook.run(0)
        face = Face(notebook, 0)
        face.wait()
        return notebook, face

    return show_
