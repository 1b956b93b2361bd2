"""One plan and its locks, journal and batches: the status of each phase, by the first rule that says something.

1. The plan says completed or skipped; unless the phase was claimed again after the plan was written.
2. A lock says that its phase is completed: "not yet in the plan".
3. A lock exists: in progress. How long ago its last sign of life was is for the reader to judge.
4. A lock was there and is gone, and the plan has not spoken since: completed if it had said so, else unknown.
5. The plan's own words (see `plan`); for a phase that it does not call begun, a review of the built phase that approves
   it, and a batch that is blocked.
6. A session that was saved says that the phase was completed.

A source that says otherwise is the phase's ``conflict``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from ...model import ChecklistTask, Component, Feature, Status
from ...progress import SETTLED, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .journal import Approval
    from .lock_folders import Lock
    from .plan import Plan, PlanPhase

__all__ = ["Build", "Evidence", "PhaseState", "Released", "decide", "feature_id", "items_of"]

_WAITING: Final = frozenset({Status.NOT_STARTED, Status.UNKNOWN})
_LATER: Final = timedelta(minutes=1)  # a claim that much later than the plan's last change begins the phase again
_TWINS: Final = timedelta(hours=1)  # of two locks of one phase, a finished one counts if it is not older by more
_APPROVED: Final = "arbiter-approve"


class Released(msgspec.Struct, frozen=True):
    """A lock that was seen and is gone: when, whether it had said completed, and the plan's word at that time."""

    at: datetime
    finished: bool
    said: Status


class Evidence(msgspec.Struct, frozen=True):
    """Everything of one build that its phases are decided from."""

    slug: str
    plan: Plan | None = None
    path: str | None = None
    written: datetime | None = None
    locks: tuple[Lock, ...] = ()
    approvals: tuple[Approval, ...] = ()
    journal: str = ""
    batches: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    batches_path: str = ""
    saved: int | None = None
    saved_path: str = ""
    released: Mapping[str, Released] = {}


class PhaseState(msgspec.Struct, kw_only=True):
    """A phase and what was decided of it. ``at``: the last sign of work on it."""

    id: str
    title: str = ""
    status: Status = Status.UNKNOWN
    rule: str = ""
    path: str | None = None
    conflict: str | None = None
    at: datetime | None = None
    plan: PlanPhase | None = None
    lock: Lock | None = None


class Build(msgspec.Struct, kw_only=True):
    """One build with its phases decided, and which of its locks are over."""

    evidence: Evidence
    phases: dict[str, PhaseState]
    over: tuple[Lock, ...] = ()
    live: tuple[Lock, ...] = ()

    @property
    def counted(self) -> list[PhaseState]:
        """The phases that count: not skipped, not cancelled."""
        return [phase for phase in self.phases.values() if phase.status not in (Status.SKIPPED, Status.CANCELLED)]

    @property
    def running_at(self) -> datetime | None:
        """The last sign of work on the phases in progress; None if none is."""
        times = [phase.at for phase in self.phases.values() if phase.status is Status.IN_PROGRESS and phase.at]
        return max(times, default=None)


def decide(evidence: Evidence) -> Build:
    """Decide the status of every phase of one build."""
    phases: dict[str, PhaseState] = {}
    for phase in evidence.plan.phases if evidence.plan else ():
        phases[phase.id.lower()] = PhaseState(
            id=phase.id,
            title=phase.title,
            status=phase.status,
            rule=phase.rule,
            path=evidence.path if phase.rule or phase.status_raw is not None else None,
            at=evidence.written,
            plan=phase,
        )
    for id_ in evidence.batches if evidence.plan is None else ():
        phases.setdefault(
            id_.lower(),
            PhaseState(id=id_, status=Status.NOT_STARTED, rule="batches", path=evidence.batches_path),
        )
    _apply_approvals(evidence, phases)
    over, live = _apply_locks(evidence, phases)
    _apply_released(evidence, phases)
    _apply_hints(evidence, phases)
    return Build(evidence=evidence, phases=phases, over=tuple(over), live=tuple(live))


def _apply_approvals(evidence: Evidence, phases: dict[str, PhaseState]) -> None:
    for approval in evidence.approvals:
        phase = phases.get(approval.phase)
        if phase is not None and phase.status in _WAITING and approval.verdict == _APPROVED:
            if phase.status is Status.NOT_STARTED:
                phase.conflict = "the plan says not started"
            phase.status, phase.rule, phase.path = Status.COMPLETED, "review", evidence.journal


def _apply_locks(evidence: Evidence, phases: dict[str, PhaseState]) -> tuple[list[Lock], list[Lock]]:
    over: list[Lock] = []
    live: list[Lock] = []
    by_lock: dict[str, Lock] = {}  # phase -> the lock that decided it
    for lock in evidence.locks:
        key = lock.phase.lower()
        phase = phases.get(key)
        if phase is None:
            phase = phases[key] = PhaseState(id=lock.phase, title=lock.name)
        if not lock.is_alive:
            phase.lock = phase.lock or lock
            continue
        before = by_lock.get(key)
        said = phase.plan.status if phase.plan else None
        if before is None and phase.status in SETTLED:
            written = evidence.written
            if phase.rule not in ("plan", "heading", "boxes", "header") or written is None:
                again = False
            else:
                again = lock.has_claim and lock.claimed > written + _LATER
            if not again:
                over.append(lock)
                phase.lock = phase.lock or lock
                phase.conflict = f"its lock {lock.folder} was left behind; last sign of life {_moment(lock.at)}"
                continue
            phase.conflict = f"claimed again after the plan said {phase.status.replace('_', ' ')}"
        if lock.finished is not None:
            over.append(lock)
            if before is None or before.finished is not None or lock.at >= before.at - _TWINS:
                phase.status, phase.rule, phase.path = Status.COMPLETED, "lock", lock.finished
                phase.conflict = _behind(said)
                phase.at, phase.lock = max(lock.at, before.at if before else lock.at), lock
                by_lock[key] = lock
            continue
        live.append(lock)
        if before is not None and before.finished is not None and before.at >= lock.at - _TWINS:
            live.pop()
            over.append(lock)
            continue
        if phase.status is not Status.IN_PROGRESS and phase.conflict is None and before is None:
            phase.conflict = _behind(said)
        phase.status, phase.rule, phase.path = Status.IN_PROGRESS, "lock", lock.path
        newest = lock if before is None or lock.at >= before.at else before
        phase.at, phase.lock = newest.at, _fullest(lock, before)
        by_lock[key] = newest
    return over, live


def _fullest(lock: Lock, before: Lock | None) -> Lock:
    """Of two locks of one phase, the one with the claim; else the newer one."""
    if before is None or (lock.has_claim and not before.has_claim):
        return lock
    if before.has_claim and not lock.has_claim:
        return before
    return lock if lock.at >= before.at else before


def _behind(said: Status | None) -> str | None:
    if said is None:
        return "it is in no plan of this project"
    if said is Status.UNKNOWN:
        return None
    return f"the plan says {said.replace('_', ' ')}"


def _apply_released(evidence: Evidence, phases: dict[str, PhaseState]) -> None:
    for key, released in evidence.released.items():
        phase = phases.get(key)
        if phase is None:
            phase = phases[key] = PhaseState(id=key)
        if phase.rule == "lock" or (phase.plan is not None and phase.plan.status is not released.said):
            continue
        if phase.status in SETTLED:
            continue
        if released.finished:
            phase.status, phase.rule = Status.COMPLETED, "seen"
            phase.conflict = f"its lock said so before it was removed at {_moment(released.at)}; not yet in the plan"
        else:
            phase.status, phase.rule = Status.UNKNOWN, "seen"
            phase.conflict = f"released at {_moment(released.at)}, result unknown" + (
                f"; the plan says {released.said.replace('_', ' ')}" if released.said is not Status.UNKNOWN else ""
            )
        phase.path, phase.at = None, released.at


def _apply_hints(evidence: Evidence, phases: dict[str, PhaseState]) -> None:
    for phase in phases.values():
        if evidence.saved is not None and phase.rule == "" and phase.id.isdigit() and int(phase.id) <= evidence.saved:
            phase.status, phase.rule, phase.path = Status.COMPLETED, "saved session", evidence.saved_path
    for id_ in evidence.blocked:
        phase = phases.get(id_.lower())
        if phase is not None and phase.status in _WAITING and phase.rule != "seen":
            phase.status, phase.rule, phase.path = Status.BLOCKED, "batches", evidence.batches_path


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


# -- items ------------------------------------------------------------------------------------------------------------


def items_of(build: Build) -> tuple[Component, list[Feature]]:
    """Return the plan as a component, and its phases as features. Ids of features are ``plan/phase``."""
    features = [_feature(build.evidence.slug, phase) for phase in build.phases.values()]
    return _component(build), features


def feature_id(slug: str, phase: str) -> str:
    """The id of a phase in the whole project."""
    return f"{slug}/{phase}"


def _source(rule: str, path: str | None) -> str | None:
    if not rule:
        return None
    return f"{rule}:{path}" if path else rule


def _feature(slug: str, phase: PhaseState) -> Feature:
    plan, lock = phase.plan, phase.lock
    metadata: dict[str, str] = {}
    if plan is not None:
        metadata = dict(plan.fields)
        if plan.added is not None:
            metadata["added"] = plan.added
        if plan.external:
            metadata["blocked by"] = plan.external
        if plan.after:
            metadata["after"] = ", ".join(plan.after)
    held = lock if phase.status is Status.IN_PROGRESS or phase.rule == "lock" else None
    return Feature(
        feature_id=feature_id(slug, phase.id),
        name=phase.title or f"Phase {phase.id}",
        description=plan.goal if plan else None,
        component_id=slug,
        feature_type="phase",
        status=phase.status,
        status_raw=plan.status_raw if plan else None,
        status_source=_source(phase.rule, phase.path),
        conflict=phase.conflict,
        progress=100.0 if phase.status is Status.COMPLETED else 0.0,
        tasks=[
            ChecklistTask(
                id=str(number),
                name=line.name,
                completed=bool(line.ticked),
                status=Status.IN_PROGRESS if line.ticked is None else None,
            )
            for number, line in enumerate(plan.deliverables, 1)
        ]
        if plan
        else [],
        files=plan.files if plan else [],
        dependencies=[feature_id(slug, id_) for id_ in plan.blocked_by] if plan else [],
        owner=held.host if held else None,
        claimed_at=held.claimed if held and held.has_claim else None,
        heartbeat_at=held.heartbeat if held else None,
        error=_ended(phase),
        metadata=metadata,
    )


def _ended(phase: PhaseState) -> str | None:
    """That a session ended with a code, if that was its last sign of life and the phase is not over."""
    ended = phase.lock.ended if phase.lock else None
    if ended is None or not ended.code or phase.status in SETTLED or phase.lock is None:
        return None
    if phase.lock.heartbeat is not None and ended.at <= phase.lock.heartbeat:
        return None
    return f"a session ended with code {ended.code} at {_moment(ended.at)}"


def _component(build: Build) -> Component:
    plan = build.evidence.plan
    counted = build.counted
    done = sum(phase.status is Status.COMPLETED for phase in counted)
    status, rule = _status(build, done)
    times = [phase.at for phase in build.phases.values() if phase.at is not None and phase.lock is not None]
    return Component(
        component_id=build.evidence.slug,
        name=(plan.title if plan else "") or build.evidence.slug,
        component_type="plan",
        status=status,
        status_raw=plan.header if plan else None,
        status_source=_source(rule, build.evidence.path),
        conflict=_conflict(build, status, done, len(counted)),
        progress=rounded(100 * done / len(counted)) if counted else 0.0,
        created_at=plan.created if plan else None,
        started_at=min((phase.lock.claimed for phase in build.phases.values() if phase.lock), default=None),
        ended_at=max(times) if times and status is Status.COMPLETED else None,
        metadata=dict(plan.fields) if plan else {},
    )


def _status(build: Build, done: int) -> tuple[Status, str]:
    seen = {phase.status for phase in build.phases.values()}
    if not build.phases:
        return Status.UNKNOWN, ""
    if Status.ERROR in seen and Status.IN_PROGRESS not in seen:
        return Status.ERROR, "phases"
    if seen <= SETTLED:
        return Status.COMPLETED if done else Status.SKIPPED, "phases"
    if Status.IN_PROGRESS in seen or done:
        return Status.IN_PROGRESS, "phases"
    for status in (Status.BLOCKED, Status.PAUSED, Status.NOT_STARTED):
        if status in seen:
            return status, "phases"
    return Status.UNKNOWN, ""


def _conflict(build: Build, status: Status, done: int, total: int) -> str | None:
    plan = build.evidence.plan
    if plan is None:
        return "no plan of this name is in the project"
    header = plan.header or ""
    claims_all = plan.header_claims
    if claims_all and status is not Status.COMPLETED:
        return f"its header says {header[:80]!r}, but {done} of {total} phases are completed"
    lagging = [phase for phase in build.phases.values() if phase.rule == "header" and phase.status is Status.COMPLETED]
    waiting = [p for p in lagging if p.plan is not None and p.plan.status_raw is not None]
    if waiting:
        return f"its header says that all is done; {len(waiting)} phases still say otherwise"
    if header and not claims_all and status is Status.COMPLETED and "complete" not in header.lower():
        return f"its header says {header[:80]!r}"
    return None
