"""The application that the commands belong to, and its entry point."""

from __future__ import annotations

import contextlib
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from .._extras import needs_extra
from ..errors import BuildwidgetError, OutputError
from ._demo import demo, watch
from ._follow import events, status, tail, wait
from ._history import diff, history
from ._output import CODES, COMPLETED, FAILED, FAULT, INTERRUPTED, OUTPUT, code_of, note
from ._parse import parse
from ._run import run
from ._serve import serve
from ._streams import open_streams
from ._version import version, version_option

__all__ = ["app", "main"]

app = typer.Typer(
    name="buildwidget",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Watch a build by its plans, locks and checkpoint files.\n\n"
        "In a notebook: import buildwidget as bw; bw.watch('path/to/project')\n\n"
        "\b\nIn a terminal:\n"
        "  buildwidget demo                 a simulated build, to try it out\n"
        "  buildwidget demo --lab           the same, also live in JupyterLab\n"
        "  buildwidget watch path/to/proj   a real build, live\n"
        "  buildwidget parse FILE           print the content of one file\n\n"
        "\b\nFor other machines and programs:\n"
        "  buildwidget serve path/to/proj   a live page, and a WebSocket for any client\n"
        "  buildwidget run -- make          run a command, and show its output to all of them\n"
        "  buildwidget status URL|PATH      its current state; see also tail, events, wait"
    ),
    epilog=CODES,
)

# In the order of ``buildwidget --help``.
app.command()(demo)
app.command()(watch)
app.command()(serve)
app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(run)
app.command()(tail)
app.command()(events)
app.command()(status)
app.command()(wait)
app.command()(parse)
app.command()(history)
app.command(context_settings={"ignore_unknown_options": True})(diff)  # -1 is no option
app.command()(version)


@app.callback()
def options(
    version_wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=version_option)
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> NoReturn:
    """Run the command line and exit: every error becomes a message on standard error and an exit code."""
    output = open_streams()
    code = _run_command()
    with contextlib.suppress(OutputError):
        sys.stdout.flush()
    if output.problem is not None:
        note(str(output.problem))
        code = OUTPUT
    sys.exit(code)


def _run_command() -> int:
    """Run the requested command and return its exit code."""
    try:
        with needs_extra("this command"):
            app(prog_name="buildwidget")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else COMPLETED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputError:
        return OUTPUT  # `main` prints the error
    except BuildwidgetError as error:
        note(str(error))
        return code_of(error)
    except Exception:  # noqa: BLE001 (an internal error must not look like a failed build, whose exit code is 1)
        traceback.print_exc()
        return FAULT
    return COMPLETED
