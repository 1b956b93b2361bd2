"""The display of builds that a system decides on: plans and their phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from ..model import Component, Feature, Phase, State, Status
from ..progress import life_of
from .standing import (
    counted,
    duration_of,
    failures_here,
    is_disputed,
    life_line,
    phase_label,
    plans_in_order,
    present_features,
    standing_of,
    waits_for,
    whole_of,
    word_for,
)
from .text import ICONS, ago, clean

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

__all__ = ["plan_header", "plan_tables"]

_Row = tuple[Text, Text, Text, Text]  # icon, name, status, facts

_HEADER: Final = 6  # lines at most
_FIRST: Final = {Status.ERROR: 0, Status.IN_PROGRESS: 1, Status.BLOCKED: 2, Status.PAUSED: 2, Status.NOT_STARTED: 3}
_DISPUTED: Final = ("✓", "")  # done as somebody says, and another says otherwise


def plan_header(state: State, now: datetime, width: int) -> list[RenderableType]:
    """Return the first lines: project and word, bar, numbers, and the sign of life."""
    progress = state.progress
    life = life_of(state, now)
    standing = whole_of(state)
    word, style = word_for(state, standing, life)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(clean(state.session.project, 60) or "(no name)", style="bold")
    line.append("  ").append(word, style=style)
    took = duration_of(state, life, now)
    if took:
        line.append(f"  {took}", style="dim")
    share = "unknown" if progress.percent is None else f"{progress.percent:.1f} %"
    colour = (
        "green" if "green" in style else "red" if "red" in style else "cyan" if standing.done < standing.total else ""
    )
    high = max(progress.high or 0.0, progress.percent or 0.0)
    bar = _bar(max(8, width - 9), progress.percent or 0.0, high, colour)
    bar.append(f" {share:>8}", style="bold")
    here, elsewhere = failures_here(state)
    facts = [
        counted(standing) if standing.total else "",
        f"{len(here)} failed" if here else "",
        f"{standing.blocked} blocked" if standing.blocked else "",
        f"up to {high:.1f} % with what runs" if progress.percent is not None and high > progress.percent else "",
        f"{standing.disputed} in conflict" if standing.disputed else "",
        f"{elsewhere} failed elsewhere" if elsewhere else "",
    ]
    said = life_line(state, life, now)
    lines: list[RenderableType] = [line, bar, Text(" · ".join(filter(None, facts)), no_wrap=True, overflow="ellipsis")]
    if said:
        lines.append(Text(said, style="yellow" if life == "silent" else "dim", no_wrap=True, overflow="ellipsis"))
    for feature in (item for features in present_features(state).values() for item in features):
        if feature.error and feature.status is Status.IN_PROGRESS and len(lines) < _HEADER:
            text = f"{clean(phase_label(feature), 60)}: {clean(feature.error, 200)}"
            lines.append(Text(text, style="yellow", no_wrap=True, overflow="ellipsis"))
    return lines


def _bar(width: int, percent: float, high: float, colour: str) -> Text:
    """Return a bar of three parts: done, running, and the rest, each of a character of its own."""
    done = round(width * min(100.0, max(0.0, percent)) / 100)
    running = max(0, round(width * min(100.0, high) / 100) - done)
    bar = Text("━" * done, style=colour, no_wrap=True)
    bar.append("╍" * running, style=colour)
    return bar.append("─" * (width - done - running), style="dim")


def plan_tables(state: State, now: datetime, width: int, room: int) -> list[RenderableType]:
    """Return the builds at work with their phases, then the other plans, in at most ``room`` lines."""
    present = present_features(state)
    plans = plans_in_order(state)
    at_work = [plan for plan in plans if plan.component_id in present]
    others = [plan for plan in plans if plan.component_id not in present]
    statuses = {feature.feature_id: feature.status for feature in state.features}
    every = [feature for plan in at_work for feature in present[plan.component_id]]
    free = room - len(at_work) - (1 if others else 0)
    # Where not all fit, each plan may need a line that says how many are left out.
    chosen = _chosen(every, free if len(every) <= free else free - len(at_work))
    rows: list[_Row] = []
    for plan in at_work:
        features = present[plan.component_id]
        shown = [feature for feature in features if feature.feature_id in chosen]
        rows.append(_plan_row(plan, features))
        rows += [_phase_row(feature, waits_for(statuses, feature), now) for feature in shown]
        if 0 < len(shown) < len(features):
            rows.append(_more_row(len(features) - len(shown), "  "))
    if not present:  # locks of no known build
        rows = [_lock_row(lock, now) for lock in state.phases]
    rows = rows[: max(0, room)]
    room -= len(rows)
    parts: list[RenderableType] = [_table(rows, width)] if rows else []
    if others and room >= 4:
        fits = others if len(others) <= room - 2 else others[: room - 3]
        rest = [_plan_row(plan, []) for plan in fits]
        if len(fits) < len(others):
            rest.append(_more_row(len(others) - len(fits), ""))
        parts += [Text(), Text("Other plans", style="bold"), _table(rest, width)]
    elif others and room >= 1:
        done = sum(plan.status is Status.COMPLETED for plan in others)
        text = f"{len(others)} other plans, {done} completed"
        parts.append(Text(text, style="dim", no_wrap=True, overflow="ellipsis"))
    return parts


def _chosen(features: list[Feature], room: int) -> set[str]:
    """Return the phases that fit: first what failed or runs, then what is to be done, then what is done."""
    kept = sorted(features, key=lambda item: _FIRST.get(item.status, 4))
    return {feature.feature_id for feature in kept[: max(0, room)]}


def _table(rows: list[_Row], width: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1, min_width=1, no_wrap=True)
    table.add_column(width=max(14, width * 2 // 5), no_wrap=True, overflow="ellipsis")
    table.add_column(width=11, min_width=11, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return table


def _more_row(number: int, indent: str) -> _Row:
    return Text(), Text(f"{indent}… and {number} more", style="dim"), Text(), Text()


def _icon(item: Component | Feature) -> tuple[str, str]:
    return _DISPUTED if is_disputed(item) else ICONS[item.status]


def _plan_row(plan: Component, features: list[Feature]) -> _Row:
    icon, style = _icon(plan)
    facts = [counted(standing_of(features)) if features else f"{plan.progress:.0f} %", clean(plan.conflict or "", 200)]
    return (
        Text(icon, style=style),
        Text(clean(plan.name or plan.component_id, 80), style="bold" if features else ""),
        Text(plan.status.replace("_", " "), style=style),
        Text(" · ".join(filter(None, facts)), style="" if features else "dim"),
    )


def _lock_row(lock: Phase, now: datetime) -> _Row:
    icon, style = ICONS[lock.status]
    beat = lock.heartbeat_at or lock.updated_at
    facts = [ago((now - beat).total_seconds()) if beat else "", clean(lock.owner or "", 40), clean(lock.mode or "", 40)]
    return (
        Text(icon, style=style),
        Text(clean(" · ".join(filter(None, [lock.phase_id, lock.name])), 80)),
        Text(lock.status.replace("_", " "), style=style),
        Text(" · ".join(filter(None, facts)), style="dim"),
    )


def _phase_row(feature: Feature, waiting: list[str], now: datetime) -> _Row:
    icon, style = _icon(feature)
    beat = feature.heartbeat_at
    facts = [
        clean(feature.error or "", 120) if feature.status is Status.ERROR else "",
        ago((now - beat).total_seconds()) if beat is not None else "",
        clean(feature.owner or "", 40),
        clean(feature.conflict or "", 200),
        f"waits for {clean(', '.join(waiting), 60)}" if waiting else "",
    ]
    return (
        Text(icon, style=style),
        Text(f"  {clean(phase_label(feature), 80)}", style="dim" if feature.status is Status.NOT_STARTED else ""),
        Text(feature.status.replace("_", " "), style=style),
        Text(" · ".join(filter(None, facts)), style="red" if feature.status is Status.ERROR else "dim"),
    )
