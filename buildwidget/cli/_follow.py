"""The ``tail``, ``events``, ``status`` and ``wait`` commands, for a local project or a build on a server."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._options import AsJson, Place, Token, Types, project_folder
from ._output import COMPLETED, FAILED, NO_BUILD, STALLED, TIMEOUT, USAGE, echo_json, fail, make_console, note

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from ..feeds import Feed
    from ..model import State

__all__ = ["events", "status", "tail", "wait"]

NEWEST = 10  # messages that `tail --no-follow` shows


def tail(
    place: Place = ".",
    as_json: AsJson = False,
    types: Types = None,
    since: Annotated[
        str | None, typer.Option(metavar="SEQ|EPOCH:SEQ", help="Start after this message.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help=f"Follow new messages, or print the newest {NEWEST} and exit.")
    ] = True,
    token: Token = None,
) -> None:
    """Print messages as they arrive, one per line, until Ctrl-C (130).

    A lost connection is retried, with a note on standard error; messages lost in
    the meantime are reported by a line of type "gap". Output that is redrawn (a
    progress bar) is printed once it has settled; --json prints every version of it.

    \b
    Examples:
      buildwidget tail                                  the project in this folder
      buildwidget tail http://127.0.0.1:8000 --types components,errors
      buildwidget tail . --json | jq .type

    \b
    Exit codes: 0, 2 usage, 5 the server refuses or cannot be reached, 130 Ctrl-C.
    """
    _follow(place, as_json, types, since, follow, token)


def events(
    place: Place = ".",
    as_json: AsJson = False,
    types: Types = None,
    since: Annotated[
        str | None, typer.Option(metavar="SEQ|EPOCH:SEQ", help="Only messages after this one.", show_default=False)
    ] = None,
    token: Token = None,
) -> None:
    """Print all messages that the log still holds, and exit.

    \b
    Examples:
      buildwidget events --json > log.ndjson
      buildwidget events http://127.0.0.1:8000 --since 4100

    \b
    Exit codes: 0, 2 usage, 5 the server refuses or cannot be reached.
    """
    _follow(place, as_json, types, since or "0", False, token)


def status(
    place: Place = ".",
    as_json: Annotated[bool, typer.Option("--json", help="The whole state as one JSON object.")] = False,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit code by status; 0 also while a build is running normally.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Look from this time: 2026-04-06T18:05:00Z. A folder only.", show_default=False
        ),
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say what the status of each item rests on, and what disagrees.")
    ] = False,
    token: Token = None,
) -> None:
    """Print the current state of a build.

    \b
    Examples:
      buildwidget status ~/shop
      buildwidget status ~/shop --why
      buildwidget status ~/shop --json --at 2026-04-06T18:05:00Z | jq .verdict
      buildwidget status http://127.0.0.1:8000 --json | jq .state.progress.percent
      buildwidget status --exit-status || echo "failed or stalled"

    \b
    Exit codes: 0, 2 usage, 3 no build, 5 the server refuses or cannot be reached;
    with --exit-status also 1 failed, 4 stalled.
    """
    from datetime import UTC, datetime

    from ..feeds import has_build

    if at is None:
        now = datetime.now(UTC)
        with _feed(place, token) as feed:
            state, epoch, seq = feed.state, feed.epoch, feed.seq
    else:
        from ..session.cold import read_state

        now, epoch, seq = _moment(at), None, None
        state = read_state(project_folder(Path(place)), now)
    if as_json:
        _print_json(state, now, epoch, seq)
    elif why:
        from ._why import explain

        explain(state, now)
    else:
        from ..feeds import stalled
        from ..terminal_view import render

        silence = stalled(state, now)
        console = make_console()
        console.print(
            render(
                state,
                width=console.width,
                height=max(console.height, 24),
                now=now,
                stalled=silence is not None,
                silence=silence or 0.0,
            )
        )
    code = _exit_code_of(state)
    if not has_build(state):
        if not as_json:
            note(f"there is no build in {place} yet")
        raise typer.Exit(NO_BUILD)
    raise typer.Exit(code or COMPLETED if exit_status else COMPLETED)


def _print_json(state: State, now: datetime, epoch: str | None, seq: int | None) -> None:
    import msgspec

    from ..feeds import stalled
    from ..summary import summarise

    body = {
        "epoch": epoch,
        "seq": seq,
        "stalled": stalled(state, now) is not None,
        "verdict": summarise(state, now),
        "state": state,
    }
    echo_json(msgspec.json.encode(body))


def _moment(text: str) -> datetime:
    """The time of ``--at``; without a zone it is local."""
    from ..reading.values import parse_time

    found = parse_time(text)
    if found is None:
        fail(f"{text!r} is not a time; write it as 2026-04-06T18:05:00Z", USAGE)
    return found[0]


def wait(
    place: Place = ".",
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Time out after this many seconds (124).", show_default=False),
    ] = None,
    token: Token = None,
) -> None:
    """Wait until a build has ended.

    Exits also when the build stalls (4). A lost connection is retried.

    \b
    Examples:
      buildwidget wait ~/shop && ./deploy.sh
      buildwidget wait http://127.0.0.1:8000 --timeout 3600

    \b
    Exit codes: 0 completed, 1 failed, 2 usage, 3 no build, 4 stalled, 5 the server
    refuses or cannot be reached, 124 timed out, 130 Ctrl-C.
    """
    import time

    from ..feeds import has_build

    end = None if timeout is None else time.monotonic() + timeout
    line = _ProgressLine()
    try:
        with _feed(place, token, notify=line.note) as feed:
            while (code := _exit_code_of(state := feed.state)) is None:
                line.show(state, place)
                left = 1.0 if end is None else min(1.0, end - time.monotonic())
                if left <= 0:
                    break
                feed.messages(left)
    finally:
        line.end()
    if code is None:
        if not has_build(state):
            fail(f"there is no build in {place} yet", NO_BUILD)
        fail(f"timed out: the build has not ended after {timeout:g} s", TIMEOUT)
    raise typer.Exit(code)


class _ProgressLine:
    """A progress line on standard error; nothing is written if that is not a terminal."""

    def __init__(self) -> None:
        self._shown = ""

    def end(self) -> None:
        """End the line, so that later output begins below it."""
        if self._shown:
            self._write("\n")
            self._shown = ""

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def show(self, state: State, place: str) -> None:
        """Draw the line for a state, if its text has changed."""
        if not sys.stderr.isatty():
            return
        percent = state.progress.percent
        share = "unknown" if percent is None else f"{percent:.1f} %"
        text = f"{state.session.project or place}: {state.session.status.replace('_', ' ')}, {share}"
        text = "".join(c if c.isprintable() else "?" for c in text)[:100]
        if text != self._shown:
            self._write(f"\r\x1b[K{text}")
            self._shown = text

    def note(self, text: str) -> None:
        """Print a message on a line of its own."""
        self.end()
        note(text)


def _exit_code_of(state: State) -> int | None:
    """Return the exit code for the status of a build; None while it is running."""
    from ..feeds import stalled
    from ..model import BuildStatus

    match state.session.status:
        case BuildStatus.COMPLETED:
            return COMPLETED
        case BuildStatus.FAILED:
            return FAILED
        case _:
            return STALLED if stalled(state) is not None else None


def _feed(place: str, token: str | None, **options: Any) -> Feed:
    """Open the feed of the build at a path or URL; exit with an error message if the path is not a project."""
    from ..feeds import is_url, open_feed

    if not is_url(place):
        place = str(project_folder(Path(place)))
    return open_feed(place, token=token, **options)


def _follow(place: str, as_json: bool, types: str | None, since: str | None, follow: bool, token: str | None) -> None:
    from ..events import type_of, types_of

    epoch, number = "", None if follow else -NEWEST
    if since is not None:
        epoch, _, text = since.rpartition(":")
        if not (text.isascii() and text.isdigit()):
            fail(f"--since needs a sequence number, or EPOCH:NUMBER, got {since!r}", USAGE)
        number = int(text)
    try:
        wanted = None if types is None else types_of(types.split(",")) | {"gap"}
    except ValueError as error:
        fail(str(error), USAGE)
    with contextlib.ExitStack() as stack:
        show, tick = _show_json, None
        if not as_json:
            from ._lines import MessageLines

            lines = MessageLines()
            stack.callback(lines.end)
            show, tick = lines.show, lines.tick
        feed = stack.enter_context(
            _feed(place, token, epoch=epoch or None, since=number, reconnect=follow, notify=note)
        )
        for message in _following(feed) if follow else _up_to_now(feed):
            if message is None:
                if tick is not None:
                    tick()
            elif wanted is None or type_of(message) in wanted:
                show(message)


def _following(feed: Feed) -> Generator[Any]:
    """Yield messages without end; yield None when no more are pending, at least twice a second."""
    while True:
        yield from feed.messages(0.5)
        yield None


def _up_to_now(feed: Feed) -> Generator[Any]:
    """Yield the messages up to the newest one at the time of the call."""
    from ..events import Gap

    at, last = feed.begins_after, feed.newest
    if at > last:
        note(f"there is no message {at:,}; the newest is {last:,}")
    while at < last:
        for message in feed.messages(0.5):
            if isinstance(message, Gap):
                yield message
                at = message.to_seq
                if message.from_seq is None:  # the rest is of a log that began just now
                    return
                continue
            at = message.seq
            if at > last:
                return
            yield message


def _show_json(message: Any) -> None:
    from ..events import encode

    echo_json(encode(message))
