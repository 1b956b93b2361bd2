"""A plan as BuildRunner writes it: ``builds/BUILD_<slug>.md``, rewritten whole with every change."""

from __future__ import annotations

from dataclasses import dataclass, field

from .plan_product import PhaseSpec

__all__ = ["NOT_STARTED", "PlanPhase", "PlanState", "plan_text"]

NOT_STARTED = "not_started"
RUNNING = "🚧 in_progress"
COMPLETE = "✅ COMPLETE"


@dataclass
class PlanPhase:
    """A phase in the plan. ``added``: the date of the amendment that brought it."""

    spec: PhaseSpec
    status: str = NOT_STARTED
    ticked: bool = False
    added: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the plan says that it is complete."""
        return self.status == COMPLETE

    def start(self) -> None:
        """Say that it is in progress, unless it is complete by now."""
        if not self.complete:
            self.status = RUNNING

    def finish(self, *, ticked: bool = True) -> None:
        """Say that it is complete, and tick all of its boxes at once."""
        self.status, self.ticked = COMPLETE, ticked

    def reset(self) -> None:
        """Say that it has not been started, after all."""
        self.status, self.ticked = NOT_STARTED, False


@dataclass
class PlanState:
    """A plan with what its text says by now. ``log`` holds the lines of its session log."""

    slug: str
    title: str
    created: str
    phases: list[PlanPhase]
    header: str = NOT_STARTED
    log: list[str] = field(default_factory=list[str])

    @property
    def path(self) -> str:
        """Its file, below ``.buildrunner``."""
        return f"builds/BUILD_{self.slug}.md"

    @property
    def done(self) -> int:
        """How many of its phases it calls complete."""
        return sum(phase.complete for phase in self.phases)

    def phase(self, id_: str) -> PlanPhase:
        """Return a phase by its id."""
        return next(phase for phase in self.phases if phase.spec.id == id_)

    def update_header(self) -> None:
        """Compute the status of the whole plan as upstream's script does: by a count, and by the first open phase."""
        waiting = next((phase for phase in self.phases if not phase.complete), None)
        if waiting is None:
            self.header = f"BUILD COMPLETE — All {len(self.phases)} Phases Done"
        elif self.done:
            self.header = f"Phases 1-{self.done} Complete — Phase {waiting.spec.id} In Progress"
        else:
            self.header = f"Phase {waiting.spec.id} In Progress"


def plan_text(plan: PlanState) -> str:
    """Return the text of a plan."""
    lines = [
        f"# Build: {plan.title}", "",
        f"**Created:** {plan.created}",
        f"**Status:** {plan.header}", "",
        "## Overview", "",
        " ".join(phase.spec.features[0].description for phase in plan.phases[:3]), "",
        "## Parallelization Matrix", "",
        "| Phase | Key Files | Can Parallel With | Blocked By |",
        "|-------|-----------|-------------------|------------|",
        *(_row(phase.spec, plan) for phase in plan.phases), "",
        "## Phases", "",
    ]  # fmt: skip
    for phase in plan.phases:
        lines += [*_phase(phase), "", "---", ""]
    return "\n".join([*lines, "## Session Log", "", *(plan.log or ["_(Will be updated by /begin)_"]), ""])


def _row(spec: PhaseSpec, plan: PlanState) -> str:
    files = ", ".join(f"`{file.path.rpartition('/')[2]}`" for file in spec.files[:2])
    needed = {phase.spec.id: _needed(phase.spec, plan) for phase in plan.phases}
    beside = [
        id_ for id_, before in needed.items() if id_ != spec.id and id_ not in needed[spec.id] and spec.id not in before
    ]
    blocked = ", ".join(f"{id_} ({plan.phase(id_).spec.title.lower()})" for id_ in spec.blocked_by)
    return f"| {spec.id} | {files} | {', '.join(beside) or '—'} | {blocked or '—'} |"


def _needed(spec: PhaseSpec, plan: PlanState) -> set[str]:
    """The ids of all phases that must be complete before a phase."""
    return set(spec.blocked_by).union(*(_needed(plan.phase(id_).spec, plan) for id_ in spec.blocked_by))


def _phase(phase: PlanPhase) -> list[str]:
    spec = phase.spec
    box = "x" if phase.ticked else " "
    added = f" _(added: {phase.added})_" if phase.added else ""
    blocked = ", ".join(f"Phase {id_}" for id_ in spec.blocked_by)
    return [
        f"### Phase {spec.id}: {spec.title}{added}", "",
        f"**Status:** {phase.status}",
        f"**Goal:** {spec.goal}",
        "**Files:**", "",
        *(f"- `{file.path}` ({file.action}) — {file.purpose}" for file in spec.files), "",
        f"**Blocked by:** {blocked or 'None'}",
        *([f"**After:** Phase {spec.after} (different files, CAN parallelize)"] if spec.after else []),
        "**Deliverables:**", "",
        *(f"- [{box}] {line}" for line in spec.deliverables), "",
        f"**Success Criteria:** {spec.success}",
    ]  # fmt: skip
