"""``tail``, ``events``, ``status`` and ``wait``: how a build stands and what happens, here or on a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ._options import AsJson, Place, Token, Types, project_folder
from ._output import COMPLETED, CONNECTION, FAILED, NO_BUILD, STALLED, TIMEOUT, USAGE, fail, make_console

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..feeds import Feed
    from ..model import State

__all__ = ["events", "status", "tail", "wait"]

T = TypeVar("T")


def tail(
    place: Place = ".",
    as_json: AsJson = False,
    types: Types = None,
    since: Annotated[
        str | None, typer.Option(metavar="SEQ|EPOCH:SEQ", help="Begin after this message.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
    token: Token = None,
) -> None:
    """Print what happens, a line each, as it happens. Ctrl-C ends it (130).

    \b
    Examples:
      buildwidget tail                                  the project in this folder
      buildwidget tail http://127.0.0.1:8000 --types components,errors
      buildwidget tail . --json | jq .type
    """
    _follow(place, as_json, types, since, follow, token)


def events(
    place: Place = ".",
    as_json: AsJson = False,
    types: Types = None,
    since: Annotated[
        str | None, typer.Option(metavar="SEQ|EPOCH:SEQ", help="Only those after this message.", show_default=False)
    ] = None,
    token: Token = None,
) -> None:
    """Print all messages that the log still holds, and end.

    \b
    Examples:
      buildwidget events --json > log.ndjson
      buildwidget events http://127.0.0.1:8000 --since 4100
    """
    _follow(place, as_json, types, since or "0", False, token)


def status(
    place: Place = ".",
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Say it in the exit code too; 0 also while a healthy build goes on.")
    ] = False,
    token: Token = None,
) -> None:
    """Say how a build stands.

    \b
    Examples:
      buildwidget status ~/shop
      buildwidget status http://127.0.0.1:8000 --json | jq .state.progress.percent
      buildwidget status --exit-status || echo "not well"
    """
    from ..feeds import has_build, stalled

    with _feed(place, token) as feed:
        state = feed.state
        if as_json:
            import msgspec

            body = {"epoch": feed.epoch, "seq": feed.seq, "stalled": stalled(state) is not None, "state": state}
            typer.echo(msgspec.json.encode(body).decode())
        else:
            from datetime import UTC, datetime

            from ..terminal_view import render

            silence = stalled(state)
            console = make_console()
            console.print(
                render(
                    state,
                    width=console.width,
                    height=max(console.height, 24),
                    now=datetime.now(UTC),
                    stalled=silence is not None,
                    silence=silence or 0.0,
                )
            )
        code = _verdict(state)
    if not has_build(state):
        if not as_json:
            typer.echo(f"buildwidget: there is no build in {place} yet", err=True)
        raise typer.Exit(NO_BUILD)
    raise typer.Exit(code or COMPLETED if exit_status else COMPLETED)


def wait(
    place: Place = ".",
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long (124).", show_default=False)
    ] = None,
    token: Token = None,
) -> None:
    """Wait for the end of a build.

    A build that stalls ends the waiting, too (4).

    \b
    Examples:
      buildwidget wait ~/shop && ./deploy.sh
      buildwidget wait http://127.0.0.1:8000 --timeout 3600
    """
    import time

    from ..feeds import has_build

    end = None if timeout is None else time.monotonic() + timeout
    shown = sys.stderr.isatty()
    line = ""
    with _feed(place, token) as feed:
        try:
            while True:
                state = feed.state
                code = _verdict(state)
                if code is not None:
                    break
                if shown:
                    percent = state.progress.percent
                    share = "unknown" if percent is None else f"{percent:.1f} %"
                    text = f"{state.session.project or place}: {state.session.status.replace('_', ' ')}, {share}"
                    text = "".join(c if c.isprintable() else "?" for c in text)[:100]
                    if text != line:
                        typer.echo(f"\r\x1b[K{text}", nl=False, err=True)
                        line = text
                left = 1.0 if end is None else min(1.0, end - time.monotonic())
                if left <= 0:
                    if not has_build(state):
                        typer.echo(f"buildwidget: there is no build in {place} yet", err=True)
                        raise typer.Exit(NO_BUILD)
                    typer.echo(f"buildwidget: not over after {timeout:g} s", err=True)
                    raise typer.Exit(TIMEOUT)
                _guarded(feed.messages, left)
        finally:
            if line:
                typer.echo(err=True)
    raise typer.Exit(code)


def _verdict(state: State) -> int | None:
    """The exit code that says how a build stands; None while it goes on."""
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
    """The build at a path or an address, or a clear word why there is none."""
    from ..feeds import is_url, open_feed

    if not is_url(place):
        place = str(project_folder(Path(place)))
    return _guarded(open_feed, place, token=token, **options)


def _guarded(call: Callable[..., T], *args: Any, **options: Any) -> T:
    """What it gives, or the exit code for what is wrong with a server."""
    from ..errors import ClientError

    try:
        return call(*args, **options)
    except ClientError as error:
        fail(str(error), CONNECTION)


def _follow(place: str, as_json: bool, types: str | None, since: str | None, follow: bool, token: str | None) -> None:
    from ..events import encode, type_of, types_of

    epoch, number = "", None
    if since is not None:
        epoch, _, text = since.rpartition(":")
        if not (text.isascii() and text.isdigit()):
            fail(f"--since needs the number of a message, or EPOCH:NUMBER, got {since!r}", USAGE)
        number = int(text)
    try:
        wanted = None if types is None else types_of(types.split(","))
    except ValueError as error:
        fail(str(error), USAGE)
    console = None if as_json else make_console()
    with _feed(place, token, epoch=epoch or None, since=number) as feed:
        last = None if follow else feed.newest
        at = number or 0
        while last is None or at < last:
            for message in _guarded(feed.messages, 0.5):
                at = message.seq or at
                if last is not None and at > last:
                    break
                if wanted is not None and type_of(message) not in wanted:
                    continue
                if console is None:
                    typer.echo(encode(message).decode())
                    continue
                from ..terminal_view.messages import message_line

                for line in message_line(message):
                    console.print(line, soft_wrap=True)
