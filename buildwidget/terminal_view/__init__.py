"""A live build in the terminal: a display that is redrawn, or one line per milestone where redrawing is not possible.

`show_live` follows a `BuildSession`. It polls snapshots (a few times a second, and only after changes), so it never
blocks the session. Text from files is data here: escape sequences and control characters are removed, and markup is
shown literally.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..model import State
from ..state import waiting_for
from .lines import has_content, milestones
from .picture import render
from .pulse import Pulse
from .text import clean, clock, span

if TYPE_CHECKING:
    from ..session import BuildSession

__all__ = ["Pulse", "clean", "is_plain", "milestones", "render", "show_live", "span"]

FRAMES_PER_SECOND: Final = 8
POLL_INTERVAL: Final = 0.1  # seconds


def is_plain(console: Console) -> bool:
    """Return whether a console gets lines instead of a redrawn display."""
    return not console.is_terminal or console.is_dumb_terminal or bool(os.environ.get("NO_COLOR"))


def show_live(
    session: BuildSession,
    console: Console,
    *,
    stop: threading.Event | None = None,
    done: Callable[[State], bool] | None = None,
    footer: Callable[[], Iterable[str]] | None = None,
    plain: bool | None = None,
) -> State:
    """Show an open session until ``stop`` is set or ``done`` returns True; return the last state shown.

    Parameters
    ----------
    session
        Open; it stays open.
    console
        The console to draw on.
    stop
        An event that ends it from outside (a signal handler, another thread).
    done
        Called with each new state, and ten times a second with the same one; True ends it.
    footer
        Returns the lines that stay visible at the bottom.
    plain
        Whether to print lines instead of a redrawn display. None: `is_plain` decides.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, if the program's handler raises it; the terminal is restored first.
    """
    ended = stop or threading.Event()
    if is_plain(console) if plain is None else plain:
        return _show_lines(session, console, ended, done)
    pulse = Pulse()
    with Live(
        console=console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False
    ) as live:
        shown, drawn = -1, 0.0
        seq, state = session.snapshot_at()
        while True:
            if session.seq != seq:
                seq, state = session.snapshot_at()
            now = time.monotonic()
            last = ended.is_set() or (done is not None and done(state))
            pulse.beat(seq, now)
            # At once when something is new, else once a second for the clocks.
            if last or now - drawn >= (1 / FRAMES_PER_SECOND if seq != shown else 1.0):
                live.update(
                    render(
                        state,
                        now=datetime.now(UTC),
                        width=console.width,
                        height=console.height - 1,
                        silence=pulse.silence(now) if session.loaded else 0.0,
                        stalled=pulse.stalled(now),
                        footer=footer() if footer else (),
                    ),
                    refresh=True,
                )
                shown, drawn = seq, now
            if last:
                return state
            ended.wait(POLL_INTERVAL)


def _show_lines(
    session: BuildSession, console: Console, ended: threading.Event, done: Callable[[State], bool] | None
) -> State:
    shown, before = -1, None
    seq, state = session.snapshot_at()
    waited: str | None = None
    known = False  # the state at the start is printed as one line, not one line per item
    while True:
        last = ended.is_set()
        known = known or (session.loaded and (seq > 0 or session.watching != "waiting"))
        if session.seq != seq:
            seq, state = session.snapshot_at()
        last = last or (done is not None and done(state))
        waiting = waiting_for(state)
        if waiting is not None and waiting != waited:
            console.print(Text(clean(waiting)), soft_wrap=True)
        waited = waiting
        if seq != shown and (known or last) and has_content(state):
            stamp = clock(state.updated_at)
            for line in milestones(before, state):
                console.print(Text(f"{stamp}  {line}"), soft_wrap=True)
            shown, before = seq, state
        if last:
            return state
        ended.wait(POLL_INTERVAL)
