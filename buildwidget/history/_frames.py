"""Columns of numpy arrays as pandas DataFrames and as Arrow tables."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ._columns import BUILD_STATUSES, NONE, STATUSES, Column

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["BACKENDS", "to_arrow", "to_frame"]

BACKENDS: Final = ("numpy_nullable", "pyarrow")


def to_frame(columns: Mapping[str, Column], backend: str, attrs: Mapping[str, Any]) -> pd.DataFrame:
    """A table as a DataFrame.

    Parameters
    ----------
    columns
        The table.
    backend
        ``numpy_nullable``: texts as categoricals, statuses as ordered ones, times ``datetime64[us, UTC]``, durations
        ``timedelta64[us]``, numbers that may be missing as pandas' nullable types. ``pyarrow``: Arrow types throughout,
        except that a status stays an ordered categorical.
    attrs
        Kept in ``DataFrame.attrs``.
    """
    if backend not in BACKENDS:
        raise ValueError(f"dtype_backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    series: dict[str, Any] = {}
    arrow = to_arrow(columns) if backend == "pyarrow" else None
    for name, column in columns.items():
        if arrow is not None and column.kind not in {"status", "build_status"}:
            series[name] = _arrow_series(arrow.column(name))
        else:
            series[name] = _SERIES[column.kind](column)
    rows = len(next(iter(columns.values())).data) if columns else 0
    frame = pd.DataFrame(series, index=pd.RangeIndex(rows), copy=False)
    frame.attrs.update(attrs)
    return frame


def _categorical(column: Column) -> Any:
    categories = pd.Index(column.texts or [], dtype="str")
    dtype = pd.CategoricalDtype(categories, ordered=False)
    return pd.Categorical.from_codes(column.data, dtype=dtype, validate=False)


def _words(column: Column) -> Any:
    return pd.array(_objects(column), dtype="string")


def _objects(column: Column) -> NDArray[Any]:
    texts = np.array([*(column.texts or ()), None], dtype=object)
    return texts[column.data]


def _status(column: Column) -> Any:
    dtype = pd.CategoricalDtype(STATUSES, ordered=True)
    return pd.Categorical.from_codes(column.data, dtype=dtype, validate=False)


def _build_status(column: Column) -> Any:
    dtype = pd.CategoricalDtype(BUILD_STATUSES, ordered=True)
    return pd.Categorical.from_codes(column.data, dtype=dtype, validate=False)


def _float(column: Column) -> Any:
    return pd.arrays.FloatingArray(np.nan_to_num(column.data, nan=0.0), np.isnan(column.data))


def _int(column: Column) -> Any:
    missing = column.data == NONE
    return pd.arrays.IntegerArray(np.where(missing, 0, column.data), missing)


def _count(column: Column) -> Any:
    return pd.arrays.IntegerArray(column.data.astype(np.int32, copy=False), np.zeros(len(column.data), dtype=bool))


def _bool(column: Column) -> Any:
    return pd.arrays.BooleanArray(column.data == 1, column.data == -1)


def _time(column: Column) -> Any:
    return pd.Series(column.data.view("datetime64[us]"), copy=False).dt.tz_localize("UTC").array


def _duration(column: Column) -> Any:
    return column.data.view("timedelta64[us]")


_SERIES: Final[dict[str, Any]] = {
    "text": _categorical,
    "words": _words,
    "status": _status,
    "build_status": _build_status,
    "float": _float,
    "int": _int,
    "count": _count,
    "bool": _bool,
    "time": _time,
    "duration": _duration,
}


def _arrow_series(chunks: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(chunks.type):
        chunks = chunks.cast(pa.large_string())
    return pd.arrays.ArrowExtensionArray(chunks)


def to_arrow(columns: Mapping[str, Column]) -> pa.Table:
    """A table as an Arrow table, without copies where there is nothing to convert."""
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        data = column.data
        match column.kind:
            case "text" | "words":
                arrays[name] = _dictionary(data, column.texts or [], ordered=False)
            case "status":
                arrays[name] = _dictionary(data, STATUSES, ordered=True)
            case "build_status":
                arrays[name] = _dictionary(data, BUILD_STATUSES, ordered=True)
            case "float":
                arrays[name] = pa.array(data, from_pandas=True)
            case "int":
                arrays[name] = pa.array(data, mask=data == NONE)
            case "count":
                arrays[name] = pa.array(data)
            case "bool":
                arrays[name] = pa.array(data == 1, mask=data == -1)
            case "time":
                arrays[name] = pa.array(data, pa.timestamp("us", "UTC"), mask=data == NONE)
            case _:
                arrays[name] = pa.array(data, pa.duration("us"), mask=data == NONE)
    return pa.table(arrays)


def _dictionary(data: NDArray[Any], texts: list[str], *, ordered: bool) -> pa.Array:
    import pyarrow as pa

    none = data < 0
    # Under a null there is a place all the same: some readers look at it.
    indices = pa.array(np.where(none, 0, data).astype(data.dtype), mask=none) if none.any() else pa.array(data)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()), ordered=ordered)
