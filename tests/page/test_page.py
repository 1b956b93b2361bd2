"""What somebody sees who opens the address of a server."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from buildwidget.server import LiveServer, ServerOptions, Sessions, serve
from buildwidget.session import BuildSession

from ..lab.jupyterlab import ROOT
from ..projects import Project, component, until
from ..serving import published, serving, sessions_of
from .conftest import Windows
from .proxy import Proxy

AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (360, 800, 1400)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_SERVE = """
import sys
from pathlib import Path
from buildwidget.server import ServerOptions, run
port, *named = sys.argv[1:]
sessions = dict(one.split("=", 1) for one in named)
options = ServerOptions(port=int(port), sessions={k: Path(v) for k, v in sessions.items()}, log_level="error")
sys.exit(run(options, lambda url: print(url, flush=True)))
"""


class Process:
    """A server in a process of its own, to be killed."""

    def __init__(self, port: int = 0, **projects: Path) -> None:
        named = [f"{name}={path}" for name, path in projects.items()]
        command = [sys.executable, "-c", _SERVE, str(port), *named]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server did not start"
        self.port = int(self.url.rsplit(":", 1)[1])

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 40), component("web", 0, "pending")])
    return project


def pill(page: Page) -> Any:
    return page.locator(".bw-pill")


def live(page: Page) -> Page:
    """The page, connected; of a build that nothing is known of yet it says that it waits."""
    expect(pill(page)).to_have_text(re.compile("^(Live|Waiting)$"))
    return page


def row(page: Page, name: str) -> Any:
    return page.locator(".bw-tree-body .bw-row").filter(has_text=name)


def types(windows: Windows) -> list[str]:
    """The types of the messages that came, in their order."""
    return [json.loads(frame)["type"] for frame in windows.frames]


# -- following a build ----------------------------------------------------------------------------------------------


def test_one_session_fills_the_window_and_follows_the_files(windows, shop):
    with serving(shop.root) as server:
        page = live(windows.open(server.url))
        expect(page.locator(".bw-project")).to_have_text("shop")
        expect(row(page, "Api")).to_contain_text("40 %")
        expect(page).to_have_title(re.compile(r"^20\s% · shop · In progress$"))
        before = page.evaluate("() => document.querySelector('link[rel=icon]').href")
        assert before.startswith("data:image/svg+xml,")
        shop.checkpoint(components=[component("api", 100, "completed"), component("web", 100, "completed")])
        expect(row(page, "Api")).to_contain_text("100 %")
        expect(page).to_have_title(re.compile(r"^100\s% · shop · Done$"))
        assert page.evaluate("() => document.querySelector('link[rel=icon]').href") != before
        # The face takes what the window has.
        box = page.locator(".bw-page-main > .bw-root").bounding_box()
        assert box is not None
        assert box["width"] > 950
        assert box["height"] > 700
        # With one session there is nothing to choose.
        assert page.locator(".bw-switch").count() == 0


def test_output_appears_with_its_colours(windows):
    with published() as session, serving(session) as server:
        page = live(windows.open(server.url))
        session.write_terminal("\x1b[32mok\x1b[0m first\n", source="pytest")
        page.get_by_role("tab", name="Output").click()
        expect(page.locator(".bw-line-text")).to_have_text("ok first")
        expect(page.locator(".bw-ink-green")).to_have_text("ok")
        expect(page.locator(".bw-line-source")).to_have_text("pytest")
        session.write_terminal("it broke\n", output_type="stderr", source="pytest")
        expect(page.locator(".bw-line-mark").last).to_have_text("err")
        session.write_terminal("".join(f"line {n}\n" for n in range(3, 700)))
        expect(page.locator(".bw-line-text").last).to_have_text("line 699")
        assert page.locator(".bw-line").count() == 500
        expect(page.locator(".bw-line").last).to_be_in_viewport()


# -- losing the server ----------------------------------------------------------------------------------------------


def test_a_lost_connection_goes_on_where_it_was(windows, stack):
    session = stack.enter_context(published())
    server = stack.enter_context(serving(session))
    proxy = stack.enter_context(Proxy(server.port))
    session.publish({"type": "component_update", "component_id": "api", "status": "in_progress", "progress": 10})
    page = live(windows.open(proxy.url))
    expect(row(page, "api")).to_contain_text("10 %")
    proxy.cut(stay_shut=True)
    expect(pill(page)).not_to_have_text(re.compile("^(Live|Waiting)$"))
    for progress in range(11, 60):
        session.publish({"type": "component_update", "component_id": "api", "progress": progress})
    expect(page.locator(".bw-strip")).to_contain_text("What you see was true")
    expect(row(page, "api")).to_contain_text("10 %")
    proxy.mend()
    expect(row(page, "api")).to_contain_text("59 %")
    live(page)
    expect(page.locator(".bw-strip")).to_be_hidden()
    assert types(windows).count("snapshot") == 1, "what was missed came by number"
    seqs = [message["seq"] for message in map(json.loads, windows.frames) if message["type"].endswith("_update")]
    assert seqs == sorted(set(seqs)), "nothing twice"


def test_a_killed_server_is_told_and_a_new_one_is_believed(windows, shop, stack):
    first = Process(shop=shop.root)
    stack.callback(first.end)
    page = live(windows.open(first.url))
    expect(row(page, "Api")).to_contain_text("40 %")
    first.end()
    expect(pill(page)).to_have_text("Server gone")
    strip = page.locator(".bw-strip")
    expect(strip).to_contain_text("does not answer")
    expect(strip).to_contain_text(re.compile("Next try in|Trying"))
    expect(row(page, "Api")).to_contain_text("40 %")
    expect(page).to_have_title(re.compile("Server gone"))
    shop.checkpoint(components=[component("api", 70)])
    second = Process(first.port, shop=shop.root)
    stack.callback(second.end)
    # The page may have tried by itself while the server began: then the button is hidden, and a press does nothing.
    strip.locator("button", has_text="Try now").dispatch_event("click")
    live(page)
    expect(row(page, "Api")).to_contain_text("70 %")
    assert row(page, "Web").count() == 0
    epochs = {json.loads(frame)["epoch"] for frame in windows.frames if '"connection"' in frame[:40]}
    assert len(epochs) == 2
    assert types(windows).count("snapshot") == 2
    # A server that ends in peace says so.
    second.end(signal.SIGTERM)
    expect(pill(page)).to_have_text("Server gone")


def test_a_session_that_is_not_there_is_said_to_be_missing(windows, shop):
    with serving(shop.root) as server:
        page = windows.open(f"{server.url}/?session=nobody")
        expect(pill(page)).to_have_text("No such session")
        expect(page.locator(".bw-strip")).to_contain_text("knows no session 'nobody'")


def test_a_proxy_that_passes_no_websockets_is_found_out(windows, shop, stack):
    server = stack.enter_context(serving(shop.root))
    proxy = stack.enter_context(Proxy(server.port, websockets=False))
    page = windows.open(proxy.url)
    expect(page.locator(".bw-strip")).to_contain_text("its WebSocket does not get through")


def test_a_token_opens_the_page_and_does_not_stay_in_the_address(windows, shop):
    token = "kept-in-a-cookie"
    with serving(shop.root, token=token) as server:
        page = windows.open(server.url)
        expect(page.locator("body")).to_contain_text("token=TOKEN")
        page.goto(f"{server.url}/?token={token}")
        live(page)
        assert token not in page.url
        page.reload()
        live(page)
        page.context.clear_cookies()
        page.evaluate("() => dispatchEvent(new Event('online'))")
        for client in sessions_of(server).clients():
            client.hub._loop.call_soon_threadsafe(client.writer.abort)
        expect(pill(page)).to_have_text("Refused")
        expect(page.locator(".bw-strip")).to_contain_text("open the page with its token again")
        assert not any(token in url for url in windows.asked if url.startswith("ws"))


# -- several sessions -----------------------------------------------------------------------------------------------


@pytest.fixture
def two(stack) -> tuple[Any, BuildSession, BuildSession]:
    one = stack.enter_context(published("one"))
    other = stack.enter_context(published("other"))
    one.publish([
        {"type": "component_update", "component_id": "api", "status": "in_progress", "progress": 25},
        {"type": "build_progress", "percent": 25},
    ])  # fmt: skip
    server = stack.enter_context(serving(one))
    sessions_of(server).add(other)
    return server, one, other


@contextlib.contextmanager
def another_site(body: str) -> Iterator[str]:
    """A page of another site (``localhost``, where the server is ``127.0.0.1``): its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{site.server_port}/"
        finally:
            site.shutdown()
            thread.join(10)


def test_a_link_of_another_site_opens_the_page_of_who_is_logged_in(windows, shop, stack):
    server = stack.enter_context(serving(shop.root, token="read-token-1"))
    links = [f'<a href="{server.url}/">build</a>', f'<a href="{server.url}/" target="_blank" rel="noopener">new</a>']
    site = stack.enter_context(another_site("<!doctype html><title>chat</title>" + " ".join(links)))
    stranger = windows.open(site)
    with stranger.expect_navigation() as opened:
        stranger.get_by_role("link", name="build").click()
    assert opened.value.status == 401
    page = live(windows.open(f"{server.url}/?token=read-token-1"))
    page.goto(site)
    with page.expect_navigation() as opened:
        page.get_by_role("link", name="build").click()
    assert opened.value.status == 200
    live(page)
    page.goto(site)
    with page.context.expect_page() as tab:
        page.get_by_role("link", name="new").click()
    live(tab.value)
    # What a page of another site asks for by itself comes without the cookie.
    page.goto(site)
    address = f"{server.url}/api/build/sessions"
    with page.expect_request(address) as asked:
        page.evaluate("url => fetch(url, {credentials: 'include', mode: 'no-cors'}).catch(() => null)", address)
    assert "cookie" not in asked.value.all_headers()


@pytest.mark.parametrize("name", ["my shop", "R&D #2", "a?b=c", "x%2Fy", "ümläut", "a+b"])
def test_a_session_of_any_name_is_opened_from_the_list(windows, tmp_path, stack, name):
    project, other = Project(tmp_path / name), Project(tmp_path / "other")
    project.checkpoint(components=[component("api", 40)])
    sessions = Sessions(ServerOptions(port=0))
    for one in (project, other):
        sessions.add(stack.enter_context(contextlib.closing(BuildSession(one.root).open())))
    server = LiveServer(sessions, ServerOptions(port=0))
    stack.callback(server.stop)
    page = windows.open(server.url)
    page.get_by_role("link", name=name).click()
    live(page)
    expect(row(page, "Api")).to_contain_text("40 %")
    page.reload()
    live(page)
    expect(row(page, "Api")).to_contain_text("40 %")


def test_several_sessions_are_listed_and_lead_to_each(windows, two):
    server, _, other = two
    page = windows.open(server.url)
    rows = page.locator(".bw-build")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("In progress")
    expect(rows.first).to_contain_text("25 %")
    expect(rows.last).to_contain_text("Unknown")
    expect(rows.first.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(page).to_have_title("All builds · 1 in progress")
    other.publish([
        {"type": "component_update", "component_id": "web", "status": "in_progress"},
        {"type": "build_progress", "percent": 75},
    ])  # fmt: skip
    expect(rows.last).to_contain_text("75 %")
    rows.last.click()
    live(page)
    assert page.url.endswith("?session=other")
    expect(row(page, "web")).to_be_visible()
    expect(page).to_have_title(re.compile("^75"))
    page.get_by_label("Show another build").select_option("one")
    expect(row(page, "api")).to_be_visible()
    assert row(page, "web").count() == 0
    page.go_back()
    expect(row(page, "web")).to_be_visible()
    page.go_back()
    expect(rows).to_have_count(2)
    page.go_forward()
    live(page)
    page.get_by_role("link", name="All builds").click()
    expect(rows).to_have_count(2)
    # Who leaves a session leaves its stream.
    until(lambda: sessions_of(server).clients() == [], what="no client is left")
    page.goto(f"{server.url}/?session=one")
    expect(row(page, "api")).to_be_visible()


def test_a_list_whose_server_is_gone_says_so(windows, two):
    server, _, _ = two
    page = windows.open(server.url)
    expect(page.locator(".bw-build")).to_have_count(2)
    port = server.port
    server.stop()
    page.evaluate("() => dispatchEvent(new Event('online'))")  # it asks at once, not only after its pause
    strip = page.locator(".bw-strip")
    expect(strip).to_contain_text("does not answer")
    expect(page.locator(".bw-build")).to_have_count(2)
    expect(page).to_have_title(re.compile("^Server gone"))
    with published("another") as session:
        again = serve(session, port=port)
        try:
            strip.locator("button", has_text="Try now").dispatch_event("click")  # hidden if it has tried by itself
            # One session is left: it is what there is to see.
            expect(page.locator(".bw-project")).to_have_text("another")
            expect(strip).to_be_hidden()
        finally:
            again.stop()


# -- where it stands ------------------------------------------------------------------------------------------------


def test_it_works_under_a_path_behind_a_proxy(windows, two, stack):
    server, one, _ = two
    proxy = stack.enter_context(Proxy(server.port, "/tools/builds"))
    page = windows.open(f"{proxy.url}/")
    page.locator(".bw-build").first.click()
    live(page)
    assert page.url == f"{proxy.url}/?session=one"
    one.publish({"type": "component_update", "component_id": "api", "progress": 66})
    expect(row(page, "api")).to_contain_text("66 %")
    page.reload()
    live(page)
    page.get_by_role("link", name="All builds").click()
    expect(page.locator(".bw-build")).to_have_count(2)
    assert page.url == f"{proxy.url}/"
    assert all(f":{proxy.port}/tools/builds/" in url for url in windows.asked if not url.startswith("data:"))


def test_it_keeps_to_a_strict_policy(windows, two, stack):
    """That nothing was refused is checked after every test; here everything is looked at, and trusted types as well."""
    server, one, _ = two
    one.write_terminal("\x1b[31mred\x1b[0m\n")
    one.publish([
        {"type": "component_update", "component_id": "bad", "status": "error", "error": "It broke"},
        {"type": "phase_update", "phase_id": "1", "name": "First", "status": "in_progress"},
        {"type": "task_update", "task_id": "t", "name": "Task", "status": "in_progress"},
    ])  # fmt: skip
    page = windows.open(server.url)
    answer = page.request.get(server.url)
    assert answer.headers["content-security-policy"].startswith(POLICY)
    proxy = stack.enter_context(Proxy(server.port, policy="require-trusted-types-for 'script'; trusted-types lit-html"))
    page.goto(proxy.url)
    expect(page.locator(".bw-build")).to_have_count(2)
    page.locator(".bw-build").first.click()
    live(page)
    for tab in page.get_by_role("tab").all():
        tab.click()
    page.get_by_role("button", name="bad").click()
    expect(page.locator(".bw-details")).to_contain_text("It broke")
    widths = page.eval_on_selector_all(".bw-seg", "all => all.map(one => one.getBoundingClientRect().width)")
    assert any(width > 0 for width in widths), "the bar has the length that the script gave it"
    assert windows.refused() == []
    # Both are in force: what they forbid does not happen.
    page.evaluate("() => document.body.setAttribute('style', 'color: red')")
    page.evaluate("() => { try { document.body.innerHTML = '<p>' } catch {} }")
    assert len(windows.refused()) == 2
    page.evaluate("() => { window.refusedByPolicy = [] }")


# -- who looks at it ------------------------------------------------------------------------------------------------

MARKUP = "<img src=x onerror='window.hit=1'><script>window.hit=1</script><b>&amp;\"'`${1}"


def test_markup_is_inert_everywhere(windows, stack):
    evil = MARKUP
    session = stack.enter_context(published("shop"))
    other = stack.enter_context(published("other"))
    server = stack.enter_context(serving(session))
    sessions_of(server).add(other)
    item = {"name": evil, "status": "error", "error": evil, "dependencies": [evil], "metadata": {evil: evil}}
    session.publish([
        {"type": "component_update", "component_id": evil, "component_type": evil, "files": [evil], **item},
        {"type": "feature_update", "feature_id": evil, "description": evil, "priority": evil, **item},
        {"type": "task_update", "task_id": evil, "parent_id": evil, **item},
        {"type": "phase_update", "phase_id": evil, "name": evil, "status": "in_progress", "step_label": evil,
         "current_task": evil, "errors": [evil], "warnings": [evil]},
        {"type": "checkpoint_update", "checkpoint_id": evil, "phase": evil, "status": evil},
        {"type": "build_progress", "percent": 5, "current_component": evil, "current_feature": evil},
        {"type": "error", "error_message": evil, "error_type": evil},
        {"type": "runtime_update", "runtime": evil, "backend": evil},
    ])  # fmt: skip
    session.write_terminal(f"{evil}\n\x1b[31m{evil}\x1b[0m\n", output_type="stderr", source=evil)
    page = windows.open(server.url)
    expect(page.locator(".bw-build")).to_have_count(2)
    page.locator(".bw-build").last.click()
    live(page)
    expect(row(page, MARKUP).first).to_be_visible()
    row(page, MARKUP).first.click()
    expect(page.locator(".bw-details")).to_contain_text(MARKUP)
    for tab in page.get_by_role("tab").all():
        tab.click()
        expect(page.locator(".bw-panel")).to_contain_text("<img src=x")
    bad = "img, script:not([src='static/page.js']), b:not([class]):has(img), iframe, [onerror], a[href^=javascript]"
    assert page.locator(bad).count() == 0
    # Named in the address, too.
    page.goto(f"{server.url}/?session=%3Cimg%20src%3Dx%20onerror%3D%22window.hit%3D1%22%3E")
    expect(pill(page)).to_have_text("No such session")
    assert page.locator(bad).count() == 0
    assert page.evaluate("() => window.hit") is None


def _problems(page: Page) -> list[str]:
    page.evaluate("window.axe || new Promise(done => setTimeout(done))")
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_use_it(windows, two, scheme):
    server, one, _ = two
    one.write_terminal("\x1b[33mwarm\x1b[0m\n", output_type="stderr", source="make")
    one.publish({"type": "component_update", "component_id": "bad", "status": "error", "error": "It broke"})
    page = windows.open(server.url, color_scheme=scheme, bypass_csp=True)
    page.evaluate(AXE.read_text("utf-8"))
    rows = page.locator(".bw-build")
    expect(rows).to_have_count(2)
    assert _problems(page) == []
    # By key alone: the list, a session, its tabs, and back.
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement?.matches('.bw-build-link')"):
            break
    page.keyboard.press("Enter")
    live(page)
    assert page.evaluate("() => document.activeElement.tagName") == "MAIN"
    page.get_by_role("tab", selected=True).focus()
    page.keyboard.press("End")
    expect(page.locator(".bw-line-text")).to_have_text("warm")
    assert _problems(page) == []
    dark = page.evaluate("() => getComputedStyle(document.querySelector('.bw-page-main > .bw-root')).backgroundColor")
    assert dark == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")
    server.stop()
    expect(page.locator(".bw-strip")).to_be_visible()
    assert _problems(page) == []
    expect(page.locator(".bw-announcer")).to_have_text(re.compile("Server gone|Reconnecting"))
    page.get_by_role("button", name="Try now").focus()
    page.keyboard.press("Enter")
    page.go_back()
    expect(rows).to_have_count(2)


def test_nothing_is_cut_off_at_any_width(windows, two):
    server, one, other = two
    long = "A name that does not know when it should end, " * 4
    one.publish([
        {"type": "component_update", "component_id": "long", "name": long, "status": "error", "error": long},
        {"type": "phase_update", "phase_id": long, "name": long, "status": "in_progress"},
    ])  # fmt: skip
    one.write_terminal("x" * 3000 + "\n", source=long)
    other.publish({"type": "component_update", "component_id": "a", "status": "in_progress"})
    page = windows.open(server.url)
    fits = "() => document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('.bw-root')].every(r => r.scrollWidth <= r.clientWidth + 1)"  # noqa: E501
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 700})
        page.goto(server.url)
        expect(page.locator(".bw-build")).to_have_count(2)
        assert page.evaluate(fits), f"the list at {width} px"
        page.goto(f"{server.url}/?session=one")
        live(page)
        for tab in page.get_by_role("tab").all():
            tab.click()
            until(lambda: page.evaluate(fits), what=f"{tab.inner_text()} at {width} px fits")
        footer = page.locator(".bw-page-foot").bounding_box()
        assert footer is not None
        assert footer["y"] + footer["height"] <= 701
