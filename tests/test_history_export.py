"""A history in other programs: they read the same values, with the right types."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget.demo import prepare, write_instant
from buildwidget.history import History, read_history
from buildwidget.history.analysis import diff
from buildwidget.history.export import described, replacing, selected, write
from buildwidget.history.files import two_files
from buildwidget.history.tables import TABLES
from buildwidget.model import Status

from .projects import Project, component

STATUS = [str(status) for status in Status]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = prepare(tmp_path_factory.mktemp("export") / "clinic")
    write_instant(project, "rollback", 0)
    return project


@pytest.fixture(scope="module")
def demo(folder: Path) -> History:
    return read_history(folder, cache=False)


@pytest.fixture
def nothing(tmp_path: Path) -> History:
    return read_history(Project(tmp_path / "empty").root, cache=False)


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Two frames are equal; the categories of a column in which nothing is known may have any type."""
    for name, dtype in wanted.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype) and not len(dtype.categories):
            assert found[name].isna().all()
            found, wanted = found.drop(columns=name), wanted.drop(columns=name)
    pd.testing.assert_frame_equal(found, wanted)
    assert found.attrs == wanted.attrs


# -- Parquet ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_parquet_gives_the_same_back(folder: Path, tmp_path: Path, backend: str) -> None:
    history = read_history(folder, cache=False, dtype_backend=backend)
    paths = history.to_parquet(tmp_path / "not" / "there yet")
    assert [path.name for path in paths] == [f"{name}.parquet" for name in TABLES]
    assert sorted(path.parent for path in paths) == [tmp_path / "not" / "there yet"] * len(TABLES)
    for path in paths:
        table = pq.read_table(path)
        wanted = history.arrow(path.stem)
        assert table.column_names == list(TABLES[path.stem])
        for name, kind in TABLES[path.stem].items():
            column = wanted.column(name)
            assert table.column(name).equals(column.cast(pa.string()) if kind == "words" else column), name
        assert_same(pd.read_parquet(path), history.frame(path.stem))
        assert pl.read_parquet(path).height == wanted.num_rows


def test_parquet_without_rows_has_the_columns(nothing: History, tmp_path: Path) -> None:
    for path in nothing.to_parquet(tmp_path):
        table = pq.read_table(path)
        assert table.num_rows == (1 if path.stem == "sessions" else 0)
        assert table.schema.equals(described(nothing, path.stem).schema)
        # The values of a dictionary are in the rows of a file: without rows, there are no categories.
        found, wanted = pd.read_parquet(path), nothing.frame(path.stem)
        assert found.dtypes.astype(str).tolist() == wanted.dtypes.astype(str).tolist()
        assert found.columns.tolist() == wanted.columns.tolist()
        assert found.attrs == wanted.attrs


def test_parquet_without_a_known_status_keeps_the_order(demo: History, tmp_path: Path) -> None:
    table = pa.table({"status": pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), STATUS, ordered=True)})
    pq.write_table(table, tmp_path / "x.parquet")
    assert pd.read_parquet(tmp_path / "x.parquet")["status"].dtype == pd.CategoricalDtype(STATUS, ordered=True)


def test_parquet_says_what_it_is(demo: History, tmp_path: Path) -> None:
    (path,) = demo.to_parquet(tmp_path, "items", compression="snappy")
    file = pq.ParquetFile(path)
    metadata = file.schema_arrow.metadata
    assert metadata[b"buildwidget.table"] == b"items"
    assert json.loads(metadata[b"buildwidget.sessions"]) == demo.sessions["session_id"].tolist() == ["clinic"]
    assert metadata[b"buildwidget.epoch"].decode() == demo.items.attrs["epoch"]
    assert int(metadata[b"buildwidget.seq"]) == demo.items.attrs["seq"]
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"


def test_parquet_of_some_tables(demo: History, tmp_path: Path) -> None:
    written = demo.to_parquet(str(tmp_path), (name for name in ("transitions", "items")))
    assert written == [tmp_path / "transitions.parquet", tmp_path / "items.parquet"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert pq.ParquetFile(written[0]).metadata.row_group(0).column(0).compression == "ZSTD"
    with pytest.raises(KeyError, match=r"no table 'item'.* items,"):
        demo.to_parquet(tmp_path / "other", ["transitions", "item"])
    assert not (tmp_path / "other").exists()


def test_a_file_is_replaced_only_by_a_whole_one(demo: History, tmp_path: Path) -> None:
    (path,) = demo.to_parquet(tmp_path, ["items"])
    before = path.read_bytes()
    with path.open("rb") as reader:
        demo.to_parquet(tmp_path, ["items"], compression="none")
        assert reader.read() == before, "who reads the old one can go on"
    after = path.read_bytes()
    assert after != before
    with pytest.raises(Exception, match=r"(?i)compression|codec|brutal"):
        demo.to_parquet(tmp_path, ["items"], compression="brutal")
    assert path.read_bytes() == after
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="enough"), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError("enough")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"


# -- Arrow ------------------------------------------------------------------------------------------------------------


def test_tables_are_made_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch, demo: History) -> None:
    asked: list[str] = []
    arrow = type(demo).arrow

    def noted(self: History, name: str) -> pa.Table:
        asked.append(name)
        return arrow(self, name)

    monkeypatch.setattr(type(demo), "arrow", noted)
    tables = demo.tables
    assert list(tables) == list(TABLES)
    assert len(tables) == len(TABLES)
    assert "items" in tables
    assert "item" not in tables
    assert repr(tables).startswith("<sessions, checkpoints, ")
    assert asked == []
    assert tables["items"].num_rows == len(demo.items)
    assert asked == ["items"]
    assert hasattr(tables["items"], "__arrow_c_stream__")
    with pytest.raises(KeyError, match="there is no table 'item'"):
        tables["item"]
    assert tables.get("item") is None


def test_polars_reads_every_table(demo: History) -> None:
    kinds = {
        "time": pl.Datetime("us", "UTC"),
        "duration": pl.Duration("us"),
        "float": pl.Float64(),
        "bool": pl.Boolean(),
    }
    for name, table in demo.tables.items():
        frame = pl.DataFrame(table)
        assert frame.equals(pl.from_arrow(table))
        for column, kind in TABLES[name].items():
            dtype = frame.schema[column]
            if kind in {"text", "words", "status", "build_status"}:
                assert dtype in (pl.Categorical, pl.Enum), (name, column)
            elif kind in {"int", "count"}:
                assert dtype.is_integer(), (name, column)
            else:
                assert dtype == kinds[kind], (name, column)


def test_polars_has_the_answer_of_pandas(demo: History) -> None:
    frame = pl.DataFrame(demo.tables["transitions"])
    found = frame.group_by(pl.col("kind").cast(pl.String), pl.col("to_status").cast(pl.String)).agg(
        pl.len().alias("n"), pl.col("ts").max().alias("last"), pl.col("progress").mean().alias("mean")
    )
    table = demo.transitions
    wanted = table.groupby(["kind", "to_status"], observed=True).agg(
        n=("seq", "size"), last=("ts", "max"), mean=("progress", "mean")
    )
    rows = {(row["kind"], row["to_status"]): row for row in found.to_dicts() if row["to_status"] is not None}
    assert set(rows) == set(wanted.index)
    for key, row in wanted.iterrows():
        assert rows[key]["n"] == row["n"]
        assert rows[key]["last"] == row["last"]
        assert rows[key]["mean"] == pytest.approx(row["mean"])


def test_frames_of_arrow_are_arrow(folder: Path) -> None:
    frame = read_history(folder, cache=False, dtype_backend="pyarrow").transitions
    again = pa.Table.from_pandas(frame, preserve_index=False)
    copies = pa.Table.from_pandas(frame.copy(deep=True), preserve_index=False)
    checked = 0
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.ArrowDtype):
            held = frame[name].array.__arrow_array__()
            assert addresses(held) == addresses(again.column(name)), name
            checked += 1
    assert checked >= 6
    assert addresses(again.column("ts")) == addresses(copies.column("ts")), "Arrow's arrays cannot change: no copy"
    assert frame["ts"].dtype == pd.ArrowDtype(pa.timestamp("us", "UTC"))


def addresses(column: pa.ChunkedArray) -> list[list[int]]:
    return [[buffer.address if buffer else 0 for buffer in chunk.buffers()] for chunk in column.chunks]


# -- DuckDB -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def connection(demo: History) -> Iterator[duckdb.DuckDBPyConnection]:
    made = demo.to_duckdb()
    yield made
    made.close()


def ask(connection: duckdb.DuckDBPyConnection, statement: str) -> list[tuple]:
    return connection.execute(statement).fetchall()


def types_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in ask(connection, f"DESCRIBE {table}")}


def test_duckdb_has_all_tables_with_their_types(demo: History, connection: duckdb.DuckDBPyConnection) -> None:
    assert {row[0] for row in ask(connection, "SHOW TABLES")} == set(TABLES)
    status = f"ENUM{tuple(STATUS)}"
    assert types_of(connection, "transitions") == {
        "seq": "BIGINT",
        "session_id": "VARCHAR",
        "ts": "TIMESTAMP WITH TIME ZONE",
        "kind": "VARCHAR",
        "item_id": "VARCHAR",
        "from_status": status,
        "to_status": status,
        "progress": "DOUBLE",
        "checkpoint_id": "VARCHAR",
        "source": "VARCHAR",
    }
    items = types_of(connection, "items")
    assert (items["estimated"], items["actual"]) == ("INTERVAL", "INTERVAL")
    assert types_of(connection, "sessions")["status"].startswith("ENUM('pending', ")
    assert types_of(connection, "components")["tests_pass"] == "BOOLEAN"
    for name in TABLES:
        assert ask(connection, f"SELECT count(*) FROM {name}") == [(len(demo.frame(name)),)]


def test_duckdb_has_the_answer_of_pandas(demo: History, connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute(
        "SELECT t.kind, count(*) AS n, min(t.ts) AS first, avg(t.progress) AS mean, max(i.actual) AS spent "
        "FROM transitions t JOIN items i USING (session_id, kind, item_id) "
        "WHERE t.to_status IN ('completed', 'error') AND t.ts > TIMESTAMPTZ '2000-01-01 00:00:00+00' "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    over = demo.transitions[demo.transitions["to_status"].isin(["completed", "error"])]
    joined = over.merge(demo.items[["session_id", "kind", "item_id", "actual"]], on=["session_id", "kind", "item_id"])
    wanted = joined.groupby("kind", observed=True).agg(
        n=("seq", "size"), first=("ts", "min"), mean=("progress", "mean"), spent=("actual", "max")
    )
    assert [row[0] for row in found] == sorted(wanted.index)
    for kind, n, first, mean, spent in found:
        row = wanted.loc[kind]
        assert n == row["n"]
        assert first == row["first"]
        assert mean == pytest.approx(row["mean"])
        assert (spent is None) == pd.isna(row["spent"])
        assert spent is None or spent == row["spent"]


def test_duckdb_knows_the_order_of_an_items_life(connection: duckdb.DuckDBPyConnection) -> None:
    found = [row[0] for row in ask(connection, "SELECT DISTINCT status FROM components ORDER BY status")]
    assert found == sorted(found, key=STATUS.index)
    assert len(found) > 2
    assert ask(connection, "SELECT min(status), max(status) FROM components") == [(found[0], found[-1])]
    assert ask(connection, "SELECT current_setting('TimeZone')") == [("UTC",)]


def test_duckdb_gives_pandas_a_status_as_a_categorical(demo: History, connection: duckdb.DuckDBPyConnection) -> None:
    frame = connection.execute("FROM items").df()
    assert frame["status"].dtype == pd.CategoricalDtype(STATUS, ordered=True)
    assert frame["status"].tolist() == demo.items["status"].tolist()
    assert (frame["first_seen"].dt.tz_convert("UTC") == demo.items["first_seen"]).all()


def test_duckdb_views_again_and_with_a_prefix(demo: History, nothing: History) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS one").fetchall()
        assert demo.to_duckdb(connection) is connection
        demo.to_duckdb(connection)
        nothing.to_duckdb(connection, prefix='the "new" ')
        assert len(ask(connection, "SHOW TABLES")) == 2 * len(TABLES) + 1
        assert ask(connection, "SELECT count(*) FROM items") == [(len(demo.items),)]
        assert ask(connection, 'SELECT count(*) FROM "the ""new"" items"') == [(0,)]
        assert ask(connection, "FROM mine") == [(1,)]


def test_duckdb_into_a_file(demo: History, nothing: History, tmp_path: Path) -> None:
    path = tmp_path / "build.duckdb"
    demo.to_duckdb(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        assert {row[0] for row in ask(connection, "SHOW TABLES")} == set(TABLES)
        assert types_of(connection, "items")["status"].startswith("ENUM(")
        found = connection.execute("SELECT item_id, first_seen, actual FROM items ORDER BY ALL").fetchall()
    wanted = demo.items[["item_id", "first_seen", "actual"]].astype(object)
    wanted = wanted.where(wanted.notna(), None).sort_values(["item_id", "first_seen"])
    assert found == list(wanted.itertuples(index=False, name=None))
    # Once more, with another history: in place of the first.
    nothing.to_duckdb(str(path)).close()
    with duckdb.connect(str(path)) as connection:
        assert ask(connection, "SELECT count(*) FROM items") == [(0,)]
        assert len(ask(connection, "SHOW TABLES")) == len(TABLES)


def test_duckdb_views_beside_a_file_are_not_in_it(demo: History, tmp_path: Path) -> None:
    path = str(tmp_path / "mine.duckdb")
    with duckdb.connect(path) as connection:
        for _ in range(2):
            demo.to_duckdb(connection, prefix="h_")
        assert ask(connection, "SELECT count(*) FROM h_items") == [(len(demo.items),)]
        assert types_of(connection, "h_items")["status"].startswith("ENUM(")
    with duckdb.connect(path) as connection:
        assert ask(connection, "SHOW TABLES") == []


def test_duckdb_all_tables_or_none(demo: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "build.duckdb"
    arrow = type(demo).arrow

    def broken(self: History, name: str) -> pa.Table:
        if name == "transitions":
            raise RuntimeError("enough")
        return arrow(self, name)

    monkeypatch.setattr(type(demo), "arrow", broken)
    with pytest.raises(RuntimeError, match="enough"):
        demo.to_duckdb(path)
    with duckdb.connect(str(path)) as connection:
        assert ask(connection, "SHOW TABLES") == []


def test_without_duckdb_it_says_how_to_get_it(demo: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"pip install 'buildwidget\[history\]'"):
        demo.to_duckdb()


# -- text -------------------------------------------------------------------------------------------------------------


def text_of(table: pa.Table, form: str) -> str:
    stream = io.BytesIO()
    write(table, stream, form)
    return stream.getvalue().decode()


MOMENT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SMALL = pa.table(
    {
        "name": pa.array(["a", 'say "hi", now', None, "", "two\r\nlines"]).dictionary_encode(),
        "ts": pa.array([MOMENT, MOMENT + timedelta(microseconds=5), None, None, None], pa.timestamp("us", "UTC")),
        "spent": pa.array([timedelta(minutes=1, milliseconds=500), None, timedelta(0), None, None], pa.duration("us")),
        "progress": [40.0, 33.3, None, 100.0, 0.5],
        "known": [True, False, None, None, None],
        "n": pa.array([1, None, 2**53 + 1, 0, -1], pa.int64()),
    }
)


def test_csv() -> None:
    assert text_of(SMALL, "csv") == (
        "name,ts,spent,progress,known,n\n"
        "a,2026-03-01T09:00:00Z,60.5,40,true,1\n"
        '"say ""hi"", now",2026-03-01T09:00:00.000005Z,,33.3,false,\n'
        ",,0,,,9007199254740993\n"
        '"",,,100,,0\n'
        '"two\r\nlines",,,0.5,,-1\n'
    )


def test_json_lines() -> None:
    lines = [json.loads(line) for line in text_of(SMALL, "json").split("\n")[:-1]]
    assert lines[0] == {
        "name": "a",
        "ts": "2026-03-01T09:00:00Z",
        "spent": 60.5,
        "progress": 40.0,
        "known": True,
        "n": 1,
    }
    assert lines[2] == {"name": None, "ts": None, "spent": 0, "progress": None, "known": None, "n": 2**53 + 1}
    assert [line["name"] for line in lines] == ["a", 'say "hi", now', None, "", "two\r\nlines"]
    assert lines[1]["ts"] == "2026-03-01T09:00:00.000005Z"


def test_without_rows_there_is_a_header_or_nothing() -> None:
    assert text_of(SMALL.slice(0, 0), "csv") == "name,ts,spent,progress,known,n\n"
    assert text_of(SMALL.slice(0, 0), "json") == ""


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=5)
)
def test_any_text_comes_back(texts: list[str | None]) -> None:
    table = pa.table({"n": range(len(texts)), "text": pa.array(texts, pa.string())})
    rows = list(csv.DictReader(io.StringIO(text_of(table, "csv"), newline="")))
    assert [row["text"] for row in rows] == [text or "" for text in texts]
    assert [json.loads(line)["text"] for line in text_of(table, "json").split("\n")[:-1]] == texts


def test_every_table_as_text(demo: History) -> None:
    for name in TABLES:
        rows = list(csv.DictReader(io.StringIO(text_of(demo.arrow(name), "csv"), newline="")))
        lines = [json.loads(line) for line in text_of(demo.arrow(name), "json").split("\n")[:-1]]
        assert len(rows) == len(lines) == len(demo.frame(name))
        for row, line in zip(rows[-3:], lines[-3:], strict=True):
            assert list(row) == list(line) == list(TABLES[name])
            for column, value in line.items():
                if value is None:
                    assert row[column] == ""
                elif isinstance(value, bool):
                    assert row[column] == str(value).lower()
                elif isinstance(value, str):
                    assert row[column] == value
                else:
                    assert float(row[column]) == value


def test_arrow_as_a_file_and_as_a_stream(demo: History) -> None:
    table = described(demo, "items")
    file, stream = io.BytesIO(), io.BytesIO()
    write(table, file, "arrow")
    write(table, stream, "arrow", stream=True)
    assert pa.ipc.open_file(file.getvalue()).read_all().equals(table)
    assert pa.ipc.open_stream(stream.getvalue()).read_all().equals(table)
    assert pl.read_ipc(io.BytesIO(file.getvalue())).equals(pl.DataFrame(table))
    assert pl.read_ipc_stream(io.BytesIO(stream.getvalue())).equals(pl.DataFrame(table))
    with pytest.raises(ValueError, match="csv, json, parquet, arrow, got 'xml'"):
        write(table, stream, "xml")


def test_selected() -> None:
    assert selected(SMALL)["n"].to_pylist() == SMALL["n"].to_pylist()
    assert selected(SMALL, limit=2)["n"].to_pylist() == [0, -1]
    assert selected(SMALL, limit=99).num_rows == 5
    assert selected(SMALL, since=MOMENT)["n"].to_pylist() == [1, None]
    assert selected(SMALL, since=MOMENT + timedelta(microseconds=1), limit=5)["n"].to_pylist() == [None]
    with pytest.raises(ValueError, match="its rows have no time; there are n"):
        selected(SMALL.select(["n"]), since=MOMENT)


# -- two files --------------------------------------------------------------------------------------------------------


def test_two_files_of_one_id(tmp_path: Path) -> None:
    old = Project(tmp_path / "old").checkpoint("c1", [component("api", 40)], timestamp="2026-03-01T09:00:00Z")
    new = Project(tmp_path / "new").checkpoint("c1", [component("api", 60)], timestamp="2026-03-01T09:00:00Z")
    for one, other, before, after in ((old, new, 40.0, 60.0), (new, old, 60.0, 40.0)):
        tables, problem = two_files(one, other)
        assert problem == ""
        found = diff(tables, "a", "b")
        assert found[["kind", "item_id", "change", "field", "before", "after"]].to_numpy().tolist() == [
            ["component", "api", "changed", "progress", before, after]
        ]
    assert len(diff(two_files(old, old)[0], "a", "b")) == 0


def test_two_files_of_which_one_cannot_be_read(tmp_path: Path) -> None:
    good = Project(tmp_path / "good").checkpoint("c1", [component("api", 40)])
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    assert two_files(good, bad)[1].startswith(f"{bad}: ")
