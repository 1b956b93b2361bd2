"""The build as a whole: its percentage and status, and the session's facts, read from the indices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import progress as pg
from ..model import BuildStatus, Counts, Progress, Session, Status
from ..reading.items import Tally
from .overlay import overlaid_progress
from .records import Question, Records

if TYPE_CHECKING:
    from ..systems.verdict import Verdict
    from .items import Items

__all__ = ["Judgement", "Published", "Whole", "judge", "present_phase", "whole"]


class Judgement(NamedTuple):
    """How far the files are, and which of them said so."""

    total: int | None = None
    completed: int | None = None
    percent: float | None = None
    status: BuildStatus = BuildStatus.UNKNOWN
    source: str = ""


class Published(NamedTuple):
    """What was published of the build as a whole, and when the first and the last publication were."""

    progress: Progress | None = None
    first: datetime | None = None
    last: datetime | None = None


class Whole(NamedTuple):
    """The progress of the build and its session."""

    progress: Progress
    session: Session


def judge(items: Items, records: Records) -> Judgement:
    """Judge by the files alone, by the published order of sources."""
    newest = records.newest_checkpoint
    if items.components.items or items.features.items:
        return _judge_items(items, records)
    for name, record in (
        ("orchestration_state", records.newest(Question.ORCHESTRATION_PERCENT)),
        ("lock", records.newest_lock(present_phase(items, records))),
        ("orchestration", records.newest(Question.BATCHES_PERCENT)),
    ):
        if record is not None:
            tally = record.tally or Tally()
            status, rule = _partly_done(record.status, record.status_source, record.percent)
            return Judgement(tally.total, tally.completed, record.percent, status, f"{name}:{rule}")
    if records.tally.total:
        return _judge_tally(records.tally)
    for record in (newest, records.newest(Question.STATUS)):
        if record is not None and record.status is not BuildStatus.UNKNOWN:
            source = f"{record.shape}:{record.status_source}"
            return Judgement(percent=record.percent, status=record.status, source=source)
    return Judgement()


def _judge_items(items: Items, records: Records) -> Judgement:
    newest = records.newest_checkpoint
    statuses = {*items.components.statuses, *items.features.statuses}
    overall = pg.weighted(items.components.percentage, items.features.percentage)
    percent = None if overall is None else pg.rounded(overall)
    status, rule = pg.build_status(
        statuses, percent=percent, phase=newest.phase if newest else None, own=records.own_word
    )
    percent = pg.percentage_said(percent, statuses, (status, rule))
    status, rule = _partly_done(status, rule, percent)
    kinds = (items.components, items.features)
    return Judgement(
        total=sum(len(kind.items) for kind in kinds),
        completed=sum(kind.statuses[Status.COMPLETED] for kind in kinds),
        percent=percent,
        status=status,
        source=f"components_and_features:{rule}",
    )


def _judge_tally(tally: Tally) -> Judgement:
    total, done = tally.total or 0, tally.completed or 0
    over = done + tally.failed
    if over >= total:
        status = BuildStatus.FAILED if tally.failed else BuildStatus.COMPLETED
    else:
        status = BuildStatus.IN_PROGRESS if over else BuildStatus.PENDING
    return Judgement(total, done, pg.rounded(100 * done / total), status, "workflows:counts")


def _partly_done(status: BuildStatus, rule: str, percent: float | None) -> tuple[BuildStatus, str]:
    """Turn pending with some progress, or completed by a phase's name before 100 %, into in progress."""
    early = status is BuildStatus.COMPLETED and rule == "phase" and percent is not None
    if early or (status is BuildStatus.PENDING and percent):
        return BuildStatus.IN_PROGRESS, "partly done"
    return status, rule


def present_phase(items: Items, records: Records) -> str | None:
    """The phase that is worked on: the one that is named, else the one in progress that was updated last."""
    named = records.newest(Question.PRESENT_PHASE)
    if named is not None:
        return named.present_phase
    return items.phases.dated_running.last or items.phases.dated.last


def whole(
    items: Items,
    records: Records,
    *,
    verdict: Verdict | None,
    published: Published,
    project: str,
    planned: bool,
    warnings: int,
) -> Whole:
    """Say how far the build is and what is known of its session.

    Parameters
    ----------
    items, records
        The merged items, and the files.
    verdict
        What the plans and locks say, while they decide.
    published
        What programs said of the whole.
    project
        The name shown when no file gives one.
    planned
        Whether there are plans or claimed locks: then items are counted by their types.
    warnings
        How many there are.
    """
    progress, source = _progress(items, records, verdict)
    if published.progress is not None:
        progress, source = overlaid_progress(progress, published.progress), "published"
    status = progress.status
    newest, workflow = records.newest_checkpoint, records.newest(Question.PHASE_OF_WORKFLOW)
    phase = present_phase(items, records) or (newest.phase if newest else None)
    over = status in (BuildStatus.COMPLETED, BuildStatus.FAILED)
    named = records.newest(Question.PROJECT)
    counts: dict[str, Any] = items.counts
    session = Session(
        project=named.project if named is not None and named.project else project,
        status=status,
        status_source=source,
        phase=phase or (workflow.phase if workflow else None),
        started_at=_first_start(items, records, published),
        ended_at=_last_end(records, published) if over else None,
        counts=Counts(**counts, files=len(records.files), warnings=warnings, by_type=items.by_type if planned else {}),
    )
    if verdict is not None:
        session.system = verdict.system
        session.present = list(verdict.present)
        session.phase = verdict.phase
        session.evidence_at, session.evidence = verdict.evidence_at, verdict.evidence
        session.silent_after = verdict.silent_after
        session.started_at = verdict.started_at
        session.ended_at = verdict.evidence_at if over else None
    return Whole(progress, session)


def _progress(items: Items, records: Records, verdict: Verdict | None) -> tuple[Progress, str]:
    """The progress, and which source gave it."""
    if verdict is not None:
        progress = Progress(
            total=verdict.total,
            completed=verdict.completed,
            percent=verdict.percent,
            status=verdict.status,
            current_component=verdict.component,
            current_feature=verdict.feature,
            low=verdict.low,
            high=verdict.high,
        )
        return progress, verdict.why
    judged = judge(items, records)
    progress = Progress(
        total=judged.total,
        completed=judged.completed,
        percent=judged.percent,
        status=judged.status,
        current_component=items.components.running.last,
        current_feature=items.features.running.last,
    )
    return progress, judged.source


def _first_start(items: Items, records: Records, published: Published) -> datetime | None:
    kinds = (items.components, items.tasks, items.phases)
    checkpoint = records.checkpoints.lowest
    starts: list[datetime | None] = [
        *(kind.starts.lowest for kind in kinds),
        records.starts.lowest,
        published.first,
        checkpoint[0] if checkpoint is not None else None,
    ]
    return min((start for start in starts if start is not None), default=None)


def _last_end(records: Records, published: Published) -> datetime | None:
    checkpoint = records.checkpoints.highest
    ends: list[datetime | None] = [
        records.ends.highest,
        published.last,
        checkpoint[0] if checkpoint is not None else None,
    ]
    return max((end for end in ends if end is not None), default=None)
