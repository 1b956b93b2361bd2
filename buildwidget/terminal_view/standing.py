"""What is said of builds that a system decides on: how far they are, and by which sign they live. Pure.

The sentences are those of the cell and the page (``js/src/builds.ts``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..failures import failures_of
from ..model import BuildStatus, Component, Feature, State, Status
from ..progress import SETTLED, Life
from .text import ago, clean, span

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ..failures import Failure

__all__ = [
    "Standing",
    "counted",
    "duration_of",
    "failures_here",
    "is_disputed",
    "is_steered",
    "life_line",
    "natural",
    "phase_label",
    "plans_in_order",
    "present_features",
    "short_id",
    "standing_of",
    "waits_for",
    "whole_of",
    "word_for",
]

_DIGITS = re.compile(r"(\d+)")


def is_steered(state: State) -> bool:
    """Return whether plans and locks (or the like) decide, in place of checkpoints and registries."""
    return state.session.system is not None


@dataclass(slots=True)
class Standing:
    """How the items of one or more builds stand. Skipped and cancelled ones are not in ``total``.

    ``noun`` is the word of the system for one item; ``disputed`` counts the items of which a source says otherwise.
    """

    noun: str = ""
    total: int = 0
    done: int = 0
    running: int = 0
    blocked: int = 0
    disputed: int = 0


def standing_of(items: Iterable[Feature]) -> Standing:
    """Count the items."""
    found = Standing()
    for item in items:
        noun = item.feature_type or "item"
        found.noun = noun if found.noun in ("", noun) else "item"
        found.disputed += bool(item.conflict)
        if item.status in (Status.SKIPPED, Status.CANCELLED):
            continue
        found.total += 1
        found.done += item.status is Status.COMPLETED
        found.running += item.status is Status.IN_PROGRESS
        found.blocked += item.status is Status.BLOCKED
    found.noun = found.noun or "phase"
    return found


def whole_of(state: State) -> Standing:
    """Count what is at work: the items of the present builds; the locks if no build is known."""
    present = present_features(state)
    if present:
        return standing_of(item for features in present.values() for item in features)
    locks = [Feature(feature_id=p.phase_id, feature_type="phase", status=p.status) for p in state.phases]
    return standing_of(locks)


def counted(standing: Standing) -> str:
    """Return the numbers as text: ``3 of 8 phases, 1 running``."""
    noun = clean(standing.noun, 20) + ("" if standing.total == 1 else "s")
    running = f", {standing.running} running" if standing.running else ""
    return f"{standing.done} of {standing.total} {noun}{running}"


def present_features(state: State) -> dict[str, list[Feature]]:
    """Map each build at work to its features, in the order of their numbers."""
    found: dict[str, list[Feature]] = {id_: [] for id_ in state.session.present}
    for feature in state.features:
        if feature.component_id in found:
            found[feature.component_id].append(feature)
    return {id_: sorted(features, key=lambda item: natural(item.feature_id)) for id_, features in found.items()}


def is_disputed(item: Component | Feature) -> bool:
    """Return whether an item is called completed while another source says otherwise."""
    return item.status is Status.COMPLETED and bool(item.conflict)


def failures_here(state: State) -> tuple[list[Failure], int]:
    """Return the failures of the builds at work, and the number of all others."""
    found = failures_of(state)
    present = set(state.session.present)
    of_feature = {item.feature_id: item.component_id for item in state.features}
    of_phase = {item.phase_id: item.component_id for item in state.phases}

    def is_here(kind: str, id_: str) -> bool:
        match kind:
            case "component":
                return id_ in present
            case "feature":
                return of_feature.get(id_) in present
            case "phase":
                return of_phase.get(id_) is None or of_phase[id_] in present
            case _:
                return False

    here = [failure for failure in found if any(is_here(item.kind, item.id) for item in failure.items)]
    return here, len(found) - len(here)


def word_for(state: State, standing: Standing, life: Life) -> tuple[str, str]:
    """Return the word for the whole, and its style.

    Green is only what is done, where nothing failed and no source says otherwise.
    """
    status = state.session.status
    if status is BuildStatus.COMPLETED:
        builds = [item for item in state.components if item.component_id in state.session.present]
        is_whole = standing.done == standing.total and not standing.disputed and not any(c.conflict for c in builds)
        return "completed", "bold green" if is_whole and not failures_of(state) else "bold"
    if status is BuildStatus.FAILED:
        return "failed", "bold red"
    if status is BuildStatus.UNKNOWN:
        return "unknown", "dim"
    if life is Life.SILENT:
        return "silent", "bold yellow"
    if life in (Life.IDLE, Life.DORMANT):
        return str(life), "bold"
    return status.replace("_", " "), "bold cyan" if status is BuildStatus.IN_PROGRESS else "dim"


def life_line(state: State, life: Life, now: datetime) -> str:
    """Return in a sentence whether somebody works on the build, and by which sign."""
    session = state.session
    at = session.evidence_at or state.updated_at
    if at is None:
        return "" if life is Life.UNKNOWN else str(life)
    sign = "newest change" if session.evidence_at is None else clean(session.evidence or "last sign of life", 120)
    age = (now - at).total_seconds()
    seen = f"{sign}, {ago(age)}"
    match life:
        case Life.QUIET:
            return f"quiet for {int(age // 60)} min · {sign}"
        case Life.SILENT:
            return f"silent since {_moment(at, now)} ({ago(age)}) · {sign}"
        case Life.IDLE:
            return f"idle, nothing is claimed · {seen}"
        case Life.DORMANT:
            return f"dormant since {_moment(at, now)} · {seen}"
        case Life.DONE:
            return f"done · {seen}"
        case _:
            return seen


def _moment(at: datetime, now: datetime) -> str:
    local = at.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def natural(text: str) -> list[tuple[int, int | str]]:
    """Return a sort key in which 9 is before 10, and 14.9 before 14.10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in _DIGITS.split(text) if part]


def short_id(feature: Feature, id_: str | None = None) -> str:
    """Return the id of a phase within its plan: ``3`` of ``shop/3``."""
    whole = feature.feature_id if id_ is None else id_
    return whole.removeprefix(f"{feature.component_id}/")


def phase_label(feature: Feature) -> str:
    """Return the number and the name of a phase: ``3 · Cart``."""
    label = f"{(feature.feature_type or 'phase').capitalize()} {short_id(feature)}"
    return f"{short_id(feature)} · {feature.name}" if feature.name and feature.name != label else label


def waits_for(state_of: dict[str, Status], feature: Feature) -> list[str]:
    """Return the numbers of the phases that a phase which has not begun still waits for."""
    if feature.status is not Status.NOT_STARTED:
        return []
    return [short_id(feature, id_) for id_ in feature.dependencies if state_of.get(id_) not in SETTLED]


def plans_in_order(state: State) -> list[Component]:
    """Return the components: those at work first, then plans, the newest first, then all others."""
    present = {id_: place for place, id_ in enumerate(state.session.present)}
    signs: dict[str, float] = {}
    for feature in state.features:
        at = feature.heartbeat_at or feature.claimed_at
        if at is not None and feature.component_id is not None:
            signs[feature.component_id] = max(at.timestamp(), signs.get(feature.component_id, 0.0))

    def key(item: Component) -> tuple[int, float, list[tuple[int, int | str]]]:
        times = [at.timestamp() for at in (item.ended_at, item.started_at, item.created_at) if at is not None]
        newest = max([signs.get(item.component_id, 0.0), *times])
        last = len(present) if item.component_type == "plan" else len(present) + 1
        return present.get(item.component_id, last), -newest, natural(item.component_id)

    return sorted(state.components, key=key)


def duration_of(state: State, life: Life, now: datetime) -> str:
    """Return how long the builds at work took, up to the last sign of work on them; empty if that is not known."""
    session = state.session
    if session.started_at is None:
        return ""
    end = session.ended_at or (now if life in (Life.ALIVE, Life.QUIET) else session.evidence_at or state.updated_at)
    return "" if end is None else span((end - session.started_at).total_seconds())
