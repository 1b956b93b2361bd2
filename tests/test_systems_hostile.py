"""Files that are broken, odd or hostile: a clear error or a clear warning, and never anything else."""

from __future__ import annotations

import json
import math
import random
import time
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildwidget.errors import CheckpointError
from buildwidget.model import Status
from buildwidget.reading.files import MAX_BYTES
from buildwidget.reading.values import MAX_ITEMS, MAX_NAME, MAX_TEXT, MAX_WARNINGS, ItemWarning
from buildwidget.systems import Record, parse

from .corpus import (
    CHECKPOINT,
    CURRENT,
    FEATURES,
    LOCK,
    MTIME,
    ORCHESTRATION,
    PLAN,
    POOL,
    WORKFLOW,
    record,
    samples,
)

PATHS = [CHECKPOINT, ORCHESTRATION, WORKFLOW, POOL, LOCK, FEATURES, PLAN, CURRENT, "elsewhere.json"]
CODES = {"empty", "not_json", "not_object", "too_deep", "too_big", "not_utf8", "wrong_shape"}
FILES = [(file.path, file.raw) for file in samples()]


def found(said: Record) -> list[tuple[str, str]]:
    return [(warning.code, warning.message) for warning in said.warnings]


def components(*entries: object) -> Record:
    return record(CHECKPOINT, {"id": "c", "components": list(entries)})


def check(path: str, raw: bytes) -> Record | None:
    """Parse, allow nothing but a `CheckpointError`, and look the record over."""
    try:
        said = parse(path, raw, MTIME)
    except CheckpointError as error:
        refusal = error
    else:
        return look_over_record(said)
    assert refusal.code in CODES
    assert refusal.path == path
    assert refusal.reason
    assert str(refusal).startswith(f"{path}: ")
    str(refusal).encode()
    return None


def look_over_record(said: Record) -> Record:
    """The record, if it is one that every face can show."""
    assert said.time.tzinfo is not None
    assert said.percent is None or 0 <= said.percent <= 100
    for item in (*said.components, *said.features, *said.tasks):
        assert 0 <= item.progress <= 100
        assert math.isfinite(item.progress)
    for kind in (said.components, said.features, said.tasks, said.phases):
        ids = [getattr(item, item.__struct_fields__[0]) for item in kind]
        assert all(ids)
        assert len(set(ids)) == len(ids)
    assert len(said.warnings) <= MAX_WARNINGS + 1
    assert all(len(warning.message) < 1000 for warning in said.warnings)
    text = msgspec.json.encode(said)  # fails on half a surrogate pair
    plain = msgspec.structs.replace(said, detail=None)
    assert msgspec.json.decode(msgspec.json.encode(plain), type=Record) == plain
    assert msgspec.json.decode(msgspec.json.encode(said.detail), type=type(said.detail)) == said.detail
    look_over(json.loads(text))
    return said


def look_over(value: object) -> None:
    """Nothing that a face cannot show: no number that JavaScript rounds, no depth that ends a stack."""
    level = [value]
    for _ in range(40):
        deeper: list[object] = []
        for one in level:
            if isinstance(one, int):
                assert abs(one) <= 2**53
            elif isinstance(one, float):
                assert math.isfinite(one)
            elif isinstance(one, str):
                assert len(one) <= MAX_TEXT
            elif isinstance(one, dict):
                deeper += one.values()
            elif isinstance(one, list):
                deeper += one
        level = deeper
    assert not level


# -- not one JSON object --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "code", "reason", "place"),
    [
        (b"", "empty", "the file is empty", ""),
        (b"  \n\t", "empty", "nothing but blanks", ""),
        (b"\0" * 4096, "empty", "nothing but blanks", ""),
        (b"\xef\xbb\xbf", "empty", "nothing but blanks", ""),
        (b'{"id": "c", "phase": "bui', "not_json", "cut off", "line 1, column 22"),
        (b'{"id": "c",\n "tasks_completed": [', "not_json", "cut off", "line 2, column 22"),
        (b'{"id": "c", "status": tru', "not_json", "not JSON", "line 1, column 23"),
        ('{"name": "caf\u00e9'.encode()[:-1], "not_json", "cut off", "byte 13"),
        (b"hello", "not_json", "not JSON: expecting value", "line 1, column 1"),
        (b'{"a": 1} {"b": 2}', "not_json", "not JSON: extra data", "line 1, column 10"),
        (b'{"a": 1,}', "not_json", "not JSON", "line 1, column 9"),
        (b"[1, 2]", "not_object", "expected a JSON object, found a list", "$"),
        (b'"text"', "not_object", "found a text", "$"),
        (b"12.5", "not_object", "found a number", "$"),
        (b"NaN", "not_object", "found a number", "$"),
        (b"true", "not_object", "found a truth value", "$"),
        (b"null", "not_object", "found null", "$"),
        (b'{"id": "\xff"}', "not_utf8", "not UTF-8", "byte 8"),
        (b'{"id": "\xed\xa0\x80"}', "not_utf8", "not UTF-8", "byte 8"),
        ('{"id": 1}'.encode("utf-16"), "not_utf8", "not UTF-8", "byte 0"),
        (b"[" * 10_000 + b"]" * 10_000, "too_deep", "nested too deeply", ""),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep", "nested too deeply", ""),
        (b'{"components": ' + b"[" * 100_000, "too_deep", "nested too deeply", ""),
        (b" " * (MAX_BYTES + 1), "too_big", "33,554,433 bytes; at most 33,554,432", ""),
    ],
)
def test_what_is_not_one_object_is_an_error_that_says_why_and_where(raw, code, reason, place):
    with pytest.raises(CheckpointError) as caught:
        parse(CHECKPOINT, raw, MTIME)
    assert caught.value.code == code
    assert reason in caught.value.reason
    assert caught.value.place == place
    assert CHECKPOINT in str(caught.value)


def test_a_file_of_no_known_kind_names_its_keys():
    with pytest.raises(CheckpointError, match=r"elsewhere\.json: not a build file.*'colour'") as caught:
        record("elsewhere.json", {"colour": 1})
    assert caught.value.code == "wrong_shape"


def test_a_checkpoint_with_none_of_the_keys_is_read_with_a_warning():
    assert found(record(CHECKPOINT, {"colour": 1})) == [
        ("no_known_keys", "the file has none of the keys of a checkpoint")
    ]


# -- JSON that is none, and is read -----------------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_error():
    said = parse(CHECKPOINT, b'\xef\xbb\xbf{"id": "c", "phase": "build_1_done"}', MTIME)
    assert said.phase == "build_1_done"


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    raw = rb'{"id": "c", "phase": "a\ud800b", "\udfff": {"deep": ["\ud83d\ude00", "\ud83d"]}}'
    said = parse(CHECKPOINT, raw, MTIME)
    assert said.phase == "a\ufffdb"
    assert said.checkpoint.metadata == {"\ufffd": {"deep": ["\U0001f600", "\ufffd"]}}
    assert check(CHECKPOINT, raw) == said


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"90"', "true", "[1]"])
def test_a_progress_that_is_no_number_is_unknown_and_named(number):
    raw = f'{{"components": [{{"id": "api", "status": "running", "progress": {number}}}, {{"id": "db"}}]}}'
    said = check(CHECKPOINT, raw.encode())
    assert [item.component_id for item in said.components] == ["api", "db"]
    assert said.components[0].progress == 0.0
    ((code, message),) = found(said)
    assert code == "odd_value"
    assert message.startswith("component api: progress is ")
    assert "expected a number from 0 to 100" in message


@pytest.mark.parametrize(
    ("number", "read"), [("-5", 0.0), ("1e308", 100.0), ("-1e308", 0.0), ("100.0001", 100.0), ("1" * 400, 100.0)]
)
def test_a_progress_out_of_range_is_clamped_and_named(number, read):
    raw = f'{{"components": [{{"id": "api", "status": "running", "progress": {number}}}]}}'
    said = check(CHECKPOINT, raw.encode())
    assert said.components[0].progress == read
    ((code, message),) = found(said)
    assert code == "out_of_range"
    assert message.endswith(f"outside 0 to 100; read as {read:.0f}")


def test_text_in_a_number_field_spoils_nothing_else():
    data = {
        "id": "login",
        "status": "running",
        "progress": 30,
        "estimatedTime": "2h",
        "actual_time": -3,
        "name": "Login",
    }
    said = record(CHECKPOINT, {"features": [data, {"id": "next", "status": "done"}]})
    login, following = said.features
    assert (login.name, login.progress, login.estimated_minutes, login.actual_minutes) == ("Login", 30.0, None, None)
    assert following.status is Status.COMPLETED
    assert found(said) == [
        ("odd_value", "feature login: estimated_time is '2h', expected a number of at least 0; read as unknown"),
        ("odd_value", "feature login: actual_time is -3, expected a number of at least 0; read as unknown"),
    ]


def test_big_integers_are_kept_digit_by_digit():
    said = components({"id": 2**70, "build": 2**53 + 1, "safe": 2**53, "low": -(2**60), "huge": 10**300})
    (item,) = said.components
    assert item.component_id == str(2**70)
    assert item.metadata == {"build": str(2**53 + 1), "safe": 2**53, "low": str(-(2**60)), "huge": str(10**300)}
    raw = b'{"id": "c", "n": ' + b"7" * 5000 + b"}"
    assert check(CHECKPOINT, raw).checkpoint.metadata == {"n": "7" * 5000}


def test_odd_values_of_every_kind_are_null_with_a_warning():
    said = components(
        {
            "id": "api",
            "name": ["x"],
            "type": {},
            "status": 7,
            "files": 5,
            "dependencies": {"a": 1},
            "tests_pass": "perhaps",
            "start_time": "PLACEHOLDER",
            "end_time": "$(date -u)",
            "error": {"code": 3},
        }
    )
    (item,) = said.components
    assert (item.name, item.component_type, item.status, item.status_raw) == ("", None, Status.UNKNOWN, "7")
    assert (item.files, item.dependencies, item.tests_pass) == ([], [], None)
    assert (item.started_at, item.ended_at) == (None, None)
    assert item.error == "an error without a message"
    *odd, word = found(said)
    assert word == ("unknown_word", "the status word '7' is not known; it is shown as written")
    fields = [message.split(": ")[1].split(" is ")[0] for _, message in odd]
    assert fields == ["name", "type", "files", "dependencies", "tests_pass", "start_time", "end_time"]


def test_entries_that_are_no_items_are_left_out_and_named():
    said = components("api", 3, None, {"status": "done"}, {"id": ""}, {"id": [1]}, {"name": "db"})
    assert [item.component_id for item in said.components] == ["db"]
    assert [code for code, _ in found(said)] == ["odd_value"] * 3 + ["no_id"] * 3


# -- duplicates and cycles --------------------------------------------------------------------------------------------


def test_of_two_items_with_one_id_the_last_counts():
    said = components({"id": "a", "progress": 1}, {"id": "b"}, {"id": "a", "progress": 2})
    assert [(item.component_id, item.progress) for item in said.components] == [("a", 2.0), ("b", 0.0)]
    assert found(said) == [("duplicate_id", "there are several components with the id 'a'; the last one counts")]


def test_the_same_item_at_both_places_is_no_duplicate():
    item = {"id": "a", "status": "done"}
    said = record(CHECKPOINT, {"components": [item], "metadata": {"components": [item]}})
    assert len(said.components) == 1
    assert not said.warnings


def test_the_top_level_counts_where_the_places_disagree():
    said = record(
        CHECKPOINT,
        {"components": [{"id": "a", "progress": 1}], "metadata": {"components": [{"id": "a", "progress": 2}]}},
    )
    assert said.components[0].progress == 1.0
    assert [code for code, _ in found(said)] == ["duplicate_id"]


def test_duplicates_in_other_shapes():
    said = record(ORCHESTRATION, {"tasks": {"k1": {"id": "t", "name": "A"}, "k2": {"id": "t", "name": "B"}}})
    assert [task.name for task in said.tasks] == ["B"]
    assert [code for code, _ in found(said)] == ["duplicate_id"]
    said = record(FEATURES, {"features": [{"id": 1, "name": "A"}, {"id": "1", "name": "B"}]})
    assert [feature.name for feature in said.features] == ["B"]
    assert [code for code, _ in found(said)] == ["duplicate_id"]
    said = record(FEATURES, {"features": [{"id": "f", "tasks": [{"id": 1}, {"id": 1, "completed": True}]}]})
    assert [task.completed for task in said.features[0].tasks] == [True]
    assert [code for code, _ in found(said)] == ["duplicate_id"]
    said = record(WORKFLOW, {"workflow_id": "w", "completed_items": ["a", "w", "a"]})
    assert [task.task_id for task in said.tasks] == ["w", "w/a", "w/w"]


def graph(edges: dict[str, list[str]]) -> list[str]:
    said = components(*({"id": id_, "dependencies": needed} for id_, needed in edges.items()))
    return [message for code, message in found(said) if code == "dependency_cycle"]


def test_a_cycle_of_dependencies_is_named():
    assert graph({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"], "e": []}) == [
        "components depend on each other in a cycle: a → b → c → a"
    ]
    assert graph({"x": ["x"]}) == ["components depend on each other in a cycle: x → x"]
    assert graph({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}) == [
        "components depend on each other in a cycle: a → b → a",
        "components depend on each other in a cycle: c → d → c",
    ]


def test_what_is_no_cycle():
    assert graph({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "e": ["nobody"]}) == []


def test_many_cycles_are_counted_and_long_ones_cut():
    loops = {str(n): [str(n)] for n in range(9)}
    assert graph(loops)[-1] == "and more components depend on each other in cycles"
    assert len(graph(loops)) == 4
    ring = {f"n{n:05}": [f"n{(n + 1) % 9000:05}"] for n in range(9000)}
    (message,) = graph(ring)
    assert message.startswith("components depend on each other in a cycle: n00000 → n00001 → ")
    assert message.endswith("→ … (9000 in all)")


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefghz"), max_size=4), min_size=1)
)  # fmt: skip
def test_a_cycle_is_reported_exactly_when_there_is_one(edges):
    def reaches(start, goal):
        seen, todo = set(), list(edges.get(start, ()))
        while todo:
            node = todo.pop()
            if node == goal:
                return True
            if node not in seen:
                seen.add(node)
                todo += edges.get(node, ())
        return False

    messages = graph(edges)
    assert bool(messages) == any(reaches(node, node) for node in edges)
    for message in messages:
        if " cycle: " in message:
            names = message.split(" cycle: ")[1].split(" → ")
            assert names[0] == names[-1]
            assert all(after in edges[before] for before, after in pairwise(names))


def test_a_dense_graph_takes_no_time():
    ids = [f"c{n}" for n in range(400)]
    begun = time.perf_counter()
    assert graph(dict.fromkeys(ids, ids))
    assert time.perf_counter() - begun < 5


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_texts_are_bounded():
    long = "x" * 20_000
    said = components({"id": long, "name": long, "status": long, "error": long, "files": [long], "note": long})
    (item,) = said.components
    assert len(item.component_id) == len(item.name) == len(item.files[0]) == MAX_NAME
    assert len(item.status_raw) == 200
    assert len(item.error) == len(item.metadata["note"]) == MAX_TEXT
    assert item.name.endswith("…")
    assert {code for code, _ in found(said)} == {"cut", "unknown_word"}


def test_lists_are_bounded():
    said = record(
        CHECKPOINT,
        {
            "components": [{"id": str(n)} for n in range(MAX_ITEMS + 5)],
            "tasks_completed": ["t"] * (MAX_ITEMS + 5),
            "note": list(range(MAX_ITEMS + 5)),
            "table": {str(n): n for n in range(MAX_ITEMS + 5)},
        },
    )
    assert len(said.components) == MAX_ITEMS
    assert len(said.checkpoint.tasks_completed) == MAX_ITEMS
    assert len(said.checkpoint.metadata["note"]) == MAX_ITEMS
    assert len(said.checkpoint.metadata["table"]) == MAX_ITEMS
    assert [code for code, _ in found(said)] == ["too_many"] * 4
    assert "components has 10,005 entries; 10,000 are read" in found(said)[0][1]


def test_metadata_is_bounded_in_depth_and_size():
    deep: object = "end"
    for _ in range(300):
        deep = {"d": deep}
    said = record(CHECKPOINT, {"id": "c", "deep": deep})
    assert "nested too deeply" in found(said)[0][1]
    assert check(CHECKPOINT, json.dumps({"id": "c", "deep": deep}).encode())
    wide = [[0] * 1000 for _ in range(1000)]
    said = record(CHECKPOINT, {"id": "c", "wide": wide})
    assert "too big" in found(said)[0][1]
    assert len(msgspec.json.encode(said.checkpoint)) < 1_000_000


def test_legal_json_of_many_levels_is_read_by_either_path():
    for extra in (b"", b', "odd": NaN'):
        raw = b'{"id": "c", "deep": ' + b"[" * 700 + b"]" * 700 + extra + b"}"
        assert check(CHECKPOINT, raw).checkpoint.checkpoint_id == "c"


def test_warnings_are_bounded_and_the_rest_is_counted():
    said = components(*({"id": str(n), "progress": "?"} for n in range(100)))
    assert len(said.warnings) == MAX_WARNINGS + 1
    assert said.warnings[-1] == ItemWarning("more_warnings", "and 80 more")
    assert found(said)[0] == (
        "odd_value",
        "component 0: progress is '?', expected a number from 0 to 100; read as unknown",
    )


def test_ten_thousand_components_take_no_time():
    entry = {"name": "n" * 50, "status": "running", "progress": 5, "testsPass": True, "note": "x", "files": ["a", "b"]}
    raw = json.dumps({"components": [{"id": str(n), **entry} for n in range(10_000)]}).encode()
    begun = time.perf_counter()
    assert len(parse(CHECKPOINT, raw, MTIME).components) == 10_000
    assert time.perf_counter() - begun < 5


# -- anything at all --------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        *("id", "name", "type", "status", "progress", "dependencies", "files", "testsPass", "tests_pass", "startTime"),
        *("start_time", "error", "metadata", "components", "features", "tasks", "phase", "timestamp", "x"),
        *("tasks_completed", "files_created", "description", "priority", "component", "estimatedTime", "workflow_id"),
        *("completed_items", "state_data", "total_items", "completed_count", "failed_count", "pool_id", "stats"),
        *("results", "item_id", "task_id", "batches", "phases", "completed_phases", "total_phases", "tasks_total"),
        *("tasks_done", "history", "errors", "warnings", "current_task", "step", "started", "started_at"),
        *("last_updated", "project", "schema_version", "capabilities", "execution_order", "total_tasks"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["completed", "running", "failed", "api", "2026-03-01", "br3.runtime.checkpoint.v1", 10**30]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PATHS), st.dictionaries(KEYS, TREES, max_size=8))
def test_any_json_is_read_or_refused(path, data):
    check(path, json.dumps(data).encode("utf-8", "surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PATHS), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(path, raw):
    check(path, raw)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_read_or_refused(file, data):
    path, raw = file
    at = data.draw(st.integers(0, len(raw)))
    patch = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from([b"NaN", b"1e400", b"null", b"{}", b"[", b'"'])))
    gone = data.draw(st.integers(0, 6))
    check(path, raw[:at] + patch + raw[at + gone :])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FILES), st.sampled_from(PATHS), st.randoms(use_true_random=False), LEAVES | TREES)
def test_a_file_with_one_odd_value_is_read_or_refused(file, other, chance: random.Random, value):
    path, raw = file
    data = json.loads(raw)
    holder = data
    while isinstance(holder, dict | list) and holder:
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], dict | list) or not holder[key] or chance.random() < 0.3:
            holder[key] = value
            break
        holder = holder[key]
    for place in (path, other):
        check(place, json.dumps(data).encode())


@pytest.mark.parametrize("path", PATHS)
def test_every_prefix_of_a_file_is_refused(path):
    raw = samples("pool_checkpoint")[0].raw.rstrip()
    for end in range(len(raw)):
        with pytest.raises(CheckpointError) as caught:
            parse(path, raw[:end], MTIME)
        assert caught.value.code == ("empty" if end == 0 else "not_json")


@pytest.mark.parametrize("place", ["top", "metadata"])
def test_items_that_are_no_list_are_warned_of_and_kept(place: str) -> None:
    odd = {"components": "many", "features": 7}
    body = {"id": "cp", "timestamp": "2026-03-01T09:00:00", **(odd if place == "top" else {"metadata": odd})}
    said = parse(".buildrunner/checkpoints/cp.json", json.dumps(body).encode(), MTIME)
    assert (said.components, said.features) == ([], [])
    assert [w.code for w in said.warnings] == ["odd_value", "odd_value"]
    assert said.checkpoint is not None
    assert said.checkpoint.metadata.items() >= odd.items()


# -- warnings name the item that is wrong -----------------------------------------------------------------------------


def test_a_warning_never_names_the_item_before_the_wrong_one():
    long = "x" * 2_000
    said = record(
        CHECKPOINT,
        {
            "components": [{"id": "api"}, {"id": long}, 7, {"id": "db", "progress": "?"}],
            "features": ["odd", {"id": "login"}, {"name": long}],
            "metadata": {"components": [{"id": "web"}], "features": [5]},
        },
    )
    named = {message.split(":")[0] for _, message in found(said) if ":" in message}
    assert not named & {"component api", "component web", "feature login"}, found(said)
    assert "component db" in named
    plan = record(
        ".buildrunner/orchestration.json", {"batches": [{"id": "one", "phases": []}, {"id": long, "phases": []}]}
    )
    assert [message for _, message in found(plan)] == ["id has 2,000 characters; 1,000 are kept"]


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00", "9999-12-31"]
)
def test_times_at_the_edge_of_the_calendar_are_none(text):
    said = record(CHECKPOINT, {"id": "c", "timestamp": text, "components": [{"id": "a", "start_time": text}]})
    assert said.components[0].started_at is None
    assert 2000 < said.time.year < 2100
