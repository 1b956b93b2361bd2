"""`History`: everything that a build, or many, ever wrote, as tables."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from ..model import BuildWarning
from ..reading.files import as_text
from ..session import BuildSession
from . import (
    _accessor,  # noqa: F401  # pyright: ignore[reportUnusedImport] (registers DataFrame.build)
    analysis,
    forecasting,
)
from ._columns import NONE
from ._frames import BACKENDS, to_arrow, to_frame
from ._git import digest, read_git
from ._make import Maker
from ._parallel import read_in_two
from ._plan import Plan
from ._read import read_files, read_quickly
from ._scan import Root, folders_left_out, is_tabled, roots_of
from ._store import Stamp, Store
from .export import Exports
from .plan_history import PlanHistory, read_plan_history

if TYPE_CHECKING:
    import pyarrow as pa

    from ..systems import Record
    from .plots import Plots

__all__ = ["History", "read_history"]

_LONG: Final = 20_000  # files that are read in two processes
_BAR: Final = 5_000  # files that are worth a progress bar


def read_history(
    path: Any = ".",
    *,
    git: bool = False,
    cache: bool = True,
    processes: int | None = None,
    dtype_backend: str = "numpy_nullable",
    progress: bool | None = None,
) -> History:
    """Read every checkpoint that a build ever wrote.

    Parameters
    ----------
    path
        A project; the folder of its checkpoints; a folder of projects; a pattern such as ``"projects/*"``; a list of
        those; or a running `BuildWidget` or `BuildSession`, whose history grows as it runs.
    git
        Whether to read every version of the files from the project's git history as well: a rollback overwrites files.
    cache
        Whether to keep what was read in the user's cache directory, and to read only what has changed the next time.
        One project is kept, and only its build checkpoints: other files are few.
    processes
        1 or 2; by default 2 for long reads.
    dtype_backend
        ``numpy_nullable`` or ``pyarrow``: the types of the columns of the DataFrames.
    progress
        Whether to show a progress bar. By default for long reads, on a terminal and in notebooks.

    Returns
    -------
    History

    Raises
    ------
    FileNotFoundError
        If there is no build at that path. A file that cannot be read is no error: see `History.warnings`.
    buildwidget.history.NotAGitRepositoryError
        With ``git``, if the project is in no git repository.
    ValueError
        If an argument is none of those above.
    """
    if dtype_backend not in BACKENDS:
        raise ValueError(f"dtype_backend must be one of {', '.join(BACKENDS)}, got {dtype_backend!r}")
    if processes not in {None, 1, 2}:
        raise ValueError(f"processes must be 1 or 2, got {processes!r}")
    session = path if isinstance(path, BuildSession) else getattr(path, "session", None)
    live = _Live(session) if isinstance(session, BuildSession) else None
    roots = live.roots if live is not None else roots_of(path)
    plan = Plan(roots, cache=cache and not git)
    store = plan.store
    for number, root in enumerate(roots):
        for folder, code, message in folders_left_out(root):
            store.warn(number, as_text(folder), code, message)
    with _Bar(plan.total, progress) as on_progress:
        for number, paths in enumerate(plan.paths):
            wanted: Sequence[str] = paths
            if git:
                wanted = _not_committed(store, number, paths, read_git(store, number))
            if processes == 2 or (processes is None and len(wanted) >= _LONG and (os.cpu_count() or 1) > 1):
                read_in_two(store, number, wanted, on_progress=on_progress)
            else:
                read_files(store, number, wanted, on_progress=on_progress)
    plan.save_cache()
    return History(store, dtype_backend=dtype_backend, live=live, git=git)


def _not_committed(store: Store, root: int, paths: Sequence[str], known: dict[str, bytes]) -> list[str]:
    """The files on disk that are not what was committed last; those that are no longer on disk are noted."""
    store.gone.update((root, as_text(path)) for path in known.keys() - set(paths))
    prefix = f"{store.roots[root].path}/"
    wanted: list[str] = []
    for path in paths:
        mark = known.get(path)
        if mark is not None:
            try:
                data, _ = read_quickly(prefix + path)
            except OSError:
                data = None
            if data is not None and digest(data) == mark:
                continue
        wanted.append(path)
    return wanted


class _Bar:
    """A progress bar for long reads."""

    def __init__(self, total: int, wanted: bool | None) -> None:
        self._bar: Any = None
        if wanted or (wanted is None and total >= _BAR):
            from tqdm.auto import tqdm

            quiet = False if wanted else None  # None: tqdm disables it where there is no terminal
            self._bar = tqdm(
                total=total, desc="reading", unit=" files", delay=0 if wanted else 0.5, leave=False, disable=quiet
            )

    def __enter__(self) -> Callable[[int], object] | None:
        return None if self._bar is None else self._bar.update

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


class _Live:
    """A queue of what a running session has read since its history was requested."""

    def __init__(self, session: BuildSession) -> None:
        if session.root is None:
            raise ValueError("this session watches no folder; what was published is in no file, and has no history")
        self.roots = [Root(as_text(session.session_id), session.root)]
        self._session = session
        self._news: deque[tuple[str, Record | BuildWarning | None, os.stat_result | None]] = deque()
        self._lock = threading.Lock()
        session.record(lambda *news: self._news.append(news))

    @property
    def attrs(self) -> dict[str, Any]:
        """The ``attrs`` of frames: the epoch of the log, and its newest sequence number."""
        return {"epoch": self._session.epoch, "seq": self._session.seq}

    def move_to(self, store: Store) -> bool:
        """Drain the queue into ``store``; return whether anything changed."""
        self._session.catch_up()
        moved = False
        with self._lock:
            while self._news:
                moved = self._take(store, *self._news.popleft()) or moved
        return moved

    def _take(self, store: Store, path: str, said: Record | BuildWarning | None, stat: os.stat_result | None) -> bool:
        if said is None:
            store.gone.add((0, path))
            return True
        if isinstance(said, BuildWarning):
            warning = (0, path, said.code, said.message)
            if warning in store.warnings:
                return False
            store.warnings.append(warning)
            return True
        if not is_tabled(said.shape):
            return False
        assert stat is not None
        stamp = Stamp.of(stat)
        if (0, path) not in store.gone and store.newest_stamp(0, path) == stamp:
            return False  # it was there when the disk was read
        store.gone.discard((0, path))
        store.add_record(0, said, stamp)
        return True


class History(Exports):
    """The history of one build, or of several, as tidy tables, with analyses and charts.

    Each table is a property that gives a pandas DataFrame; it is made when it is first asked for. ``attrs`` of a frame
    carry ``epoch`` and ``seq``: of a running build those of its log, else ``""`` and the number of checkpoints read.

    The analyses are methods: `burnup`, `cumulative_flow`, `velocity`, `throughput`, `cycle_time`, `time_in_status`,
    `aging`, `critical_path`, `slack`, `diff`, `lineage`, `churn`, `regressions`, `flakiness`, `stalls`, `convergence`,
    `forecast`, `backtest`, `what_if`. Charts are in `plot`.

    Attributes
    ----------
    sessions : pandas.DataFrame
        One row per project.
    checkpoints : pandas.DataFrame
        One row per version seen of a file; ``shape`` says what kind of file. By project, time and id.
    checkpoint_tasks, checkpoint_files : pandas.DataFrame
        One row per task completed, per file created, of each checkpoint.
    components, features, tasks, phases : pandas.DataFrame
        One row per item per checkpoint.
    items : pandas.DataFrame
        The present state, one row per item.
    transitions : pandas.DataFrame
        One row per change of an item's status or progress.
    dependencies : pandas.DataFrame
        Which item waits for which, now.
    terminal : pandas.DataFrame
        The lines of the build's log files.
    warnings : pandas.DataFrame
        What could not be read, and why.
    plans : PlanHistory
        With ``git=True``: transitions, durations and amendments of plans, commit by commit.
    """

    def __init__(
        self, store: Store, *, dtype_backend: str = "numpy_nullable", live: Any = None, git: bool = False
    ) -> None:
        self._store = store
        self._backend = dtype_backend
        self._live: _Live | None = live
        self._maker = Maker(store)
        self._frames: dict[str, pd.DataFrame] = {}
        self._git = git
        self._plans: PlanHistory | None = None

    def __repr__(self) -> str:
        names = ", ".join(root.session_id for root in self._store.roots[:3])
        more = f" and {len(self._store.roots) - 3} more" if len(self._store.roots) > 3 else ""
        count = int(self._store.alive().sum())
        return f"History({names}{more}: {count:,} checkpoints, {len(self._store.unique_warnings):,} warnings)"

    def _move(self) -> None:
        """Update the store from a running session, and drop the tables made before."""
        if self._live is not None and self._live.move_to(self._store):
            self._maker = Maker(self._store)
            self._frames.clear()

    def _attrs(self) -> dict[str, Any]:
        return {"epoch": "", "seq": int(self._store.alive().sum())} if self._live is None else self._live.attrs

    # -- tables ---------------------------------------------------------------------------------------------------

    def frame(self, name: str) -> pd.DataFrame:
        """A table by its name, as a DataFrame.

        Raises
        ------
        KeyError
            If there is no such table.
        """
        self._move()
        made = self._frames.get(name)
        if made is None:
            made = self._frames[name] = to_frame(self._maker.table(name), self._backend, {})
        frame = made.copy(deep=False)
        frame.attrs.update(self._attrs())
        return frame

    def arrow(self, name: str) -> pa.Table:
        """A table by its name, as an Arrow table: for DuckDB, polars and Parquet."""
        self._move()
        return to_arrow(self._maker.table(name))

    @property
    def sessions(self) -> pd.DataFrame:
        """One row per project."""
        return self.frame("sessions")

    @property
    def checkpoints(self) -> pd.DataFrame:
        """One row per version seen of a file."""
        return self.frame("checkpoints")

    @property
    def checkpoint_tasks(self) -> pd.DataFrame:
        """One row per task that a checkpoint says is completed."""
        return self.frame("checkpoint_tasks")

    @property
    def checkpoint_files(self) -> pd.DataFrame:
        """One row per file that a checkpoint says was created."""
        return self.frame("checkpoint_files")

    @property
    def components(self) -> pd.DataFrame:
        """One row per component per checkpoint."""
        return self.frame("components")

    @property
    def features(self) -> pd.DataFrame:
        """One row per feature per checkpoint."""
        return self.frame("features")

    @property
    def tasks(self) -> pd.DataFrame:
        """One row per task per version of the file that holds it."""
        return self.frame("tasks")

    @property
    def phases(self) -> pd.DataFrame:
        """One row per phase per version of the file that holds it."""
        return self.frame("phases")

    @property
    def items(self) -> pd.DataFrame:
        """The present state: one row per component, feature, task and phase."""
        return self.frame("items")

    @property
    def transitions(self) -> pd.DataFrame:
        """One row per change of an item's status or progress, oldest first."""
        return self.frame("transitions")

    @property
    def dependencies(self) -> pd.DataFrame:
        """Which item waits for which, now."""
        return self.frame("dependencies")

    @property
    def terminal(self) -> pd.DataFrame:
        """The lines of the build's log files."""
        return self.frame("terminal")

    @property
    def plans(self) -> PlanHistory:
        """The past of the project's plans and locks: transitions, durations, amendments. Read when first asked for.

        Raises
        ------
        ValueError
            If the history was read without ``git=True``, or is one of several projects.
        """
        if not self._git:
            raise ValueError("the past of plans is in git: read_history(path, git=True)")
        if len(self._store.roots) != 1:
            raise ValueError("this is the history of several projects; read one, to see the past of its plans")
        if self._plans is None:
            root = self._store.roots[0]
            self._plans = read_plan_history(root.path, below=root.below)
        return self._plans

    @property
    def warnings(self) -> pd.DataFrame:
        """What could not be read, or was read as unknown, and why."""
        return self.frame("warnings")

    @property
    def present_ts(self) -> pd.Timestamp:
        """The time of the newest thing known; NaT if nothing is."""
        self._move()
        ts = self._maker.times.ts[self._store.alive()]
        newest = max(int(ts.max(initial=NONE)), int(self._maker.table("transitions")["ts"].data.max(initial=NONE)))
        return pd.NaT if newest == NONE else pd.Timestamp(newest, unit="us", tz="UTC")  # pyright: ignore[reportReturnType]

    # -- analyses: functions of the tables, documented there ------------------------------------------------

    burnup = analysis.burnup
    cumulative_flow = analysis.cumulative_flow
    velocity = analysis.velocity
    throughput = analysis.throughput
    cycle_time = analysis.cycle_time
    time_in_status = analysis.time_in_status
    aging = analysis.aging
    critical_path = analysis.critical_path
    slack = analysis.slack
    diff = analysis.diff
    lineage = analysis.lineage
    churn = analysis.churn
    regressions = analysis.regressions
    flakiness = analysis.flakiness
    stalls = analysis.stalls
    convergence = analysis.convergence
    forecast = forecasting.forecast
    backtest = forecasting.backtest
    what_if = forecasting.what_if

    @cached_property
    def plot(self) -> Plots:
        """The charts: ``h.plot.burnup()`` and more."""
        from .plots import Plots

        return Plots(self)
