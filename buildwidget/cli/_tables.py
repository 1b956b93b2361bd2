"""Tables that fit the terminal, and values formatted for people or for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._output import make_console, note

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

__all__ = ["plain_value", "show_rows", "show_table", "visible_changes"]


WHOLE = 10_000_000  # characters of a cell that are compared
ALIKE = 24  # characters that two texts may have in common before these are left out
# Columns that are left out first where there is no room.
DISPENSABLE = (
    *("status_raw", "source", "status_source", "ts_source", "shape", "size", "modified", "seq", "version"),
    *("checkpoint_id", "name", "description", "error", "change"),
)
STYLES = {
    "completed": "green",
    "in_progress": "cyan",
    "error": "red",
    "failed": "red",
    "blocked": "yellow",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "same": "dim",
}


def show_rows(table: Any, most: int | None) -> None:
    """Print the last rows of a table, with the columns that are not empty and that fit."""
    shown = table if most is None else table.slice(max(0, table.num_rows - most))
    rows = shown.to_pylist()
    names = [name for name in shown.column_names if any(row[name] is not None for row in rows)]
    if "session_id" in names and len({row["session_id"] for row in rows}) == 1:
        names.remove("session_id")
    if not rows:
        note("there are no rows")
        return
    show_table([tuple(row[name] for name in names) for row in rows], " ".join(names))
    if len(rows) < table.num_rows:
        note(f"the last {len(rows):,} of {table.num_rows:,} rows; --limit 0 shows all")


def show_table(rows: list[tuple[Any, ...]], names: str, *, all_columns: bool = False) -> None:
    """Print rows, one per line: cut to the width of a terminal; in a pipe, as wide as they need."""
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names.split())}
    cells = {name: [_cell(value) for value in values] for name, values in columns.items()}
    width = {name: max(len(name), *map(len, texts)) for name, texts in cells.items()}
    if console.is_terminal:
        texts = [name for name, values in columns.items() if any(isinstance(value, str) for value in values)]
        dropped = _make_room(width, console.width, texts, all_columns=all_columns)
    else:
        console.width, dropped = sum(width.values()) + len(width), []
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name, most in width.items():
        numbers = all(value is None or isinstance(value, int | float) for value in columns[name])
        table.add_column(name, no_wrap=True, max_width=most, justify="right" if numbers else "left")
    for row in zip(*(cells[name] for name in width), strict=True):
        table.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row))
    console.print(table)
    if dropped:
        names_dropped = ", ".join(name for name in cells if name in dropped)
        note(f"no room for {names_dropped}; use --format json to see them")


def _make_room(width: dict[str, int], most: int, texts: list[str], *, all_columns: bool) -> list[str]:
    """Make columns fit by dropping some and cutting texts; return the names of the dropped ones."""
    dropped: list[str] = []

    def too_wide() -> bool:
        return sum(width.values()) + len(width) - 1 > most

    def cut(names: list[str], least: int) -> None:
        for longest in range(max(width.values()), least - 1, -1):
            if too_wide():
                width.update({name: min(width[name], longest) for name in names if name in width})

    for name in DISPENSABLE:
        if name in width and too_wide():
            dropped.append(name)
            del width[name]
    cut(texts, 16 if all_columns else 24)
    while too_wide() and len(width) > 2 and not all_columns:
        dropped.append(width.popitem()[0])
    cut(list(width), 6)
    return dropped


def _cell(value: Any, most: int = 200) -> str:
    """Return a value as text for people."""
    from datetime import datetime, timedelta

    from ..terminal_view import clean, span

    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return span(value.total_seconds())
        case float():
            return f"{value:.10g}"
        case _:
            return clean(value, most)


def plain_value(value: Any) -> Any:
    """Return a value for JSON: a time as ISO 8601, a duration in seconds."""
    from datetime import datetime, timedelta

    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.total_seconds() if isinstance(value, timedelta) else value


def visible_changes(rows: Iterable[tuple[Any, ...]], *, as_json: bool, everything: bool) -> Generator[tuple[Any, ...]]:
    """Rows of a difference without those whose before and after are written alike.

    Long texts that begin alike are cut to where they begin to differ, so that a table shows how they do.
    """
    import msgspec

    for kind, item, change, field, before, after in rows:
        texts = [msgspec.json.encode(plain_value(one)) if as_json else _cell(one, WHOLE) for one in (before, after)]
        if change == "changed" and texts[0] == texts[1]:
            if everything:
                yield kind, item, "same", field, before, after
            continue
        if change == "changed" and not as_json and isinstance(before, str) and isinstance(after, str):
            yield kind, item, change, field, *_from_the_difference(before, after)
        else:
            yield kind, item, change, field, before, after


def _from_the_difference(a: str, b: str) -> tuple[str, str]:
    """Two texts without what they have in common at the beginning, if that is long."""
    alike = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    return (a, b) if alike <= ALIKE else (f"…{a[alike - ALIKE // 4 :]}", f"…{b[alike - ALIKE // 4 :]}")
