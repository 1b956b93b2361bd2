"""The past of plans and locks, commit by commit, out of git: transitions, durations, amendments.

The files of each commit are read and judged by the same rules as in the live view, with the commit's time as the clock.
So what was seen live and what git has agree wherever both have seen it.
"""

# pandas leaves the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd

from ..activity import of_change
from ..errors import CheckpointError
from ..model import Feature, Status
from ..progress import SETTLED
from ..reading.files import BASE, as_text
from ..reading.memo import Memo
from ..systems import Shape, parse, shape_of
from ..systems.buildrunner.builds import Builds
from ..systems.buildrunner.plan import slug_of
from ._git_changes import FileChange, GitChange, changes

__all__ = ["PlanHistory", "read_plan_history"]

_SOON: Final = timedelta(minutes=10)  # a plan that speaks so soon after a release speaks of its end
_COLUMNS: Final = [
    *("ts", "component", "feature", "name", "kind", "status_before", "status"),
    *("source", "owner", "claimed_at", "commit", "label"),
]
_TIMES: Final = ("ts", "claimed_at")


class _Row(msgspec.Struct, frozen=True):
    ts: datetime
    component: str
    feature: str
    name: str
    kind: str
    status_before: str | None
    status: str | None
    source: str | None
    owner: str | None
    claimed_at: datetime | None
    commit: str
    label: str


class PlanHistory:
    """The past of the plans of one project.

    Attributes
    ----------
    transitions
        DataFrame, one row per change of a phase, in the order of the commits: ``ts`` (of the change; the commit's time
        where the files do not say), ``component`` (the plan), ``feature`` (``plan/phase``), ``name``, ``kind``
        (added, claimed, released, completed, failed, reopened, rolled_back, removed, renamed, changed),
        ``status_before``, ``status``, ``source``, ``owner``, ``claimed_at``, ``commit``, ``label`` (the first line of
        the commit's message).
    phases
        DataFrame, one row per phase that was ever planned: ``component``, ``feature``, ``name``, ``status`` (the
        last), ``added_at``, ``started_at`` (of the last claim), ``start_known`` (whether a claim was seen; else the
        start is that of the plan's own word), ``ended_at`` (of the work: the lock's release, if the plan spoke only
        long after it), ``completed_at``, ``duration`` (timedelta from start to end of work, or NaT), ``claims`` (how
        often it was claimed).
    amendments
        DataFrame, one row per phase that was added to or removed from a plan after it was written: ``ts``,
        ``component``, ``feature``, ``name``, ``kind``, ``phases_before``, ``phases_after`` (of the plan), ``commit``.
    """

    def __init__(self, rows: list[_Row], sizes: list[tuple[_Row, int, int]]) -> None:
        self.transitions = _frame([msgspec.structs.asdict(row) for row in rows], _COLUMNS, _TIMES)
        self.phases = _phases(rows)
        self.amendments = _frame(
            [
                {
                    **{name: getattr(row, name) for name in ("ts", "component", "feature", "name", "kind")},
                    "phases_before": before,
                    "phases_after": after,
                    "commit": row.commit,
                }
                for row, before, after in sizes
            ],
            ["ts", "component", "feature", "name", "kind", "phases_before", "phases_after", "commit"],
            ("ts",),
        )


def read_plan_history(
    project: str | Path, *, below: str = BASE, on_progress: Callable[[int], object] | None = None
) -> PlanHistory:
    """Read the past of a project's plans and locks out of its git repository.

    Parameters
    ----------
    project
        The folder that holds ``.buildrunner``.
    below
        The folder with the plans, relative to the project.
    on_progress
        Called with 1 after each commit.

    Raises
    ------
    buildwidget.history.NotAGitRepositoryError, buildwidget.errors.GitError
        If the project is in no git repository, or git refuses to read it.
    """
    replay = _Replay()
    for change in changes(Path(project), below, wanted=_is_wanted):
        replay.apply(change)
        if on_progress is not None:
            on_progress(1)
    return PlanHistory(replay.rows, replay.sizes)


def _is_wanted(path: str) -> bool:
    shape = shape_of(path)
    return shape is not None and Builds.knows(shape) and path.count(BASE) == 1


class _Replay:
    """The builds of a project as they were after each commit."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.sizes: list[tuple[_Row, int, int]] = []
        self._builds = Builds()
        self._memo = Memo()
        self._known: dict[str, dict[str, Feature]] = {}  # plan -> feature id -> feature

    def apply(self, change: GitChange) -> None:
        """Apply a commit, and note what it changed."""
        for file in change.files:
            if file.before is not None:
                self._rename(file, change)
            self._update(file, change.time)
        for slug in sorted(self._builds.settle().builds):
            self._compare(slug, change)

    def _update(self, file: FileChange, now: datetime) -> None:
        path = as_text(file.path)
        if file.before is not None:
            before = as_text(file.before)
            shape = shape_of(before)
            if shape is not None:
                self._builds.update(before, None, shape)
        shape = shape_of(path)
        if shape is None:
            return
        record = None
        if file.data is not None:
            try:
                record = parse(path, file.data, now, self._memo)
            except CheckpointError:
                return  # what was known of it stays, as in the live view
        self._builds.update(path, record, shape if record is None else record.shape)

    def _rename(self, file: FileChange, change: GitChange) -> None:
        """Take what is known of a plan to its new name."""
        old, new = slug_of(as_text(file.before or "")), slug_of(as_text(file.path))
        if shape_of(as_text(file.path)) is not Shape.PLAN or old == new or old not in self._known:
            return
        moved: dict[str, Feature] = {}
        for feature in self._known.pop(old).values():
            id_ = f"{new}/{feature.feature_id.rpartition('/')[2]}"
            moved[id_] = msgspec.structs.replace(feature, feature_id=id_, component_id=new)
            self._add("renamed", feature, moved[id_], change.time, change)
        self._known[new] = moved

    def _compare(self, slug: str, change: GitChange) -> None:
        found = self._builds.items(slug)
        now = {feature.feature_id: feature for feature in found[1]} if found else {}
        before = self._known.get(slug)
        ids: dict[str, None] = dict.fromkeys([*(before or {}), *now])
        for id_ in ids:
            was, is_ = (before or {}).get(id_), now.get(id_)
            activity = of_change(was, is_, change.time)
            if activity is not None:
                kind, time = activity.kind, activity.time or change.time
            elif was is not None and is_ is not None and was.status is not is_.status:
                kind, time = "changed", change.time
            else:
                continue
            row = self._add(kind, was, is_, min(time, change.time), change)
            if before and kind in ("added", "removed") and now:
                self.sizes.append((row, len(before), len(now)))
        if now:
            self._known[slug] = now
        else:
            self._known.pop(slug, None)

    def _add(self, kind: str, was: Feature | None, now: Feature | None, time: datetime, change: GitChange) -> _Row:
        item = now or was
        assert item is not None
        row = _Row(
            ts=time,
            component=item.component_id or "",
            feature=item.feature_id,
            name=item.name,
            kind=kind,
            status_before=was.status.value if was is not None else None,
            status=now.status.value if now is not None else None,
            source=now.status_source if now is not None else None,
            owner=item.owner,
            claimed_at=now.claimed_at if now is not None else None,
            commit=change.commit,
            label=change.label,
        )
        self.rows.append(row)
        return row


class _Phase(msgspec.Struct):
    component: str
    feature: str
    name: str
    status: str | None = None
    added_at: datetime | None = None
    started_at: datetime | None = None
    start_known: bool = False
    ended_at: datetime | None = None
    completed_at: datetime | None = None
    duration: Any = None
    claims: int = 0


def _phases(rows: list[_Row]) -> pd.DataFrame:
    found: dict[str, _Phase] = {}
    for row in rows:
        if row.kind == "renamed":
            number = row.feature.rpartition("/")[2]
            old = next((id_ for id_, one in found.items() if one.name == row.name and id_.endswith(f"/{number}")), None)
            if old is not None:
                phase = found.pop(old)
                phase.component, phase.feature = row.component, row.feature
                found[row.feature] = phase
            continue
        phase = found.setdefault(row.feature, _Phase(row.component, row.feature, row.name, added_at=row.ts))
        phase.name, phase.status = row.name or phase.name, row.status
        if row.status == Status.IN_PROGRESS:
            phase.claims += 1
            phase.started_at, phase.ended_at, phase.completed_at = row.ts, None, None
            phase.start_known = row.claimed_at is not None
        elif row.status in SETTLED:
            phase.completed_at = row.ts
            if phase.ended_at is None or row.ts - phase.ended_at <= _SOON:
                phase.ended_at = row.ts
        else:
            phase.completed_at = None
            phase.ended_at = row.ts if row.kind == "released" else None
    for phase in found.values():
        if phase.started_at is not None and phase.ended_at is not None:
            phase.duration = phase.ended_at - phase.started_at
    times = ("added_at", "started_at", "ended_at", "completed_at")
    frame = _frame([msgspec.structs.asdict(phase) for phase in found.values()], list(_Phase.__struct_fields__), times)
    durations = pd.to_timedelta([phase.duration for phase in found.values()])
    return frame.assign(duration=pd.Series(durations, index=frame.index))


def _frame(rows: list[dict[str, Any]], columns: list[str], times: tuple[str, ...]) -> pd.DataFrame:
    data: dict[str, Any] = {name: [row.get(name) for row in rows] for name in columns}
    for name, values in data.items():
        if name in times:
            data[name] = pd.to_datetime(values, utc=True)
        elif all(value is None or isinstance(value, str) for value in values):
            data[name] = pd.array(values, dtype="string")
    return pd.DataFrame(data)
