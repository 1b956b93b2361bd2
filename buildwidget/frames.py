"""The present state as pandas DataFrames. pandas is imported when the first frame is made, not before."""

from __future__ import annotations

from inspect import get_annotations
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from . import model
from .model import State, Status
from .reading.decode import valid_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "checklist", "frame", "table"]

TABLES: Final[dict[str, type]] = {
    "components": model.Component,
    "features": model.Feature,
    "tasks": model.Task,
    "phases": model.Phase,
    "checkpoints": model.Checkpoint,
    "activity": model.Activity,
    "context": model.ContextFile,
    "warnings": model.BuildWarning,
}

_DTYPES: Final[dict[str, str]] = {
    "str": "string",
    "str | None": "string",
    "float": "float64",
    "float | None": "Float64",
    "int": "Int64",
    "int | None": "Int64",
    "bool": "boolean",
    "bool | None": "boolean",
    "datetime | None": "datetime64[us, UTC]",
}


def frame(cls: type, rows: list[Any], **attrs: Any) -> pd.DataFrame:
    """Records of one type as a frame: one row each, one column per field, with dtypes also when empty.

    Times are ``datetime64[us, UTC]``; ``status`` is an ordered categorical in the order of an item's life; text and
    numbers use pandas' nullable dtypes (None becomes NA). Lists are lists of plain values; those of records, as a
    checklist or the files of a feature, are lists of dicts. ``metadata`` is JSON text. So every frame can be saved:
    ``to_parquet``, ``to_feather``, ``Table.from_pandas``.

    Parameters
    ----------
    cls
        The record type.
    rows
        Records of that type.
    **attrs
        Kept in ``DataFrame.attrs``.
    """
    import pandas as pd

    hints: dict[str, str] = get_annotations(cls)
    columns: dict[str, Any] = {}
    names: tuple[str, ...] = getattr(cls, "__struct_fields__")  # noqa: B009 (any record type has it)
    for name in names:
        values = [getattr(row, name) for row in rows]
        hint = hints[name]
        if hint in ("Status", "Status | None"):
            words = [None if v is None else str(v) for v in values]
            columns[name] = pd.Categorical(words, categories=[str(s) for s in Status], ordered=True)
        elif hint in _DTYPES:
            columns[name] = pd.Series(map(_whole, values), dtype=_DTYPES[hint])
        elif hint.startswith("dict["):
            texts = [msgspec.json.encode(value).decode() for value in values]
            columns[name] = pd.Series(texts, dtype="string")
        elif hint.startswith("list["):
            columns[name] = pd.Series([_builtins(value) for value in values], dtype=object)
        else:
            columns[name] = pd.Series([None if v is None else str(v) for v in values], dtype="string")
    out = pd.DataFrame(columns)
    out.attrs.update(attrs)
    return out


def _whole(value: Any) -> Any:
    """Replace lone surrogates in text, which file formats refuse; return anything else unchanged."""
    return valid_text(value) if type(value) is str else value


def _builtins(value: Any) -> Any:
    """Convert records to dicts, at any depth."""
    if isinstance(value, list):
        return [_builtins(inner) for inner in cast("list[Any]", value)]
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else _whole(value)


def table(state: State, name: str, **attrs: Any) -> pd.DataFrame:
    """One table of the state (a name of `TABLES`) as a frame, a row per item."""
    return frame(TABLES[name], getattr(state, name), **attrs)


def checklist(state: State) -> pd.DataFrame:
    """Return the checklists of all features, a row per line: ``feature_id, id, name, completed, timestamp, status``."""
    lines = [(feature.feature_id, line) for feature in state.features for line in feature.tasks]
    out = frame(model.ChecklistTask, [line for _, line in lines])
    import pandas as pd

    out.insert(0, "feature_id", pd.Series([feature_id for feature_id, _ in lines], dtype="string"))
    return out
