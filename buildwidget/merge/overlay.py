"""How two records of one item become one: field by field, and what is absent hides nothing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..model import BuildStatus, Progress, Status

__all__ = ["amended", "overlaid", "overlaid_progress"]

_ABSENT: Final[tuple[Any, ...]] = (None, "", [], {}, Status.UNKNOWN)
_TOGETHER: Final = ("status", "status_raw", "progress")  # one source decides all three


def overlaid(older: Any, newer: Any) -> Any:
    """Return the older record, updated with every field that is present in the newer one."""
    said: dict[str, Any] = {}
    has_status = getattr(newer, "status_raw", None) is not None or bool(getattr(newer, "progress", 0))
    for name in newer.__struct_fields__:
        value = getattr(newer, name)
        if name in _TOGETHER:
            if has_status:
                said[name] = value
        elif name == "metadata":
            said[name] = {**older.metadata, **value}
        elif value not in _ABSENT:
            said[name] = value
        elif name == "error" and has_status and newer.status != older.status:
            said[name] = None  # an error goes with the status that it explains
    return msgspec.structs.replace(older, **said)


def amended(item: Any, before: Any | None, now: Any) -> Any:
    """Return a published item, updated with the fields that changed in a file (all, if the item is new there)."""
    if before is None:
        return overlaid(item, now)
    changed = {n for n in now.__struct_fields__ if getattr(before, n) != getattr(now, n)}
    if changed & set(_TOGETHER):
        changed.update(name for name in _TOGETHER if name in now.__struct_fields__)
    said = {name: getattr(now, name) for name in changed}
    if "metadata" in said:
        said["metadata"] = {**item.metadata, **now.metadata}
    return msgspec.structs.replace(item, **said)


def overlaid_progress(computed: Progress, published: Progress) -> Progress:
    """Return the published progress; fields that it lacks come from the computed one."""
    return msgspec.structs.replace(
        published,
        status=computed.status if published.status is BuildStatus.UNKNOWN else published.status,
        current_component=published.current_component or computed.current_component,
        current_feature=published.current_feature or computed.current_feature,
    )
