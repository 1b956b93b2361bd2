"""The command ``buildwidget``: thin. What a command does lives in the rooms; heavy imports happen inside commands."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rich.console import Console

    from .feeds import Feed
    from .model import State

__all__ = ["app", "main"]

T = TypeVar("T")

app = typer.Typer(
    name="buildwidget",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Watch a build that writes checkpoint files.\n\n"
        "In a notebook: import buildwidget as bw; bw.watch('path/to/project')\n\n"
        "\b\nIn a terminal:\n"
        "  buildwidget demo                 a simulated build, to see what it is like\n"
        "  buildwidget demo --lab           the same, and live in JupyterLab\n"
        "  buildwidget watch path/to/proj   a real build, live\n"
        "  buildwidget parse FILE           what one file says\n\n"
        "\b\nFor other machines and programs:\n"
        "  buildwidget serve path/to/proj   a live page, and a WebSocket for any client\n"
        "  buildwidget run -- make          run a command, and show its output to all of them\n"
        "  buildwidget status URL|PATH      how it stands; tail, events and wait follow it"
    ),
)


class ScenarioName(StrEnum):
    """The scenarios of the demo, known here without importing it."""

    SUCCESS = "success"
    FAILURE = "failure"
    STALL = "stall"
    ROLLBACK = "rollback"
    GROWTH = "growth"


def main() -> None:
    """Run the command line."""
    app(prog_name="buildwidget")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _fail(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"buildwidget: {message}", err=True)
    raise typer.Exit(code)


@app.command()
def demo(
    scenario: Annotated[
        ScenarioName,
        typer.Argument(help="What happens: success, failure, stall, rollback or growth.", show_choices=False),
    ] = ScenarioName.SUCCESS,
    out: Annotated[
        Path | None,
        typer.Option(help="The project folder to write. Default: buildwidget-demo, here.", show_default=False),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, help="1 takes two to three minutes; 10 is ten times as fast.")
    ] = 1.0,
    duration: Annotated[
        float | None,
        typer.Option(min=0.01, help="Length of the build in seconds, instead of --speed.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number, another build.")] = 0,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace files by rename. Default: rewrite them in place, in pieces, as BuildRunner does."
        ),
    ] = False,
    loop: Annotated[bool, typer.Option("--loop/--once", help="Begin again when a build has ended.")] = False,
    lab: Annotated[bool, typer.Option("--lab/--no-lab", help="Start JupyterLab with the live cell, too.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="With --lab: open it in a browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --lab: its port. 0: any free one.")] = 0,
    instant: Annotated[
        bool, typer.Option("--instant", help="Write the whole build at once, with times in the past.")
    ] = False,
) -> None:
    """Play a simulated build that writes real checkpoint files.

    It is shown here while it is written; with --lab, in JupyterLab as well. Ctrl-C ends all of it.

    \b
    Examples:
      buildwidget demo                        a build that succeeds
      buildwidget demo failure --speed 5      one that fails, five times as fast
      buildwidget demo rollback --lab         one that goes back, also in JupyterLab
      buildwidget demo growth --duration 30   one whose scope grows, in 30 seconds
      buildwidget demo --instant --out shop   all files of a finished build, at once
    """
    from .demo.runner import prepare, write_instant
    from .demo.world import Scenario
    from .errors import DemoError

    folder = out or Path("buildwidget-demo")
    try:
        if instant:
            count = write_instant(prepare(folder), scenario.value, seed)
            typer.echo(f"{count} files of a build ({scenario.value}) are in {folder.resolve()}")
            typer.echo(f"Look at it: buildwidget watch {folder}")
            return
    except DemoError as error:
        _fail(str(error))

    from .demo import play

    options = play.DemoOptions(
        scenario=Scenario(scenario.value),
        folder=folder,
        seed=seed,
        speed=speed,
        duration=duration,
        replace=replace,
        loop=loop,
        lab=lab,
        open_browser=open_browser,
        port=port,
    )
    try:
        play.play(options, _console())
    except DemoError as error:
        _fail(str(error))


@app.command()
def watch(
    path: Annotated[
        Path, typer.Argument(help="The project: the folder that holds, or will hold, .buildrunner.")
    ] = Path(),
    plain: Annotated[
        bool, typer.Option("--plain", help="One line per milestone. Default where nothing can move: a pipe, NO_COLOR.")
    ] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End with the build: exit code 0 if it completed, 1 if it failed.")
    ] = False,
    poll: Annotated[
        bool, typer.Option("--poll", help="Scan the files instead of listening to the system (network drives).")
    ] = False,
) -> None:
    """Show a build live in this terminal. Ctrl-C ends it (exit code 130).

    \b
    Examples:
      buildwidget watch                    the project in this folder
      buildwidget watch ~/shop             another one; its build may begin later
      buildwidget watch . --until-done && ./deploy.sh
    """
    from .interrupt import Interrupts
    from .model import BuildStatus
    from .session import BuildSession
    from .terminal_view import show_live

    final = (BuildStatus.COMPLETED, BuildStatus.FAILED)
    session = BuildSession(_project(path), poll=True if poll else None)

    def over(state: State) -> bool:
        return until_done and session.loaded and state.session.status in final

    with Interrupts() as interrupts:
        session.open()
        try:
            state = show_live(session, _console(), stop=interrupts.stop, done=over, plain=True if plain else None)
        finally:
            session.close()
    if interrupts.stop.is_set():
        raise typer.Exit(130)
    raise typer.Exit(0 if state.session.status is BuildStatus.COMPLETED else 1)


def _project(path: Path) -> Path:
    """The project that a path means, or a clear word why it means none."""
    path = path.expanduser()
    if path.name == ".buildrunner":
        path = path.parent
    if path.is_file():
        _fail(
            f"{path} is a file. Name the project folder to watch it, or read the file with 'buildwidget parse {path}'.",
            2,
        )
    if not path.is_dir():
        _fail(
            f"there is no folder {path}. Name the project: the folder that holds .buildrunner. "
            "(No project yet? Try 'buildwidget demo'.)",
            2,
        )
    return path


Place = Annotated[str, typer.Argument(metavar="URL|PATH", help="The address of a server, or a project's folder.")]
Token = Annotated[
    str | None,
    typer.Option(
        help="What the server asks for. Also: BUILDWIDGET_TOKEN.", envvar="BUILDWIDGET_TOKEN", show_envvar=False
    ),
]
Types = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Only these: components, features, tasks, phases, checkpoints, terminal, progress, "
        "files, errors, or types such as task_update.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]

COMPLETED, FAILED, USAGE, NO_BUILD, STALLED, CONNECTION, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 124, 130
CODES = (
    "Exit codes: 0 completed, 1 failed, 2 usage, 3 no build, 4 stalled, 5 refused or unreachable, 124 timeout, "
    "130 interrupted."
)


@app.command()
def serve(
    projects: Annotated[
        list[Path] | None,
        typer.Argument(help="Projects to serve. Default: the one in this folder.", show_default=False),
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=PATH", help="A project under an id of your choice. Can be repeated.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen. Any address but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(help="Readers must show it. Better in BUILDWIDGET_TOKEN or a file.", show_default=False),
    ] = None,
    write_token: Annotated[
        str | None, typer.Option(help="Who publishes must show it. Also: BUILDWIDGET_WRITE_TOKEN.", show_default=False)
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file whose first line is the token.", show_default=False)
    ] = None,
    write_token_file: Annotated[
        Path | None, typer.Option(help="A file whose first line is the write token.", show_default=False)
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN", help="Pages of this origin may connect: https://example.org, or null.", show_default=False
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name of this server, besides its address.", show_default=False),
    ] = None,
    max_clients: Annotated[int, typer.Option(min=1, help="Streams at the same time.")] = 20_000,
    root_path: Annotated[
        str,
        typer.Option(metavar="/PREFIX", help="The path prefix that a reverse proxy takes away.", show_default=False),
    ] = "",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Logs as one JSON object per line.")] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(help="A PEM file, with --tls-key: https.", show_default=False)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="A PEM file, with --tls-cert.", show_default=False)] = None,
) -> None:
    """Serve builds to browsers and programs: a live page, a WebSocket, events over HTTP.

    The address is the first line on standard output; everything else goes to standard error. Ctrl-C ends it.

    \b
    Examples:
      buildwidget serve                              the project in this folder, at http://127.0.0.1:8000
      buildwidget serve ~/shop ~/blog --port 0       two projects, at any free port
      BUILDWIDGET_TOKEN=... buildwidget serve --host 0.0.0.0 --allow-host builds.example.org
    """
    from .errors import OptionsError
    from .server import ServerOptions, read_token, run, session_ids

    if log_level not in {"debug", "info", "warning", "error"}:
        _fail(f"there is no log level {log_level!r}; choose debug, info, warning or error", USAGE)
    named: dict[str, Path] = {}
    for entry in session or []:
        name, equals, path = entry.partition("=")
        if not equals or not name or not path:
            _fail(f"--session needs ID=PATH, got {entry!r}", USAGE)
        named[name] = _project(Path(path))
    listed = [_project(path) for path in (projects or ([] if named else [Path()]))]
    try:
        options = ServerOptions(
            sessions=session_ids(listed, named),
            host=host,
            port=port,
            token=token or (read_token(token_file) if token_file else os.environ.get("BUILDWIDGET_TOKEN") or None),
            write_token=write_token
            or (
                read_token(write_token_file) if write_token_file else os.environ.get("BUILDWIDGET_WRITE_TOKEN") or None
            ),
            allow_origins=tuple(allow_origin or ()),
            allow_hosts=tuple(allow_host or ()),
            max_clients=max_clients,
            root_path=root_path.rstrip("/"),
            log_level=log_level,
            json_logs=json_logs,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
        code = run(options, typer.echo)
    except OptionsError as error:
        _fail(str(error), USAGE)
    raise typer.Exit(code)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="A running server. Default: serve it from here.", show_default=False),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="The server's write token. Also: BUILDWIDGET_WRITE_TOKEN.",
            envvar="BUILDWIDGET_WRITE_TOKEN",
            show_envvar=False,
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="The session on that server, if it has several.")
    ] = None,
    project: Annotated[Path, typer.Option(help="Without --to: the project that is served with the output.")] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Without --to: the port. 0: any free one.")] = 0,
    source: Annotated[
        str | None, typer.Option(help="What the output is labelled with. Default: the command's name.")
    ] = None,
    use_pty: Annotated[
        bool, typer.Option("--pty/--no-pty", help="Give the command a terminal. Without: stdout and stderr stay apart.")
    ] = True,
) -> None:
    """Run a command; show its output here, unchanged, and live in the build.

    It ends with the exit code of the command: 128 + n if signal n ended it, 127 if it was not found.

    \b
    Examples:
      buildwidget run -- make -j2                      serves this folder's build while it runs
      buildwidget run --to http://127.0.0.1:8000 -- pytest
    """
    from .feeds import ServerSink, SessionSink
    from .pty_run import run as run_command

    label = source or os.path.basename(command[0])

    def tell(text: str) -> None:
        typer.echo(f"buildwidget: {text}", err=True)

    if to is not None:
        result = run_command(command, ServerSink(to, label, token=token, session=session, warn=tell), use_pty=use_pty)
    else:
        from .errors import OptionsError
        from .server import serve
        from .session import BuildSession

        build = BuildSession(_project(project)).open()
        try:
            with serve(build, port=port) as server:
                tell(f"live at {server.url}")
                result = run_command(command, SessionSink(build, label), use_pty=use_pty)
        except OptionsError as error:
            _fail(str(error), USAGE)
        finally:
            build.close()
    if result.exit_code in {126, 127} and result.seconds < 1:
        tell(f"{command[0]}: {'there is no such command' if result.exit_code == 127 else 'it cannot be run'}")
    raise typer.Exit(result.exit_code)


@app.command()
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


@app.command()
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


@app.command()
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
    from .feeds import has_build, stalled

    with _feed(place, token) as feed:
        state = feed.state
        if as_json:
            import msgspec

            body = {"epoch": feed.epoch, "seq": feed.seq, "stalled": stalled(state) is not None, "state": state}
            typer.echo(msgspec.json.encode(body).decode())
        else:
            from datetime import UTC, datetime

            from .terminal_view import render

            silence = stalled(state)
            console = _console()
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


@app.command()
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

    from .feeds import has_build

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
    from .feeds import stalled
    from .model import BuildStatus

    match state.session.status:
        case BuildStatus.COMPLETED:
            return COMPLETED
        case BuildStatus.FAILED:
            return FAILED
        case _:
            return STALLED if stalled(state) is not None else None


def _feed(place: str, token: str | None, **options: Any) -> Feed:
    """The build at a path or an address, or a clear word why there is none."""
    from .feeds import is_url, open_feed

    if not is_url(place):
        place = str(_project(Path(place)))
    return _guarded(open_feed, place, token=token, **options)


def _guarded(call: Callable[..., T], *args: Any, **options: Any) -> T:
    """What it gives, or the exit code for what is wrong with a server."""
    from .errors import ClientError

    try:
        return call(*args, **options)
    except ClientError as error:
        _fail(str(error), CONNECTION)


def _follow(place: str, as_json: bool, types: str | None, since: str | None, follow: bool, token: str | None) -> None:
    from .events import encode, type_of, types_of

    epoch, number = "", None
    if since is not None:
        epoch, _, text = since.rpartition(":")
        if not (text.isascii() and text.isdigit()):
            _fail(f"--since needs the number of a message, or EPOCH:NUMBER, got {since!r}", USAGE)
        number = int(text)
    try:
        wanted = None if types is None else types_of(types.split(","))
    except ValueError as error:
        _fail(str(error), USAGE)
    console = None if as_json else _console()
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
                from .terminal_view.messages import message_line

                for line in message_line(message):
                    console.print(line, soft_wrap=True)


@app.command()
def parse(
    file: Annotated[Path, typer.Argument(help="A file below .buildrunner.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Tell what one file of a build says.

    \b
    Examples:
      buildwidget parse .buildrunner/features.json
      buildwidget parse .buildrunner/checkpoints/checkpoint_20260301_090000_000001.json --json
    """
    import json

    from .compat import parse_checkpoint
    from .errors import CheckpointError

    try:
        said = parse_checkpoint(file)
    except CheckpointError as error:
        _fail(str(error))
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False, default=str))
        return
    from .terminal_view import describe

    console = _console()
    for line in describe(said):
        console.print(line, soft_wrap=True)


class TableFormat(StrEnum):
    """How ``history`` writes a table, known here without importing it."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


class DiffFormat(StrEnum):
    """How ``diff`` writes."""

    TABLE = "table"
    JSON = "json"


SHOWN_ROWS = 100  # of a table in a terminal, unless --limit says otherwise
ENDINGS = {
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
}


@app.command()
def history(
    path: Annotated[
        str, typer.Argument(help="A project, a folder of checkpoints, a folder of projects, or a pattern of those.")
    ] = ".",
    table: Annotated[
        str, typer.Option("--table", "-t", metavar="NAME", help="Which table; see --list.")
    ] = "transitions",
    form: Annotated[
        TableFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="Default: as FILE ends; else table in a terminal, csv in a pipe.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to. Default: standard output.", show_default=False),
    ] = None,
    git: Annotated[
        bool, typer.Option("--git", help="Also every version that was committed to git: what rollbacks overwrote.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="No older rows: 2026-03-01, 2026-03-01T09:00, with a zone or in UTC.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"The last N rows; 0: all. Default: all, in a terminal {SHOWN_ROWS}.",
            show_default=False,
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read every file anew, and keep nothing for the next time.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the tables, their rows and columns, and end.")] = False,
) -> None:
    """Print a table of all that a build ever wrote.

    \b
    Times are in UTC. csv and json (an object per line) have them as ISO 8601,
    and durations as seconds; what is not known is empty, or null. parquet and
    arrow are binary: for a file, or a pipe. In a pipe, arrow is a stream.

    \b
    Examples:
      buildwidget history                          what changed when, in this folder
      buildwidget history ~/shop --list            which tables there are
      buildwidget history --table items            how everything stands now
      buildwidget history --since 2026-03-01 --format json | jq .item_id
      buildwidget history "builds/*" -t components -o components.parquet
      buildwidget history --git -t checkpoints     also what rollbacks overwrote

    \b
    Exit codes: 0, 1 it cannot be read or written, 2 usage, 3 no build there.
    """
    from .history.tables import TABLES

    if table not in TABLES:
        _fail(f"there is no table {table!r}; there are {', '.join(TABLES)}", USAGE)
    wanted = form or _form_of(output)
    if output is not None and wanted is TableFormat.TABLE:
        _fail("a table is to be read here; with --output choose csv, json, parquet or arrow", USAGE)
    binary = wanted in {TableFormat.PARQUET, TableFormat.ARROW}
    if binary and output is None and sys.stdout.isatty():
        _fail(f"{wanted} is binary, and this is a terminal; name a file with --output, or use a pipe", USAGE)
    moment = None if since is None else _moment(since)
    build = _history(path, git=git, cache=not no_cache)
    if listed:
        _show([(name, build.arrow(name).num_rows, ", ".join(TABLES[name])) for name in TABLES], "table rows columns")
        return

    from .history.export import described, replacing, selected, write

    try:
        found = described(build, table) if binary else build.arrow(table)
        found = selected(found, since=moment, limit=limit or None)
    except ValueError as error:
        _fail(f"--since cannot be used for the table {table}: {error}", USAGE)
    if wanted is TableFormat.TABLE:
        _show_rows(found, SHOWN_ROWS if limit is None and sys.stdout.isatty() else None)
    elif output is None:
        write(found, sys.stdout.buffer, wanted, stream=True)
        sys.stdout.buffer.flush()
    else:
        try:
            with replacing(output.expanduser()) as file:
                write(found, file, wanted)
        except OSError as error:
            _fail(f"{output} cannot be written: {error.strerror or error}")
        typer.echo(f"buildwidget: {found.num_rows:,} rows are in {output}", err=True)
    warnings = build.arrow("warnings").num_rows
    if warnings and table != "warnings":
        typer.echo(f"buildwidget: {warnings:,} warnings; --table warnings lists them", err=True)


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is no option
def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="A checkpoint: its id, first, last, -1 (the last), -2 …, or a file.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one; a file too, if A is one.")],
    path: Annotated[str, typer.Argument(help="The project. Not asked for if A and B are files.")] = ".",
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in both.")] = False,
    form: Annotated[DiffFormat, typer.Option("--format", "-f", help="json: an object per line.")] = DiffFormat.TABLE,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="ID", help="Which project, if PATH holds several.", show_default=False),
    ] = None,
) -> None:
    """Say what changed from one checkpoint to another, item by item.

    \b
    Examples:
      buildwidget diff first last                     all that the build in this folder did
      buildwidget diff -2 -1 ~/shop                   the last step of another one
      buildwidget diff checkpoint_20260301_090000_000001 last --format json
      buildwidget diff old/checkpoint.json new/checkpoint.json

    \b
    Exit codes: 0 also when there are differences, 1 a file cannot be read, 2 usage,
    3 no build there.
    """
    for word in (a, b, path):
        if word.startswith("--"):
            _fail(f"there is no option {word}; see buildwidget diff --help", USAGE)
    files = [Path(one).expanduser() for one in (a, b)]
    there = [file.is_file() for file in files]
    if any(there) and not all(there):
        _fail(f"{a if there[0] else b} is a file, and {b if there[0] else a} is none; name two files, or none", USAGE)

    from .history.analysis import diff as compare

    if all(there):
        from .history.export import two_files

        tables, problem = two_files(*files)
        if problem:
            _fail(problem)
        found = compare(tables, "a", "b", changes_only=not everything)
    else:
        build = _history(path)
        try:
            first, second = (_checkpoint(one) for one in (a, b))
            found = compare(build, first, second, changes_only=not everything, session_id=session)
        except ValueError as error:
            _fail(str(error).replace("session_id=", "--session"), USAGE)
    rows = list(found.itertuples(index=False, name=None))
    if form is DiffFormat.JSON:
        import msgspec

        lines = [dict(zip(found.columns, map(_plain, row), strict=True)) for row in rows]
        sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(lines))
        sys.stdout.buffer.flush()
    elif rows:
        _show(rows, " ".join(found.columns), all_columns=True)
    if not rows:
        typer.echo("buildwidget: there is no difference", err=True)


def _form_of(output: Path | None) -> TableFormat:
    """The format that a file's name asks for, or that is best where standard output goes."""
    if output is None:
        return TableFormat.TABLE if sys.stdout.isatty() else TableFormat.CSV
    form = ENDINGS.get(output.suffix.lower().removeprefix("."))
    if form is None:
        _fail(f"{output} does not say by its ending what it is to be; choose a --format", USAGE)
    return TableFormat(form)


def _moment(text: str) -> datetime:
    """A time as somebody types it; without a zone it is in UTC, as all that is printed."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        _fail(f"--since needs a time such as 2026-03-01 or 2026-03-01T09:00:00Z, got {text!r}", USAGE)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _checkpoint(text: str) -> str | int:
    """A checkpoint as somebody types it: a position from the end, else an id, first or last."""
    return int(text) if text.startswith("-") and text[1:].isdecimal() and text.isascii() else text


def _history(path: str, *, git: bool = False, cache: bool = True) -> Any:
    """The `History` of the builds at a path, or a clear word why there is nothing."""
    from .errors import GitError, NotAGitRepositoryError
    from .history import read_history

    if not any(magic in path for magic in "*?["):
        _project(Path(path))
    options: dict[str, Any] = {**({"git": True} if git else {}), **({} if cache else {"cache": False})}
    try:
        build: Any = read_history(path, **options)
    except FileNotFoundError as error:
        _fail(str(error), NO_BUILD)
    except GitError as error:
        _fail(str(error), USAGE if isinstance(error, NotAGitRepositoryError) else FAILED)
    if not build.arrow("checkpoints").num_rows and not build.arrow("warnings").num_rows:
        _fail(f"there is no build in {path} yet", NO_BUILD)
    return build


# Columns that are left out first where there is no room.
DISPENSABLE = (
    *("status_raw", "source", "status_source", "ts_source", "shape", "size", "modified", "seq", "version"),
    *("checkpoint_id", "name", "description", "error", "change"),
)
STYLES = {
    "completed": "green",
    "in_progress": "cyan",
    "error": "red",
    "failed": "red",
    "blocked": "yellow",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "same": "dim",
}


def _show_rows(table: Any, most: int | None) -> None:
    """A table for people: the last rows, and the columns that say something and have room."""
    shown = table if most is None else table.slice(max(0, table.num_rows - most))
    rows = shown.to_pylist()
    names = [name for name in shown.column_names if any(row[name] is not None for row in rows)]
    if "session_id" in names and len({row["session_id"] for row in rows}) == 1:
        names.remove("session_id")
    if not rows:
        typer.echo("buildwidget: there are no rows", err=True)
        return
    _show([tuple(row[name] for name in names) for row in rows], " ".join(names))
    if len(rows) < table.num_rows:
        typer.echo(f"buildwidget: the last {len(rows):,} of {table.num_rows:,} rows; --limit 0 shows all", err=True)


def _show(rows: list[tuple[Any, ...]], names: str, *, all_columns: bool = False) -> None:
    """Rows with a line each, as wide as the terminal; in a pipe, as wide as they are."""
    from rich.table import Table
    from rich.text import Text

    console = _console()
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names.split())}
    cells = {name: [_cell(value) for value in values] for name, values in columns.items()}
    width = {name: max(len(name), *map(len, texts)) for name, texts in cells.items()}
    if console.is_terminal:
        texts = [name for name, values in columns.items() if any(isinstance(value, str) for value in values)]
        dropped = _make_room(width, console.width, texts, all_columns=all_columns)
    else:
        console.width, dropped = sum(width.values()) + len(width), []
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, most in width.items():
        numbers = all(value is None or isinstance(value, int | float) for value in columns[name])
        table.add_column(name, no_wrap=True, max_width=most, justify="right" if numbers else "left")
    for row in zip(*(cells[name] for name in width), strict=True):
        table.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row))
    console.print(table)
    if dropped:
        told = ", ".join(name for name in cells if name in dropped)
        typer.echo(f"buildwidget: no room for {told}; --format json has them", err=True)


def _make_room(width: dict[str, int], most: int, texts: list[str], *, all_columns: bool) -> list[str]:
    """Make columns fit, with a space between them: leave some out, cut texts. The names of those that are out."""
    dropped: list[str] = []

    def too_wide() -> bool:
        return sum(width.values()) + len(width) - 1 > most

    def cut(names: list[str], least: int) -> None:
        for longest in range(max(width.values()), least - 1, -1):
            if too_wide():
                width.update({name: min(width[name], longest) for name in names if name in width})

    for name in DISPENSABLE:
        if name in width and too_wide():
            dropped.append(name)
            del width[name]
    cut(texts, 16 if all_columns else 24)
    while too_wide() and len(width) > 2 and not all_columns:
        dropped.append(width.popitem()[0])
    cut(list(width), 6)
    return dropped


def _cell(value: Any) -> str:
    """A value for people."""
    from datetime import datetime, timedelta

    from .terminal_view import clean, span

    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return span(value.total_seconds())
        case float():
            return f"{value:.10g}"
        case _:
            return clean(value, 200)


def _plain(value: Any) -> Any:
    """A value for JSON: a time as ISO 8601, a duration in seconds."""
    from datetime import datetime, timedelta

    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.total_seconds() if isinstance(value, timedelta) else value


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"buildwidget {__version__} (Python {sys.version.split()[0]}, {os.uname().sysname})")
