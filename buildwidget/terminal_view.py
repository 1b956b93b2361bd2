"""A live build in the terminal: a picture that moves, or one line per milestone where nothing can move.

`show_live` follows a `BuildSession`. It only looks (a few times a second, and only when something is new), so it never
holds up the session. Text from files is data here: escape sequences and control characters are taken out, and markup is
shown as it was written.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .model import BuildStatus, Checkpoint, Component, Feature, State, Status

if TYPE_CHECKING:
    from .session import BuildSession

__all__ = ["Pulse", "clean", "describe", "is_plain", "milestones", "render", "show_live"]

PICTURES_PER_SECOND: Final = 8
LOOK_EVERY: Final = 0.1  # seconds
LOG_LINES: Final = 5

ICONS: Final = {
    Status.NOT_STARTED: ("○", "dim"),
    Status.IN_PROGRESS: ("◐", "cyan"),
    Status.COMPLETED: ("✔", "green"),
    Status.ERROR: ("✘", "bold red"),
    Status.BLOCKED: ("⊘", "yellow"),
    Status.SKIPPED: ("–", "dim"),
    Status.CANCELLED: ("–", "dim"),
    Status.PAUSED: ("‖", "yellow"),
    Status.UNKNOWN: ("?", "dim"),
}
BUILD_STYLES: Final = {
    BuildStatus.PENDING: "dim",
    BuildStatus.IN_PROGRESS: "bold cyan",
    BuildStatus.COMPLETED: "bold green",
    BuildStatus.FAILED: "bold red",
    BuildStatus.UNKNOWN: "dim",
}
RANK: Final = {Status.ERROR: 0, Status.IN_PROGRESS: 1, Status.BLOCKED: 2, Status.PAUSED: 2, Status.COMPLETED: 4}

# CSI, then OSC and the other strings (ended by BEL or ST, or cut off), then any other two-character escape.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# Controls, and the characters that turn the direction of the rest of the line.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: object, limit: int = 400) -> str:
    """Text from a file as one inert line: no escape sequence, no control character, at most ``limit`` characters."""
    shown = _CONTROLS.sub(" ", _ESCAPES.sub("", str(text)[: 4 * limit]))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def is_plain(console: Console) -> bool:
    """Whether this console gets lines instead of a moving picture."""
    return not console.is_terminal or console.is_dumb_terminal or bool(os.environ.get("NO_COLOR"))


def span(seconds: float) -> str:
    """A length of time: ``47 s``, ``3 m 08 s``, ``2 h 05 m``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


class Pulse:
    """Tells a build that is slow from one that has stopped, by its own rhythm.

    Stalled: unfinished, and silent for max(120 s, 4 × the 95th percentile of its gaps so far) once 20 gaps are known;
    for 15 minutes before that.
    """

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=1_000)
        self._seq: int | None = None
        self._last = 0.0

    def beat(self, seq: int, now: float) -> None:
        """The newest message number, at a time of a monotonic clock."""
        if seq == self._seq:
            return
        if self._seq is not None:
            self._gaps.append(now - self._last)
        self._seq, self._last = seq, now

    def silence(self, now: float) -> float:
        """Seconds since the newest message."""
        return 0.0 if self._seq is None else now - self._last

    def stalled(self, now: float) -> bool:
        """Whether the silence is longer than this build's rhythm explains."""
        limit = 900.0
        if len(self._gaps) >= 20:
            limit = max(120.0, 4 * sorted(self._gaps)[int(0.95 * (len(self._gaps) - 1))])
        return self.silence(now) > limit


# -- one picture ------------------------------------------------------------------------------------------------------


def render(
    state: State,
    *,
    now: datetime,
    width: int,
    height: int,
    waiting: bool = False,
    silence: float = 0.0,
    stalled: bool = False,
    footer: Iterable[str] = (),
) -> RenderableType:
    """The whole picture of a state, for a terminal of ``width`` × ``height`` characters.

    Parameters
    ----------
    state
        What is shown.
    now
        For the elapsed time, aware.
    waiting
        There is no build yet.
    silence, stalled
        Seconds since the newest message, and whether that is too long.
    footer
        Lines that stay visible at the bottom whatever else must go.
    """
    # Cut by hand, so that an address stays whole, and in one piece where it fits.
    cut = [line[at : at + width] for line in footer for at in range(0, max(1, len(line)), width)]
    bottom = [Text(piece, style="bold", no_wrap=True, overflow="crop") for piece in cut]
    used = len(bottom) + (1 if bottom else 0)
    if waiting:
        return Group(Text("Waiting for a build: there is no .buildrunner folder here yet.", style="dim"), *bottom)
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
    done = sum(c.status is Status.COMPLETED for c in state.components)
    done_features = sum(f.status is Status.COMPLETED for f in state.features)
    tasks = [task.completed for feature in state.features for task in feature.tasks]
    facts = [
        f"components {done}/{counts.components or len(state.components)}",
        f"features {done_features}/{counts.features or len(state.features)}",
        *([f"tasks {sum(tasks)}/{len(tasks)}"] if tasks else []),
        f"checkpoints {counts.checkpoints or len(state.checkpoints)}",
        *([f"nothing new for {span(silence)}"] if silence >= 5 else []),
    ]
    return [line, bar, Text(" · ".join(facts), style="yellow" if stalled else "dim", no_wrap=True, overflow="ellipsis")]


def _trouble(state: State, width: int) -> list[Text]:
    """Errors first, then warnings; one line each."""
    found: list[Text] = []
    for item in (*state.components, *state.features):
        if item.error and not (isinstance(item, Feature) and _component_says(state, item)):
            last = [line for line in item.error.splitlines() if line.strip()] or [item.error]
            found.append(Text(f"✘ {clean(item.name, 60)}: {clean(last[-1], 2 * width)}", style="red", no_wrap=True, overflow="ellipsis"))
    for warning in state.warnings:
        text = f"! {clean(warning.file_path, 200)}: {clean(warning.message, 2 * width)}"
        found.append(Text(text, style="yellow", no_wrap=True, overflow="ellipsis"))
    return found


def _component_says(state: State, feature: Feature) -> bool:
    return any(c.component_id == feature.component_id and c.error == feature.error for c in state.components)


def _order(component: Component) -> tuple[bool, datetime, str]:
    """Errors, then in the order of their start: the rows of a running build stay where they are."""
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
            Text(clean(item.name or item.component_id, 80), style="" if item.status is not Status.NOT_STARTED else "dim"),
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
    """The newest lines of the build's output; without output, its newest checkpoints."""
    lines = [clean(line.text).strip() for line in state.terminal.tail[-40:]]
    if any(lines):
        return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines if line][-LOG_LINES:]
    return [
        Text(f"{_clock(c.created_at)}  {_checkpoint_text(c)}", style="dim", no_wrap=True, overflow="ellipsis")
        for c in state.checkpoints[-LOG_LINES:]
    ]


def _checkpoint_text(checkpoint: Checkpoint) -> str:
    said = checkpoint.metadata.get("description") or checkpoint.phase or checkpoint.checkpoint_id
    mark = f"({checkpoint.status.replace('_', ' ')}) " if checkpoint.status in ("active", "rolled_back") else ""
    return mark + clean(said, 200)


def _clock(at: datetime | None) -> str:
    return f"{at.astimezone():%H:%M:%S}" if at else "--:--:--"


# -- lines ------------------------------------------------------------------------------------------------------------


def milestones(before: State | None, state: State) -> list[str]:
    """What a person should know of the way from one state to the next, a line each.

    Without an earlier state: one line that says how things stand.
    """
    percent = state.progress.percent
    share = "unknown" if percent is None else f"{percent:.1f} %"
    if before is None:
        done = sum(c.status is Status.COMPLETED for c in state.components)
        word = state.session.status.value.replace("_", " ")
        return [
            f"{clean(state.session.project, 60) or 'build'}: {word}, {share}, {done} of {len(state.components)} components, "
            f"{sum(f.status is Status.COMPLETED for f in state.features)} of {len(state.features)} features",
            *(f"warning: {clean(w.file_path, 200)}: {clean(w.message, 200)}" for w in state.warnings),
        ]
    lines: list[str] = []
    if state.session.phase and state.session.phase != before.session.phase:
        lines.append(f"phase {clean(state.session.phase, 60)}")
    old_components = {c.component_id: c.status for c in before.components}
    for c in state.components:
        if c.status is not old_components.get(c.component_id, Status.NOT_STARTED):
            lines.append(f"{clean(c.name or c.component_id, 60)}: {_with_error(c.status, c.error)}")
    old_features = {f.feature_id: f.status for f in before.features}
    told = (Status.COMPLETED, Status.ERROR, Status.BLOCKED)
    for f in state.features:
        if f.status in told and f.status is not old_features.get(f.feature_id, Status.NOT_STARTED):
            lines.append(f"  {clean(f.name or f.feature_id, 60)}: {_with_error(f.status, f.error)}")
    old_checkpoints = {c.checkpoint_id: c.status for c in before.checkpoints}
    for cp in state.checkpoints:
        if cp.status in ("active", "rolled_back") and old_checkpoints.get(cp.checkpoint_id, cp.status) != cp.status:
            lines.append(f"checkpoint {clean(cp.checkpoint_id, 80)}: {cp.status.replace('_', ' ')}")
    known = {(w.file_path, w.code) for w in before.warnings}
    for w in state.warnings:
        if (w.file_path, w.code) not in known:
            lines.append(f"warning: {clean(w.file_path, 200)}: {clean(w.message, 200)}")
    if state.session.status is not before.session.status:
        lines.append(f"the build is {state.session.status.value.replace('_', ' ')}")
    return [f"{share:>7}  {line}" for line in lines]


def _has_content(state: State) -> bool:
    return bool(state.components or state.features or state.tasks or state.phases or state.checkpoints or state.warnings)


def _with_error(status: Status, error: str | None) -> str:
    word = status.value.replace("_", " ")
    return f"{word}: {clean(error.splitlines()[-1], 200)}" if status is Status.ERROR and error else word


def describe(said: dict[str, Any]) -> list[Text]:
    """What one file says (the dict of `buildwidget.parse_checkpoint`), as lines for a person."""
    overall: dict[str, Any] = said.get("overall_progress") or {}
    percent = said.get("completion_percentage")
    facts: list[tuple[str, object]] = [
        ("id", said.get("id")),
        ("time", said.get("timestamp")),
        ("phase", said.get("phase")),
        ("status", f"{overall.get('status', 'unknown')} (by {overall.get('status_source') or 'no rule'})"),
        ("progress", "unknown" if percent is None else f"{percent:.1f} %"),
    ]
    lines = [Text.assemble((f"{name:9}", "dim"), clean(value)) for name, value in facts if value is not None]
    for title in ("components", "features"):
        items: list[dict[str, Any]] = said.get(title) or []
        if not items:
            continue
        lines += [Text(), Text(f"{title} ({len(items)})", style="bold")]
        for item in items:
            status = Status(item.get("status") or Status.UNKNOWN)
            icon, style = ICONS[status]
            name = clean(item.get("name") or item.get("id") or "", 40)
            line = Text.assemble((f"{icon} {status.value.replace('_', ' '):12}", style), f" {item.get('progress') or 0:3.0f} %  {name}")
            if item.get("error"):
                line.append(f"  {clean(str(item['error']).splitlines()[-1])}", style="red")
            lines.append(line)
    return lines


# -- the loop ---------------------------------------------------------------------------------------------------------


def show_live(
    session: BuildSession,
    console: Console,
    *,
    stop: threading.Event | None = None,
    done: Callable[[State], bool] | None = None,
    footer: Callable[[], Iterable[str]] | None = None,
    plain: bool | None = None,
) -> State:
    """Show an open session until ``stop`` is set or ``done`` says so; return the last state shown.

    Parameters
    ----------
    session
        Open; it stays open.
    console
        Where to.
    stop
        Ends it from elsewhere (a signal handler, another thread).
    done
        Called with each new state, and ten times a second with the same one; True ends it.
    footer
        Lines that stay visible.
    plain
        Lines instead of a moving picture; by default `is_plain` decides.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, if the program's handler raises it; the terminal is in order again then.
    """
    ended = stop or threading.Event()
    if is_plain(console) if plain is None else plain:
        return _show_lines(session, console, ended, done)
    pulse = Pulse()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False) as live:
        shown, drawn = -1, 0.0
        seq, state = session.snapshot_at()
        while True:
            if session.seq != seq:
                seq, state = session.snapshot_at()
            now = time.monotonic()
            last = ended.is_set() or (done is not None and done(state))
            pulse.beat(seq, now)
            # At once when something is new, else once a second for the clocks.
            if last or now - drawn >= (1 / PICTURES_PER_SECOND if seq != shown else 1.0):
                live.update(
                    render(
                        state,
                        now=datetime.now(UTC),
                        width=console.width,
                        height=console.height - 1,
                        waiting=session.watching == "waiting" and not state.components,
                        silence=pulse.silence(now) if session.loaded else 0.0,
                        stalled=pulse.stalled(now),
                        footer=footer() if footer else (),
                    ),
                    refresh=True,
                )
                shown, drawn = seq, now
            if last:
                return state
            ended.wait(LOOK_EVERY)


def _show_lines(
    session: BuildSession, console: Console, ended: threading.Event, done: Callable[[State], bool] | None
) -> State:
    shown, before = -1, None
    seq, state = session.snapshot_at()
    known = False  # what was there at the start is one line, not a hundred
    while True:
        last = ended.is_set()
        known = known or (session.loaded and (seq > 0 or session.watching != "waiting"))
        if session.seq != seq:
            seq, state = session.snapshot_at()
        last = last or (done is not None and done(state))
        if seq != shown and (known or last) and _has_content(state):
            stamp = _clock(state.updated_at)
            for line in milestones(before, state):
                console.print(Text(f"{stamp}  {line}"), soft_wrap=True)
            shown, before = seq, state
        if last:
            return state
        ended.wait(LOOK_EVERY)
