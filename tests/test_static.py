"""What a notebook shows without a live view: inert, whatever the files hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwidget.model import BuildWarning, Component, Feature, Phase, Session, State, Status, Task
from buildwidget.terminal_view import clean
from buildwidget.widget._static import NAME, ROWS, to_html, to_text

EVIL = "shop\x1b]0;owned\x07\x1b[2J\x9b5m\u202egnp.exe\u2066\u2069\x00\u061c\U000e0041"
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def state_of(text: str) -> State:
    """A state with one text wherever a file can put one."""
    return State(
        session=Session(project=text, phase=text),
        components=[Component(component_id="c", name=text, status=Status.ERROR, error=text)],
        features=[Feature(feature_id="f", name=text, status=Status.UNKNOWN, status_raw=text)],
        tasks=[Task(task_id="t", name=text, error=text)],
        phases=[Phase(phase_id="p", name=text, errors=[text])],
        warnings=[BuildWarning(file_path=text, code="odd", message=text)],
    )


def test_controls_and_turned_text_are_left_out() -> None:
    state = state_of(EVIL)
    shown = "shop]0;owned[2J5mgnp.exe"
    line, table = to_text(state), to_html(state, "not live")
    assert line.startswith(f"buildwidget: {shown}, ")
    assert table.count(shown) == 11
    assert not UNSAFE.search(line)
    assert not UNSAFE.search(table.replace("\n", ""))


@given(st.text(st.characters()))
def test_no_text_of_a_file_does_anything(text: str) -> None:
    state = state_of(text)
    line, table = to_text(state), to_html(state)
    assert not UNSAFE.search(line)
    assert not UNSAFE.search(table.replace("\n", ""))
    assert table.count("\n") == to_html(state_of("x")).count("\n")
    assert (line + table).encode()


@pytest.mark.parametrize("text", ["Größe 10\u00a0%", "日本語", "\U0001f469\u200d\U0001f4bb build", "שלום", "a – b"])
def test_ordinary_text_stays(text: str) -> None:
    assert f"buildwidget: {text}, " in to_text(state_of(text))
    assert f">{text}</td>" in to_html(state_of(text))


def test_lines_become_one_and_markup_stays_text() -> None:
    assert to_text(state_of("one\r\n\ttwo\u2028three")).startswith("buildwidget: one two three, ")
    table = to_html(state_of("<script>alert(1)</script>&"))
    assert "<script" not in table
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in table


def test_a_big_build_is_cut() -> None:
    many = State(components=[Component(component_id=f"{n}", name="n" * 5000) for n in range(ROWS + 5)])
    table = to_html(many)
    assert table.count("<tr>") == ROWS + 1
    assert "… and 5 more." in table
    assert "n" * NAME in table
    assert "n" * (NAME + 1) not in table


@given(st.text(st.characters() | st.sampled_from(EVIL)))
def test_the_terminal_view_is_as_strict(text: str) -> None:
    assert not UNSAFE.search(clean(text))
