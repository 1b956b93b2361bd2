"""Checkpoints and items as nearly all are: known keys, in the original's spelling, of the usual types.

msgspec checks all of that in one step, in C. Whatever does not pass is read by `buildwidget.formats`, leniently and
with warnings. A rare spelling of a key is declared here only to be found: its presence sends the item the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw

from ..reading.plain import PlainComponent, PlainFeature
from ..reading.values import MAX_ITEMS, MAX_NAME

__all__ = [
    "Head",
    "NeedsFallbackError",
    "TextList",
    "one",
    "read_component",
    "read_components",
    "read_feature",
    "read_features",
    "read_head",
]

NOTHING: Final = Raw(b"")
_Name = Annotated[str, Meta(max_length=MAX_NAME)]
_Raws = Annotated[list[Raw], Meta(max_length=MAX_ITEMS)]
TextList = Annotated[list[_Name], Meta(max_length=MAX_ITEMS)]


class NeedsFallbackError(Exception):
    """The fast path does not apply: only the lenient reader, `buildwidget.formats`, can read this."""


class _Inner(msgspec.Struct, gc=False):
    components: _Raws | None = None
    features: _Raws | None = None


class Head(msgspec.Struct, gc=False):
    """A build checkpoint, its items and lists not looked into."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    timestamp: Annotated[str, Meta(min_length=10, max_length=40)]
    phase: _Name | None = None
    status: Annotated[str, Meta(max_length=200)] | None = None
    tasks_completed: Raw = NOTHING
    files_created: Raw = NOTHING
    metadata: _Inner | None = None
    components: _Raws | None = None
    features: _Raws | None = None
    checkpoint_id: Raw = NOTHING
    checkpointId: Raw = NOTHING  # noqa: N815 (as files may spell it)
    tasksCompleted: Raw = NOTHING  # noqa: N815
    filesCreated: Raw = NOTHING  # noqa: N815
    error: Raw = NOTHING
    errors: Raw = NOTHING
    # These keys tell other kinds of file.
    schema_version: Raw = NOTHING
    pool_id: Raw = NOTHING
    poolId: Raw = NOTHING  # noqa: N815
    results: Raw = NOTHING
    workflow_id: Raw = NOTHING
    workflowId: Raw = NOTHING  # noqa: N815
    state_data: Raw = NOTHING


class _Component(PlainComponent, gc=False):
    component_type: Raw = NOTHING
    componentType: Raw = NOTHING  # noqa: N815
    error_message: Raw = NOTHING
    errorMessage: Raw = NOTHING  # noqa: N815
    started_at: Raw = NOTHING
    startedAt: Raw = NOTHING  # noqa: N815
    ended_at: Raw = NOTHING
    endedAt: Raw = NOTHING  # noqa: N815
    completed_at: Raw = NOTHING
    completedAt: Raw = NOTHING  # noqa: N815


class _Feature(PlainFeature, gc=False):
    component_id: Raw = NOTHING
    componentId: Raw = NOTHING  # noqa: N815
    error_message: Raw = NOTHING
    errorMessage: Raw = NOTHING  # noqa: N815
    estimated_minutes: Raw = NOTHING
    estimatedMinutes: Raw = NOTHING  # noqa: N815
    actual_minutes: Raw = NOTHING
    actualMinutes: Raw = NOTHING  # noqa: N815


_head: Final = msgspec.json.Decoder(Head).decode
_component: Final = msgspec.json.Decoder(_Component).decode
_feature: Final = msgspec.json.Decoder(_Feature).decode


_components: Final = msgspec.json.Decoder(list[PlainComponent]).decode
_features: Final = msgspec.json.Decoder(list[PlainFeature]).decode
# A text that holds such a key is taken for one that has it: then each item is looked at by itself.
_RARE_COMPONENT: Final = [b'"%b"' % name.encode() for name in _Component.__annotations__] + [b"\\u"]
_RARE_FEATURE: Final = [b'"%b"' % name.encode() for name in _Feature.__annotations__] + [b"\\u"]


def read_head(data: bytes) -> Head | None:
    """A checkpoint; None if it is not as nearly all are."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return None
    try:
        head = _head(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if (
        head.checkpoint_id
        or head.checkpointId
        or head.tasksCompleted
        or head.filesCreated
        or head.error
        or head.errors
        or head.schema_version
        or head.pool_id
        or head.poolId
        or head.results
        or head.workflow_id
        or head.workflowId
        or head.state_data
    ):
        return None
    inner = head.metadata
    if inner is not None:
        if (head.components and inner.components) or (head.features and inner.features):
            return None
        head.components = head.components or inner.components
        head.features = head.features or inner.features
    return head


def read_component(raw: bytes) -> PlainComponent:
    """A component.

    Raises
    ------
    NeedsFallbackError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError
        If it is not as nearly all are.
    """
    item = _component(raw)
    if (
        item.component_type
        or item.componentType
        or item.error_message
        or item.errorMessage
        or item.started_at
        or item.startedAt
        or item.ended_at
        or item.endedAt
        or item.completed_at
        or item.completedAt
    ):
        raise NeedsFallbackError
    return item


def read_feature(raw: bytes) -> PlainFeature:
    """A feature; raises as `read_component` does."""
    item = _feature(raw)
    if (
        item.component_id
        or item.componentId
        or item.error_message
        or item.errorMessage
        or item.estimated_minutes
        or item.estimatedMinutes
        or item.actual_minutes
        or item.actualMinutes
    ):
        raise NeedsFallbackError
    return item


def read_components(raws: Sequence[bytes]) -> list[PlainComponent] | None:
    """Many components at once; None if any of them may not be as nearly all are."""
    text = b"[%b]" % b",".join(raws)
    if any(key in text for key in _RARE_COMPONENT):
        return None
    try:
        found = _components(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if len(found) == len(raws) else None


def read_features(raws: Sequence[bytes]) -> list[PlainFeature] | None:
    """Many features at once; None if any of them may not be as nearly all are."""
    text = b"[%b]" % b",".join(raws)
    if any(key in text for key in _RARE_FEATURE):
        return None
    try:
        found = _features(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if len(found) == len(raws) else None


def one(snake: Any, camel: Any) -> Any:
    """The one of two spellings that is there.

    Raises
    ------
    NeedsFallbackError
        If both are.
    """
    if camel is None:
        return snake
    if snake is not None:
        raise NeedsFallbackError
    return camel
