"""A build as lines: its milestones."""

from __future__ import annotations

from ..failures import failures_of
from ..model import Component, Feature, State, Status
from .standing import counted, failures_here, is_steered, phase_label, present_features, standing_of
from .text import clean

__all__ = ["has_content", "milestones"]


def milestones(before: State | None, state: State) -> list[str]:
    """Return the milestones between two states, one line each.

    Without an earlier state: one line with the current status and counts, and the warnings.
    """
    percent = state.progress.percent
    share = "unknown" if percent is None else f"{percent:.1f} %"
    if before is None and is_steered(state):
        return [_steered(state, share), *_new_warnings(State(), state)]
    if before is None:
        failed = len(failures_of(state))
        done = sum(c.status is Status.COMPLETED for c in state.components)
        done_features = sum(f.status is Status.COMPLETED for f in state.features)
        facts = (
            f"{_word(state.session.status)}, {share}",
            f"{done} of {len(state.components)} components",
            f"{done_features} of {len(state.features)} features",
            *([f"{failed} failed"] if failed else []),
        )
        name = clean(state.session.project, 60) or "build"
        return [f"{name}: {', '.join(facts)}", *_new_warnings(State(), state)]
    lines = [
        *_new_phase(before, state),
        *_component_turns(before, state),
        *_feature_turns(before, state),
        *_checkpoint_turns(before, state),
        *_new_warnings(before, state),
    ]
    if state.session.status is not before.session.status:
        lines.append(f"the build is {_word(state.session.status)}")
    return [f"{share:>7}  {line}" for line in lines]


def _steered(state: State, share: str) -> str:
    """Return the line of builds that a system decides on: ``shop: in progress, 37.5 %, Cart: 3 of 8 phases``."""
    names = {item.component_id: item.name for item in state.components}
    here, elsewhere = failures_here(state)
    facts = [
        f"{_word(state.session.status)}, {share}",
        *(
            f"{clean(names.get(id_) or id_, 60)}: {counted(standing_of(features))}"
            for id_, features in present_features(state).items()
        ),
        *([f"{len(here)} failed"] if here else []),
        *([f"{elsewhere} failed elsewhere"] if elsewhere else []),
        *([clean(state.session.evidence, 120)] if state.session.evidence else []),
    ]
    return f"{clean(state.session.project, 60) or 'build'}: {', '.join(facts)}"


def _word(status: str) -> str:
    return str(status).replace("_", " ")


def _new_phase(before: State, state: State) -> list[str]:
    phase = None if is_steered(state) else state.session.phase  # the phases have lines of their own
    return [f"phase {clean(phase, 60)}"] if phase and phase != before.session.phase else []


def _component_turns(before: State, state: State) -> list[str]:
    known = {c.component_id: c.status for c in before.components}
    return [
        f"{clean(c.name or c.component_id, 60)}: {_said(c)}"
        for c in state.components
        if c.status is not known.get(c.component_id, Status.NOT_STARTED)
    ]


_TURNS = frozenset({Status.COMPLETED, Status.ERROR, Status.BLOCKED})


def _feature_turns(before: State, state: State) -> list[str]:
    known = {f.feature_id: f.status for f in before.features}
    plans = {c.component_id: c.name for c in state.components}
    return [
        f"  {_feature_name(f, plans)}: {_said(f)}"
        for f in state.features
        if f.status is not known.get(f.feature_id, Status.NOT_STARTED if f.feature_type else None)
        and (f.feature_type or f.status in _TURNS)
    ]


def _feature_name(feature: Feature, plans: dict[str, str]) -> str:
    if feature.feature_type is None:
        return clean(feature.name or feature.feature_id, 60)
    plan = feature.component_id or ""
    return f"{clean(plans.get(plan) or plan, 40)}, {feature.feature_type} {clean(phase_label(feature), 60)}"


def _said(item: Component | Feature) -> str:
    """Return the status, and who works on the item.

    A plan lags behind its locks for moments at every turn; what disagrees is told only where nothing else is known.
    """
    owner = item.owner if isinstance(item, Feature) and item.status is Status.IN_PROGRESS else None
    conflict = item.conflict if item.status is Status.UNKNOWN else None
    notes = [clean(text, 120) for text in (owner, conflict) if text]
    return _with_error(item.status, item.error) + (f" ({'; '.join(notes)})" if notes else "")


def _checkpoint_turns(before: State, state: State) -> list[str]:
    known = {c.checkpoint_id: c.status for c in before.checkpoints}
    return [
        f"checkpoint {clean(c.checkpoint_id, 80)}: {_word(c.status)}"
        for c in state.checkpoints
        if c.status in ("active", "rolled_back") and known.get(c.checkpoint_id, c.status) != c.status
    ]


def _new_warnings(before: State, state: State) -> list[str]:
    known = {(w.file_path, w.code) for w in before.warnings}
    return [
        f"warning: {clean(w.file_path, 200)}: {clean(w.message, 200)}"
        for w in state.warnings
        if (w.file_path, w.code) not in known and w.code != "waiting"  # 'waiting' is not about a file
    ]


def has_content(state: State) -> bool:
    """Return whether anything is known of the build."""
    has_warning = any(warning.code != "waiting" for warning in state.warnings)
    return bool(state.components or state.features or state.tasks or state.phases or state.checkpoints or has_warning)


def _with_error(status: Status, error: str | None) -> str:
    lines = [line for line in (error or "").splitlines() if line.strip()]
    return f"error: {clean(lines[-1], 200)}" if status is Status.ERROR and lines else _word(status)
