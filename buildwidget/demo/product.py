"""The product that the demo builds: an appointment system for a clinic.

Data only: twelve components with their dependency graph, forty features with checklists and estimates in minutes, and
three more features (`AFTERTHOUGHTS`) that only the ``growth`` scenario adds.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AFTERTHOUGHTS",
    "COMPONENTS",
    "FEATURES",
    "PHASES",
    "PROJECT",
    "ComponentSpec",
    "FeatureSpec",
]

PROJECT = "meadow-clinic"

PHASES: dict[int, str] = {
    1: "Foundations",
    2: "Core services",
    3: "Booking flow",
    4: "Screens and reports",
}


@dataclass(frozen=True)
class ComponentSpec:
    """A planned component. The names of its files are made from ``folder`` and ``suffix``."""

    id: str
    name: str
    type: str
    phase: int
    folder: str
    suffix: str
    dependencies: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureSpec:
    """A planned feature. ``tasks`` is its checklist; ``estimate`` is in minutes."""

    id: str
    name: str
    description: str
    component: str
    priority: str
    estimate: int
    tasks: tuple[str, ...]
    dependencies: tuple[str, ...] = ()


COMPONENTS: tuple[ComponentSpec, ...] = (
    ComponentSpec("database", "Database schema", "database", 1, "db/migrations", ".sql"),
    ComponentSpec("design-system", "Design system", "frontend", 1, "web/design", ".tsx"),
    ComponentSpec("auth", "Sign-in and roles", "service", 2, "services/auth", ".py", ("database",)),
    ComponentSpec("api", "REST API", "api", 2, "services/api", ".py", ("database", "auth")),
    ComponentSpec("patients", "Patient records", "backend", 2, "services/patients", ".py", ("database", "auth")),
    ComponentSpec("calendar", "Clinic calendar", "backend", 2, "services/calendar", ".py", ("database",)),
    ComponentSpec(
        "booking", "Booking engine", "service", 3, "services/booking", ".py", ("api", "patients", "calendar")
    ),
    ComponentSpec("payments", "Payments", "service", 3, "services/payments", ".py", ("api", "patients")),
    ComponentSpec("reminders", "Reminders", "service", 3, "services/reminders", ".py", ("booking",)),
    ComponentSpec(
        "booking-site", "Booking website", "frontend", 4, "web/site", ".tsx", ("design-system", "booking", "payments")
    ),
    ComponentSpec(
        "staff-console", "Staff console", "frontend", 4, "web/staff", ".tsx", ("design-system", "patients", "calendar")
    ),
    ComponentSpec("reporting", "Reports", "backend", 4, "services/reporting", ".py", ("booking", "payments")),
)


def _feature(
    component: str,
    slug: str,
    name: str,
    description: str,
    priority: str,
    estimate: int,
    tasks: str,
    after: str = "",
) -> FeatureSpec:
    """One line of the plan; ``tasks`` and ``after`` are separated by ``;`` and blanks."""
    dependencies = tuple(dep if "." in dep else f"{component}.{dep}" for dep in after.split())
    checklist = tuple(task.strip() for task in tasks.split(";"))
    return FeatureSpec(f"{component}.{slug}", name, description, component, priority, estimate, checklist, dependencies)


FEATURES: tuple[FeatureSpec, ...] = (
    _feature("database", "core-tables", "Core tables", "Clinics, staff, patients and appointments, with their keys.",
             "critical", 35,
             "Draw the entity diagram; Write migration 0001; Add foreign keys; Seed two sample clinics"),
    _feature("database", "audit-log", "Audit log", "Who read or changed a patient's record, and when.",
             "high", 25, "Add the audit table; Write triggers; Test that deletes are kept", "core-tables"),
    _feature("database", "backups", "Nightly backups", "Encrypted dumps with a restore drill.",
             "medium", 20, "Script pg_dump; Encrypt with the clinic's key; Rehearse a restore", "core-tables"),
    _feature("design-system", "tokens", "Colours and type", "Tokens for light and dark, checked for contrast.",
             "high", 20, "Choose the palette; Check contrast at AA; Publish CSS variables"),
    _feature("design-system", "forms", "Form controls",
             "Inputs, date fields and error texts that screen readers announce.",
             "high", 40,
             "Text and select fields; Date and time field; Error summary; Keyboard test; Storybook pages", "tokens"),
    _feature("design-system", "layout", "Page layout", "Header, navigation and a grid that works from 320 px up.",
             "medium", 25, "Header and navigation; Responsive grid; Print styles", "tokens"),
    _feature("auth", "passwordless", "Sign-in by e-mail link", "One-time links instead of passwords for patients.",
             "critical", 40,
             "Issue signed links; Expire after 15 minutes; Rate limit; Send through the mail queue; End-to-end test"),
    _feature("auth", "staff-sso", "Staff single sign-on", "OpenID Connect with the clinic's directory.",
             "high", 45,
             "Discovery and keys; Callback handler; Map groups to roles; Sign-out everywhere", "passwordless"),
    _feature("auth", "roles", "Roles and permissions", "Reception, nurse, doctor, manager: what each may see.",
             "critical", 30,
             "Write the permission table; Guard decorator; Deny by default; Tests for every role", "passwordless"),
    _feature("auth", "sessions", "Session handling", "Rotation, idle timeout and a list of signed-in devices.",
             "medium", 25, "Rotate on sign-in; Idle timeout; Device list", "roles"),
    _feature("api", "skeleton", "Service skeleton", "Routing, settings, health checks and structured logs.",
             "critical", 25, "Routing and settings; Health endpoint; JSON logs; Container image"),
    _feature("api", "errors", "Problem responses", "Errors as application/problem+json with a trace id.",
             "medium", 15, "Map exceptions; Add trace ids; Document the codes", "skeleton"),
    _feature("api", "pagination", "Cursor pagination", "Stable pages for long lists.",
             "medium", 20, "Encode cursors; Link headers; Test with 10,000 rows", "skeleton"),
    _feature("api", "openapi", "OpenAPI document", "A generated description, checked on every commit.",
             "low", 20, "Generate the document; Lint it; Fail on breaking changes", "errors pagination"),
    _feature("patients", "registration", "Patient registration", "A short form, duplicate detection and consent.",
             "critical", 40, "Registration endpoint; Duplicate detection; Consent record; Validation messages; Tests"),
    _feature("patients", "search", "Patient search", "By name, birth date or phone, tolerant of typing errors.",
             "high", 35,
             "Trigram index; Ranking; Hide archived patients; Load test at 50 requests per second", "registration"),
    _feature("patients", "documents", "Documents", "Upload and view letters and results, scanned for malware.",
             "medium", 40, "Upload to object storage; Virus scan; Thumbnails; Download permissions", "registration"),
    _feature("patients", "export", "Data export", "Everything about one patient as one archive.",
             "low", 20, "Collect the records; Build the archive; Log the export", "documents"),
    _feature("calendar", "opening-hours", "Opening hours", "Per clinic and per doctor, with public holidays.",
             "high", 25, "Weekly pattern; Exceptions; Holiday table; Daylight saving tests"),
    _feature("calendar", "rooms", "Rooms and devices", "What a visit needs besides a doctor.",
             "medium", 30, "Resource model; Conflict rules; Admin endpoint", "opening-hours"),
    _feature("calendar", "ical-sync", "Calendar sync", "Two-way sync with the doctors' own calendars.",
             "medium", 45,
             "Read iCal feeds; Push changes; Resolve conflicts; Back off on 429; Tests with recorded feeds",
             "opening-hours"),
    _feature("booking", "slots", "Free slots", "Find the free times of a doctor, a room and a device together.",
             "critical", 50, "Interval tree; Merge constraints; Cache per day; Property tests; Benchmark below 20 ms"),
    _feature("booking", "reserve", "Reserve a slot", "Hold for five minutes, confirm once, never book twice.",
             "critical", 45,
             "Hold with expiry; Unique constraint; Idempotency key; Race test with 200 clients", "slots"),
    _feature("booking", "reschedule", "Reschedule and cancel",
             "Moving a visit frees the old slot in the same transaction.",
             "high", 30, "Move in one transaction; Cancellation rules; Notify the clinic", "reserve"),
    _feature("booking", "waiting-list", "Waiting list", "Offer a freed slot to the next three patients.",
             "medium", 35,
             "Queue per doctor; Offer with deadline; Accept or pass on; Tests with a fake clock", "reschedule"),
    _feature("payments", "deposits", "Deposits", "A small deposit for long visits, paid by card.",
             "high", 40, "Payment intent; Webhook with signature; Match to the booking; Sandbox test"),
    _feature("payments", "refunds", "Refunds", "Automatic when cancelled a day before.",
             "high", 30, "Refund rule; Partial refunds; Ledger entry; Retry on network errors", "deposits"),
    _feature("payments", "invoices", "Invoices", "PDF invoices with consecutive numbers per clinic.",
             "medium", 35, "Number sequence; PDF template; VAT rules; Archive for ten years", "deposits"),
    _feature("payments", "insurers", "Insurer claims", "Monthly claim files for four insurers.",
             "medium", 45, "Claim format; Validate codes; Monthly batch; Acknowledgement import", "invoices"),
    _feature("reminders", "email", "E-mail reminders", "Two days before, with a link to move the visit.",
             "high", 25, "Templates in three languages; Schedule; Unsubscribe link; Bounce handling"),
    _feature("reminders", "sms", "SMS reminders", "On the day, for those who asked for it.",
             "medium", 30, "Provider client; Quiet hours; Cost limit; Delivery receipts", "email"),
    _feature("reminders", "no-show", "No-show follow-up", "Ask for a new date after a missed visit.",
             "low", 20, "Detect missed visits; Follow-up message; Opt out", "email"),
    _feature("booking-site", "find", "Find an appointment", "Choose reason, doctor and time on one page.",
             "critical", 45, "Reason picker; Slot list; Time zone hint; Loading and empty states; Playwright test"),
    _feature("booking-site", "checkout", "Confirm and pay", "Review, deposit, confirmation page.",
             "high", 40, "Review step; Card form; Confirmation page; Error paths", "find payments.deposits"),
    _feature("booking-site", "my-visits", "My visits", "Upcoming and past visits, move or cancel.",
             "medium", 30, "Visit list; Move a visit; Cancel with reason", "find"),
    _feature("staff-console", "day-view", "Day view", "Everybody's day at a glance, updated live.",
             "high", 45, "Timeline grid; Live updates; Drag to move; Keyboard moves; Test with 40 doctors"),
    _feature("staff-console", "check-in", "Check-in", "Arrived, waiting, in the room, done.",
             "high", 25, "State buttons; Waiting times; Undo", "day-view"),
    _feature("staff-console", "patient-card", "Patient card", "The summary a nurse needs in three seconds.",
             "medium", 30, "Summary endpoint; Allergies first; Recent visits; Print view", "day-view"),
    _feature("reporting", "utilisation", "Utilisation report", "Booked against offered time, per doctor and room.",
             "medium", 30, "Nightly aggregate; CSV export; Check against raw data"),
    _feature("reporting", "revenue", "Revenue report", "Deposits, refunds and claims by month.",
             "low", 25, "Monthly aggregate; Reconcile with the ledger; Chart", "utilisation"),
)  # fmt: skip

AFTERTHOUGHTS: tuple[FeatureSpec, ...] = (
    _feature("booking", "video-visits", "Video visits", "A visit by video where the reason allows it.",
             "high", 40, "Room tokens; Waiting room; Fall back to phone; Browser test", "reserve"),
    _feature("patients", "family", "Family accounts", "Parents book for their children.",
             "medium", 35, "Guardian relation; Consent at 16; Switch patient; Tests", "registration"),
    _feature("calendar", "locations", "Several locations", "One doctor, two clinics, with travel time between.",
             "medium", 30, "Location model; Travel buffer; Migration for old data", "rooms"),
)  # fmt: skip
