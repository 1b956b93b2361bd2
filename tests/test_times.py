"""When a file and its items say that something was, and what of it is believed."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from buildwidget import read_history
from buildwidget.merge import Merge
from buildwidget.model import TsSource
from buildwidget.reading.memo import Memo
from buildwidget.state import BuildState
from buildwidget.systems import parse

CHECKPOINT = ".buildrunner/checkpoints/c.json"
REGISTRY = ".buildrunner/features.json"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch):
    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


def checkpoint(stated: object, written: datetime, memo: Memo | None = None, **item: object):
    body = {
        "id": "c",
        "timestamp": stated,
        "components": [{"id": "api", "status": "in_progress", "progress": 40, **item}],
    }
    return parse(CHECKPOINT, json.dumps(body).encode(), written, memo)


def test_an_hour_that_the_clock_repeats(zone, tmp_path: Path):
    zone("America/New_York")
    folder = tmp_path / "shop/.buildrunner/checkpoints"
    folder.mkdir(parents=True)
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    moments = [first + timedelta(minutes=minutes) for minutes in (0, 20, 40)]
    for progress, moment in zip((20, 40, 60), moments, strict=True):
        local = datetime.fromtimestamp(moment.timestamp())
        name = local.strftime("checkpoint_%Y%m%d_%H%M%S_000000")
        for stamp in ({"timestamp": local.isoformat()}, {}):
            said = parse(f".buildrunner/checkpoints/{name}.json", json.dumps({"id": name, **stamp}).encode(), moment)
            assert said.time == moment
        item = {"id": "api", "status": "in_progress", "progress": progress, "start_time": local.isoformat()}
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"id": name, "timestamp": local.isoformat(), "components": [item]}))
        os.utime(path, (moment.timestamp(), moment.timestamp()))
    history = read_history(tmp_path / "shop", cache=False)
    assert history.checkpoints.ts.tolist() == history.components.started_at.tolist() == moments
    assert history.transitions.progress.tolist() == [20, 40, 60]


@pytest.mark.parametrize("name", ["America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin"])
def test_a_writer_in_utc(zone, name):
    zone(name)
    said = checkpoint("2026-11-24T11:59:30", NOON, start_time="2026-11-24T01:30:00")
    assert (said.time, said.ts_source) == (datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC), TsSource.ASSUMED_UTC)
    assert said.components[0].started_at == datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    assert [warning.code for warning in said.warnings] == ["assumed_utc"]


def test_a_local_time_stays_local(zone):
    zone("America/Los_Angeles")
    said = checkpoint("2026-11-24T03:59:30", NOON)
    assert (said.time, said.ts_source, said.warnings) == (NOON - timedelta(seconds=30), TsSource.ASSUMED_LOCAL, [])


def test_nothing_is_written_before_its_own_time():
    said = checkpoint("2026-11-24T12:03:00Z", NOON, start_time="2026-11-24T18:00:00+00:00")
    assert (said.time, said.ts_source, said.components[0].started_at) == (NOON, TsSource.MTIME, None)
    assert [warning.code for warning in said.warnings] == ["future_time"] * 2
    assert checkpoint("2026-11-24T12:01:59Z", NOON).ts_source is TsSource.FILE  # clocks differ
    assert checkpoint("2026-11-24T12:03:00Z", datetime(1980, 1, 1, tzinfo=UTC)).ts_source is TsSource.FILE


def test_an_item_read_before_is_judged_by_the_file_at_hand():
    memo = Memo()
    start = {"start_time": "2026-11-24T11:00:00Z"}
    assert checkpoint("2026-11-24T12:00:00Z", NOON, memo, **start).components[0].started_at is not None
    assert checkpoint("2026-11-24T10:00:00Z", NOON - timedelta(hours=2), memo, **start).components[0].started_at is None


def registry(stated: object, written: datetime, status: str = "complete"):
    body = {"last_updated": stated, "features": [{"id": "f", "status": status}]}
    return REGISTRY, parse(REGISTRY, json.dumps(body).encode(), written)


def shown(*files):
    merge, state = Merge(), BuildState()
    for change in state.diff(merge.update(files), session_id="s", now=NOON):
        state.apply(*change)
    return state.snapshot()


def older(written: datetime):
    body = {
        "id": "c",
        "timestamp": "2026-11-24T10:00:00Z",
        "features": [{"id": "f", "status": "active", "progress": 40}],
    }
    return CHECKPOINT, parse(CHECKPOINT, json.dumps(body).encode(), written)


@pytest.mark.parametrize("stated", ["2026-11-24T00:00:00Z", "2026-11-24", "2026-11-24T09:00:00Z", None])
def test_the_newer_file_wins_whatever_day_it_states(stated):
    at_ten = datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert shown(older(at_ten), registry(stated, NOON)).features[0].progress == 100


def test_in_a_copy_the_files_own_times_count():
    copied = NOON + timedelta(days=30)
    state = shown(older(copied), registry("2026-11-24T09:00:00Z", copied), (".buildrunner/current-phase.json", parse(
        ".buildrunner/current-phase.json", b'{"phase": 1}', copied)))  # fmt: skip
    assert state.features[0].progress == 40
    finished = shown((CHECKPOINT, parse(CHECKPOINT, b'{"timestamp": "2026-11-24T10:00:00Z", "components": '
        b'[{"id": "a", "status": "done"}]}', copied)), registry("2026-11-24", copied))  # fmt: skip
    assert finished.session.ended_at == datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize("copied", [False, True])
def test_checkpoints_of_one_stamp_are_ordered_by_when_they_were_written(tmp_path, copied):
    """Midnight for all, as a coarse clock writes it. Of a copy, the times of the files say nothing: then ids decide."""
    folder = tmp_path / ".buildrunner" / "checkpoints"
    folder.mkdir(parents=True)
    merge, files = Merge(), []
    for number, (id_, word) in enumerate((("c", "todo"), ("b", "in_progress"), ("a", "done"))):
        body = {"id": id_, "timestamp": "2026-03-02T00:00:01+00:00", "components": [{"id": "x", "status": word}]}
        at = datetime(2026, 3, 2, 0, 0, 1 + number, tzinfo=UTC) + timedelta(days=30 if copied else 0)
        path = folder / f"{id_}.json"
        path.write_text(json.dumps(body))
        os.utime(path, (at.timestamp(), at.timestamp()))
        files.append(
            (
                f".buildrunner/checkpoints/{id_}.json",
                parse(f".buildrunner/checkpoints/{id_}.json", path.read_bytes(), at),
            )
        )
    status = "not_started" if copied else "completed"
    for order in (files, files[::-1]):
        merge, state = Merge(), BuildState()
        for file in order:
            for change in state.diff(merge.update([file]), session_id="s", now=NOON):
                state.apply(*change)
        assert [c.status for c in state.snapshot().components] == [status]
    assert read_history(tmp_path, cache=False).components["status"].iloc[-1] == status
