"""Static output for places where no live view can run: an HTML table and a line of text."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from ..failures import failures_of
from ..model import BuildStatus, Component, Feature, State, Status, Task
from ..state import waiting_for

__all__ = ["to_html", "to_phrase", "to_text"]

ROWS: Final = 200  # more would only bloat the notebook
NAME: Final = 200  # characters of one text
NAMES: Final = 3  # items named in a line
SHORT: Final = 40  # characters of such a name
SENTENCE: Final = 1_000  # characters of a sentence that may contain a path

_WORDS: Final = {
    BuildStatus.PENDING: "not started",
    BuildStatus.IN_PROGRESS: "in progress",
    BuildStatus.COMPLETED: "completed",
    BuildStatus.FAILED: "failed",
    BuildStatus.UNKNOWN: "unknown",
}

# Control characters (an escape sequence without its ESC is plain text), and those that reverse or hide text.
_BLANK: Final = re.compile(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
_HIDDEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def _inert(text: str, most: int = NAME) -> str:
    """Return text as one line of at most ``most`` characters, without control characters."""
    return _HIDDEN.sub("", _BLANK.sub(" ", text[: 4 * most]))[:most]


def _percent(value: float | None) -> str:
    return "progress unknown" if value is None else f"{value:.0f} %"


def _counts(state: State) -> str:
    counts = state.session.counts
    parts = [
        f"{number} {word if number != 1 else word[:-1]}"
        for number, word in (
            (counts.components, "components"),
            (counts.features, "features"),
            (counts.tasks, "tasks"),
            (counts.phases, "phases"),
            (counts.checkpoints, "checkpoints"),
        )
        if number
    ]
    failed = len(failures_of(state))  # one failure counts once, however many items report it
    if failed:
        parts.append(f"{failed} failed")
    if counts.warnings:
        parts.append(f"{counts.warnings} warning{'s' if counts.warnings != 1 else ''}")
    return ", ".join(parts) or "nothing yet"


def _time(state: State) -> str:
    return state.updated_at.strftime("%Y-%m-%d %H:%M:%S UTC") if state.updated_at else "no update yet"


def _items(state: State) -> list[tuple[str, str, Component | Feature | Task]]:
    """Return kind, name and record of each component, feature and task."""
    return [
        *(("component", item.name or item.component_id, item) for item in state.components),
        *(("feature", item.name or item.feature_id, item) for item in state.features),
        *(("task", item.name or item.task_id, item) for item in state.tasks),
    ]


def _first(names: list[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(_inert(name, SHORT) for name in names[:NAMES]) + more


def to_phrase(state: State) -> str:
    """Return the state as a phrase: project, status, percentage, counts, and the active and failed items."""
    project = _inert(state.session.project)
    waiting = waiting_for(state)
    if waiting is not None:
        return f"{project}: {_inert(waiting, SENTENCE)}"
    parts = [f"{project}, {_WORDS[state.session.status]}, {_percent(state.progress.percent)}", _counts(state)]
    at_work = [name for _, name, item in _items(state) if item.status is Status.IN_PROGRESS]
    failed = [failure.items[0].name or failure.items[0].id for failure in failures_of(state)]
    parts += [f"{word}: {_first(names)}" for word, names in (("at work", at_work), ("failed", failed)) if names]
    return "; ".join(parts)


def to_text(state: State, hint: str = "Run this cell again to see the build live.") -> str:
    """Return the state as one line of plain text, with a hint how to see more."""
    when = "" if waiting_for(state) else f"; last update {_time(state)}."
    return f"buildwidget: {to_phrase(state)}{when} {_inert(hint, SENTENCE)}"


def to_html(state: State, note: str = "") -> str:
    """Return the state as an HTML table without scripts. Texts from files are escaped, without control characters.

    Parameters
    ----------
    state
        The state to show.
    note
        A sentence on why this is not live.
    """
    session = state.session
    waiting = waiting_for(state)
    if waiting is not None:
        return (
            f"<div><p><strong>{escape(_inert(session.project))}</strong>: {escape(_inert(waiting, SENTENCE))}<br>"
            f"<small>State of {_time(state)}. {escape(note)}</small></p></div>"
        )
    rows: list[tuple[str, str, str, str, str]] = []
    rows += [(w.file_path, "warning", w.code.replace("_", " "), "", w.message) for w in state.warnings]
    for kind, name, item in _items(state):
        word = str(item.status).replace("_", " ") if item.status is not Status.UNKNOWN else item.status_raw or "?"
        rows.append((name, kind, word, f"{item.progress:.0f} %", item.error or ""))
    for phase in state.phases:
        done = "" if phase.tasks_total is None else f"{phase.tasks_done or 0} of {phase.tasks_total}"
        word = str(phase.status).replace("_", " ")
        rows.append((phase.name or phase.phase_id, "phase", word, done, "; ".join(phase.errors)))
    rows.sort(key=lambda row: row[2] != "error")
    cells = "\n".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(_inert(text))}</td>" for text in row) + "</tr>"
        for row in rows[:ROWS]
    )
    more = f"<p>… and {len(rows) - ROWS} more.</p>" if len(rows) > ROWS else ""
    head = "".join(
        f"<th scope='col' style='text-align:left'>{h}</th>" for h in ("Name", "Kind", "Status", "Progress", "")
    )
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>{more}" if rows else ""
    return (
        f"<div><p><strong>{escape(_inert(session.project))}</strong>: {_WORDS[session.status]}, "
        f"{_percent(state.progress.percent)}. {escape(_counts(state))}.<br>"
        f"<small>State of {_time(state)}. {escape(note)}</small></p>{body}</div>"
    )
