"""The types of the messages stand once, in `buildwidget.events`: whatever else names them names the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given

from buildwidget import events as ev
from buildwidget import publish
from buildwidget.session import BuildSession
from buildwidget.state import KINDS
from buildwidget.terminal_view.messages import message_line

from . import strategies

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
UNNUMBERED = {ev.type_of(cls) for cls in get_args(ev.Message)} - ev.TYPES


def table_after(words: str) -> list[str]:
    """The types in the first column of the first table after some words."""
    rows = PROTOCOL.partition(words)[2].lstrip().partition("|---")[2].partition("\n\n")[0].splitlines()[1:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1].partition(" with ")[0])]


def test_the_page_for_client_authors_tells_of_every_numbered_message_once() -> None:
    assert sorted(table_after("**Numbered**")) == sorted(ev.TYPES)


def test_the_page_for_client_authors_tells_of_every_unnumbered_message_once() -> None:
    assert sorted(table_after("**Unnumbered**")) == sorted({*UNNUMBERED, "error"})


def test_the_page_for_client_authors_names_every_topic() -> None:
    named = re.search(r"Topics are types, or `([^`]+)`", PROTOCOL)
    assert named is not None
    assert named[1].split(", ") == list(ev.TOPICS)


def test_every_topic_stands_for_numbered_messages() -> None:
    assert set().union(*ev.TOPICS.values()) == ev.TOPICS["all"] == ev.TYPES


def test_what_can_be_published_is_said_where_it_is_published() -> None:
    shapes = set(publish.shapes())
    assert shapes < ev.TYPES
    for text in (PROTOCOL.partition("## Publishing")[2].partition("\n## ")[0], BuildSession.publish.__doc__ or ""):
        named = {name for name in ev.TYPES if re.search(rf"\b{name}\b", text.partition("Types are")[2])}
        items = {ev.type_of(ev.MESSAGES[record]) for record in KINDS}
        assert named | (items if "the item messages" in text else set()) == shapes


@given(strategies.drafts)
def test_every_numbered_message_is_a_line_in_the_terminal(message: object) -> None:
    assert message_line(message)


def test_a_line_of_activity_in_the_terminal_says_what_happened() -> None:
    line = ev.ActivityMessage(kind="rolled_back", item="shop/2", text="back to \x1b[31mcp-1", source="decisions.log")
    (shown,) = message_line(line)
    assert "rolled back" in shown.plain
    assert "back to" in shown.plain
    assert "decisions.log" in shown.plain
    assert "\x1b" not in shown.plain
    assert "shop/2" in message_line(ev.ActivityMessage(kind="claimed", item="shop/2"))[0].plain


@pytest.mark.parametrize("path", sorted((ROOT / "buildwidget").rglob("*.py")), ids=lambda path: path.stem)
def test_no_code_speaks_of_a_type_that_there_is_not(path: Path) -> None:
    looks_like_one = re.compile(r"[a-z]+_updated?s?")
    words = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    spoken = {word for word in words if looks_like_one.fullmatch(word)}
    assert spoken - {"last_updated", "last_update"} <= ev.TYPES


def test_the_browser_knows_the_same_types() -> None:
    text = (ROOT / "js/src/protocol.ts").read_text(encoding="utf-8")
    there = re.search(r"EVENT_TYPES[^=]*= \[([^\]]*)\]", text)
    assert there is not None
    assert set(re.findall(r'"(\w+)"', there[1])) == ev.TYPES
