"""``buildwidget status --why``: what each status rests on, and what says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..summary import summarise
from ._output import make_console

if TYPE_CHECKING:
    from datetime import datetime

    from ..model import State

__all__ = ["explain"]


def explain(state: State, now: datetime) -> None:
    """Print the verdict on a build and its reasons."""
    from rich.table import Table
    from rich.text import Text

    found = summarise(state, now)
    console = make_console()
    names = {item.component_id: item.name for item in state.components}
    facts = Table.grid(padding=(0, 2))
    for label, text in (
        ("build", ", ".join(names.get(id_) or id_ for id_ in found.present) or state.session.project),
        ("progress", _progress(state, found.percent, found.low, found.high)),
        ("life", f"{found.life}" + (f", since {found.since:%Y-%m-%d %H:%M:%S} UTC" if found.since else "")),
        ("because", found.why),
    ):
        facts.add_row(label, Text(text))
    console.print(facts)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("item", "status", "by", "but"):
        table.add_column(column, overflow="fold")
    components = [item for item in state.components if item.component_id in found.present]
    shown = [(item.component_id, item) for item in components]
    shown += [(item.feature_id, item) for item in state.features if item.feature_id in found.features]
    for id_, item in shown:
        table.add_row(
            Text(id_),
            Text(item.status.replace("_", " ")),
            Text((item.status_source or "").replace(":.buildrunner/", " · ", 1)),
            Text(item.conflict or ""),
        )
    if shown:
        console.print()
        console.print(table)


def _progress(state: State, percent: float | None, low: float | None, high: float | None) -> str:
    if percent is None:
        return "not known"
    progress = state.progress
    counted = f", {progress.completed} of {progress.total}" if progress.total else ""
    until = f" (up to {high:g} % with what runs)" if high is not None and low != high else ""
    return f"{percent:g} %{counted}{until}"
