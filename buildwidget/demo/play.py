"""The command ``buildwidget demo``: a simulated build, live in this terminal and optionally in JupyterLab."""

from __future__ import annotations

import shutil
import signal
import threading
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from ..errors import DemoError
from ..interrupt import Interrupts
from ..model import State
from ..session import BuildSession
from ..terminal_view import is_plain, milestones, show_live
from .lab import DemoLab, check_lab, notebook_source
from .runner import DemoRunner, prepare
from .world import Scenario

__all__ = ["DemoOptions", "play"]

NOTEBOOK: Final = "01-live.ipynb"
PAUSE: Final = 6.0  # seconds between two rounds of --loop
STALL_PAUSE: Final = 150.0  # seconds, long enough for the build to count as stalled
PLAN_STALL_PAUSE: Final = 660.0  # the same for a build by a plan, which is called quiet after ten minutes


@dataclass(frozen=True)
class DemoOptions:
    """The options of the command line."""

    scenario: Scenario
    folder: Path
    seed: int = 0
    speed: float = 1.0
    duration: float | None = None
    replace: bool = False
    loop: bool = False
    lab: bool = False
    open_browser: bool = False
    port: int = 0


def play(options: DemoOptions, console: Console) -> signal.Signals | None:
    """Play the demo until it ends, or until Ctrl-C. All threads and processes of it have ended on return.

    Returns
    -------
    signal.Signals or None
        The signal that ended it.

    Raises
    ------
    DemoError
        If the folder cannot be used or written to.
    MissingExtraError
        If JupyterLab is asked for and not installed. Nothing is written then.
    """
    if options.lab:
        check_lab()
    prepare(options.folder)
    with Interrupts() as interrupts, ExitStack() as stack:
        url = None
        console.print(Text(f"The demo project: {options.folder.resolve()}"), soft_wrap=True)
        if options.lab:
            url = _start_lab(options, console, stack, interrupts)
        if interrupts.ended_by is None:
            session = BuildSession(options.folder)
            session.open()
            stack.callback(session.close)
            _show(options, console, session, interrupts.stop, url)
    if interrupts.ended_by is not None:
        console.print(Text("Ended."))
    return interrupts.ended_by


# -- JupyterLab -------------------------------------------------------------------------------------------------------


def _start_lab(options: DemoOptions, console: Console, stack: ExitStack, interrupts: Interrupts) -> str | None:
    """Start JupyterLab and run the notebook's first cells; return its URL, or None if it cannot be started."""
    folder = options.folder.resolve()
    try:
        shutil.copyfile(notebook_source(), folder / NOTEBOOK)
        lab = DemoLab(folder, environment={"BUILDWIDGET_PROJECT": str(folder)}, port=options.port, stop=interrupts.stop)
        stack.callback(_stop_lab, lab, console)
        console.print(Text("Starting JupyterLab …"))
        lab.start()
    except (DemoError, OSError) as error:
        console.print(Text(f"No JupyterLab: {error}", style="yellow"), soft_wrap=True)
        console.print(Text("Continuing in the terminal only."))
        return None
    if interrupts.stop.is_set():
        return None
    live = False
    try:
        with interrupts.raising():
            live = lab.run_notebook(NOTEBOOK)
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        console.print(Text(f"The notebook's first cell could not be run: {error}", style="yellow"), soft_wrap=True)
    except KeyboardInterrupt:
        return None
    url = lab.url_of(NOTEBOOK)
    console.print()
    console.print(
        Text("  The live cell is running. Open" if live else "  Open this, and press Shift+Enter twice:", style="bold")
    )
    console.print(Text(f"  {url}", style="bold cyan"), soft_wrap=True)
    console.print(Text("  Ctrl-C ends everything.", style="dim"))
    console.print()
    if options.open_browser:
        webbrowser.open(url)
    return url


def _stop_lab(lab: DemoLab, console: Console) -> None:
    try:
        if lab.running:
            console.print(Text("Ending JupyterLab and its kernels …"))
    finally:  # also when the output is closed and printing fails
        lab.stop()


# -- the build --------------------------------------------------------------------------------------------------------


class _Writer(threading.Thread):
    """Writes one build, or with ``--loop`` one after the other, while the main thread shows them.

    With ``stays``, the end of the build does not set `over`: the view remains until Ctrl-C.
    """

    def __init__(self, options: DemoOptions, stop: threading.Event, *, stays: bool) -> None:
        super().__init__(name="buildwidget-demo", daemon=True)
        self.hint = f"demo '{options.scenario}', seed {options.seed}. Ctrl-C ends it."
        self.over = threading.Event()  # the view may end
        self.error: OSError | DemoError | None = None
        self._options = options
        self._stop_asked = stop
        self._stays = stays

    def run(self) -> None:
        """Write until the end of the build, or until the stop event is set."""
        try:
            self._rounds()
        except (OSError, DemoError) as error:
            self.error = error
            self.over.set()

    def _rounds(self) -> None:
        options, stop = self._options, self._stop_asked
        seed = options.seed
        while True:
            runner = DemoRunner(
                options.folder,
                options.scenario,
                seed,
                speed=options.speed,
                duration=options.duration,
                replace=options.replace,
                stop=stop,
            )
            if not runner.run():
                return
            if not options.loop:
                self.hint = f"{_end_word(options)} Ctrl-C ends the demo."
                if not self._stays:
                    self.over.set()
                return
            self.hint = "The next build begins in a moment. Ctrl-C ends the demo."
            pause = PLAN_STALL_PAUSE if options.scenario.is_plan else STALL_PAUSE
            if stop.wait(pause if options.scenario.stalls else PAUSE):
                return
            seed += 1
            prepare(options.folder)
            self.hint = f"demo '{options.scenario}', seed {seed}. Ctrl-C ends it."


def _show(
    options: DemoOptions, console: Console, session: BuildSession, stop: threading.Event, url: str | None
) -> None:
    """Show the live view while the build is written."""
    plain = is_plain(console)
    # JupyterLab, or a stalled build, is still worth watching when nothing is written any more.
    writer = _Writer(options, stop, stays=url is not None or (options.scenario.stalls and not plain))

    def done(_state: State) -> bool:
        if not writer.over.is_set():
            return False
        session.refresh()
        return True

    def footer() -> list[str]:
        return [*([url] if url else []), *([] if writer.over.is_set() else [writer.hint])]

    writer.start()
    try:
        show_live(session, console, stop=stop, done=done, footer=footer)
    finally:
        if not writer.over.is_set():
            stop.set()
        writer.join()
    if writer.error is not None:
        reason = getattr(writer.error, "strerror", None) or writer.error
        raise DemoError(f"the demo cannot go on writing to {options.folder}: {reason}") from writer.error
    if writer.over.is_set():
        if plain:
            console.print(Text(milestones(None, session.snapshot())[0]), soft_wrap=True)
        console.print(Text(_end_word(options)))


def _end_word(options: DemoOptions) -> str:
    if options.scenario.stalls:
        return "Nothing is written any more: this build has stalled."
    return "The demo build has ended."
