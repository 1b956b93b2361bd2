"""What is wrong with the files of a build: one warning for a file and a code, an unknown word told of once. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .formats.record import UNKNOWN_WORD, Record
from .model import BuildWarning
from .state import WARNING_WINDOW

if TYPE_CHECKING:
    from .state import Delta

__all__ = ["FileWarnings"]

_MOST_WORDS: Final = 20  # of one file, in its warning


class FileWarnings:
    """Keeps what every file was warned of, and tells what begins and what ends.

    A status word that nobody knows usually stands in many items and many files. It is told of once: at the first, by
    path, of the files that hold it.
    """

    def __init__(self) -> None:
        self._failures: dict[str, BuildWarning] = {}
        self._told: dict[str, dict[str, str]] = {}  # path -> code -> message
        self._words: dict[str, set[str]] = {}  # what is said of an unknown word -> the files that hold it
        self._words_of: dict[str, list[str]] = {}  # path -> what is said of its unknown words

    def __len__(self) -> int:
        return sum(map(len, self._told.values())) + len(self._failures)

    def failed(self, path: str) -> bool:
        """Whether this file could not be read when it was last looked at."""
        return path in self._failures

    def fail(self, warning: BuildWarning, delta: Delta) -> None:
        """A file cannot be read."""
        path = warning.file_path
        if self._failures.get(path) != warning:
            self.clear_failure(path, delta, but=warning.code)
            self._failures[path] = warning
            delta.warnings.append((warning, False))

    def clear_failure(self, path: str, delta: Delta, but: str | None = None) -> None:
        """A file can be read, or is gone."""
        failure = self._failures.pop(path, None)
        if failure is not None and failure.code != but:
            delta.warnings.append((failure, True))

    def replace(self, path: str, said: Record | None, delta: Delta) -> None:
        """A file says something new, or (None) is gone: its warnings take the place of those it had."""
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
        """Offer again what the window of warnings had no room for, when one has ended."""
        if not any(over for _, over in delta.warnings):
            return
        known = list(self._failures.values())
        for path, found in self._told.items():
            known += [BuildWarning(file_path=path, code=code, message=text) for code, text in found.items()]
        known.sort(key=lambda w: (w.file_path, w.code))
        told = {(w.file_path, w.code) for w, _ in delta.warnings}
        delta.warnings += [(w, False) for w in known[:WARNING_WINDOW] if (w.file_path, w.code) not in told]

    def _tell(self, path: str, new: dict[str, str], delta: Delta) -> None:
        old = self._told.pop(path, {})
        if new:
            self._told[path] = new
        for code, message in new.items():
            if old.get(code) != message:
                delta.warnings.append((BuildWarning(file_path=path, code=code, message=message), False))
        for code in old.keys() - new.keys():
            delta.warnings.append((BuildWarning(file_path=path, code=code, message=old[code]), True))

    def _move_words(self, path: str, words: list[str]) -> set[str]:
        """Note which unknown words a file holds now; returns the files whose warning may be another for it."""
        before = self._words_of.pop(path, [])
        if before == words:
            if words:
                self._words_of[path] = words
            return set()
        affected = {path}
        for word in before:
            holders = self._words[word]
            holders.discard(path)
            if holders:
                affected.add(min(holders))
            else:
                del self._words[word]
        for word in words:
            holders = self._words.setdefault(word, set())
            if holders:
                affected.add(min(holders))
            holders.add(path)
        if words:
            self._words_of[path] = words
        return affected

    def _tell_words(self, path: str, delta: Delta) -> None:
        mine = [word for word in self._words_of.get(path, ()) if min(self._words[word]) == path]
        new = dict(self._told.get(path, {}))
        new.pop(UNKNOWN_WORD, None)
        if mine:
            more = [f"and {len(mine) - _MOST_WORDS} more"] if len(mine) > _MOST_WORDS else []
            new[UNKNOWN_WORD] = "; ".join(mine[:_MOST_WORDS] + more)
        self._tell(path, new, delta)
