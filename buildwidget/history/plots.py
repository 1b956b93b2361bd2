"""Charts of a history, with Altair or matplotlib.

>>> h.plot.burnup()  # doctest: +SKIP
>>> h.plot.timeline(kind="component", backend="matplotlib").savefig("timeline.png")  # doctest: +SKIP

The charts are of the analyses in `buildwidget.history.analysis` and of the forecast; `.data` is the frame that a chart
shows. Times are UTC. Long histories are thinned to a thousand points, of which the chart looks the same.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from .._extras import needs_extra

if TYPE_CHECKING:
    from .analysis import Tables
    from .plotting.views import View

__all__ = ["BACKENDS", "THEMES", "Plots"]

BACKENDS: Final = ("altair", "matplotlib")
THEMES: Final = ("light", "dark")
WIDTH: Final = 680
HEIGHT: Final = 320
_EMPTY: Final = 150  # the height of a chart that says why it is empty
_ROW: Final = 19  # of a timeline
_AROUND: Final = 130  # what is above and below its rows
_LEAST: Final = 120


class Plots:
    """The charts of one history: ``h.plot``.

    All methods take these arguments, and return the library's own object: an ``altair.LayerChart`` or a
    ``matplotlib.figure.Figure``. Its ``.data`` is the frame that it shows. A history with nothing to show gives a chart
    that says so.

    Parameters of all methods
    -------------------------
    kind
        The items: ``feature``, ``task``, ``component`` or ``phase``. None: the first of these that there is; of a
        timeline the first that has dependencies.
    session_id
        The project. None: the newest of the history.
    backend
        ``altair`` or ``matplotlib`` (both: ``pip install 'buildwidget[plot]'``).
    width, height
        Of the whole chart, in pixels.
    theme
        ``light`` or ``dark``: colours for a page of which that is known. None: Altair's charts take the text colour of
        the page they are on, and follow its theme; matplotlib's have a grey that can be read on both.

    Parameters
    ----------
    history
        A `History`, or anything else that has its tables.
    """

    def __init__(self, history: Tables) -> None:
        self._history = history

    def __repr__(self) -> str:
        return "charts: burnup, cumulative_flow, timeline, cycle_time, forecast"

    def burnup(
        self,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        forecast: bool = False,
        backend: str = "altair",
        width: int | None = None,
        height: int | None = None,
        theme: str | None = None,
        **options: Any,
    ) -> Any:
        """How much there is to do (a line) and how much is done (an area), over time: see `analysis.burnup`.

        Parameters
        ----------
        forecast
            Whether to show when the rest may be done: from now to the forecast's interval, with the median dashed.
        **options
            Of `forecast`, if it is shown, such as ``level=0.9``.

        Returns
        -------
        altair.LayerChart or matplotlib.figure.Figure
            ``.data`` has a row for each step: ``ts, scope, done, percent``.

        Raises
        ------
        ValueError
            If an argument is not one that there can be.
        ImportError
            If the library is not installed; the text says how to install it.
        """
        from .plotting import views

        ways = _Ways(backend, width, height, theme)
        if options and not forecast:
            raise TypeError(f"{', '.join(sorted(options))}: options of the forecast need forecast=True")
        made = views.burnup(self._history, kind=kind, session_id=session_id, forecast=forecast, **options)
        return ways.draw(made)

    def cumulative_flow(
        self,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        backend: str = "altair",
        width: int | None = None,
        height: int | None = None,
        theme: str | None = None,
    ) -> Any:
        """How many items were in each status, over time, stacked in the order of an item's life.

        See `analysis.cumulative_flow`. What is done is at the bottom; the height of a band is how many items are in
        that status.

        Returns
        -------
        altair.LayerChart or matplotlib.figure.Figure
            ``.data`` has a row for each step: ``ts`` and a column for each status that occurs.

        Raises
        ------
        ValueError, ImportError
            As of `burnup`.
        """
        from .plotting import views

        ways = _Ways(backend, width, height, theme)
        inner = (ways.width - 80.0, (ways.height or HEIGHT) - 120.0)
        return ways.draw(views.cumulative_flow(self._history, kind=kind, session_id=session_id, aspect=inner))

    def timeline(
        self,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        backend: str = "altair",
        width: int | None = None,
        height: int | None = None,
        theme: str | None = None,
    ) -> Any:
        """A bar for each item that was begun, from its start to its end or to now: a Gantt chart.

        Features are below their component, tasks below their pool. The critical path has an outline (see
        `analysis.critical_path`): of the features or of their components, whichever takes longer. An item of which
        nobody saw the start is a mark at its end. Of more than 60 items the 60 that matter most are shown: those under
        way or stuck, then the critical path, then the longest.

        Returns
        -------
        altair.LayerChart or matplotlib.figure.Figure
            ``.data`` has a row for each bar: ``row`` (from above), ``item_id, name, kind, group``, ``head`` (whether it
            is the bar of a group), ``status, started, ended, running, hours, critical, words``.

        Raises
        ------
        ValueError, ImportError
            As of `burnup`.
        """
        from .plotting.timeline import timeline

        made = timeline(self._history, kind=kind, session_id=session_id)
        return _Ways(backend, width, height or _AROUND + _ROW * len(made.rows), theme).draw(made)

    def cycle_time(
        self,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        backend: str = "altair",
        width: int | None = None,
        height: int | None = None,
        theme: str | None = None,
    ) -> Any:
        """How long each completed item took, by when it was completed: see `analysis.cycle_time`.

        Two lines show what half of the items and 85 % of them did not exceed. The scale is logarithmic where the
        longest took more than 50 times as long as the shortest.

        Returns
        -------
        altair.LayerChart or matplotlib.figure.Figure
            ``.data`` has a row for each dot: ``item_id, name, kind, started, ended, hours``, ``taken`` (the same in the
            unit of the axis), ``words``.

        Raises
        ------
        ValueError, ImportError
            As of `burnup`.
        """
        from .plotting import views

        ways = _Ways(backend, width, height, theme)
        return ways.draw(views.cycle_time(self._history, kind=kind, session_id=session_id))

    def forecast(
        self,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        backend: str = "altair",
        width: int | None = None,
        height: int | None = None,
        theme: str | None = None,
        **options: Any,
    ) -> Any:
        """When the build may end, as shares of simulated runs: see `buildwidget.history.forecasting`.

        Where too little is known to say anything, the chart says that and why.

        Parameters
        ----------
        **options
            Of the forecast, such as ``level=0.9``.

        Returns
        -------
        altair.LayerChart or matplotlib.figure.Figure
            ``.data`` has a row for each bar: ``from, to``, ``share`` (of the runs, in percent), ``inside`` (the
            interval).

        Raises
        ------
        ValueError, ImportError
            As of `burnup`.
        """
        from .plotting import views

        ways = _Ways(backend, width, height, theme)
        return ways.draw(views.forecast(self._history, kind=kind, session_id=session_id, **options))


class _Ways:
    """How a chart is drawn; checked before any work is done."""

    def __init__(self, backend: str, width: int | None, height: int | None, theme: str | None) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        if theme is not None and theme not in THEMES:
            raise ValueError(f"theme must be one of {', '.join(THEMES)}, or None for both, got {theme!r}")
        for name, value in (("width", width), ("height", height)):
            if value is not None and not value >= _LEAST:
                raise ValueError(f"{name} must be at least {_LEAST} pixels, got {value!r}")
        self.width, self.height, self.theme = int(width or WIDTH), height, theme
        self._library = _library(backend)

    def draw(self, view: View) -> Any:
        height = self.height or (_EMPTY if view.empty else HEIGHT)
        return self._library.draw(view, width=self.width, height=int(height), theme=self.theme)


def _library(backend: str) -> ModuleType:
    """The module that draws with a library.

    It is imported in a thread, which begins with an empty stack. CPython 3.11 keeps its frames in chunks, and a loop
    that happens to run at the end of one is many times slower: from a cell of a notebook, the first import of altair,
    which makes dozens of grammars, took ten seconds instead of two.
    """
    name = {"altair": "vega", "matplotlib": "mpl"}[backend]
    known = sys.modules.get(f"{__package__}.plotting.{name}")
    if known is not None:
        return known
    with needs_extra(f"a chart of {backend}"), ThreadPoolExecutor(1) as thread:
        return thread.submit(import_module, f".plotting.{name}", __package__).result()
