"""The plans of the demo: how the features of the clinic's product are cut into phases, and in which order.

Data only. A phase builds one or two features; its deliverables are their tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .product import AFTERTHOUGHTS, COMPONENTS, FEATURES, FeatureSpec

__all__ = ["ADDED", "BATCHES", "BUILD", "DECISIONS", "FINISHED", "PHASES", "FileSpec", "PhaseSpec", "PlanSpec"]

_FEATURES: Final = {spec.id: spec for spec in (*FEATURES, *AFTERTHOUGHTS)}
_COMPONENTS: Final = {spec.id: spec for spec in COMPONENTS}


@dataclass(frozen=True)
class FileSpec:
    """A file that a phase makes (``NEW``) or changes (``MODIFY``), and what for."""

    path: str
    action: str
    purpose: str


@dataclass(frozen=True)
class PhaseSpec:
    """A phase of a plan. ``success`` is its criterion; ``after`` names a phase that it need not wait for."""

    id: str
    title: str
    items: tuple[str, ...]
    success: str
    blocked_by: tuple[str, ...] = ()
    after: str = ""

    @property
    def features(self) -> list[FeatureSpec]:
        """The features that it builds."""
        return [_FEATURES[item] for item in self.items]

    @property
    def goal(self) -> str:
        """What it is for."""
        return " ".join(feature.description for feature in self.features)

    @property
    def deliverables(self) -> list[str]:
        """What it delivers, a line each."""
        several = len(self.items) > 1
        return [f"{feature.name}: {task}" if several else task for feature in self.features for task in feature.tasks]

    @property
    def minutes(self) -> float:
        """The planned work, in minutes."""
        return float(sum(feature.estimate for feature in self.features))

    @property
    def files(self) -> list[FileSpec]:
        """The files that it makes and changes."""
        found: dict[str, FileSpec] = {}
        for feature in self.features:
            part = _COMPONENTS[feature.component]
            name = feature.id.split(".")[1].replace("-", "_")
            test = f"tests/test_{name}.py" if part.suffix != ".tsx" else f"{part.folder}/{name}.test.tsx"
            found[name] = FileSpec(f"{part.folder}/{name}{part.suffix}", "NEW", feature.name.lower())
            found[f"{name}/test"] = FileSpec(test, "NEW", "tests")
            index = f"{part.folder}/index{part.suffix}"
            found.setdefault(index, FileSpec(index, "MODIFY", "make it known"))
        return list(found.values())


@dataclass(frozen=True)
class PlanSpec:
    """A plan that was finished before the demo begins: ``age`` days ago. ``ticked``: whether its boxes were."""

    slug: str
    title: str
    phases: tuple[PhaseSpec, ...]
    age: float
    ticked: bool


BUILD: Final = PlanSpec("online-booking", "Online booking", (), 0, ticked=True)

PHASES: Final = (
    PhaseSpec("1", "Opening hours and rooms", ("calendar.opening-hours", "calendar.rooms"),
              "A day with a holiday in it shows the right hours in both time zones"),
    PhaseSpec("2", "Patient records", ("patients.registration", "patients.search"),
              "A nurse finds a patient by a name typed wrongly, in under a second"),
    PhaseSpec("3", "Free slots", ("booking.slots",),
              "A month of slots for 40 doctors is found in under 20 ms", ("1",)),
    PhaseSpec("4", "Reservations", ("booking.reserve", "booking.reschedule"),
              "200 clients at once, and no slot is booked twice", ("2", "3")),
    PhaseSpec("5", "Deposits and refunds", ("payments.deposits", "payments.refunds"),
              "Every deposit in the sandbox is found in the ledger, and so is its refund", ("2",)),
    PhaseSpec("6", "Reminders", ("reminders.email", "reminders.sms"),
              "No patient is written to at night, nor twice", ("4",)),
    PhaseSpec("7", "Booking website", ("booking-site.find", "booking-site.checkout"),
              "A visit is found, booked and paid with the keyboard alone", ("4", "5")),
    PhaseSpec("8", "Staff console", ("staff-console.day-view", "staff-console.check-in"),
              "The day of 40 doctors moves without a reload", ("1", "2"), after="3"),
)  # fmt: skip

#: The phases that run together, one batch after the other.
BATCHES: Final = (("1", "2"), ("3", "5", "8"), ("4",), ("6", "7"))

#: The phases that are thought of only while the build runs.
ADDED: Final = (
    PhaseSpec("9", "Waiting list", ("booking.waiting-list",),
              "A slot that falls free is taken within its deadline, or offered to the next", ("4",)),
    PhaseSpec("10", "Video visits", ("booking.video-visits",),
              "A visit goes on by phone when the video fails", ("4",)),
    PhaseSpec("11", "Family accounts", ("patients.family",),
              "A parent books for a child, and no longer when the child is 16", ("2",)),
    PhaseSpec("12", "Utilisation report", ("reporting.utilisation",),
              "The figures of a month agree with the raw data", ("8",)),
)  # fmt: skip

#: What is decided while a phase is planned, by its id.
DECISIONS: Final = {
    "1": "Hours are kept in the clinic's own time zone; only visits are kept in UTC",
    "3": "An interval tree per day, built when the day is first asked for",
    "4": "A slot is unique in the database, not in the code that books it",
    "7": "One page instead of a wizard: reason, doctor and time are chosen together",
    "9": "An offer is a row with a deadline; no timer is kept in memory",
}

FINISHED: Final = (
    PlanSpec("clinic-schema", "Clinic schema", (
        PhaseSpec("1", "Tables and migrations", ("database.core-tables",), "One command sets up an empty database"),
        PhaseSpec("2", "Audit trail", ("database.audit-log",), "Every change of a record is found again", ("1",)),
        PhaseSpec("3", "Backups", ("database.backups",), "The restore drill brings back yesterday", ("1",)),
    ), age=9.2, ticked=False),
    PlanSpec("sign-in", "Sign-in and roles", (
        PhaseSpec("1", "Links and single sign-on", ("auth.passwordless", "auth.staff-sso"), "No passwords"),
        PhaseSpec("2", "Roles", ("auth.roles",), "A role sees what it may see, and nothing else", ("1",)),
    ), age=3.1, ticked=True),
)  # fmt: skip
