"""A state that is encoded once and shared by all clients: as a snapshot, a status report or ordinary messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, cast

import msgspec

from .. import events as ev
from ..model import State
from .budget import Version
from .filters import EVERYTHING, Filter
from .wire import Message

__all__ = ["EncodedState", "stamp"]

_HOLE: Final = b'"\\u0000"'  # placeholder of the state; a message holds no such text before it


def stamp(session_id: str) -> dict[str, Any]:
    """Return the common fields of a message that is made now."""
    return {"session_id": session_id, "timestamp": datetime.now(UTC)}


class EncodedState(Version):
    """One state of a session, encoded. Slow clients share its bytes.

    Parameters
    ----------
    session_id, epoch, seq
        The session, its log, and the sequence number of the newest message in the state.
    state
        The state.
    grown
        Called with this object each time its size in bytes has grown.
    """

    def __init__(
        self, session_id: str, epoch: str, seq: int, state: State, grown: Callable[[EncodedState], None]
    ) -> None:
        super().__init__()
        self.session_id, self.epoch, self.seq = session_id, epoch, seq
        self._state, self._grown = state, grown
        self.json = msgspec.json.encode(state)
        self.size = len(self.json)
        grown(self)

    @cached_property
    def snapshot(self) -> Message:
        """The state as a ``snapshot`` message."""
        hole = cast("State", msgspec.Raw(_HOLE))
        return self._around(ev.Snapshot(epoch=self.epoch, seq=self.seq, state=hole, **stamp(self.session_id)))

    def status(self, request_id: Any) -> Message:
        """The state as the answer to ``request_status``."""
        hole = cast("State", msgspec.Raw(_HOLE))
        common = stamp(self.session_id)
        return self._around(ev.StatusReport(epoch=self.epoch, seq=self.seq, state=hole, id=request_id, **common))

    def _around(self, message: Any) -> Message:
        before, _, after = ev.encode(message).partition(_HOLE)
        return (before, self.json, after)

    def messages(self, wanted: Filter) -> list[bytes]:
        """Return the state as ordinary messages without ``seq``, for clients that do not understand snapshots."""
        if wanted is EVERYTHING:
            return self._everything
        return [data for event, data in self._present if wanted.passes(event)]

    @cached_property
    def _everything(self) -> list[bytes]:
        return [data for _, data in self._present]

    @cached_property
    def _present(self) -> list[tuple[Any, bytes]]:
        events = list(_as_messages(self._state, stamp(self.session_id)))
        made = [(event, _unnumbered(event)) for event in events]
        self.size += sum(len(data) for _, data in made)
        self._grown(self)
        return made


def _unnumbered(event: Any) -> bytes:
    fields = msgspec.to_builtins(event)
    del fields["seq"]
    return msgspec.json.encode(fields)


def _as_messages(state: State, common: dict[str, Any]) -> Iterable[Any]:
    """Yield a state as messages: session, runtime, items, warnings, context files, output, progress."""
    runtime = [] if state.runtime is None else [state.runtime]
    items = [*state.phases, *state.components, *state.features, *state.tasks, *state.checkpoints]
    for record in (state.session, *runtime, *items, *state.activity, *state.warnings):
        yield ev.message_of(record, **common)
    for file in state.context:
        yield ev.FileChange(change_type="modified", **msgspec.structs.asdict(file), **common)
    for row in state.terminal.tail:
        yield ev.TerminalOutput(
            output=row.text + "\n",
            content=row.text + "\n",
            output_type=row.output_type,
            source=row.source,
            line=row.line,
            **common,
        )
    yield ev.message_of(state.progress, **common)
