"""What the analyses share: the tables they look at, columns of frames as arrays, and how results are made."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pandas as pd

from ...model import Status
from .._columns import NONE, STATUSES, Column, compact, empty
from .._frames import to_frame
from ..tables import TABLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "Given", "Tables"]

KINDS: Final = ("feature", "task", "component", "phase")
"""The kinds of items, in the order in which an analysis without ``kind`` looks for one."""

_pd: Any = pd  # pandas does not type these functions in full

HOUR: Final = 3_600_000_000  # microseconds
MOST_BINS: Final = 2_000_000
ABSENT: Final = -1  # the status of what is not there
WAITING: Final = STATUSES.index(Status.NOT_STARTED)
RUNNING: Final = STATUSES.index(Status.IN_PROGRESS)
DONE: Final = STATUSES.index(Status.COMPLETED)
FAILED: Final = STATUSES.index(Status.ERROR)
UNCOUNTED: Final = [STATUSES.index(one) for one in (Status.SKIPPED, Status.CANCELLED)]
OVER: Final = [DONE, FAILED, *UNCOUNTED]


class Tables(Protocol):
    """What an analysis looks at: a `History` has all of it, `Given` some."""

    @property
    def sessions(self) -> pd.DataFrame:
        """One row per project."""
        ...

    @property
    def checkpoints(self) -> pd.DataFrame:
        """One row per version seen of a file."""
        ...

    @property
    def components(self) -> pd.DataFrame:
        """One row per component per checkpoint."""
        ...

    @property
    def features(self) -> pd.DataFrame:
        """One row per feature per checkpoint."""
        ...

    @property
    def tasks(self) -> pd.DataFrame:
        """One row per task per version of the file that holds it."""
        ...

    @property
    def phases(self) -> pd.DataFrame:
        """One row per phase per version of the file that holds it."""
        ...

    @property
    def items(self) -> pd.DataFrame:
        """The present state: one row per item."""
        ...

    @property
    def transitions(self) -> pd.DataFrame:
        """One row per change of an item's status or progress."""
        ...

    @property
    def dependencies(self) -> pd.DataFrame:
        """Which item waits for which, now."""
        ...

    @property
    def present_ts(self) -> pd.Timestamp:
        """The time of the newest thing known; NaT if nothing is."""
        ...


class Given:
    """Tables for an analysis where only some are at hand; the others are empty.

    Parameters
    ----------
    present_ts
        The time of the newest thing known. By default that of the newest transition.
    **frames
        Tables of a history by their names, such as ``transitions=``.
    """

    def __init__(self, *, present_ts: Any = None, **frames: Any) -> None:
        self.sessions: pd.DataFrame = _or_empty(frames, "sessions")
        self.checkpoints: pd.DataFrame = _or_empty(frames, "checkpoints")
        self.components: pd.DataFrame = _or_empty(frames, "components")
        self.features: pd.DataFrame = _or_empty(frames, "features")
        self.tasks: pd.DataFrame = _or_empty(frames, "tasks")
        self.phases: pd.DataFrame = _or_empty(frames, "phases")
        self.items: pd.DataFrame = _or_empty(frames, "items")
        self.transitions: pd.DataFrame = _or_empty(frames, "transitions")
        self.dependencies: pd.DataFrame = _or_empty(frames, "dependencies")
        if frames:
            raise TypeError(f"no analysis asks for a table {next(iter(frames))!r}")
        self._present_ts = present_ts

    @property
    def present_ts(self) -> Any:
        """The time of the newest thing known; NaT if nothing is."""
        if self._present_ts is not None:
            return self._present_ts
        newest = int(micros_in(self.transitions["ts"]).max(initial=NONE))
        return pd.NaT if newest == NONE else pd.Timestamp(newest, unit="us", tz="UTC")


def _or_empty(frames: dict[str, Any], name: str) -> pd.DataFrame:
    frame = frames.pop(name, None)
    return to_frame(empty(TABLES[name]), "numpy_nullable", {}) if frame is None else frame


# -- columns of frames as arrays --------------------------------------------------------------------------------------


def codes_in(series: Any) -> tuple[NDArray[Any], list[str]]:
    """A column of texts as places in a sorted list of them; -1: none."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes: Any = series.cat.codes.to_numpy().astype(np.int64)
        texts = [str(text) for text in series.cat.categories]
        if all(one < two for one, two in itertools.pairwise(texts)):
            return codes, texts
        ordered = sorted(set(texts))
        places = {text: at for at, text in enumerate(ordered)}
        return np.array([*(places[text] for text in texts), -1], dtype=np.int64)[codes], ordered
    found: Any = _pd.factorize(series, sort=True)
    return found[0].astype(np.int64), [str(text) for text in found[1]]


def texts_in(series: Any) -> list[str | None]:
    """A column of texts as a list."""
    codes, texts = codes_in(series)
    return [*np.array([*texts, None], dtype=object)[codes]]


def statuses_in(series: Any) -> NDArray[Any]:
    """A column of statuses as places in `STATUSES`; `ABSENT`: none."""
    codes, texts = codes_in(series)
    used: list[int] = np.unique(codes[codes >= 0]).tolist()
    if invalid := [texts[code] for code in used if texts[code] not in STATUSES]:
        raise ValueError(
            f"column {series.name!r} holds {invalid[0]!r}, which is no status; expected one of {', '.join(STATUSES)}"
        )
    return np.array([*(STATUSES.index(text) if text in STATUSES else -1 for text in texts), -1])[codes]


def micros_in(series: Any) -> NDArray[Any]:
    """A column of times as microseconds since 1970, UTC; times without a zone are taken for UTC."""
    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "M":  # pyright: ignore[reportUnknownMemberType]
        series = series.dt.tz_localize("UTC")
    return series.astype("datetime64[us, UTC]").dt.tz_localize(None).to_numpy().view("int64")


def durations_in(series: Any) -> NDArray[Any]:
    """A column of durations as microseconds."""
    return series.astype("timedelta64[us]").to_numpy().view("int64")


def numbers_in(series: Any) -> NDArray[Any]:
    """A column of numbers or truth values as floats; NaN: none."""
    return series.to_numpy(dtype="float64", na_value=np.nan)


def moment_of(given: Any, name: str) -> int:
    """A time that somebody gives, as microseconds since 1970."""
    moment: Any = pd.Timestamp(given)
    if _pd.isna(moment):
        return NONE
    if moment.tzinfo is None:
        raise ValueError(f'{name} must have a time zone, such as "2026-03-01T09:00Z", got {given!r}')
    return int(moment.to_datetime64().astype("datetime64[us]").astype(np.int64))


def step_of(freq: Any) -> int:
    """A frequency such as ``"15min"`` as microseconds."""
    try:
        text = f"1{freq}" if isinstance(freq, str) and freq[:1].isalpha() else freq
        step = round(pd.Timedelta(text).total_seconds() * 1_000_000)
    except (TypeError, ValueError):
        step = 0
    if step <= 0:
        raise ValueError(f'freq must be a length of time, such as "15min", "1h" or "7D", got {freq!r}')
    return step


def check_bins(count: int, freq: Any) -> None:
    """Refuse what would fill the memory."""
    if count > MOST_BINS:
        raise ValueError(f"freq={freq!r} would make {count:,} rows; take one that makes at most {MOST_BINS:,}")


def session_codes(frame: Any) -> tuple[NDArray[Any], list[str]]:
    """The session of each row; a frame without the column is of one session, named ``build``."""
    if "session_id" not in frame.columns:
        return np.zeros(len(frame), dtype=np.int64), ["build"]
    return codes_in(frame["session_id"])


def check_kind(kind: str | None) -> None:
    """Refuse what is no kind of items."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, or None for the first that there is, got {kind!r}")


def check_session(t: Tables, session_id: str | None) -> None:
    """Refuse a project that is not in the history."""
    if session_id is None:
        return
    known = session_names(t)
    if session_id not in known:
        named = ", ".join(map(repr, known[:5])) + (", …" if len(known) > 5 else "")
        raise ValueError(f"there is no project {session_id!r} in this history; there are {named or 'none'}")


def session_names(t: Tables) -> list[str]:
    """The projects of a history."""
    sessions: Any = t.sessions
    names = [str(name) for name in texts_in(sessions["session_id"])]
    return names or session_codes(t.transitions)[1]


# -- results ----------------------------------------------------------------------------------------------------------


def text(codes: NDArray[Any], texts: Sequence[str]) -> Column:
    """A column of texts, of places in a sorted list of them."""
    return compact(Column("text", codes.astype(np.int32), list(texts)))


def status(codes: NDArray[Any]) -> Column:
    """A column of statuses."""
    return Column("status", codes.astype(np.int8))


def ints(values: Any) -> Column:
    """A column of whole numbers."""
    return Column("int", np.asarray(values, dtype=np.int64))


def floats(values: Any) -> Column:
    """A column of numbers; NaN: none."""
    return Column("float", np.asarray(values, dtype=np.float64))


def bools(values: Any) -> Column:
    """A column of truth values."""
    return Column("bool", np.asarray(values).astype(np.int8))


def times(values: Any) -> Column:
    """A column of times, of microseconds since 1970."""
    return Column("time", np.asarray(values, dtype=np.int64))


def lengths(values: Any) -> Column:
    """A column of durations, of microseconds."""
    return Column("duration", np.asarray(values, dtype=np.int64))


def share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """``part / whole``; NaN where the whole is 0."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole != 0)


def result(columns: Mapping[str, Column], t: Tables, **attrs: Any) -> pd.DataFrame:
    """A table as a DataFrame, which says what it was made of as the tables do."""
    known: Any = t.transitions.attrs
    return to_frame(
        columns, "numpy_nullable", {**{name: known[name] for name in ("epoch", "seq") if name in known}, **attrs}
    )


def take(columns: Mapping[str, Column], rows: NDArray[Any]) -> dict[str, Column]:
    """Some rows of a table."""
    return {name: compact(column.take(rows)) for name, column in columns.items()}
