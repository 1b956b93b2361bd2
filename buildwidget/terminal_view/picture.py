"""The display of one state, for a terminal of a given size."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..failures import failures_of
from ..model import BuildStatus, Checkpoint, Component, Feature, State, Status
from ..state import waiting_for
from .plans import plan_header, plan_tables
from .standing import failures_here, is_steered
from .text import BUILD_STYLES, ICONS, RANK, clean, clock, span

__all__ = ["render"]

LOG_LINES: Final = 5


def render(
    state: State,
    *,
    now: datetime,
    width: int,
    height: int,
    silence: float = 0.0,
    stalled: bool = False,
    footer: Iterable[str] = (),
) -> RenderableType:
    """Return the display of a state, for a terminal of ``width`` × ``height`` characters.

    Parameters
    ----------
    state
        The state to show.
    now
        The current time, timezone-aware; used for the elapsed time.
    silence, stalled
        Seconds since the newest message, and whether that is too long.
    footer
        Lines at the bottom; they are shown even if there is no room for anything else.
    """
    # Wrapped here at the exact width, so that a URL is neither truncated nor broken where it fits.
    cut = [line[at : at + width] for line in footer for at in range(0, max(1, len(line)), width)]
    bottom = [Text(piece, style="bold", no_wrap=True, overflow="crop") for piece in cut]
    used = len(bottom) + (1 if bottom else 0)
    waiting = waiting_for(state)
    if waiting is not None:
        return Group(Text(clean(waiting), style="dim"), *bottom)
    if is_steered(state):
        return Group(*_plans(state, now, width, height - used), *([Text()] if bottom else []), *bottom)
    top = _header(state, now, silence=silence, stalled=stalled)
    room = height - 4 - used
    trouble = _trouble(state, width)[: max(0, min(4, room // 4))]
    room -= len(trouble) + (1 if trouble else 0)
    active = _active(state)
    news = _news(state)
    count = len(state.components)
    # Components first; what is under way and the newest lines share the rest, each with its title and a gap.
    rows = min(count, max(3, room - 1 - (6 if active else 0) - (4 if news else 0)))
    room -= rows + (1 if rows < count else 0) + (2 if count else 0)
    parts: list[RenderableType] = [*top]
    if trouble:
        parts += [Text(), *trouble]
    if count:
        parts += [Text(), _component_table(state, rows, width)]
    if active and room >= 3:
        shown = active[: min(len(active), 6, max(1, room - 2 - (3 if news else 0)))]
        room -= len(shown) + 2
        parts += [Text(), Text("Under way", style="bold"), _feature_table(state, shown)]
    if news and room >= 3:
        parts += [Text(), Text("Newest", style="bold"), *news[-min(LOG_LINES, room - 2) :]]
    if bottom:
        parts += [Text(), *bottom]
    return Group(*parts)


def _plans(state: State, now: datetime, width: int, room: int) -> list[RenderableType]:
    """Return the display of builds that a system decides on, in at most ``room`` lines."""
    top = plan_header(state, now, width)[: max(1, room - 2)]
    room -= len(top) + 1
    here, _ = failures_here(state)
    trouble = [_problem("✘", failure.items[0].name, failure.reason, width, "red") for failure in here]
    trouble = [*trouble, *_warnings(state, width)][: max(0, min(4, room // 4))]
    room -= len(trouble) + (1 if trouble else 0)
    news = (_output(state) or _happened(state))[-LOG_LINES:]
    tables = plan_tables(state, now, width, room - (len(news) + 2 if news and room >= 12 else 0))
    parts: list[RenderableType] = [*top, *([Text(), *trouble] if trouble else []), Text(), *tables]
    if news and room >= 12:
        parts += [Text(), Text("Newest", style="bold"), *news]
    return parts


def _header(state: State, now: datetime, *, silence: float, stalled: bool) -> list[RenderableType]:
    session, counts = state.session, state.session.counts
    word = session.status.value.replace("_", " ")
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(clean(session.project, 60) or "(no name)", style="bold")
    line.append("  ")
    if stalled and session.status not in (BuildStatus.COMPLETED, BuildStatus.FAILED):
        line.append("stalled", style="bold yellow")
    else:
        line.append(word, style=BUILD_STYLES[session.status])
    if session.phase:
        line.append(f"  phase {clean(session.phase, 60)}", style="dim")
    if session.started_at:
        line.append(f"  {span(((session.ended_at or now) - session.started_at).total_seconds())}", style="dim")
    percent = state.progress.percent
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(width=8, justify="right")
    style = "red" if session.status is BuildStatus.FAILED else "cyan"
    bar.add_row(
        ProgressBar(total=100, completed=percent or 0, complete_style=style, finished_style="green"),
        Text("unknown" if percent is None else f"{percent:.1f} %", style="bold"),
    )
    failed = len(failures_of(state))
    done = sum(c.status is Status.COMPLETED for c in state.components)
    done_features = sum(f.status is Status.COMPLETED for f in state.features)
    tasks = [task.completed for feature in state.features for task in feature.tasks]
    facts = [
        f"components {done}/{counts.components or len(state.components)}",
        f"features {done_features}/{counts.features or len(state.features)}",
        *([f"tasks {sum(tasks)}/{len(tasks)}"] if tasks else []),
        f"checkpoints {counts.checkpoints or len(state.checkpoints)}",
        *([f"failed {failed}"] if failed else []),
        *([f"nothing new for {span(silence)}"] if silence >= 5 else []),
    ]
    return [line, bar, Text(" · ".join(facts), style="yellow" if stalled else "dim", no_wrap=True, overflow="ellipsis")]


def _trouble(state: State, width: int) -> list[Text]:
    """Return the errors, then the warnings, one line each."""
    found = [_problem("✘", failure.items[0].name, failure.reason, width, "red") for failure in failures_of(state)]
    found += [  # errors of items that go on or have recovered
        _problem("!", item.name or getattr(item, item.__struct_fields__[0]), item.error, width, "yellow")
        for item in (*state.components, *state.features, *state.tasks)
        if item.error and item.status is not Status.ERROR
    ]
    return found + _warnings(state, width)


def _warnings(state: State, width: int) -> list[Text]:
    return [
        Text(
            f"! {clean(warning.file_path, 200)}: {clean(warning.message, 2 * width)}",
            style="yellow",
            no_wrap=True,
            overflow="ellipsis",
        )
        for warning in state.warnings
        if warning.code != "waiting"  # a published build has state without a folder
    ]


def _problem(sign: str, name: str, text: str, width: int, style: str) -> Text:
    """Return the line of an error: the name of the item and the last line of the text."""
    last = [line for line in text.splitlines() if line.strip()] or ["failed, no reason given"]
    line = f"{sign} {clean(name, 60)}: {clean(last[-1], 2 * width)}"
    return Text(line, style=style, no_wrap=True, overflow="ellipsis")


def _order(component: Component) -> tuple[bool, datetime, str]:
    """Return a sort key: errors first, then by start time, so that rows of a running build do not move."""
    latest = datetime.max.replace(tzinfo=UTC)
    return component.status is not Status.ERROR, component.started_at or latest, component.component_id


def _component_table(state: State, rows: int, width: int) -> Table:
    ordered = sorted(state.components, key=_order)
    kept = sorted(ordered, key=lambda c: RANK.get(c.status, 3))[:rows]
    chosen = {c.component_id for c in kept}
    table = Table.grid(padding=(0, 1), expand=False)
    table.add_column(width=1)
    table.add_column(max_width=max(12, width // 3), no_wrap=True, overflow="ellipsis")
    table.add_column(width=12, no_wrap=True)
    table.add_column(width=max(8, min(30, width // 4)))
    table.add_column(width=5, justify="right")
    table.add_column(width=7, no_wrap=True)
    for item in ordered:
        if item.component_id not in chosen:
            continue
        icon, style = ICONS[item.status]
        colour = style.split()[-1]
        tests = {True: Text("tests ✔", style="green"), False: Text("tests ✘", style="red"), None: Text()}
        table.add_row(
            Text(icon, style=style),
            Text(
                clean(item.name or item.component_id, 80), style="" if item.status is not Status.NOT_STARTED else "dim"
            ),
            Text(item.status.value.replace("_", " "), style=style),
            ProgressBar(total=100, completed=item.progress, complete_style=colour, finished_style=colour),
            Text(f"{item.progress:.0f} %", style=style),
            tests[item.tests_pass] if item.status is not Status.NOT_STARTED else Text(),
        )
    if len(chosen) < len(ordered):
        table.add_row("", Text(f"… and {len(ordered) - len(chosen)} more", style="dim"))
    return table


def _active(state: State) -> list[Feature]:
    found = [f for f in state.features if f.status is Status.IN_PROGRESS]
    return sorted(found, key=lambda f: (f.component_id or "", f.feature_id))


def _feature_table(state: State, features: list[Feature]) -> Table:
    names = {c.component_id: c.name for c in state.components}
    table = Table.grid(padding=(0, 1))
    for _ in range(4):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for feature in features:
        done = sum(task.completed for task in feature.tasks)
        current = next((task.name for task in feature.tasks if not task.completed), "")
        table.add_row(
            Text(f"{feature.progress:3.0f} %", style="cyan"),
            Text(clean(feature.name or feature.feature_id, 60)),
            Text(f"{done}/{len(feature.tasks)} {clean(current, 60)}" if feature.tasks else "", style="dim"),
            Text(clean(names.get(feature.component_id or "", ""), 40), style="dim"),
        )
    return table


def _news(state: State) -> list[Text]:
    """Return the newest lines of the build's output; without output, its newest checkpoints."""
    return _output(state) or [
        Text(f"{clock(c.created_at)}  {_checkpoint_text(c)}", style="dim", no_wrap=True, overflow="ellipsis")
        for c in state.checkpoints[-LOG_LINES:]
    ]


def _output(state: State) -> list[Text]:
    lines = [clean(line.text).strip() for line in state.terminal.tail[-40:]]
    return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines if line][-LOG_LINES:]


def _happened(state: State) -> list[Text]:
    """Return the newest lines of what happened."""
    return [
        Text(
            f"{clock(line.time)}  {clean(line.kind, 20).replace('_', ' ')}  {clean(line.text or line.item or '', 200)}",
            style="dim",
            no_wrap=True,
            overflow="ellipsis",
        )
        for line in state.activity[-LOG_LINES:]
    ]


def _checkpoint_text(checkpoint: Checkpoint) -> str:
    text = checkpoint.metadata.get("description") or checkpoint.phase or checkpoint.checkpoint_id
    mark = f"({checkpoint.status.replace('_', ' ')}) " if checkpoint.status in ("active", "rolled_back") else ""
    return mark + clean(text, 200)
