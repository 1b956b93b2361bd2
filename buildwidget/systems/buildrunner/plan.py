"""Plans: ``builds/BUILD_*.md``, the source of truth of a build.

A plan is Markdown that people, language models and scripts write. Its phases are headings (``### Phase 3: Title``);
each has fields (``**Status:** …``, ``**Blocked by:** …``), files and deliverables. What a phase's status is follows
from the first of these that says something:

1. its field ``Status``, whose first words decide (``✅ COMPLETE (2026-04-20) — notes``);
2. its heading (``### Phase 5: Title ✅ COMPLETE``), or a line ``Phase 5 Status: COMPLETE``;
3. its boxes, if all are ticked;
4. the plan's own status, if it says that all phases are done.

Boxes never say how far a running phase is: they are ticked together at its end.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from ...model import BuildStatus, FileAction, Status, TsSource
from ...progress import SETTLED, rounded
from ...reading.markdown import Block, BlockKind, Sections, decode_markdown
from ...reading.values import MAX_ITEMS, MAX_NAME, MAX_TEXT, Reader, parse_time
from ...words import map_status, plain_word
from ..record import Record, Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Deliverable", "Plan", "PlanPhase", "read", "slug_of"]

MAX_PHASES: Final = 2_000


class Deliverable(msgspec.Struct, frozen=True):
    """A line with a box. ``ticked`` is None for a box that is neither empty nor ticked (``[~]``)."""

    name: str
    ticked: bool | None = None


class PlanPhase(msgspec.Struct, kw_only=True):
    """A phase as its plan describes it.

    ``rule`` names what determined ``status``: ``plan`` (its status line), ``heading``, ``boxes``, ``header``; it is
    empty if the plan says nothing. ``blocked_by`` and ``after`` hold ids of phases of the same plan.
    """

    id: str
    title: str = ""
    status: Status = Status.UNKNOWN
    status_raw: str | None = None
    rule: str = ""
    goal: str | None = None
    files: list[FileAction] = []
    deliverables: list[Deliverable] = []
    blocked_by: list[str] = []
    after: list[str] = []
    external: str | None = None
    added: str | None = None
    fields: dict[str, str] = {}


class Plan(msgspec.Struct, kw_only=True):
    """A plan. ``header`` is its own status line, ``header_done`` whether that says that all phases are done, and
    ``header_claims`` whether it does so at least of as many as there were when it was written.

    ``newest_date`` is the latest date in its text (``2026-04-20``), or empty.
    """

    slug: str
    title: str = ""
    header: str | None = None
    header_done: bool = False
    header_claims: bool = False
    created: datetime | None = None
    newest_date: str = ""
    phases: list[PlanPhase] = []
    fields: dict[str, str] = {}


def slug_of(path: str) -> str:
    """Return the id of the plan in a file: its name without ``BUILD_`` and ``.md``."""
    return path.rpartition("/")[2].removesuffix(".md").removeprefix("BUILD_")


_ID: Final = r"\d{1,4}(?:\.\d{1,4}){0,2}[A-Za-z]?(?:-\d{1,4})?|[A-Z]"
# The id of a phase where several are named: there, a hyphen between numbers makes a range.
_ONE: Final = r"(?:\d{1,4}(?:\.\d{1,4}){0,2}(?:[A-Za-z](?:-\d{1,4})?)?(?![A-Za-z])|[A-Z](?![A-Za-z]))"
_JOIN: Final = r"\s*(?:,\s*and|,\s*or|,|and|or|&|\+|to|[–—-])\s*"
_NAMED: Final = re.compile(rf"\bphases?\s+({_ONE}(?:{_JOIN}(?:phases?\s+)?{_ONE})*)", re.IGNORECASE)
_BARE: Final = re.compile(rf"\s*{_ONE}(?:{_JOIN}{_ONE})*\s*")
_RANGE: Final = re.compile(rf"({_ONE})(?:\s*(?:[–—-]|\bto\b)\s*({_ONE}))?")
_NONE: Final = re.compile(r"\s*(?:none|nothing|n/?a|[-—–])(?:\W|$)", re.IGNORECASE)
_PHASE: Final = re.compile(
    rf"(?:(?:updated|new|added)[:\s]\s*)?phase\s+({_ID})(?![\w.-]*\w)(.*)", re.IGNORECASE | re.DOTALL
)
_NO_PHASE: Final = re.compile(r"\W{0,6}(?:success|tasks?|analysis results|update:|status)\b", re.IGNORECASE)
_STATED: Final = re.compile(rf"phase\s+({_ID})\s+status\s*[:=—–-]\s*(.+)", re.IGNORECASE)
_FIELD: Final = re.compile(r"(?:\*\*|__)\s*([^*_:]{1,40}?)\s*:?\s*(?:\*\*|__)\s*:?\s*(.*)", re.DOTALL)
_BOX: Final = re.compile(r"\[(.)\](?:\s+|$)(.*)", re.DOTALL)
_ACTION: Final = re.compile(r"\(\s*([A-Za-z]{3,9})\b[^)]*\)")
_CODE: Final = re.compile(r"`([^`\n]{1,1000})`")
_ADDED: Final = re.compile(r"[_*(]*\(\s*(?:added|new)\b:?\s*(\d{4}-\d\d-\d\d)?[^)]*\)[_*]*", re.IGNORECASE)
_TITLE: Final = re.compile(
    r"(?:codex-optimized\s+)?build(?:\s+(?:plan|spec|\d+(?:\.\d+)*\w?))*\s*[:—–-]\s*", re.IGNORECASE
)
_MARKS: Final = re.compile(r"(?<!\\)(?:\*\*|__|[*`]|(?<!\w)_|_(?!\w))|\\(?=[!-/:-@\[-`{-~])")
_MARKING: Final = frozenset("*_`\\")
_SIGNS: Final = re.compile("[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\ufe0f\u200d]+")
_EDGES: Final = " \t:—–-·|"
_DONE: Final = re.compile(r"✅|\bCOMPLETED?\b")
_DENIED: Final = re.compile(r"[❌✗✘✖]")
_DATE: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_HEAD_LEVEL: Final = 2  # of the deepest heading under which lines are about the plan as a whole
_LOG: Final = re.compile(r"\blog\b|\b20\d\d-\d\d", re.IGNORECASE)  # the heading of a diary: its lines are about one day
_BRACKETS: Final = re.compile(r"\([^()]*\)")

# Words of phases and of plans that are no words of the common table, or whose first words decide.
_OWN_WORDS: Final = {
    "conditionally": Status.COMPLETED,
    "partial": Status.IN_PROGRESS,
    "partially": Status.IN_PROGRESS,
    "not_run": Status.NOT_STARTED,
    "merged_into": Status.SKIPPED,
    "superseded_by": Status.SKIPPED,
    "build_complete": Status.COMPLETED,
    "implementation_complete": Status.COMPLETED,
}
_BLOCKERS: Final = frozenset({"blocked by", "depends on", "dependencies", "dependency", "requires"})
_NO_FIELDS: Final = _BLOCKERS | {"after", "goal", "files", "deliverables", "status", "success criteria"}


def clean(text: str) -> str:
    """Return a text without Markdown marks, signs and what surrounds it, on one line."""
    return _tidy(_MARKS.sub("", text))


def _tidy(text: str) -> str:
    return " ".join(_SIGNS.sub(" ", text).split()).strip(_EDGES)


def status_of(raw: str) -> Status:
    """Return what a phase's status line says. Its first words decide, as far as the table of words knows them."""
    text = _MARKS.sub("", raw).strip()
    if _DENIED.search(text[:60]):
        return map_status(text)
    parts = plain_word(text).split("_")
    for count in range(min(len(parts), 5), 0, -1):
        word = "_".join(parts[:count])
        status = _OWN_WORDS.get(word) or map_status(word)
        if status is not Status.UNKNOWN:
            return status
    return map_status(text) if parts == [""] else Status.UNKNOWN


def read(path: str, raw: bytes, reader: Reader, sections: Sections) -> Record:
    """The record of one plan. ``sections`` caches what was parsed before."""
    text = decode_markdown(path, raw)
    plan = _Builder(slug_of(path), reader).build(sections.blocks(text))
    plan.newest_date = max(_DATE.findall(text), default="")
    return Record(
        path=path,
        shape=Shape.PLAN,
        time=reader.mtime,
        ts_source=TsSource.MTIME,
        status=_build_status(plan),
        status_source="phases",
        percent=_percent(plan.phases),
        detail=plan,
    )


def _percent(phases: list[PlanPhase]) -> float | None:
    counted = [phase for phase in phases if phase.status not in (Status.SKIPPED, Status.CANCELLED)]
    known = [phase for phase in counted if phase.status is not Status.UNKNOWN]
    if not known:
        return None
    return rounded(100 * sum(phase.status is Status.COMPLETED for phase in counted) / len(counted))


def _build_status(plan: Plan) -> BuildStatus:
    seen = {phase.status for phase in plan.phases}
    if not seen or seen == {Status.UNKNOWN}:
        return BuildStatus.UNKNOWN
    if seen <= SETTLED:
        return BuildStatus.COMPLETED
    return BuildStatus.PENDING if seen <= {Status.NOT_STARTED, Status.UNKNOWN} else BuildStatus.IN_PROGRESS


class _Builder:
    """Collects the phases of one plan from its blocks."""

    def __init__(self, slug: str, reader: Reader) -> None:
        self._plan = Plan(slug=slug)
        self._reader = reader
        self._phase: PlanPhase | None = None
        self._level = 0
        self._is_head = True  # whether lines are about the plan as a whole
        self._list = ""  # the field whose list the next items belong to
        self._found: list[tuple[PlanPhase, str]] = []
        self._stated: dict[str, str] = {}  # id -> status in prose

    def build(self, blocks: Iterable[Block]) -> Plan:
        plan = self._plan
        for block in blocks:
            match block.kind:
                case BlockKind.HEADING:
                    self._on_heading(block)
                case BlockKind.PARAGRAPH:
                    for line in block.lines:
                        self._on_line(line)
                case BlockKind.ITEM:
                    self._on_item(block)
                case BlockKind.ROW:
                    pass
        plan.phases = self._settled()
        self._apply_header()
        plan.created = _date(plan.fields.get("created"), self._reader)
        return plan

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _on_heading(self, block: Block) -> None:
        text = " ".join(block.lines)
        self._list = ""
        found = _phase_of(text) if block.level > 1 else None
        if found is not None:
            id_, rest = found
            if len(self._found) >= MAX_PHASES:
                self._reader.warn("too_many", f"more than {MAX_PHASES:,} phases; the rest is left out")
                self._phase = None
                return
            added = _ADDED.search(rest)
            title = _tidy(_ADDED.sub(" ", rest))
            self._phase = PlanPhase(id=id_, title=title[:MAX_NAME], files=[], deliverables=[], fields={})
            if added:
                self._phase.added = added[1] or ""
            self._level = block.level
            self._found.append((self._phase, text))
            return
        self._on_stated(text)
        self._is_head = block.level <= _HEAD_LEVEL and not _LOG.search(text)
        if not self._plan.title and block.level == 1:
            self._plan.title = (_TITLE.sub("", clean(text), count=1).strip(_EDGES) or clean(text))[:MAX_NAME]
        if self._phase is not None and block.level <= self._level:
            self._phase = None

    def _on_line(self, line: str) -> None:
        found = _FIELD.match(line)
        if found is not None:
            self._on_field(found[1], found[2])
        self._on_stated(line)

    def _on_stated(self, line: str) -> None:
        found = (
            _STATED.match(_SIGNS.sub("", _MARKS.sub("", line)).strip()) if "tatus" in line or "TATUS" in line else None
        )
        if found is not None:
            self._stated.setdefault(_key(found[1]), line.partition(":")[2].strip() or found[2])

    def _on_item(self, block: Block) -> None:
        first = block.lines[0]
        found = _FIELD.match(first)
        if found is not None and not _BOX.match(first) and found[1].strip().lower() in _NO_FIELDS:
            for line in block.lines:
                self._on_line(line)
            return
        phase = self._phase
        if phase is None or len(phase.deliverables) + len(phase.files) >= MAX_ITEMS:
            return
        box = _BOX.match(" ".join(block.lines))
        if box is not None:
            ticked = True if box[1] in "xX✓✔" else False if box[1] == " " else None
            phase.deliverables.append(Deliverable(_plain(box[2])[:MAX_NAME], ticked))
        elif self._list == "files":
            phase.files += _files(" ".join(block.lines))

    def _on_field(self, name: str, value: str) -> None:
        key = " ".join(name.lower().split())
        self._list = key
        phase = self._phase
        if phase is None:
            if not self._found and self._is_head:
                if key == "status" and self._plan.header is None:
                    self._plan.header = value.strip()[:MAX_NAME]
                elif len(self._plan.fields) < 100:
                    self._plan.fields.setdefault(key, _plain(value)[:MAX_NAME])
            return
        if key == "status":
            if phase.status_raw is None:
                phase.status_raw = value.strip()[:MAX_NAME]
        elif key == "goal":
            phase.goal = phase.goal or _plain(value)[:MAX_TEXT] or None
        elif key in _BLOCKERS:
            if value.strip().lower().startswith("external"):
                phase.external = phase.external or _plain(value)[:MAX_NAME]
            else:
                phase.blocked_by = phase.blocked_by or _ids(value)
        elif key == "after":
            phase.after = phase.after or _ids(value)
        elif key == "files":
            phase.files += _files(value)
        elif key not in _NO_FIELDS and len(phase.fields) < 50:
            phase.fields.setdefault(key, _plain(value)[:MAX_NAME])

    # -- statuses -------------------------------------------------------------------------------------------------

    def _settled(self) -> list[PlanPhase]:
        """The phases with their statuses; of two with one id, the one that has a status, else the first."""
        phases: dict[str, PlanPhase] = {}
        for phase, heading in self._found:
            self._decide(phase, heading)
            key = _key(phase.id)
            known = phases.get(key)
            if known is not None:
                self._reader.at("phase", phase.id)
                self._reader.warn("duplicate_id", "the plan has it more than once; the one with a status counts")
                self._reader.at()
                if known.status in SETTLED or (known.rule == "plan" and phase.status not in SETTLED):
                    continue
                if phase.status is Status.UNKNOWN and known.status is not Status.UNKNOWN:
                    continue
            phases[key] = phase
        known_ids = {_key(phase.id): phase.id for phase in phases.values()}
        for phase in phases.values():
            phase.blocked_by = _resolved(phase.blocked_by, known_ids, phase.id)
            phase.after = _resolved(phase.after, known_ids, phase.id)
        return list(phases.values())

    def _decide(self, phase: PlanPhase, heading: str) -> None:
        raw = phase.status_raw
        if raw is not None:
            phase.status = status_of(raw)
            if phase.status is Status.UNKNOWN:
                self._reader.note_word(clean(raw)[:40] or raw[:40])
            else:
                phase.rule = "plan"
                return
        stated = self._stated.get(_key(phase.id))
        boxes = phase.deliverables
        if _DONE.search(heading) and not _DENIED.search(heading) and not re.search("success", heading, re.IGNORECASE):
            phase.status, phase.rule = Status.COMPLETED, "heading"
            phase.title = re.sub(r"[\s—–-]*\bCOMPLETED?\b.*$", "", phase.title) or phase.title
        elif stated is not None and status_of(stated) is not Status.UNKNOWN:
            phase.status, phase.rule, phase.status_raw = status_of(stated), "heading", clean(stated)[:MAX_NAME]
        elif raw is None and boxes and all(box.ticked for box in boxes):
            phase.status, phase.rule = Status.COMPLETED, "boxes"

    def _apply_header(self) -> None:
        """Apply what the plan's own status line says of phases that do not speak for themselves."""
        plan = self._plan
        claims, counted, blocked = _header_says(plan.header or "")
        plan.header_claims = claims
        plan.header_done = done = claims and (counted is None or counted >= len(plan.phases))
        for phase in plan.phases:
            boxes = phase.deliverables
            ticked = bool(boxes) and all(box.ticked for box in boxes)
            silent = phase.status is Status.UNKNOWN and phase.status_raw is None
            waiting = phase.status in (Status.NOT_STARTED, Status.UNKNOWN) and (counted is not None or ticked)
            if done and (silent or waiting):
                phase.status, phase.rule = Status.COMPLETED, "header"
            elif blocked == _key(phase.id) and phase.status in (Status.NOT_STARTED, Status.UNKNOWN):
                phase.status, phase.rule = Status.BLOCKED, "header"


_NOT_DONE: Final = re.compile(r"in progress|not started|pending|\bnext\b|remaining|\bexcept\b|\bbut\b", re.IGNORECASE)
_ALL: Final = re.compile(r"\ball\s+(\d{1,4})\s+phases", re.IGNORECASE)
_SHARE: Final = re.compile(r"(\d{1,4})\s*/\s*(\d{1,4})")
_COMPLETE: Final = re.compile(
    r"^\W*(?:build |implementation )?completed?\b|\ball phases (?:are )?(?:complete|done)|\ball complete", re.IGNORECASE
)
_BLOCKED: Final = re.compile(rf"phase\s+({_ID})\s+blocked", re.IGNORECASE)


def _header_says(header: str) -> tuple[bool, int | None, str | None]:
    """What the plan's status line claims: whether all is done, of how many phases if it says so, and a blocked phase.

    "Phase 3 In Progress" claims nothing: a script writes it, and it is mostly wrong.
    """
    text = _MARKS.sub("", header)
    found = _BLOCKED.search(text)
    blocked = _key(found[1]) if found else None
    if _NOT_DONE.search(text) and not re.search("build complete", text, re.IGNORECASE):
        return False, None, blocked
    every = _ALL.search(text)
    if every:
        return True, int(every[1]), blocked
    share = _SHARE.search(text)
    if share and re.search("complete|done", text, re.IGNORECASE):
        return int(share[1]) == int(share[2]), int(share[2]), blocked
    return bool(_COMPLETE.search(text)), None, blocked


def _phase_of(heading: str) -> tuple[str, str] | None:
    """The id in the heading of a phase, and what follows it; None if the heading is of something else."""
    text = _MARKS.sub("", heading).lstrip()
    text = _SIGNS.sub("", text, count=1).lstrip() if _SIGNS.match(text) else text
    found = _PHASE.match(text)
    if found is None or _NO_PHASE.match(found[2]):
        return None
    rest = found[2]
    if rest and rest[0].isspace() and re.match(r"\s+[A-Za-z]", rest):  # "Phase 3 Success Criteria" is no phase
        return None
    return found[1], rest


def _plain(text: str) -> str:
    if not _MARKING.isdisjoint(text):
        text = _MARKS.sub("", text)
    return " ".join(text.split())


def _key(id_: str) -> str:
    return id_.strip().lower()


def _ids(text: str) -> list[str]:
    """The ids of the phases that a text names; numbers in brackets are none. Ranges are spelled out."""
    text = _BRACKETS.sub(" ", _MARKS.sub("", text[:MAX_NAME]))
    if _NONE.match(text):
        return []
    parts = [match[1] for match in _NAMED.finditer(text)]
    if not parts and _BARE.fullmatch(text):
        parts = [text]
    found: list[str] = []
    for part in parts:
        for first, last in _RANGE.findall(part):
            if last and first.isdigit() and last.isdigit() and 0 <= int(last) - int(first) < 200:
                found += [str(number) for number in range(int(first), int(last) + 1)]
            else:
                found += [first, last] if last else [first]
    return list(dict.fromkeys(found))[:100]


def _resolved(ids: list[str], known: dict[str, str], own: str) -> list[str]:
    return [known[_key(id_)] for id_ in ids if _key(id_) in known and known[_key(id_)] != own]


def _files(text: str) -> list[FileAction]:
    """The files in a line of a phase's list of files: those in backticks, else the first word."""
    action = _ACTION.search(text)
    word = action[1].lower() if action else None
    paths = _CODE.findall(text)
    if not paths:
        first = text.split("(", 1)[0].strip().strip(",")
        paths = [first] if first and " " not in first and ("/" in first or "." in first) else []
    return [FileAction(path=" ".join(path.split())[:MAX_NAME], action=word) for path in paths[:100]]


def _date(text: str | None, reader: Reader) -> datetime | None:
    found = _DATE.search(text or "")
    parsed = parse_time(found[0], reader.mtime) if found else None
    return parsed[0] if parsed else None
