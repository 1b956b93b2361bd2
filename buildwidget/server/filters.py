"""The filter of a client: topics, components and minimum level. Pure."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from .. import events as ev
from ..errors import FilterError

__all__ = [
    "EVERYTHING",
    "Filter",
]

ALWAYS: Final = frozenset({"session_update", "removed"})
LEVELS: Final = ("info", "warning", "error")
_OUTPUT_LEVEL: Final = {"stdout": 0, "info": 0, "success": 0, "stderr": 1, "error": 2}

MAX_TOPICS: Final = 64
MAX_COMPONENTS: Final = 1_000


class Filter(msgspec.Struct, frozen=True):
    """Which numbered messages pass. ``session_update`` and ``removed`` always do.

    Attributes
    ----------
    topics
        Message types; None for all.
    components
        Ids: only these components, and features that belong to them; None for all.
    level
        The least level of output, warnings and errors: 0 info, 1 warning, 2 error.
    """

    topics: frozenset[str] | None = None
    components: frozenset[str] | None = None
    level: int = 0

    @classmethod
    def of(cls, topics: object = None, components: object = None, min_level: object = None) -> Filter:
        """Make one of what a client sent.

        Raises
        ------
        FilterError
            If it is not a list of known topics, a list of ids or a known level.
        """
        level = 0
        if min_level is not None:
            if min_level not in LEVELS:
                raise FilterError(f"min_level must be one of {', '.join(LEVELS)}")
            level = LEVELS.index(str(min_level))
        ids = None
        if components is not None:
            found = _texts(components, "components", MAX_COMPONENTS)
            ids = frozenset(found)
        return cls(_types(topics), ids, level)

    def without(self, topics: object) -> Filter:
        """The same without some topics.

        Raises
        ------
        FilterError
            If it is not a list of known topics.
        """
        less = _types(topics)
        left: frozenset[str] = frozenset()
        if less is not None:
            left = (ev.TYPES if self.topics is None else self.topics) - less
        return msgspec.structs.replace(self, topics=left)

    def passes(self, event: Any) -> bool:
        """Whether this numbered message is wanted."""
        name = ev.type_of(event)
        if name in ALWAYS:
            return True
        if self.topics is not None and name not in self.topics:
            return False
        if self.components is not None and name in {"component_update", "feature_update"}:
            return event.component_id in self.components
        if self.level:
            if name == "terminal_output":
                return _OUTPUT_LEVEL.get(event.output_type, 0) >= self.level
            if name == "warning":
                return self.level <= 1
        return True

    def is_within(self, other: Filter) -> bool:
        """Whether everything that passes here passes there."""
        topics = other.topics is None or (self.topics is not None and self.topics <= other.topics)
        ids = other.components is None or (self.components is not None and self.components <= other.components)
        return topics and ids and self.level >= other.level

    @property
    def names(self) -> list[str]:
        """The topics, as a client reads them."""
        return ["all"] if self.topics is None or self.topics >= ev.TYPES else sorted(self.topics)

    @property
    def min_level(self) -> str | None:
        """The level's word; None for everything."""
        return LEVELS[self.level] if self.level else None


EVERYTHING: Final = Filter()


def _types(topics: object) -> frozenset[str] | None:
    if topics is None:
        return None
    try:
        found = ev.types_of(_texts(topics, "topics", MAX_TOPICS))
    except ValueError as error:
        raise FilterError(str(error)) from None
    return None if found >= ev.TYPES else found


def _texts(value: object, name: str, most: int) -> list[str]:
    texts = cast("list[str]", value)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[object]", value)):
        raise FilterError(f"{name} must be a list of texts")
    if len(texts) > most:
        raise FilterError(f"{name} has {len(texts)} entries; at most {most} are taken")
    return texts
