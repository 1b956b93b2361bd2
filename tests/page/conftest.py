"""One browser for all tests of this folder; a server and a window of its own for each."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from ..lab.jupyterlab import FLAGS, ROOT, find_chromium

RESULTS = ROOT / "test-results"
HERE = Path(__file__).parent
_REPORT = pytest.StashKey[pytest.TestReport]()

# Notes what the browser refuses because of the policy that the server sends.
_WATCH = """
window.refusedByPolicy = [];
addEventListener('securitypolicyviolation', event => {
  window.refusedByPolicy.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""


# Late, because sync Playwright keeps an event loop running in this thread: an asynchronous test could not start one of
# its own in the meantime.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.xdist_group("page"))
    items[:] = [item for item in items if item not in set(mine)] + mine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), headless=True, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()


class Windows:
    """The windows of one test, and what they asked for and complained of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.contexts: list[BrowserContext] = []
        self.pages: list[Page] = []
        self.asked: list[str] = []
        self.console: list[str] = []
        self.frames: list[str] = []

    def open(self, url: str, *, width: int = 1000, height: int = 800, **options: Any) -> Page:
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self.contexts.append(context)
        context.add_init_script(_WATCH)
        page = context.new_page()
        page.set_default_timeout(10_000)
        self.pages.append(page)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", self._stream)
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        page.goto(url)
        return page

    def _stream(self, stream: Any) -> None:
        self.asked.append(stream.url)
        stream.on("framereceived", self._frame)

    def _frame(self, frame: str) -> None:
        self.frames.append(frame)

    def refused(self) -> list[str]:
        """What the policy of the server refused, in any window."""
        return [one for page in self.pages for one in page.evaluate("() => window.refusedByPolicy ?? []")]


@pytest.fixture
def windows(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Windows]:
    windows = Windows(browser)
    yield windows
    report = request.node.stash.get(_REPORT, None)
    if report is None or report.failed:
        _keep(request.node, windows)
    refused = [] if report is None or report.failed else windows.refused()
    for context in windows.contexts:
        context.close()
    foreign = [url for url in windows.asked if not re.match(r"(http|ws)://(127\.0\.0\.1|localhost):|data:", url)]
    assert foreign == [], "something asked for what is not on this machine"
    assert refused == [], "the page does what its own policy forbids"
    assert [line for line in windows.console if line.startswith("uncaught")] == []


def _keep(node: pytest.Item, windows: Windows) -> None:
    """After a failure: screenshots in test-results/, and in the report what the browser said."""
    RESULTS.mkdir(exist_ok=True)
    for number, page in enumerate(windows.pages):
        picture = RESULTS / (re.sub(r"[^\w.-]+", "-", node.name) + f"-{number}.png")
        try:
            page.screenshot(path=picture, timeout=5_000)
            node.add_report_section("teardown", "screenshot", str(picture.relative_to(ROOT)))
        except Error as error:
            node.add_report_section("teardown", "screenshot", f"none: {error}")
    node.add_report_section("teardown", "console of the page", "\n".join(windows.console[-40:]))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is entered here ends with the test."""
    with ExitStack() as stack:
        yield stack
