"""The widget in a real kernel, without a browser: what is on the wire while the loop is free and while it is not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from buildwidget import events as ev
from buildwidget.state import fold

from .projects import Project, component, until

pytestmark = pytest.mark.timeout(90)


class Kernel:
    """A kernel and what it publishes about widgets."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.seen: list[dict[str, Any]] = []

    def drain(self) -> list[dict[str, Any]]:
        """Take in what has been published, with the time it came."""
        while self.client.iopub_channel.msg_ready():
            message = self.client.get_iopub_msg(timeout=1)
            message["came"] = time.monotonic()
            self.seen.append(message)
        return self.seen

    def start(self, code: str) -> str:
        """Run a cell, without waiting for it."""
        return self.client.execute(code)

    def idle(self, request: str) -> bool:
        return any(
            m["msg_type"] == "status"
            and m["content"]["execution_state"] == "idle"
            and m["parent_header"].get("msg_id") == request
            for m in self.drain()
        )

    def run(self, code: str) -> str:
        """Run a cell to its end; give what it printed."""
        request = self.start(code)
        until(lambda: self.idle(request), 30, code)
        mine = [m for m in self.seen if m["parent_header"].get("msg_id") == request]
        errors = [m["content"]["evalue"] for m in mine if m["msg_type"] == "error"]
        assert not errors, errors
        return "".join(m["content"]["text"] for m in mine if m["msg_type"] == "stream")

    @property
    def comm(self) -> str:
        """The comm of the newest widget of ours."""
        opened = [
            m["content"]["comm_id"]
            for m in self.drain()
            if m["msg_type"] == "comm_open" and "_esm" in m["content"]["data"].get("state", {})
        ]
        return opened[-1]

    def say(self, content: dict[str, Any]) -> None:
        """Send the widget what a view would send."""
        body = {"comm_id": self.comm, "data": {"method": "custom", "content": content}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", body))

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The custom messages of one kind, with their buffers and times."""
        return [
            {**m["content"]["data"]["content"], "buffers": m.get("buffers"), "came": m["came"]}
            for m in self.drain()
            if m["msg_type"] == "comm_msg"
            and m["content"]["data"].get("method") == "custom"
            and m["content"]["data"]["content"].get("kind") == kind
        ]

    def events(self) -> list[dict[str, Any]]:
        """All messages of all envelopes, in order, each once."""
        found: dict[int, dict[str, Any]] = {}
        for envelope in self.heard("events"):
            for message in json.loads(bytes(envelope["buffers"][0])):
                found.setdefault(message["seq"], {**message, "came": envelope["came"]})
        return [found[seq] for seq in sorted(found)]


@pytest.fixture(scope="module")
def started() -> Iterator[BlockingKernelClient]:
    manager: KernelManager
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(started: BlockingKernelClient) -> Iterator[Kernel]:
    kernel = Kernel(started)
    kernel.drain()
    kernel.seen.clear()
    yield kernel
    kernel.run("import buildwidget as bw\nfor w in list(bw.widget.open_widgets()): w.close()")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "shop")
    project.checkpoint(components=[component("api", 1)])
    return project


def open_cell(kernel: Kernel, project: Project, **options: Any) -> dict[str, Any]:
    """Run the live cell and greet it as a view does; give the welcome."""
    given = "".join(f", {k}={v!r}" for k, v in options.items())
    kernel.run(f"import buildwidget as bw\nw = bw.watch({str(project.root)!r}{given})\nw")
    kernel.say({"kind": "hello", "id": "h1", "epoch": None, "seq": 0})
    return until(lambda: kernel.heard("welcome"))[0]


def update_seen(kernel: Kernel, progress: float) -> Callable[[], Any]:
    return lambda: [e for e in kernel.events() if e["type"] == "component_update" and e["progress"] == progress]


def test_the_cell_opens_with_the_truth(kernel: Kernel, project: Project) -> None:
    kernel.run(f"import buildwidget as bw\nw = bw.watch({str(project.root)!r})\nw")
    opened = [m for m in kernel.drain() if m["msg_type"] == "comm_open" and "_esm" in m["content"]["data"]["state"]]
    paths = opened[-1]["content"]["data"]["buffer_paths"]
    state = json.loads(bytes(opened[-1]["buffers"][paths.index(["_snapshot"])]))["state"]
    assert [c["component_id"] for c in state["components"]] == ["api"]
    [shown] = [m for m in kernel.seen if m["msg_type"] == "display_data"]
    data = shown["content"]["data"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "shop, in progress, 1 %" in data["text/plain"]
    assert "<table>" in data["text/html"]


def test_a_view_is_welcomed_and_gets_the_state(kernel: Kernel, project: Project) -> None:
    welcome = open_cell(kernel, project)
    assert welcome["id"] == "h1"
    [snapshot] = until(lambda: kernel.heard("snapshot"))
    assert json.loads(bytes(snapshot["buffers"][0]))["components"][0]["component_id"] == "api"
    assert snapshot["epoch"] == welcome["epoch"]


def test_updates_in_a_free_loop(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    for n in (10, 20, 30):
        project.checkpoint(components=[component("api", n)])
        until(update_seen(kernel, n), 5)


@pytest.mark.parametrize(
    "block",
    ["import time; time.sleep(3)", "import time\nend = time.time() + 3\nwhile time.time() < end: sum(range(1000))"],
    ids=["sleep", "python"],
)
def test_updates_while_another_cell_runs(kernel: Kernel, project: Project, block: str) -> None:
    open_cell(kernel, project)
    request = kernel.start(block)
    project.checkpoint(components=[component("api", 5)])  # in the first moments of the block
    until(update_seen(kernel, 5), 2)
    for n in range(10, 20):
        project.checkpoint(components=[component("api", n)])
        until(update_seen(kernel, n), 2)
    assert not kernel.idle(request)
    until(lambda: kernel.idle(request))
    project.checkpoint(components=[component("api", 77)])
    until(update_seen(kernel, 77), 5)


def test_envelopes_leave_no_hole(kernel: Kernel, project: Project) -> None:
    welcome = open_cell(kernel, project)
    for n in range(200):
        project.checkpoint(components=[component("api", n / 2)])
    until(update_seen(kernel, 99.5), 5)
    newest = json.loads(kernel.run("print(w.session.seq)"))
    until(lambda: any(envelope["to"] == newest for envelope in kernel.heard("events")), 5)
    reached = welcome["seq"]
    for envelope in kernel.heard("events"):
        assert envelope["from"] <= reached + 1
        reached = max(reached, envelope["to"])
    truth = json.loads(kernel.run("import msgspec; print(msgspec.json.encode(w.state).decode())"))
    [snapshot] = kernel.heard("snapshot")
    start = ev.decode(
        json.dumps({"type": "snapshot", "epoch": "e", "seq": 0, "state": json.loads(bytes(snapshot["buffers"][0]))})
    )
    log = [ev.decode(json.dumps({k: v for k, v in e.items() if k != "came"})) for e in kernel.events()]
    assert newest == reached
    import msgspec

    assert json.loads(msgspec.json.encode(fold(log, start.state, snapshot["seq"]).snapshot())) == truth


def test_a_hole_is_filled_on_request(kernel: Kernel, project: Project) -> None:
    welcome = open_cell(kernel, project)
    project.checkpoint(components=[component("api", 42)])
    until(update_seen(kernel, 42))
    before = len(kernel.heard("events"))
    kernel.say({"kind": "replay", "epoch": welcome["epoch"], "since": welcome["seq"]})
    envelope = until(lambda: kernel.heard("events")[before:])[0]
    assert envelope["from"] == welcome["seq"] + 1


def test_silence_is_broken_by_a_heartbeat(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    assert until(lambda: kernel.heard("heartbeat"), 5)[0]["busy"] is False
    request = kernel.start("import time; time.sleep(4)")
    until(lambda: [h for h in kernel.heard("heartbeat") if h["busy"]], 4)
    until(lambda: kernel.idle(request))


def test_selection_and_filter_go_both_ways(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    kernel.say({"kind": "select", "ids": ["component:api"]})
    assert until(lambda: kernel.heard("selected"))[0]["ids"] == ["component:api"]
    until(lambda: kernel.run("print(w.selected)") == "['component:api']\n")
    kernel.run("w.selected = []; w.filter = 'status:error'")
    updates = [
        m["content"]["data"]["state"] for m in kernel.drain() if m["content"].get("data", {}).get("method") == "update"
    ]
    assert {"selected": []} in updates
    assert {"filter": "status:error"} in updates


def test_nonsense_from_a_view_does_no_harm(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    for nonsense in (
        {},
        {"kind": "select", "ids": "x"},
        {"kind": "replay", "epoch": 1, "since": "x"},
        {"kind": ["a"]},
        {"kind": "filter", "text": 5},
    ):
        kernel.say(nonsense)
    kernel.say({"kind": "ping", "id": 7})
    assert until(lambda: kernel.heard("pong"))[0]["id"] == 7


def test_frames_callbacks_and_waiting(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    assert (
        kernel.run("print(w.components.loc[0, 'component_id'], w.components.dtypes['started_at'])").strip()
        == "api datetime64[us, UTC]"
    )
    kernel.run("got = []\nw.on('component_update', lambda e: got.append(e.progress))")
    kernel.run("@w.on('session_update')\nasync def note(e): got.append(e.status.value)")
    waiting = kernel.start("print(await w.wait('completed', timeout=20))")
    project.checkpoint(components=[component("api", 50)])
    until(update_seen(kernel, 50))
    project.checkpoint(components=[component("api", 100, "completed")])
    until(lambda: kernel.idle(waiting))
    assert any(m["content"].get("text") == "completed\n" for m in kernel.seen)
    assert "50.0" in kernel.run("print(got)")
    assert "completed" in kernel.run("print(got)")


def test_waiting_says_why_it_ends(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    code = "try:\n    await w.wait('completed', timeout={})\nexcept Exception as e:\n    print(type(e).__name__, e)"
    assert kernel.run(code.format(0.05)).startswith("TimeoutError the build was not completed within 0.05 s")
    project.checkpoint(components=[component("api", 40, "failed")])
    assert "BuildEndedError the build ended with status 'failed'" in kernel.run(code.format(10))
    assert "ValueError no status" in kernel.run(
        "try:\n    await w.wait('done')\nexcept Exception as e:\n    print(type(e).__name__, e)"
    )


def test_a_failing_callback_is_told_in_the_cell(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    kernel.run("w.on('component_update', lambda e: 1 / 0)")
    project.checkpoint(components=[component("api", 33)])
    assert "ZeroDivisionError" in until(lambda: kernel.heard("notice"))[0]["text"]
    project.checkpoint(components=[component("api", 34)])
    until(update_seen(kernel, 34))


def test_running_the_cell_again_a_hundred_times(kernel: Kernel, project: Project) -> None:
    """Without a cell's name every run makes one more: up to a limit, with one session, thread and notifier for all."""
    for _ in range(100):
        request = kernel.start(f"import buildwidget as bw, threading, os\nw = bw.watch({str(project.root)!r})")
    until(lambda: kernel.idle(request), 60)
    kernel.run("import gc; gc.collect()")
    assert int(kernel.run("print(len(bw.widget.open_widgets()))")) <= 32
    code = "print(sorted(t.name for t in threading.enumerate() if 'buildwidget' in t.name))"
    assert kernel.run(code) == "['buildwidget-inotify', 'buildwidget-watch']\n"  # the first is the process's own
    links = "[os.readlink(f.path) for f in os.scandir('/proc/self/fd') if os.path.lexists(f.path)]"
    assert int(kernel.run(f"print(sum('inotify' in link for link in {links}))")) <= 2


def greet(kernel: Kernel, number: int, **more: Any) -> None:
    """Say hello to the newest widget, as its view does."""
    kernel.say({"kind": "hello", "id": f"v{number}", "epoch": None, "seq": 0, **more})
    until(lambda: [w for w in kernel.heard("welcome") if w["id"] == f"v{number}"])


def test_what_is_on_show_stays_and_what_is_gone_goes_first(kernel: Kernel, project: Project) -> None:
    """40 cells of a front end that gives no cell's name, each with its view; then ten of the views go."""
    kernel.run("import buildwidget as bw\nws = []")
    make = f"ws.append(bw.watch({str(project.root)!r}))\nws[-1]"
    gone = [3, 4, 5, 10, 11, 12, 20, 30, 31, 39]
    for number in range(40):
        kernel.run(make)
        greet(kernel, number)
        if number in gone:
            kernel.say({"kind": "view", "shown": False})
    # From the 33rd on, each new one has taken the place of the first whose view was gone.
    assert kernel.run("print([i for i, w in enumerate(ws) if w.closed])") == f"{gone[:8]}\n"
    kernel.run(make)
    kernel.run(make)
    assert kernel.run("print([i for i, w in enumerate(ws) if w.closed])") == f"{gone}\n"
    assert kernel.run("print(len(bw.widget.open_widgets()))") == "32\n"
    for _ in range(3):
        kernel.run(make)
    assert kernel.run("print([i for i, w in enumerate(ws) if w.closed])") == f"{gone}\n", "all others are on show"


def test_a_view_that_comes_back_is_on_show(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    assert kernel.run("print(w.on_show)") == "shown\n"
    kernel.say({"kind": "view", "shown": False})
    until(lambda: kernel.run("print(w.on_show)") == "gone\n")
    kernel.say({"kind": "hello", "id": "h2", "epoch": None, "seq": 0, "shown": False})  # no view asks, the model does
    until(lambda: [w for w in kernel.heard("welcome") if w["id"] == "h2"])
    assert kernel.run("print(w.on_show)") == "gone\n"
    kernel.say({"kind": "view", "shown": True})
    until(lambda: kernel.run("print(w.on_show)") == "shown\n")


def test_a_widget_whose_host_has_closed_its_connection_goes(kernel: Kernel, project: Project) -> None:
    """As marimo does when a cell runs again: it closes the comm, and says nothing to the widget."""
    open_cell(kernel, project)
    kernel.run(f"w.comm.close()\nnew = bw.watch({str(project.root)!r})")
    assert kernel.run("print(w.closed, new.closed)") == "True False\n"


def test_a_selection_that_a_view_saves_is_the_trait(kernel: Kernel, project: Project) -> None:
    """What marimo runs dependent cells on: a synced trait that the view has saved, told in the loop's own thread."""
    open_cell(kernel, project)
    kernel.run(
        "import threading\nseen = []\n"
        "w.observe(lambda c: seen.append((c.new, threading.current_thread() is threading.main_thread())), 'selected')"
    )
    assert kernel.run("print([w.trait_metadata(name, 'sync') for name in ('selected', 'filter')])") == "[True, True]\n"
    request = kernel.start("import time; time.sleep(1)")
    state = {"selected": ["component:api"], "filter": "api"}
    body = {"comm_id": kernel.comm, "data": {"method": "update", "state": state, "buffer_paths": []}}
    kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", body))
    until(lambda: kernel.idle(request))
    until(lambda: kernel.run("print(w.selected, w.filter)") == "['component:api'] api\n")
    assert kernel.run("print(seen)") == "[(['component:api'], True)]\n"


def test_two_widgets_of_one_project_do_not_make_the_kernel_busy(kernel: Kernel, project: Project) -> None:
    """Both ask whether the loop is alive, in the same moment: that is one question, and time for an answer."""
    kernel.run(f"import buildwidget as bw\nws = [bw.watch({str(project.root)!r}) for _ in range(3)]")
    comms = [
        m["content"]["comm_id"]
        for m in kernel.drain()
        if m["msg_type"] == "comm_open" and "_esm" in m["content"]["data"].get("state", {})
    ]
    for comm in comms:
        content = {"kind": "hello", "id": comm, "epoch": None, "seq": 0}
        body = {"comm_id": comm, "data": {"method": "custom", "content": content}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", body))
    beats = until(lambda: len(kernel.heard("heartbeat")) >= 9 and kernel.heard("heartbeat"), 15)
    assert [beat["busy"] for beat in beats] == [False] * len(beats)
    request = kernel.start("import time; time.sleep(4)")
    until(lambda: sum(beat["busy"] for beat in kernel.heard("heartbeat")) >= 3, 4)
    until(lambda: kernel.idle(request))


def test_close_shows_the_last_state_for_good(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    kernel.run("w.close(); w.close()")
    assert kernel.heard("closed")
    [update] = [m for m in kernel.drain() if m["msg_type"] == "update_display_data"]
    assert "application/vnd.jupyter.widget-view+json" not in update["content"]["data"]
    assert "closed" in update["content"]["data"]["text/html"]


def test_the_picture_is_renewed_when_the_build_ends(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    project.checkpoint(components=[component("api", 100, "completed")])
    updated = until(lambda: [m for m in kernel.drain() if m["msg_type"] == "update_display_data"])
    data = updated[-1]["content"]["data"]
    assert "completed, 100 %" in data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_sessions_are_shared_only_by_those_who_want_the_same(kernel: Kernel, project: Project) -> None:
    open_cell(kernel, project)
    kernel.run(f"again = bw.watch({str(project.root)!r}); polled = bw.watch({str(project.root)!r}, poll=True)")
    assert kernel.run("print(again.session is w.session, polled.session is w.session, polled.session.watching)") == (
        "True False poll\n"
    )
    kernel.run(
        "import threading\n"
        f"t = threading.Thread(target=lambda: globals().update(other=bw.watch({str(project.root)!r})))\n"
        "t.start(); t.join()\nother.close(); polled.close(); again.close()"
    )
    assert kernel.run("print(w.session.closed)") == "False\n"


def test_a_widget_that_cannot_be_made_leaves_nothing(kernel: Kernel, project: Project) -> None:
    code = (
        f"try:\n    bw.watch({str(project.root)!r}, height=None)\nexcept Exception as e:\n    print(type(e).__name__)"
    )
    kernel.run("import buildwidget as bw, threading")
    assert kernel.run(code) == "TraitError\n"
    assert kernel.run("print(sum('buildwidget' in t.name for t in threading.enumerate()))") == "0\n"


def test_a_path_from_below(kernel: Kernel, project: Project) -> None:
    kernel.run(f"import os, buildwidget as bw; here = os.getcwd(); os.chdir({str(project.dir)!r})")
    try:
        assert kernel.run("print(bw.watch('.'), bw.watch('..'))").count("<BuildWidget shop, in progress, 1 %") == 2
    finally:
        kernel.run("os.chdir(here)")


def test_outside_of_a_loop_callbacks_are_called_all_the_same(kernel: Kernel, project: Project) -> None:
    kernel.run("import buildwidget as bw, threading, time\ngot = []")
    kernel.run(
        f"def make():\n    global w\n    w = bw.watch({str(project.root)!r})\n"
        "    w.on('component_update', lambda e: got.append(e.progress))\n"
        "t = threading.Thread(target=make); t.start(); t.join()"
    )
    project.checkpoint(components=[component("api", 64)])
    until(lambda: kernel.run("print(got)") == "[64.0]\n")
    said = kernel.run("async def f(e): pass\ntry:\n    w.on('*', f)\nexcept RuntimeError as e:\n    print(e)")
    assert "outside of an event loop" in said


def test_the_magic(kernel: Kernel, project: Project) -> None:
    kernel.run("%load_ext buildwidget")
    assert "--height" in kernel.run("%buildwatch --help")
    kernel.run(f"w = %buildwatch {project.root} --filter status:error")
    assert kernel.run("print(w.filter, w)").startswith("status:error <BuildWidget shop, ")


def test_a_file_is_no_project(kernel: Kernel, project: Project) -> None:
    file = project.root / "x.txt"
    file.write_text("x")
    said = kernel.run(
        f"import buildwidget as bw\ntry:\n    bw.watch({str(file)!r})\nexcept NotADirectoryError as e:\n    print(e)"
    )
    assert "give the project's folder" in said


def test_a_client_of_serve_and_the_cell_hold_the_same_while_a_cell_sleeps(kernel: Kernel, project: Project) -> None:
    """`bw.serve(w)`: the same session for others, same epoch, same numbers, also while the kernel is blocked."""
    from websockets.sync.client import connect

    from .serving import Folder

    open_cell(kernel, project)
    [start] = until(lambda: kernel.heard("snapshot"))
    url = kernel.run("server = bw.serve(w)\nprint(server.stream_url)").strip()
    folder = Folder()

    def cell() -> tuple[int, Any]:
        """The state that the cell holds, folded from what was sent to it."""
        text = json.dumps({"type": "snapshot", "epoch": "e", "seq": 0, "state": json.loads(bytes(start["buffers"][0]))})
        log = [ev.decode(json.dumps({k: v for k, v in e.items() if k != "came"})) for e in kernel.events()]
        state = fold(log, ev.decode(text).state, start["seq"])
        return state.seq, ev.encode(ev.Snapshot(epoch="", seq=0, state=state.snapshot()))

    def client() -> tuple[int, Any]:
        return folder.seq, ev.encode(ev.Snapshot(epoch="", seq=0, state=folder.state.snapshot()))

    with connect(url + "?snapshot=1") as ws:

        def read_until(progress: float) -> None:
            while True:
                message = folder.take(ws.recv(timeout=3))
                if message["type"] == "component_update" and message["progress"] == progress:
                    return

        folder.take(ws.recv())
        folder.take(ws.recv())
        assert folder.epoch == start["epoch"]
        request = kernel.start("import time; time.sleep(5)")
        for n in range(10, 20):
            project.checkpoint(components=[component("api", n)])
            read_until(n)
            until(update_seen(kernel, n), 2)

            def equal() -> bool:
                while folder.seq < cell()[0]:
                    folder.take(ws.recv(timeout=3))
                return cell() == client()

            until(equal, 3)
        assert not kernel.idle(request), "all that came while the cell slept"
        until(lambda: kernel.idle(request))
    assert kernel.run("server.stop()\nprint(server.running)") == "False\n"
