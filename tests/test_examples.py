"""The examples run as their README says, and the page of the example works in a real browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.projects import Project, component, until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def start():
    """Start an example; it is ended after the test."""
    running = []

    def begin(name: str, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", str(EXAMPLES / name), *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        running.append(subprocess.Popen(command, **pipes))
        return running[-1]

    yield begin
    for process in running:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_the_parsing_example(tmp_path) -> None:
    path = Project(tmp_path / "shop").checkpoint(1, components=[component("api", 30), component("ui", 50)])
    done = subprocess.run(
        [sys.executable, EXAMPLES / "parsing_example.py", path], capture_output=True, text=True, check=True
    )
    assert "api in_progress 30" in done.stdout
    assert "components: 40.0 %" in done.stdout


def test_the_broadcast_example() -> None:
    command = [sys.executable, EXAMPLES / "broadcast_example.py", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert re.search(r"http://127\.0\.0\.1:\d+/\?session=manual", done.stdout)


def test_the_watcher_example(start, tmp_path) -> None:
    project = Project(tmp_path / "shop")
    process = start("watcher_example.py", str(project.root))
    url = re.search(r"http://\S+", process.stdout.readline()).group()
    project.checkpoint(1, components=[component("api", 30)])

    def known():
        answer = httpx.get(f"{url}/api/build/status/shop")
        return answer.status_code == 200 and answer.json()["state"]["components"]

    assert until(known)[0]["progress"] == 30


def test_the_websocket_example_in_a_browser(start) -> None:
    port = free_port()
    start("websocket_example.py", str(port))
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/client").status_code == 200
        except httpx.HTTPError:
            return False

    until(up, 20)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            page = browser.new_page()
            page.goto(f"{url}/client")
            page.get_by_text("live", exact=True).wait_for(timeout=10_000)
            page.get_by_role("cell", name="database").wait_for(timeout=5_000)
            page.get_by_role("button", name="Send a demo update").click()
            page.get_by_text("built 10 %").wait_for(timeout=5_000)
            assert httpx.post(f"{url}/demo/send-update").json() == {"percent": 20}
            page.get_by_text("built 20 %").wait_for(timeout=5_000)
            assert page.locator("progress").evaluate("bar => bar.value") == 20
            assert "in progress" in page.get_by_role("row", name="database").inner_text()
        finally:
            browser.close()


def test_the_page_is_short_and_puts_no_markup_in() -> None:
    text = (EXAMPLES / "websocket_client.html").read_text()
    assert text.count("\n") < 150
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in text
    assert "on_event" not in (EXAMPLES / "websocket_example.py").read_text()
