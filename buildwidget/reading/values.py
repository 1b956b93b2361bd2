"""Lenient parsing of single values: the value, or None with a warning that shows what was found.

One `Reader` parses one file. It knows the current item, so that warnings can name it, and it bounds every value:
a file may be hostile, and the state built from it is sent to every view.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import msgspec

from ..model import FIRST_TIME, LAST_TIME, Status, TsSource
from ..words import is_known, map_status, plain_word
from .decode import is_dict

if TYPE_CHECKING:
    from .memo import Memo

__all__ = [
    "MAX_ITEMS",
    "MAX_NAME",
    "MAX_TEXT",
    "MAX_WARNINGS",
    "SKEW",
    "UNKNOWN_WORD",
    "ItemWarning",
    "Reader",
    "as_dict",
    "as_list",
    "fits_utc",
    "is_coarse",
    "is_dict",
    "is_list",
    "is_settled",
    "parse_time",
    "time_of_name",
    "unknown_word",
    "utc_of",
]

T = TypeVar("T")

#: The code of the warning about a status word that is not in the table of `buildwidget.words`.
UNKNOWN_WORD: Final = "unknown_word"

MAX_NAME: Final = 1_000  # characters of a name, an id, a path
MAX_TEXT: Final = 10_000  # characters of a description, an error, a text in the metadata
MAX_ITEMS: Final = 10_000  # items of a list
MAX_WARNINGS: Final = 20  # warnings about one file
MAX_DEPTH: Final = 12  # levels of metadata
MAX_NODES: Final = 100_000  # values of metadata in one file
MAX_SAFE_INT: Final = 2**53  # beyond it JavaScript and float lose digits, so such a number is kept as text
_BIGGEST: Final = 1e15  # of an amount (minutes, milliseconds, counts): more is no measurement

_EPOCH_TEXT: Final = re.compile(r"\d{9,17}(\.\d+)?")
_NAME_TIME: Final = re.compile(r"(\d{8})_(\d{6})(?:_(\d{1,6}))?")
SKEW: Final = timedelta(minutes=2)  # nothing is written longer than that before its own time: clocks differ
_FIRST_MTIME: Final = datetime(2000, 1, 1, tzinfo=UTC)  # archives and images set 1970 or 1980: that dates nothing
_FIRST_EPOCH: Final = 1e8  # 1973 in seconds: smaller numbers are counters or zeros, not times
_MS_EPOCH: Final = 1e11  # 1973 in milliseconds, the year 5138 in seconds

_TRUTH: Final = {  # status words where true or false was expected
    Status.COMPLETED: True,
    Status.ERROR: False,
    Status.NOT_STARTED: False,
    Status.IN_PROGRESS: False,
}


# Words for the result of tests. Words for running, waiting or finished tests give no result.
_PASSING: Final = frozenset(
    [
        "true",
        "yes",
        "1",
        "green",
        "ok",
        "okay",
        "pass",
        "passed",
        "passing",
        "passes",
        "all_pass",
        "all_passed",
        "all_passing",
        "success",
        "successful",
        "succeeded",
        "verified",
    ]
)
_FAILING: Final = frozenset(("false", "no", "0", "red", "not_passing", "not_passed"))
_MARKS: Final = {**dict.fromkeys("✅✔✓☑", True), **dict.fromkeys("❌✗✘✖❎", False)}


class ItemWarning(msgspec.Struct, frozen=True):
    """A warning about one file: its code, and a message that names the item, the field and the value found."""

    code: str
    message: str


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether ``value`` is a JSON list."""
    return type(value) is list


def as_dict(value: object) -> dict[str, Any]:
    """``value`` if it is a JSON object, else an empty one."""
    return value if is_dict(value) else {}


def as_list(value: object) -> list[Any]:
    """``value`` if it is a JSON list, else an empty one."""
    return value if is_list(value) else []


def _in_calendar(moment: datetime) -> bool:
    return FIRST_TIME <= moment.replace(tzinfo=None) <= LAST_TIME


def parse_time(value: object, near: datetime | None = None, *, utc: bool = False) -> tuple[datetime, TsSource] | None:
    """Parse a time: an aware UTC datetime and where its zone comes from, or None if it is not a time.

    Reads ISO 8601 with and without a zone (without: the local time of this machine, as the writers mean it), a date
    alone (its first moment, local), and seconds or milliseconds since 1970, also as text.

    Parameters
    ----------
    value
        What was written.
    near
        When the file was written. Of the two readings of an hour that the clock repeats, the one next to it counts; a
        time without a zone that as local time would lie after it is UTC, if that fits.
    utc
        Whether times without a zone are UTC.
    """
    if type(value) is str:
        text = value.strip()
        if not text or len(text) > 40:
            return None
        if text[4:5] != "-" and _EPOCH_TEXT.fullmatch(text):
            value = float(text)
        else:
            try:
                moment = datetime.fromisoformat(text)
                if not _in_calendar(moment):
                    return None
                if moment.tzinfo is None:
                    return _local(moment, near, utc=utc)
                return moment.astimezone(UTC), TsSource.FILE
            except (ValueError, OverflowError, OSError):
                return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
        if not seconds >= _FIRST_EPOCH:
            return None
        return datetime.fromtimestamp(seconds / 1000 if seconds >= _MS_EPOCH else seconds, UTC), TsSource.FILE
    except (ValueError, OverflowError, OSError):
        return None


def _local(moment: datetime, near: datetime | None, *, utc: bool) -> tuple[datetime, TsSource]:
    """A time without a zone: see `parse_time`."""
    as_utc = moment.replace(tzinfo=UTC)
    if utc:
        return as_utc, TsSource.ASSUMED_UTC
    readings = {moment.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
    if near is None:
        return moment.astimezone(UTC), TsSource.ASSUMED_LOCAL
    fitting = [reading for reading in readings if reading - near <= SKEW]
    if fitting:
        return max(fitting), TsSource.ASSUMED_LOCAL
    if as_utc - near <= SKEW:
        return as_utc, TsSource.ASSUMED_UTC
    return min(readings), TsSource.ASSUMED_LOCAL


def is_settled(text: str) -> bool:
    """Whether a time reads the same whenever its file was written: it has a zone, or no clock repeats or skips it."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.tzinfo is not None or moment.astimezone(UTC) == moment.replace(fold=1).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return True


def is_coarse(value: object) -> bool:
    """Whether a time is only a day: a date, or midnight to the microsecond. It says nothing about what came first."""
    if type(value) is not str:
        return False
    try:
        return datetime.fromisoformat(value.strip()).time() == time.min
    except ValueError:
        return False


def fits_utc(value: object, near: datetime) -> bool:
    """Whether a time without a zone is within two minutes of ``near`` as UTC, and as local time is not."""
    if type(value) is not str:
        return False
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is not None or not _in_calendar(moment) or abs(moment.replace(tzinfo=UTC) - near) > SKEW:
            return False
        return all(abs(moment.replace(fold=fold).astimezone(UTC) - near) > SKEW for fold in (0, 1))
    except (ValueError, OverflowError, OSError):
        return False


def time_of_name(name: str, near: datetime | None = None, *, utc: bool = False) -> datetime | None:
    """The time in a checkpoint's id (``checkpoint_20251117_213005_705272``), as UTC; None if there is none.

    It has no zone, and is read as `parse_time` reads such a time.
    """
    found = _NAME_TIME.search(name[:MAX_NAME])
    if found is None:
        return None
    day, clock, fraction = found.groups(default="")
    try:
        moment = datetime.strptime(day + clock + fraction.ljust(6, "0"), "%Y%m%d%H%M%S%f")  # noqa: DTZ007
        return _local(moment, near, utc=utc)[0] if _in_calendar(moment) else None
    except (ValueError, OverflowError, OSError):
        return None


def utc_of(seconds: float) -> datetime:
    """The time of a file as the system gives it, in UTC; 1970 for one that no `datetime` holds, which says nothing."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # outside of the years 1 to 9999, or no number
        return datetime.fromtimestamp(0, UTC)


def shown(value: object) -> str:
    """Format a value for a warning: short, on one line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INT:
        return "a huge number"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value[:41] if isinstance(value, str) else value)
    return text if len(text) <= 42 else text[:40] + "…" + text[-1:]


def unknown_word(word: str) -> ItemWarning:
    """Return the warning about an unknown status word. It names no item: many items may have the word."""
    return ItemWarning(UNKNOWN_WORD, f"the status word {shown(word)} is not known; it is shown as written")


class Reader:
    """Parses the values of one file and collects warnings about them.

    Parameters
    ----------
    path
        The file, relative to the project.
    mtime
        Its modification time, aware.
    memo
        A cache of parsed items, shared between files.
    """

    def __init__(self, path: str, mtime: datetime, memo: Memo | None = None) -> None:
        self.path, self.mtime = path, mtime.astimezone(UTC)
        self._near = None if self.mtime < _FIRST_MTIME else self.mtime
        self._utc = False  # whether the writer's times without a zone are UTC
        self._doubts = 0  # times whose meaning depends on the file's modification time
        self._memo = memo
        self.stem = path.rpartition("/")[2].removesuffix(".json")
        self._kind, self._id = "", ""
        self._warnings: list[ItemWarning] = []
        self._more = 0
        self._nodes = MAX_NODES
        self._words: dict[str, None] = {}  # unknown status words

    @property
    def warnings(self) -> list[ItemWarning]:
        """At most `MAX_WARNINGS`, and one that counts the rest; and one for each of as many unknown words."""
        more = [ItemWarning("more_warnings", f"and {self._more} more")] if self._more else []
        return self._warnings + more + [unknown_word(word) for word in self._words]

    def cached(
        self, kind: tuple[object, ...], entry: dict[str, Any], read: Callable[[Reader, dict[str, Any]], T | None]
    ) -> T | None:
        """Return the cached item of an equal entry, else the result of ``read`` (None: it cannot parse the entry)."""
        name = entry.get("id")
        mark = None if self._memo is None or type(name) is not str else self._memo.mark(entry)
        if self._memo is None or mark is None:
            return read(self, entry)
        key = (*kind, self._utc, name)
        found: T | None = self._memo.get(key, mark)
        if found is None or not self._is_past(found):
            before = len(self._warnings) + self._more + self._doubts
            found = read(self, entry)
            if found is not None and len(self._warnings) + self._more + self._doubts == before:
                self._memo.put(key, mark, found)
        else:
            self.note_word(getattr(found, "status_raw", None))
        return found

    def at(self, kind: str = "", id_: str = "") -> None:
        """Set the item that the next warnings name (without arguments: none, they are about the file)."""
        self._kind, self._id = kind, id_

    def warn(self, code: str, message: str) -> None:
        """Add a warning. It names the current item."""
        if len(self._warnings) >= MAX_WARNINGS:
            self._more += 1
            return
        if self._kind:
            name = self._id if len(self._id) <= 60 else self._id[:59] + "…"
            message = f"{self._kind} {name}: {message}"
        self._warnings.append(ItemWarning(code, message))

    def invalid(self, field: str, value: object, expected: str) -> None:
        """Warn of an invalid value, which is read as unknown."""
        self.warn("odd_value", f"{field} is {shown(value)}, expected {expected}; read as unknown")

    # Words

    def status(self, value: object) -> tuple[Status, str | None]:
        """Return the status and the word as written. An unknown word gives one warning per file."""
        raw = self.text(value, "status", 200)
        self.note_word(raw)
        return map_status(raw), raw

    def note_word(self, word: str | None) -> None:
        """Note a status word for the warnings if it is unknown."""
        if word is not None and not is_known(word) and len(self._words) < MAX_WARNINGS:
            self._words[word] = None

    # Texts

    def text(self, value: object, field: str, limit: int = MAX_NAME) -> str | None:
        """A text; a number or a truth value as JSON writes it; a longer text than ``limit`` cut, with a warning."""
        if type(value) is str:
            return value if len(value) <= limit else self._cut(value, field, limit)
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return self.ident(value)
        self.invalid(field, value, "a text")
        return None

    def _cut(self, value: str, field: str, limit: int) -> str:
        self.warn("cut", f"{field} has {len(value):,} characters; {limit:,} are kept")
        return value[: limit - 1] + "…"

    def ident(self, value: object) -> str | None:
        """An id: text, or a number as a person writes it (5.0 is ``5``). None for anything else, and for ``""``."""
        if type(value) is str:
            return (value if len(value) <= MAX_NAME else self._cut(value, "id", MAX_NAME)) or None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if isinstance(value, float):
            if not math.isfinite(value):
                return None
            return str(int(value)) if value.is_integer() and abs(value) <= MAX_SAFE_INT else repr(value)
        return str(value)

    def texts(self, value: object, field: str, limit: int = MAX_NAME) -> list[str]:
        """A list of texts. A single text is a list of one; an object stands for its ``name``, ``path`` or ``id``."""
        if not is_list(value):
            if value is None:
                return []
            if type(value) is str and value:
                return [self.text(value, field, limit) or ""]
            if value not in ("", {}):
                self.invalid(field, value, "a list of texts")
            return []
        result: list[str] = []
        for entry in self.bounded(value, field):
            if type(entry) is str and len(entry) <= limit:
                result.append(entry)
                continue
            inner = as_dict(entry)
            said = next((inner[key] for key in ("message", "id", "name", "path") if key in inner), entry)
            text = self.text(said, f"an entry of {field}", limit)
            if text is not None:
                result.append(text)
        return result

    def bounded(self, value: list[Any], field: str) -> list[Any]:
        """At most `MAX_ITEMS` entries, with a warning if there were more."""
        if len(value) <= MAX_ITEMS:
            return value
        self.warn("too_many", f"{field} has {len(value):,} entries; {MAX_ITEMS:,} are read")
        return value[:MAX_ITEMS]

    # Numbers and truth values

    def number(self, value: object, field: str) -> float | None:
        """A finite amount that is not negative, or None with a warning."""
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _BIGGEST:
            return float(value)
        self.invalid(field, value, "a number of at least 0")
        return None

    def count(self, value: object, field: str) -> int | None:
        """A whole number that is not negative, or None with a warning."""
        if type(value) is int and 0 <= value <= _BIGGEST:
            return value
        if value is None:
            return None
        if type(value) is float and 0 <= value <= _BIGGEST and value.is_integer():
            return int(value)
        self.invalid(field, value, "a whole number of at least 0")
        return None

    def progress(self, value: object) -> float | None:
        """A percentage clamped to 0 to 100. Outside: a warning. Not a finite number: None with a warning."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            self.invalid("progress", value, "a number from 0 to 100")
            return None
        if not 0 <= value <= 100:
            near = 0 if value < 0 else 100
            self.warn("out_of_range", f"progress is {shown(value)}, outside 0 to 100; read as {near}")
            return float(near)
        return float(value)

    def truth(self, value: object, field: str) -> bool | None:
        """True or False, also as 0 and 1 or as a word; None with a warning for anything else."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        if type(value) is str and len(value) <= 20:
            said = _TRUTH.get(map_status(value))
            if said is not None:
                return said
        self.invalid(field, value, "true or false")
        return None

    def verdict(self, value: object, field: str) -> bool | None:
        """Whether tests pass: true or False, also as 0 and 1 or as a word; None for tests without a result.

        A known word that is not a result (pending, running, skipped) is None; anything else is None with a warning.
        """
        if type(value) is not str:
            return self.truth(value, field)
        status, plain = map_status(value), plain_word(value)
        said = {_MARKS[sign] for sign in value if sign in _MARKS}
        if status is Status.ERROR or plain in _FAILING:
            said.add(False)
        elif plain in _PASSING:
            said.add(True)
        elif plain:
            said.clear()  # any other word is no verdict, whatever stands beside it
        if len(said) == 1 and "?" not in value:  # "passed ❌", "passed?": what is meant is not said
            return said.pop()
        if value.strip() and (said or not is_known(value)):
            self.invalid(field, value, "true or false")
        return None

    # Times

    def time(self, value: object, field: str) -> datetime | None:
        """A time as aware UTC, or None, with a warning if something else was written."""
        if value is None or value == "":
            return None
        found = parse_time(value, self._near, utc=self._utc)
        if found is None:
            self.invalid(field, value, "a time")
            return None
        self._doubt(value, found[1])
        if found[1] is TsSource.ASSUMED_UTC and not self._utc:
            self._take_for_utc(field, value)
        return None if self._too_late(found[0], field, value) else found[0]

    def plain_time(self, value: str) -> datetime | None:
        """Parse a time that needs no warning; None for any other value."""
        found = parse_time(value, self._near, utc=self._utc)
        if found is None or (found[1] is TsSource.ASSUMED_UTC and not self._utc) or self._is_late(found[0]):
            return None
        self._doubt(value, found[1])
        return found[0]

    def settle_zone(self, data: dict[str, Any]) -> None:
        """Detect whether times without a zone in this file are UTC, by comparing one with the modification time."""
        for field in ("timestamp", "updated_at", "last_updated", "lastUpdated"):
            value = data.get(field)
            if type(value) is not str or self._near is None or is_coarse(value):
                continue
            found = parse_time(value, self._near)
            if found and (found[1] is TsSource.ASSUMED_UTC or fits_utc(value, self._near)):
                self._take_for_utc(field, value)
                self._utc = True
            return

    def _take_for_utc(self, field: str, value: object) -> None:
        if not any(warning.code == "assumed_utc" for warning in self._warnings):
            self.warn(
                "assumed_utc", f"{field} is {shown(value)}, without a zone; read as UTC, which fits the file's time"
            )

    def _doubt(self, value: object, source: TsSource) -> None:
        if source is not TsSource.FILE and type(value) is str and not is_settled(value):
            self._doubts += 1

    def _is_past(self, item: Any) -> bool:
        """Whether no time of an item is later than this file's modification time."""
        times = [getattr(item, name, None) for name in ("started_at", "ended_at", "completed_at")]
        tasks: Any = getattr(item, "tasks", ())
        times += [task.timestamp for task in tasks]
        return not any(moment is not None and self._is_late(moment) for moment in times)

    def file_time(self, value: object, field: str, *names: object) -> tuple[datetime, TsSource]:
        """The time of the file: what it states, else what a name says, else its modification time.

        A time later than the modification time is ignored, with a warning: such a file would count as the newest until
        then. A date without a time of day is ignored without a warning: it does not order files of one day.
        """
        if value is not None and value != "":
            found = parse_time(value, self._near, utc=self._utc)
            if found is None:
                self.invalid(field, value, "a time")
            elif not self._too_late(found[0], field, value) and (self._near is None or not is_coarse(value)):
                return found
        for name in dict.fromkeys(name for name in names if type(name) is str):
            moment = time_of_name(name, self._near, utc=self._utc)
            if moment is not None and not self._too_late(moment, "the time in the name", name):
                return moment, TsSource.FILENAME
        return self.mtime, TsSource.MTIME

    def _too_late(self, moment: datetime, field: str, value: object) -> bool:
        if not self._is_late(moment):
            return False
        written = self.mtime.strftime("%Y-%m-%d %H:%M UTC")
        self.warn("future_time", f"{field} is {shown(value)}, later than the file was written ({written}); ignored")
        return True

    def _is_late(self, moment: datetime) -> bool:
        return self._near is not None and moment - self._near > SKEW

    # Unknown keys

    def metadata(self, own: object, unknown: dict[str, Any]) -> dict[str, Any]:
        """An item's own ``metadata`` and its unknown keys in one object, bounded.

        Where both have a key, the item's own metadata keeps it, and the other one gets an underscore.
        """
        if not own and not unknown:
            return {}
        merged = dict(own) if is_dict(own) else {} if own is None else {"metadata": own}
        for key, value in unknown.items():
            name = key
            while name in merged:
                name += "_"
            merged[name] = value
        return self.clean(merged)

    def clean(self, value: Any, depth: int = 0) -> Any:
        """A JSON value that is safe to keep and to send: bounded, finite, and exact in JavaScript."""
        self._nodes -= 1
        if isinstance(value, str):
            return value if len(value) <= MAX_TEXT else self._cut(value, "a text in the metadata", MAX_TEXT)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -MAX_SAFE_INT <= value <= MAX_SAFE_INT else str(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if depth >= MAX_DEPTH or self._nodes <= 0:
            what = "is nested too deeply" if depth >= MAX_DEPTH else "is too big"
            self.warn("cut", f"the metadata {what}; a part was left out")
            return "…"
        if not is_dict(value):
            listed = self.bounded(as_list(value), "a list in the metadata")
            return [self.clean(entry, depth + 1) for entry in listed]
        entries = self.bounded(list(value.items()), "an object in the metadata")
        return {
            key if len(key) <= MAX_NAME else key[: MAX_NAME - 1] + "…": self.clean(entry, depth + 1)
            for key, entry in entries
        }


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float holds
        return True
