"""The command ``buildwidget demo``: a simulated build, live in this terminal and, if wanted, in JupyterLab."""

from __future__ import annotations

import shutil
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from ..interrupt import Interrupts
from ..model import State
from ..session import BuildSession
from ..terminal_view import is_plain, show_live
from .lab import DemoLab, notebook_source
from .runner import DemoError, DemoRunner, prepare
from .world import Scenario

__all__ = ["DemoOptions", "play"]

NOTEBOOK: Final = "01-live.ipynb"
PAUSE: Final = 6.0  # seconds between two rounds of --loop
STALL_PAUSE: Final = 150.0  # long enough to be called stalled


@dataclass(frozen=True)
class DemoOptions:
    """What the command line says."""

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


def play(options: DemoOptions, console: Console) -> None:
    """Play the demo until it ends, or until Ctrl-C. Everything it started has ended when it returns.

    Raises
    ------
    DemoError
        If it cannot run.
    """
    prepare(options.folder)
    with Interrupts() as interrupts, ExitStack() as stack:
        footer: list[str] = []
        console.print(Text(f"The demo project: {options.folder.resolve()}"), soft_wrap=True)
        if options.lab:
            url = _start_lab(options, console, stack, interrupts)
            if url:
                footer.append(url)
        if interrupts.stop.is_set():
            return
        session = BuildSession(options.folder)
        session.open()
        stack.callback(session.close)
        _rounds(options, console, session, interrupts.stop, footer)
    if interrupts.stop.is_set():
        console.print(Text("Ended."))


# -- JupyterLab -------------------------------------------------------------------------------------------------------


def _start_lab(options: DemoOptions, console: Console, stack: ExitStack, interrupts: Interrupts) -> str | None:
    """A server with the notebook's cells already run; None (and a word why) if it cannot be had."""
    source = notebook_source()
    folder = options.folder.resolve()
    try:
        if source is None:
            raise DemoError("the notebook 01-live.ipynb is missing from this installation.")
        shutil.copyfile(source, folder / NOTEBOOK)
        lab = DemoLab(folder, environment={"BUILDWIDGET_PROJECT": str(folder)}, port=options.port, stop=interrupts.stop)
        stack.callback(_stop_lab, lab, console)
        console.print(Text("Starting JupyterLab …"))
        lab.start()
        if interrupts.stop.is_set():
            return None
        with interrupts.raising():
            live = lab.run_notebook(NOTEBOOK)
    except (DemoError, OSError, RuntimeError, ValueError) as error:
        console.print(Text(f"No JupyterLab: {error}", style="yellow"), soft_wrap=True)
        console.print(Text("Going on in the terminal alone."))
        return None
    except KeyboardInterrupt:
        return None
    url = lab.url_of(NOTEBOOK)
    console.print()
    console.print(Text("  The live cell is running. Open" if live else "  Open this, and press Shift+Enter twice:", style="bold"))
    console.print(Text(f"  {url}", style="bold cyan"), soft_wrap=True)
    console.print(Text("  Ctrl-C ends everything.", style="dim"))
    console.print()
    if options.open_browser:
        webbrowser.open(url)
    return url


def _stop_lab(lab: DemoLab, console: Console) -> None:
    if lab.running:
        console.print(Text("Ending JupyterLab and its kernels …"))
    lab.stop()


# -- the build --------------------------------------------------------------------------------------------------------


def _rounds(
    options: DemoOptions, console: Console, session: BuildSession, stop: threading.Event, footer: list[str]
) -> None:
    """One build, or one after the other."""
    seed = options.seed
    while True:
        runner = DemoRunner(
            options.folder, options.scenario, seed, speed=options.speed, duration=options.duration, replace=options.replace
        )
        with _running(runner) as thread:

            def written(_state: State, thread: threading.Thread = thread) -> bool:
                return not thread.is_alive() and session.loaded

            show_live(session, console, stop=stop, done=written, footer=lambda: [*footer, _hint(options)])
        if stop.is_set():
            return
        session.refresh()
        if not options.loop and not _stays(options, console):
            show_live(session, console, done=lambda _state: True, footer=lambda: footer)
            console.print(Text(_end_word(options)))
            return
        pause = STALL_PAUSE if options.scenario is Scenario.STALL else PAUSE
        ended = threading.Event()
        timer = threading.Timer(pause, ended.set)
        timer.daemon = True
        if options.loop:
            timer.start()
        hint = "The next build begins in a moment. Ctrl-C ends the demo." if options.loop else f"{_end_word(options)} Ctrl-C ends the demo."
        show_live(session, console, stop=stop, done=lambda _state, e=ended: e.is_set(), footer=lambda: [*footer, hint])
        timer.cancel()
        if stop.is_set():
            return
        seed += 1
        prepare(options.folder)


def _stays(options: DemoOptions, console: Console) -> bool:
    """Whether there is still something to look at when nothing is written any more."""
    return options.lab or (options.scenario is Scenario.STALL and not is_plain(console))


def _hint(options: DemoOptions) -> str:
    return f"demo '{options.scenario}', seed {options.seed}. Ctrl-C ends it."


def _end_word(options: DemoOptions) -> str:
    if options.scenario is Scenario.STALL:
        return "Nothing is written any more: this build has stalled."
    return "The demo build has ended."


@contextmanager
def _running(runner: DemoRunner) -> Iterator[threading.Thread]:
    thread = runner.start()
    try:
        yield thread
    finally:
        runner.stop()
        thread.join()
