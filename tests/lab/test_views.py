"""What is in the cell: views that agree, themes, accessibility, markup, requests."""

from __future__ import annotations

import json

import pytest

from .builds import component, feature
from .face import Face
from .jupyterlab import ROOT, THEMES, until

AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"


def test_two_views_of_one_widget_agree(show, project):
    project.put([component("api"), component("web")])
    notebook, first = show("w", "w.selected = ['component:api']", "w.filter = 'web'", "w.filter = ''")
    notebook.run(1)
    second = Face(notebook, 1)
    second.wait()
    first.click("Web")
    second.wait_selected(["Web"])
    first.wait_selected(["Web"])
    until(lambda: notebook.evaluate("w.selected") == ["component:web"], "Python knows the selection")
    notebook.run(2)
    first.wait_selected(["Api"])
    second.wait_selected(["Api"])
    notebook.run(3)
    for face in (first, second):
        face.wait_row_gone("Api")
        assert face.has_row("Web")
    notebook.run(4)
    for face in (first, second):
        face.wait_row("Api")
    first.type_filter("api")
    second.wait_row_gone("Web")
    until(lambda: notebook.evaluate("w.filter") == "api", "Python knows the filter")
    project.put([component("api", name="Api for both"), component("web")])
    first.wait_text("Api for both")
    second.wait_text("Api for both")


def test_a_new_view_of_the_output(show, project):
    project.put([component("api"), component("web")])
    notebook, first = show()
    first.click("Web")
    notebook.command("notebook:create-output-view")
    second = Face(notebook, None)
    second.wait()
    second.wait_selected(["Web"])
    project.put([component("api", name="Api for both"), component("web")])
    first.wait_text("Api for both")
    second.wait_text("Api for both")


@pytest.fixture
def _light_again(page):
    yield
    from .jupyterlab import set_theme

    if not page.is_closed():
        set_theme(page, THEMES[0])


def _colours(face: Face) -> tuple[str, str]:
    return face.page.eval_on_selector(
        face.ROOT,
        """root => {
          const backing = node => {
            for (let n = node; n; n = n.parentElement) {
              const colour = getComputedStyle(n).backgroundColor;
              if (!/rgba\\(.*, 0\\)|transparent/.test(colour)) return colour;
            }
            return 'rgb(255, 255, 255)';
          };
          return [getComputedStyle(root).color, backing(root)];
        }""",
    )


def _luminance(colour: str) -> float:
    parts = [float(part) for part in colour.strip("rgba()").split(",")[:3]]
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.usefixtures("_light_again")
def test_every_theme(show, project):
    words = ["completed", "in_progress", "error", "blocked", "skipped", "cancelled", "paused", "not_started", "strange"]
    parts = [component(f"part-{word}", status=word, error="It broke" if word == "error" else None) for word in words]
    project.put(parts, [feature("login", "part-error"), feature("logout", status="completed")])
    project.rewrite(b"[1, 2]", 2)
    notebook, face = show()
    face.wait_text("Login")
    face.wait_warning("000002")
    face.wait_live()
    notebook.page.evaluate(AXE.read_text("utf-8"))
    seen = []
    for theme in THEMES:
        notebook.theme(theme)
        text, ground = _colours(face)
        seen.append((text, ground))
        light, dark = sorted((_luminance(text), _luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 7, f"{theme}: {text} on {ground}"
        found = notebook.page.evaluate("selector => axe.run(selector, { resultTypes: ['violations'] })", face.ROOT)
        assert _violations(found) == [], theme
    assert len(set(seen)) >= 2, "the theme changes the colours"
    assert seen[0] != seen[1]


def _violations(result) -> list[str]:
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for one in result["violations"]
        for node in one["nodes"]
    ]


def test_nothing_is_cut_off_in_a_narrow_cell(show, project, page):
    """Names may be shortened, but the cell never needs to scroll sideways."""
    long = "A component with a name that does not know when it should end, " * 3
    project.put([component("api", name=long, error=long), component("web")], [feature("login", name=long)])
    project.rewrite(b"[]", 2)
    notebook, face = show()
    face.wait_text("A component with")
    face.wait_warning("000002")
    try:
        for width in (360, 600, 1200):
            notebook.resize(face.ROOT, width)
            until(
                lambda: face.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1"),
                f"the content fits into {width} px",
            )
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize(
    "box",
    ["HBox([w])", "HBox([w, widgets.Button()])", "HBox([HBox([w])])", "VBox([w])", "GridBox([w])", "Box([w])"],
)
def test_it_is_seen_in_every_box(show, project, box):
    project.put([component("api"), component("web")])
    notebook, _ = show(f"import ipywidgets as widgets\nwidgets.{box.replace('([HBox', '([widgets.HBox')}")
    notebook.run(1)
    face = Face(notebook, 1)
    face.wait()
    face.wait_row("Web")
    until(lambda: face.root.evaluate("root => root.clientWidth >= 300"), "the cell has a width")
    assert face.row("Web").is_visible()


def test_the_keyboard_reaches_everything(show, project):
    project.put([component("api"), component("web")])
    notebook, face = show()
    page = notebook.page
    face.filter_box().focus()
    reached = set()
    for _ in range(12):
        reached.add(
            page.evaluate("() => document.activeElement?.closest('[data-id], [role=row], tr')?.textContent ?? ''")
        )
        if any("Api" in text or "Web" in text for text in reached):
            break
        page.keyboard.press("Tab")
    assert any("Api" in text or "Web" in text for text in reached), reached
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(lambda: len(face.selected()) == 1, "a row is selected with the keyboard")


MARKUP = (
    "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    "<blink>bold</blink> &amp; <a href='javascript:window.hit=1'>a</a>"
)


def test_markup_is_inert_everywhere(show, project):
    task = {"id": MARKUP, "name": f"task {MARKUP}", "completed": False}
    parts = [
        component(
            MARKUP, name=f"part {MARKUP}", type=MARKUP, status=MARKUP, error=MARKUP, files=[MARKUP],
            dependencies=[MARKUP], extra={MARKUP: MARKUP},
        ),
        component("bad", name=f"bad {MARKUP}", status="error", error=f"broke {MARKUP}"),
    ]  # fmt: skip
    things = [
        feature(
            "thing", MARKUP, name=f"thing {MARKUP}", description=MARKUP, priority=MARKUP, tasks=[task], error=MARKUP
        )
    ]
    project.put(parts, things, phase=MARKUP, tasks_completed=[MARKUP], files_created=[MARKUP])
    lock = project.root / ".buildrunner" / "locks" / "phase-1"
    lock.mkdir(parents=True)
    body = {
        "phase": MARKUP, "name": MARKUP, "step": 1, "step_name": MARKUP, "step_label": MARKUP, "status": "active",
        "tasks_total": 2, "tasks_done": 1, "current_task": MARKUP, "errors": [MARKUP], "warnings": [MARKUP],
    }  # fmt: skip
    (lock / "progress.json").write_text(json.dumps(body))
    context = project.root / ".buildrunner" / "context"
    context.mkdir()
    (context / "<img src=x onerror=window.hit=1>.md").write_text(MARKUP)
    (project.folder / "checkpoint_<img src=x onerror=window.hit=1>.json").write_text("{" + MARKUP)
    notebook, face = show("w.close()")
    face.wait_text("part <img src=x")
    face.wait_text("broke <img src=x")
    face.wait_warning("onerror")
    face.open_everything()
    script = (
        "root => root.querySelectorAll('img, script, blink, iframe, object, [onerror], a[href^=javascript]').length"
    )
    assert notebook.page.eval_on_selector(face.ROOT, script) == 0
    notebook.run(1)
    output = notebook.output(0)
    until(lambda: output.query_selector("table") is not None, "the static table")
    assert output.evaluate(script) == 0
    assert notebook.page.evaluate("() => window.hit") is None


def test_the_cell_asks_for_nothing(show, project, page):
    """Not one request comes from the widget's code. (That none leaves the machine is checked after every test.)"""
    mine: list[str] = []
    all_seen: list[str] = []

    def requested(event) -> None:
        all_seen.append(event["request"]["url"])
        stack = event.get("initiator", {}).get("stack")
        while stack:
            if any(frame["url"].startswith("blob:") for frame in stack["callFrames"]):
                mine.append(event["request"]["url"])
            stack = stack.get("parent")

    cdp = page.context.new_cdp_session(page)
    cdp.on("Network.requestWillBeSent", requested)
    cdp.send("Network.enable")
    project.put([component("api"), component("web")], [feature("login")])
    _, face = show()
    project.put([component("api", name="Api two"), component("web")], [feature("login")])
    face.wait_text("Api two")
    face.click("Web")
    face.wait_selected(["Web"])
    assert any(url.startswith("blob:") for url in all_seen), "the widget's module itself is seen"
    assert mine == []
    cdp.detach()
