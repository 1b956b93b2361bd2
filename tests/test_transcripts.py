"""The transcripts for client authors: the server still says what stands in them, and our own clients pass them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from buildwidget import events as ev
from buildwidget.client import NoSuchSessionError, Place
from buildwidget.client._core import Core
from buildwidget.client._refusals import as_client_error
from tests.serving import Folder
from tests.transcripts import player
from tests.transcripts.player import Line

ROOT = Path(__file__).resolve().parent.parent
NAMES = player.names()
LINES = {name: player.load(name) for name in NAMES}
WITH_STATE = [name for name in NAMES if player.final_state(LINES[name]) is not None]
WITHOUT_QUERY = [name for name in NAMES if "" in player.queries(LINES[name])]  # ours never connect so


@pytest.fixture(params=["prepared frames", "plain ASGI"])
def stock(request) -> bool:
    return request.param == "plain ASGI"


# -- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_server_says_what_the_transcript_says(name, stock) -> None:
    heard = 0
    for where, expected, got in player.replay(LINES[name], stock=stock):
        assert got == expected, f"{name}.jsonl, {where}"
        heard += 1
    assert heard > 1


def test_a_server_that_says_something_else_is_found_out() -> None:
    """More than was expected, less, or other words: each is seen."""
    lines = LINES["snapshot-then-live"]
    at = next(n for n, line in enumerate(lines) if line.get("receive", {}).get("type") == "component_update")
    item = lines[at]["receive"]

    def differences(changed: list[Line]) -> list[str]:
        found = []
        for where, expected, got in player.replay(changed):
            if expected != got:
                found.append(where)
                break
        return found

    assert differences([*lines[:at], {"receive": {**item, "progress": item["progress"] + 1}}, *lines[at + 1 :]])
    assert differences([*lines[:at], {"receive": {**item, "timestamp": "2026-03-01T09:00:00Z"}}, *lines[at + 1 :]])
    assert differences([*lines[:at], *lines[at + 1 :]])
    cut = len(lines) - 2  # without the last message, and without the state that would tell
    assert differences(lines[:cut]) == ["after the last line"]


def test_the_recorder_writes_what_comes_and_says_what_is_not_current(tmp_path, monkeypatch, capsys) -> None:
    name = "requests"
    spec = importlib.util.spec_from_file_location("record_transcripts", ROOT / "tools" / "record_transcripts.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(player, "FOLDER", tmp_path)
    path = player.path_of(name)
    bare = player.dump(line for line in LINES[name] if not line.keys() & set(player.RESULTS))
    path.write_text(bare, "utf-8")

    assert tool.main(["--check"]) == 1
    assert f"{name}.jsonl is not current" in capsys.readouterr().out
    assert path.read_text("utf-8") == bare
    assert tool.main([]) == 0
    assert f"{name}.jsonl is written" in capsys.readouterr().out
    assert player.load(name) == LINES[name]
    assert tool.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


# -- the files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_can_be_read(name) -> None:
    kinds = [kind for kind, _ in player.parts(LINES[name])]
    assert kinds[0] == "about"
    assert set(kinds) <= {"about", "server", "note", *player.ACTIONS, *player.RESULTS}
    assert kinds[-1] in {"state", "close"}
    described = (player.FOLDER / "README.md").read_text("utf-8")
    assert f"`{name}.jsonl`" in described
    assert all(f"`{kind}`" in described for kind in kinds)


def test_every_message_of_the_protocol_is_in_a_transcript() -> None:
    """But heartbeats: they come by the clock."""
    found = {message["type"] for lines in LINES.values() for message in player.received(lines)}
    assert found == {ev.type_of(cls) for cls in get_args(ev.Message)} - {"heartbeat"}


# -- clients that hear only what is received -------------------------------------------------------------------------


class Reader(Folder):
    """One that takes messages without a number too, if they are of the build: the present state, told in messages."""

    def take(self, text: str | bytes) -> dict[str, Any]:
        message = super().take(text)
        if message.get("seq") is None and message["type"] in ev.TYPES and message.get("error_type") != "bad_request":
            self.state.apply(ev.decode(text))
        return message


def read(messages: list[Any]) -> Any:
    reader = Reader()
    for message in messages:
        reader.take(json.dumps(message))
    return reader.plain()


@pytest.mark.parametrize("name", WITH_STATE)
def test_the_fold_of_what_is_received_is_the_state(name) -> None:
    messages = player.received(LINES[name])
    state = player.final_state(LINES[name])
    assert read(messages) == state
    newest = max(message["seq"] for message in messages if message.get("seq") is not None)
    assert read([message for message in messages if message.get("seq") != newest]) != state, "any client would do"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_QUERY])
def test_the_python_client_asks_and_holds_what_the_transcript_says(name) -> None:
    """It is told only what is received, and when the connection breaks. Where it connects again it works out itself."""
    lines = LINES[name]
    asked = parse_qs(player.queries(lines)[0])
    topics = asked["topics"][0].split(",") if "topics" in asked else None
    core = Core(Place("http://127.0.0.1:8000", "shop", None), topics=topics)
    numbers: list[tuple[str | None, int]] = []
    for kind, body in player.parts(lines):
        if kind == "connect":
            assert parse_qs(urlsplit(core.url).query) == parse_qs(body["query"])
        elif kind == "disconnect":
            assert core.failed(as_client_error(core.place, ConnectionClosedError(None, None))) <= 0.5
        elif kind == "receive":
            numbers += [
                (core.epoch, message.seq)
                for message in core.receive(json.dumps(body))
                if not isinstance(message, ev.Gap)
            ]
        elif kind == "close":
            with pytest.raises(NoSuchSessionError):
                core.failed(as_client_error(core.place, ConnectionClosedError(Close(body["code"], ""), None)))
    for epoch in player.EPOCHS:
        seqs = [seq for of, seq in numbers if of == epoch]
        assert seqs == sorted(set(seqs)), "told twice, or out of order"
    if name in WITH_STATE:
        whole = ev.encode(ev.Snapshot(epoch="", seq=0, state=core.snapshot()))
        assert json.loads(whole)["state"] == player.final_state(lines)
        assert numbers
