"""The ``serve`` command: serve builds to browsers and programs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionsError, OutputError
from ._options import project_folder
from ._output import USAGE, echo, fail

__all__ = ["serve"]


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
        str, typer.Option(help="Address to listen on. Any but a loopback address needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(help="Token required to read. Better set in BUILDWIDGET_TOKEN or a file.", show_default=False),
    ] = None,
    write_token: Annotated[
        str | None, typer.Option(help="Token required to publish. Also: BUILDWIDGET_WRITE_TOKEN.", show_default=False)
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
        typer.Option(metavar="NAME", help="A host name of this server, besides its address.", show_default=False),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="A reverse proxy whose X-Forwarded-For and -Proto are trusted.", show_default=False
        ),
    ] = None,
    max_clients: Annotated[int, typer.Option(min=1, help="Maximum number of concurrent streams.")] = 20_000,
    root_path: Annotated[
        str,
        typer.Option(metavar="/PREFIX", help="The path prefix that a reverse proxy strips.", show_default=False),
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

    \b
    Exit codes: 0 ended by SIGTERM, 2 usage, or the extra "server" is missing, 130
    Ctrl-C.
    """
    from ..server import ServerOptions, read_token, run, session_ids

    if log_level not in {"debug", "info", "warning", "error"}:
        fail(f"there is no log level {log_level!r}; choose debug, info, warning or error", USAGE)
    named: dict[str, Path] = {}
    for entry in session or []:
        name, equals, path = entry.partition("=")
        if not equals or not name or not path:
            fail(f"--session needs ID=PATH, got {entry!r}", USAGE)
        named[name] = project_folder(Path(path))
    listed = [project_folder(path) for path in (projects or ([] if named else [Path()]))]
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
            trusted_proxies=tuple(trust_proxy or ()),
            max_clients=max_clients,
            root_path=root_path.rstrip("/"),
            log_level=log_level,
            json_logs=json_logs,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
        code = run(options, _announce)
    except OptionsError as error:
        fail(str(error), USAGE)
    raise typer.Exit(code)


def _announce(url: str) -> None:
    """Print the URL of the server; stop the server if the URL cannot be printed."""
    try:
        echo(url)
    except OutputError:  # `main` prints the error; the server shuts down in order
        signal.raise_signal(signal.SIGTERM)
