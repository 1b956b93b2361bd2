"""The application that the commands belong to, and its entry point."""

from __future__ import annotations

import typer

from ._demo import demo, watch
from ._follow import events, status, tail, wait
from ._history import diff, history
from ._parse import parse
from ._run import run
from ._serve import serve
from ._version import version

__all__ = ["app", "main"]

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


def main() -> None:
    """Run the command line."""
    app(prog_name="buildwidget")
