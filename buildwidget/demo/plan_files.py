"""The files that a build by a plan writes beside the plan: locks, the present phase, batches and the journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from .clock import Clock
from .files import ROOT, STEPS, as_json, zulu
from .plan_product import PhaseSpec
from .plan_text import PlanState, plan_text
from .world import Write

__all__ = ["Lock", "PlanFiles"]

MODE: Final = "autopilot"


@dataclass
class Lock:
    """A lock that is held.

    ``step`` is the index of its step, ``worked`` how many tasks have been worked on (``tasks_done`` is what the file
    says), ``reports`` whether it writes ``progress.json``.
    """

    spec: PhaseSpec
    host: str
    claimed: datetime
    step: int = 0
    worked: int = 0
    tasks_done: int = 0
    current: str | None = None
    complete: bool = False
    reports: bool = True

    @property
    def folder(self) -> str:
        """Its folder, below ``.buildrunner``."""
        return f"locks/phase-{self.spec.id}"


class PlanFiles:
    """Returns the writes of each file. All times are those of the clock."""

    def __init__(self, clock: Clock, plan: PlanState) -> None:
        self._clock = clock
        self._plan = plan

    def stamp(self, at: datetime | None = None) -> str:
        """Format a time as ``date -u`` does. In a build that is played fast, seconds are too coarse to keep order."""
        at = at or self._clock.now()
        if self._clock.pace >= 1:
            return zulu(at) or ""
        return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def plan(self) -> Write:
        """The plan itself, rewritten whole."""
        return self.any_plan(self._plan)

    @staticmethod
    def any_plan(plan: PlanState, at: datetime | None = None) -> Write:
        """Return a plan, as last changed ``at`` a time; None: now."""
        return Write(f"{ROOT}/{plan.path}", plan_text(plan), at=at)

    # -- locks ----------------------------------------------------------------------------------------------------

    def claim(self, lock: Lock) -> list[Write]:
        """Make a lock: its folder, with the claim and the first heartbeat."""
        claim: dict[str, Any] = {
            "phase": _number(lock.spec.id),
            "name": lock.spec.title,
            "claimed_at": self.stamp(lock.claimed),
            "host": lock.host,
            "build": f"BUILD_{self._plan.slug}.md",
            "mode": MODE,
        }
        return [_line(f"{lock.folder}/claim.json", claim), self.heartbeat(lock)]

    def heartbeat(self, lock: Lock) -> Write:
        """Write a sign of life."""
        return Write(f"{ROOT}/{lock.folder}/heartbeat", self.stamp() + "\n")

    def progress(self, lock: Lock) -> Write:
        """Write how far a lock is. As upstream, tasks are counted only when all are done."""
        number, name, label = STEPS[lock.step]
        started = self.stamp(lock.claimed)
        total = len(lock.spec.deliverables)
        passing = 4 * lock.tasks_done
        return as_json(f"{lock.folder}/progress.json", {
            "phase": _number(lock.spec.id),
            "name": lock.spec.title,
            "step": number,
            "step_name": name,
            "step_label": label,
            "status": "COMPLETE" if lock.complete else "active",
            "tasks_total": total,
            "tasks_done": lock.tasks_done,
            "current_task": lock.current,
            "tests_written": passing,
            "tests_passing": passing,
            "commits": int(lock.complete),
            "errors": [],
            "warnings": [],
            "started_at": started,
            "updated_at": self.stamp(),
            "history": [
                {"step": at, "name": word, "label": text, "at": started, "status": "skipped" if at == 3.5 else "done"}
                for at, word, text in STEPS[: lock.step + lock.complete]
            ],
        })  # fmt: skip

    def sidecar(self, lock: Lock, pid: int) -> Write:
        """Write which processes watch over a session and run it."""
        millis = round(self._clock.now().timestamp() * 1000)
        return as_json(f"{lock.folder}/sidecar.json", {
            "sidecar_pid": pid,
            "claude_pid": pid + 3,
            "build_id": f"redispatch-{millis}",
            "node": lock.host,
            "started_at": self.stamp(),
        })  # fmt: skip

    def exit_status(self, lock: Lock, code: int) -> Write:
        """Write that the session of a lock has ended with a code."""
        millis = round(self._clock.now().timestamp() * 1000)
        return as_json(f"{lock.folder}/exit-status.json", {
            "exit_code": code,
            "rescue_tag": f"wip-rescue-redispatch-{millis}",
            "timestamp": self.stamp(),
        })  # fmt: skip

    @staticmethod
    def release(lock: Lock) -> Write:
        """Remove a lock with all that is in it."""
        return Write(f"{ROOT}/{lock.folder}", remove=True)

    # -- the files of which there is one ---------------------------------------------------------------------------

    def current_phase(self, lock: Lock) -> Write:
        """Write the present phase: in a batch, the one that was claimed last."""
        return _line("current-phase.json", {
            "phase": _number(lock.spec.id), "name": lock.spec.title, "build": f"BUILD_{self._plan.slug}",
            "started_at": self.stamp(), "mode": MODE, "host": lock.host,
        })  # fmt: skip

    @staticmethod
    def no_current_phase() -> Write:
        """Remove the present phase, as any phase does that completes."""
        return Write(f"{ROOT}/current-phase.json", remove=True)

    def batches(self, batches: list[tuple[str, ...]]) -> Write:
        """Write the batches of a run. It is not written again: its counts stay as they are."""
        return as_json("orchestration.json", {
            "batches": [{"id": n, "phases": [_number(id_) for id_ in ids]} for n, ids in enumerate(batches, 1)],
            "current_batch": 1,
            "total_phases": sum(map(len, batches)),
            "completed_phases": 0,
            "mode": MODE,
            "started": self.stamp(),
        })  # fmt: skip

    def journal(self, text: str, *, tag: str = "") -> Write:
        """Append a line to the journal: with a tag a decision, else a message of a tool."""
        stamp = self.stamp()
        line = f"[{stamp}] [{tag}] {text}\n" if tag else f"{stamp} {text}\n"
        return Write(f"{ROOT}/decisions.log", line, append=True)


def _number(id_: str) -> int | str:
    return int(id_) if id_.isdigit() else id_


def _line(path: str, data: dict[str, Any]) -> Write:
    return Write(f"{ROOT}/{path}", json.dumps(data, ensure_ascii=False) + "\n")
