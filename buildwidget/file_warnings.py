"""The warnings about the files of a build: one for each file and code; an unknown word is reported once. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .model import BuildWarning
from .ordered import Ordered
from .reading.values import UNKNOWN_WORD
from .state import WARNING_WINDOW
from .systems.record import Record

if TYPE_CHECKING:
    from .state import Delta

__all__ = ["FileWarnings"]

_MOST_WORDS: Final = 20  # listed in one file's warning


class _Place(NamedTuple):
    """Where a warning belongs. A file may have a failure and a warning of its last good content with one code."""

    path: str
    code: str
    is_failure: bool


class FileWarnings:
    """Stores the warnings about every file, and adds new and cleared ones to a `Delta`.

    An unknown status word usually occurs in many items and files. It is reported once, for the first file by path that
    contains it.
    """

    def __init__(self) -> None:
        self._failures: dict[str, BuildWarning] = {}
        self._told: dict[str, dict[str, str]] = {}  # path -> code -> message
        self._places: Ordered[_Place] = Ordered()  # of all warnings, as they are listed
        self._words: dict[str, Ordered[str]] = {}  # message about an unknown word -> the files that contain it
        self._words_of: dict[str, list[str]] = {}  # path -> messages about its unknown words

    def __len__(self) -> int:
        return len(self._places)

    def failed(self, path: str) -> bool:
        """Whether this file could not be read when it was last looked at."""
        return path in self._failures

    def fail(self, warning: BuildWarning, delta: Delta) -> None:
        """Record that a file cannot be read."""
        path = warning.file_path
        if self._failures.get(path) != warning:
            self.clear_failure(path, delta, but=warning.code)
            self._failures[path] = warning
            self._put(_Place(path, warning.code, is_failure=True))
            delta.warnings.append((warning, False))

    def clear_failure(self, path: str, delta: Delta, but: str | None = None) -> None:
        """Clear the failure of a file that can be read again or is gone, unless its code is ``but``."""
        failure = self._failures.pop(path, None)
        if failure is None:
            return
        self._places.drop(_Place(path, failure.code, is_failure=True))
        if failure.code != but:
            delta.warnings.append((failure, True))

    def replace(self, path: str, said: Record | None, delta: Delta) -> None:
        """Replace the warnings of a file by those of its new record (None: the file is gone)."""
        found: dict[str, list[str]] = {}
        for warning in said.warnings if said else ():
            found.setdefault(warning.code, []).append(warning.message)
        words = found.pop(UNKNOWN_WORD, [])
        new = {c: m[0] + (f" (and {len(m) - 1} more)" if len(m) > 1 else "") for c, m in found.items()}
        old = self._told.get(path, {})
        if UNKNOWN_WORD in old:
            new[UNKNOWN_WORD] = old[UNKNOWN_WORD]
        self._tell(path, new, delta)
        for other in sorted(self._move_words(path, words)):
            self._tell_words(other, delta)

    def refill(self, delta: Delta) -> None:
        """After a warning was cleared, add those again that may now fit into the window."""
        if not any(over for _, over in delta.warnings):
            return
        known = [self._at(place) for place in self._places.oldest(WARNING_WINDOW)]
        told = {(w.file_path, w.code) for w, _ in delta.warnings}
        delta.warnings += [(w, False) for w in known if (w.file_path, w.code) not in told]

    def _put(self, place: _Place) -> None:
        self._places.put(place, (place.path, place.code, not place.is_failure))

    def _at(self, place: _Place) -> BuildWarning:
        if place.is_failure:
            return self._failures[place.path]
        return BuildWarning(file_path=place.path, code=place.code, message=self._told[place.path][place.code])

    def _tell(self, path: str, new: dict[str, str], delta: Delta) -> None:
        old = self._told.pop(path, {})
        if new:
            self._told[path] = new
        for code, message in new.items():
            self._put(_Place(path, code, is_failure=False))
            if old.get(code) != message:
                delta.warnings.append((BuildWarning(file_path=path, code=code, message=message), False))
        for code in old.keys() - new.keys():
            self._places.drop(_Place(path, code, is_failure=False))
            delta.warnings.append((BuildWarning(file_path=path, code=code, message=old[code]), True))

    def _move_words(self, path: str, words: list[str]) -> set[str]:
        """Update the unknown words of a file; return the files whose warning may change by it."""
        before = self._words_of.pop(path, [])
        if before == words:
            if words:
                self._words_of[path] = words
            return set()
        affected = {path}
        for word in before:
            holders = self._words[word]
            holders.drop(path)
            if holders.first is not None:
                affected.add(holders.first)
            else:
                del self._words[word]
        for word in words:
            holders = self._words.setdefault(word, Ordered())
            if holders.first is not None:
                affected.add(holders.first)
            holders.put(path, path)
        if words:
            self._words_of[path] = words
        return affected

    def _tell_words(self, path: str, delta: Delta) -> None:
        mine = [word for word in self._words_of.get(path, ()) if self._words[word].first == path]
        new = dict(self._told.get(path, {}))
        new.pop(UNKNOWN_WORD, None)
        if mine:
            more = [f"and {len(mine) - _MOST_WORDS} more"] if len(mine) > _MOST_WORDS else []
            new[UNKNOWN_WORD] = "; ".join(mine[:_MOST_WORDS] + more)
        self._tell(path, new, delta)
