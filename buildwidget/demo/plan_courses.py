"""What goes wrong, and what is thought of late, in each of the scenarios that are run from a plan. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .world import Scenario

__all__ = ["COURSES", "Course", "Failure"]


@dataclass(frozen=True)
class Failure:
    """How a phase fails: the end of its session's output, and whether another host claims it again."""

    error: tuple[str, ...]
    again: bool
    code: int = 1


@dataclass(frozen=True)
class Course:
    """The course of one scenario.

    Attributes
    ----------
    amendments
        When that many phases are complete, these are thought of.
    stalls
        The phase whose heartbeat stops.
    failures
        The phases whose session ends with a code.
    undone
        The phases that go back to not started, when all of them are complete. Their batches are run again.
    """

    amendments: tuple[tuple[int, tuple[str, ...]], ...] = ()
    stalls: str | None = None
    failures: tuple[tuple[str, Failure], ...] = ()
    undone: tuple[str, ...] = ()


COURSES: Final = {
    Scenario.PLAN: Course(amendments=((3, ("9",)),)),
    Scenario.PLAN_FAILURE: Course(
        failures=(
            ("5", Failure((
                'File "services/payments/refunds.py", line 88, in create_refund',
                'ForeignKeyViolation: insert into "refunds" violates "refunds_payment_id_fkey"',
            ), again=True)),
            ("7", Failure((
                "web/site/checkout.test.tsx: 3 of 41 failed",
                "TimeoutError: the card form did not appear within 30 s",
            ), again=False)),
        )
    ),
    Scenario.PLAN_STALL: Course(stalls="3"),
    Scenario.PLAN_ROLLBACK: Course(undone=("3", "4")),
    Scenario.PLAN_GROWTH: Course(amendments=((2, ("9",)), (4, ("11",)), (7, ("10",)), (11, ("12",)))),
}  # fmt: skip
