"""A history for other programs: Parquet, Arrow, DuckDB, and lines of text.

Everything goes out by way of Arrow: polars, DuckDB and pandas read a table of `Exports.tables` without copying it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false
# (pyarrow has no types)

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from .._extras import needs_extra
from ..model import BuildStatus, Status
from .tables import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


__all__ = ["FORMATS", "TIMES", "Exports", "Tables", "described", "replacing", "selected", "write"]

FORMATS: Final = ("csv", "json", "parquet", "arrow")
#: The column of a table that says when a row was; the first of these that it has.
TIMES: Final = ("ts", "last_changed", "last_ts")
# kinds of columns → their type in DuckDB: the names of the values, in quotes
_ENUMS: Final = {
    "status": f"ENUM{tuple(str(status) for status in Status)}",
    "build_status": f"ENUM{tuple(str(status) for status in BuildStatus)}",
}
_ROWS: Final = 10_000  # at a time


class Tables(Mapping[str, "pa.Table"]):
    """The tables of a history as Arrow tables, by their names; each is made when it is asked for.

    A value has ``__arrow_c_stream__``, so whatever reads Arrow reads it: ``pl.DataFrame(h.tables["items"])``,
    ``duckdb.from_arrow(h.tables["items"])``.
    """

    def __init__(self, arrow: Callable[[str], pa.Table]) -> None:
        self._arrow = arrow

    def __getitem__(self, name: str) -> pa.Table:
        if name not in TABLES:
            raise _no_table(name)
        return self._arrow(name)

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)

    def __contains__(self, name: object) -> bool:
        return name in TABLES

    def __repr__(self) -> str:
        return f"<{', '.join(TABLES)}>"


class Exports:
    """What a `History` can be turned into. It gives the tables; the files and the databases are made here."""

    if TYPE_CHECKING:

        def frame(self, name: str) -> pd.DataFrame:
            """See `History`."""
            ...

        def arrow(self, name: str) -> pa.Table:
            """See `History`."""
            ...

    @property
    def tables(self) -> Mapping[str, pa.Table]:
        """All tables as Arrow tables, by their names; each is made when it is asked for.

        Times are ``timestamp[us, UTC]``, durations ``duration[us]``, texts dictionaries. A status is an ordered
        dictionary: for pandas an ordered categorical, for polars a Categorical, which does not know the order.
        """
        return Tables(self.arrow)

    def to_parquet(
        self, folder: str | os.PathLike[str], tables: str | Iterable[str] | None = None, *, compression: str = "zstd"
    ) -> list[Path]:
        """Write tables to a folder, each to a Parquet file of its name.

        A file that is there already is replaced when the new one is complete, never before. ``pandas.read_parquet``
        gives the same DataFrame back, with its dtypes and its ``attrs``. In the metadata of each file's schema are
        ``buildwidget.table``, ``buildwidget.sessions`` (a JSON array of session ids), ``buildwidget.epoch`` and
        ``buildwidget.seq``.

        Parameters
        ----------
        folder
            Where to; it is made if it is not there.
        tables
            Which. By default all.
        compression
            ``zstd``, ``snappy``, ``gzip``, ``brotli``, ``lz4`` or ``none``.

        Returns
        -------
        list of Path
            The files, in the order of the tables.

        Raises
        ------
        KeyError
            If there is no such table. Nothing is written then.
        OSError
            If a file cannot be written.
        """
        names = [tables] if isinstance(tables, str) else list(TABLES if tables is None else tables)
        for name in names:
            if name not in TABLES:
                raise _no_table(name)
        into = Path(folder).expanduser()
        into.mkdir(parents=True, exist_ok=True)
        written: list[Path] = []
        for name in names:
            path = into / f"{name}.parquet"
            with replacing(path) as file:
                write(described(self, name), file, "parquet", compression=compression)
            written.append(path)
        return written

    def to_duckdb(self, connection: Any = None, *, prefix: str = "") -> Any:
        """Give all tables to DuckDB.

        >>> h.to_duckdb().sql("SELECT kind, status, count(*) FROM items GROUP BY ALL ORDER BY ALL")  # doctest: +SKIP

        Times are ``TIMESTAMP WITH TIME ZONE``, durations ``INTERVAL``. A status is an ``ENUM``: ``ORDER BY``, ``min``
        and ``max`` follow the order of an item's life. (``status > 'error'`` compares texts, though.)

        Parameters
        ----------
        connection
            A ``DuckDBPyConnection``: each table becomes a view over the Arrow table, without a copy, in place of a
            view of that name. None: the same in a new database in memory. A path: the tables are written into that
            database file, in place of tables of these names, all of them or none.
        prefix
            Begins the name of each table.

        Returns
        -------
        duckdb.DuckDBPyConnection
            The connection. A new one shows times in UTC.

        Raises
        ------
        ImportError
            If DuckDB is not installed.
        duckdb.Error
            If the database cannot be opened or written, or has a table where a view is to be.
        """
        with needs_extra("to_duckdb"):
            import duckdb
        if connection is not None and not isinstance(connection, str | os.PathLike):
            _show(connection, self.tables, prefix)
            return connection
        path = ":memory:" if connection is None else os.path.expanduser(os.fspath(connection))
        made: Any = duckdb.connect(path)
        try:
            _run(made, "SET TimeZone = 'UTC'")
            if path.startswith(":memory:"):
                _show(made, self.tables, prefix)
            else:
                _store(made, self.tables, prefix)
        except BaseException:
            made.close()
            raise
        return made


def described(history: Exports, name: str) -> Any:
    """A table of a history as an Arrow table whose schema says what it is, and how pandas had it."""
    import pyarrow as pa

    table, frame = history.arrow(name), history.frame(name)
    for at, (column, kind) in enumerate(TABLES[name].items()):
        if kind == "words":  # hardly anything is there twice
            table = table.set_column(at, column, table.column(column).cast(pa.string()))
    sessions = history.arrow("sessions").column("session_id").to_pylist()
    metadata = dict(pa.Schema.from_pandas(frame, preserve_index=False).metadata or {})
    metadata |= {
        b"buildwidget.table": name.encode(),
        b"buildwidget.sessions": json.dumps(sessions).encode(),
        b"buildwidget.epoch": str(frame.attrs.get("epoch", "")).encode(),
        b"buildwidget.seq": str(frame.attrs.get("seq", "")).encode(),
    }
    return table.replace_schema_metadata(metadata)


def _no_table(name: str) -> KeyError:
    return KeyError(f"there is no table {name!r}; there are {', '.join(TABLES)}")


# -- DuckDB -----------------------------------------------------------------------------------------------------------


def _run(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement to its end: nothing else may be done with a connection before that."""
    return connection.execute(statement).fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _columns(name: str) -> str:
    """All columns of a table. DuckDB makes text of Arrow's dictionaries: a status is made an ENUM again."""
    casts = [
        f"{_quoted(column)}::{_ENUMS[kind]} AS {_quoted(column)}"
        for column, kind in TABLES[name].items()
        if kind in _ENUMS
    ]
    return f"* REPLACE ({', '.join(casts)})" if casts else "*"


def _show(connection: Any, tables: Mapping[str, pa.Table], prefix: str) -> None:
    """Make views over Arrow tables."""
    where = "SELECT path IS NULL FROM duckdb_databases() WHERE database_name = current_database()"
    in_memory = bool(_run(connection, where)[0][0])
    for name, table in tables.items():
        shown = prefix + name
        if in_memory:
            connection.from_arrow(table).project(_columns(name)).create_view(shown, replace=True)
            continue
        # What is in this process cannot be in a database file: names that only this connection has, for as long as
        # it is open.
        hidden = f"{shown}_arrow"
        connection.register(hidden, table)
        _run(
            connection,
            f"CREATE OR REPLACE TEMP VIEW {_quoted(shown)} AS SELECT {_columns(name)} FROM {_quoted(hidden)}",  # noqa: S608 (names are in quotes)
        )


def _store(connection: Any, tables: Mapping[str, pa.Table], prefix: str) -> None:
    """Write Arrow tables into a database."""
    _run(connection, "BEGIN")
    for name, table in tables.items():
        connection.register("arrow_table", table)
        _run(
            connection,
            f"CREATE OR REPLACE TABLE {_quoted(prefix + name)} AS SELECT {_columns(name)} FROM arrow_table",  # noqa: S608 (names are in quotes)
        )
        connection.unregister("arrow_table")
    _run(connection, "COMMIT")


# -- files and streams ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: Path) -> Generator[IO[bytes]]:
    """A file to write, that takes the place of ``path`` when the ``with`` ends well, and is gone when it does not.

    What is no file (a device, a named pipe) is written into, and stays what it is; so does a link.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def selected(table: Any, *, since: datetime | None = None, limit: int | None = None) -> Any:
    """The rows of an Arrow table that are not older than ``since``, and of those the last ``limit``.

    Raises
    ------
    ValueError
        If the table has no times.
    """
    if since is not None:
        pa, pc = _arrow()
        column = next((name for name in TIMES if name in table.column_names), None)
        if column is None:
            raise ValueError(f"its rows have no time; there are {', '.join(table.column_names)}")
        moment = pa.scalar(since, pa.timestamp("us", "UTC"))
        table = table.filter(pc.field(column) >= moment)
    return table if limit is None else table.slice(max(0, table.num_rows - limit))


def write(table: Any, to: IO[bytes], form: str, *, compression: str = "zstd", stream: bool = False) -> None:
    """Write an Arrow table to an open file.

    Parameters
    ----------
    form
        ``csv``; ``json``: an object per line; ``parquet``; ``arrow``: Arrow's own format, as a file. In csv and json,
        times are ISO 8601 in UTC (``2026-03-01T09:00:00Z``) and durations are seconds; what is not known is empty in
        csv, null in json.
    compression
        Of a Parquet file.
    stream
        Arrow's format for streams instead of that for files.
    """
    match form:
        case "csv":
            _write_csv(table, to)
        case "json":
            _write_json(table, to)
        case "parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, to, compression=compression)
        case "arrow":
            import pyarrow as pa

            with (pa.ipc.new_stream if stream else pa.ipc.new_file)(to, table.schema) as writer:
                writer.write_table(_with_keys(table))
        case _:
            raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {form!r}")


def _with_keys(table: pa.Table) -> pa.Table:
    """The table with a key of its dictionary wherever there is none: polars looks at these, too."""
    pa, _ = _arrow()
    for at, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and table.column(at).null_count:
            chunks: list[Any] = []
            for chunk in table.column(at).chunks:
                none: Any = chunk.indices.is_null().to_numpy(zero_copy_only=False)
                keys = pa.array(chunk.indices.fill_null(0).to_numpy(), mask=none)
                chunks.append(pa.DictionaryArray.from_arrays(keys, chunk.dictionary, ordered=field.type.ordered))
            table = table.set_column(at, field, pa.chunked_array(chunks, field.type))
    return table


def _arrow() -> tuple[Any, Any]:
    """The modules of Arrow. What is in the second is made when it is imported: no type checker can know it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa, pc


def _write_csv(table: pa.Table, to: IO[bytes]) -> None:
    pa, pc = _arrow()
    to.write(",".join(table.column_names).encode() + b"\n")
    for batch in _readable(table).to_batches(max_chunksize=_ROWS):
        cells: list[Any] = []
        for column in batch.columns:
            text: Any = column.cast(pa.string())
            if pa.types.is_string(column.type):  # an empty text is not the same as none
                quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
                text = pc.if_else(pc.match_substring_regex(text, r'[",\r\n]|\A\z'), quoted, text)
            cells.append(text)
        lines: Any = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
        to.write("".join(f"{line}\n" for line in lines.to_pylist()).encode())


def _write_json(table: pa.Table, to: IO[bytes]) -> None:
    import msgspec

    encode = msgspec.json.Encoder().encode_lines
    for batch in _readable(table).to_batches(max_chunksize=_ROWS):
        to.write(encode(batch.to_pylist()))


def _readable(table: pa.Table) -> pa.Table:
    """The table with times as text, durations as seconds, and dictionaries as what is in them."""
    pa, pc = _arrow()
    columns: dict[str, Any] = {}
    for name, field in zip(table.column_names, table.schema, strict=True):
        column: Any = table.column(name)
        if pa.types.is_timestamp(field.type):
            text = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%SZ")
            column = pc.replace_substring(text, ".000000Z", "Z")
        elif pa.types.is_duration(field.type):
            column = pc.divide(column.cast(pa.int64()).cast(pa.float64()), 1e6)
        elif pa.types.is_dictionary(field.type):
            column = column.cast(pa.string())
        columns[name] = column
    return pa.table(columns)
