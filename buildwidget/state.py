"""The fold: numbered messages in, the current state out. Pure and deterministic, the same in Python and TypeScript.

``snapshot N`` folded with messages ``N+1 … M`` equals ``snapshot M``. Nothing here reads a clock or a file; times and
ids come with the messages.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from . import events as ev
from . import model
from .model import Activity, BuildWarning, ContextFile, Progress, Runtime, Session, State, Terminal, TerminalLine

__all__ = [
    "ACTIVITY_WINDOW",
    "CHECKPOINT_WINDOW",
    "KINDS",
    "TERMINAL_WINDOW",
    "WARNING_WINDOW",
    "BuildState",
    "Change",
    "Delta",
    "checkpoint_key",
    "fold",
    "is_context",
    "waiting_for",
]

ACTIVITY_WINDOW: Final = 200
CHECKPOINT_WINDOW: Final = 200
TERMINAL_WINDOW: Final = 500
WARNING_WINDOW: Final = 200

KINDS: Final[dict[type, tuple[str, str]]] = {
    model.Component: ("component", "component_id"),
    model.Feature: ("feature", "feature_id"),
    model.Task: ("task", "task_id"),
    model.Phase: ("phase", "phase_id"),
    model.Checkpoint: ("checkpoint", "checkpoint_id"),
}
"""Record type → (kind, name of its id)."""

_EPOCH = datetime.min.replace(tzinfo=UTC)


class Delta(msgspec.Struct, kw_only=True):
    """Values that may have changed. `BuildState.diff` makes messages of those that differ from the state.

    ``items`` are whole records of the types in `KINDS`; ``removed`` are (kind, id) pairs; ``messages`` (file
    changes, output, errors) are passed on as they are; ``warnings`` are (warning, whether it is cleared) pairs;
    ``activity`` are lines of what happened, all of them new.
    """

    items: list[Any] = []
    removed: list[tuple[str, str]] = []
    messages: list[ev.FileChange | ev.TerminalOutput | ev.Error] = []
    warnings: list[tuple[BuildWarning, bool]] = []
    activity: list[Activity] = []
    runtime: Runtime | None = None
    progress: Progress | None = None
    session: Session | None = None


Change: TypeAlias = tuple[Any, Any]
"""A numbered message, and the record that it was made of.

The record is None for messages without one: a removal, a file change, output, an error.
"""


def is_context(path: str) -> bool:
    """Whether a path (relative to the project) is a markdown file of the build's context."""
    return path.startswith(".buildrunner/context/") and path.endswith(".md")


def waiting_for(state: State) -> str | None:
    """Return the text of the ``waiting`` warning of a build without ``.buildrunner``; None if there is data to show."""
    if state.components or state.features or state.tasks or state.phases or state.checkpoints or state.terminal.tail:
        return None
    return next((w.message for w in state.warnings if (w.file_path, w.code) == (".buildrunner", "waiting")), None)


def checkpoint_key(checkpoint: model.Checkpoint) -> tuple[datetime, str]:
    """Return the sort key of a checkpoint: its time, then its id."""
    return (checkpoint.created_at or _EPOCH, checkpoint.checkpoint_id)


class BuildState:
    """The current state of one build, and the sequence number of the newest message folded into it.

    Parameters
    ----------
    snapshot
        The state to start from; an empty one by default.
    seq
        The number of the newest message in ``snapshot``.
    """

    def __init__(self, snapshot: State | None = None, seq: int = 0) -> None:
        s = snapshot or State()
        self.seq = seq
        self.session = s.session
        self.progress = s.progress
        self.runtime = s.runtime
        self.updated_at = s.updated_at
        self._items: dict[str, dict[str, Any]] = {
            "component": {c.component_id: c for c in s.components},
            "feature": {f.feature_id: f for f in s.features},
            "task": {t.task_id: t for t in s.tasks},
            "phase": {p.phase_id: p for p in s.phases},
            "checkpoint": {c.checkpoint_id: c for c in s.checkpoints},
        }
        self._oldest_first = sorted(map(checkpoint_key, s.checkpoints))
        self._context = {c.file_path: c for c in s.context}
        self._warnings = {(w.file_path, w.code): w for w in s.warnings}
        self._activity = deque(s.activity, ACTIVITY_WINDOW)
        self._tail = list(s.terminal.tail)
        self._next_line = s.terminal.next_line

    def get(self, kind: str, item_id: str) -> Any | None:
        """Return the item, or None. ``kind``: component, feature, task, phase or checkpoint (of the window)."""
        return self._items[kind].get(item_id)

    # -- the fold -------------------------------------------------------------------------------------------------

    def apply(self, event: Any, record: Any = None) -> None:
        """Fold one numbered message in. A message that is not newer than the state is ignored.

        Parameters
        ----------
        event
            The message.
        record
            The record that it was made of, if the caller has it (see `Change`): stored without a copy, so it must not
            be mutated later. Without it, as for a message from a socket, the record is made from the message.
        """
        if event.seq is not None:
            if event.seq <= self.seq:
                return
            self.seq = event.seq
        if event.timestamp is not None:
            self.updated_at = event.timestamp
        match event:
            case ev.ComponentUpdate() | ev.FeatureUpdate() | ev.TaskUpdate() | ev.PhaseUpdate() | ev.CheckpointUpdate():
                item = record or ev.item_of(event)
                kind, id_field = KINDS[type(item)]
                if kind == "checkpoint":
                    self._apply_checkpoint(item)
                else:
                    self._items[kind][getattr(item, id_field)] = item
            case ev.SessionUpdate():
                self.session = record or ev.item_of(event)
            case ev.BuildProgress():
                self.progress = record or ev.item_of(event)
            case ev.RuntimeUpdate():
                self.runtime = record or ev.item_of(event)
            case ev.ActivityMessage():
                self._activity.append(record or ev.item_of(event))
            case ev.Warning_():
                self._apply_warning(event, record or ev.item_of(event))
            case ev.Removed():
                if event.kind == "checkpoint":
                    self._forget_checkpoint(event.id)
                else:
                    bucket = self._context if event.kind == "context" else self._items.get(event.kind, {})
                    bucket.pop(event.id, None)
            case ev.FileChange():
                self._apply_file(event)
            case ev.TerminalOutput():
                self._apply_terminal(event)
            case _:
                pass

    def _apply_checkpoint(self, item: model.Checkpoint) -> None:
        checkpoints, order = self._items["checkpoint"], self._oldest_first
        self._forget_checkpoint(item.checkpoint_id)
        checkpoints[item.checkpoint_id] = item
        insort(order, checkpoint_key(item))
        if len(order) > CHECKPOINT_WINDOW:
            del checkpoints[order.pop(0)[1]]

    def _forget_checkpoint(self, checkpoint_id: str) -> None:
        old = self._items["checkpoint"].pop(checkpoint_id, None)
        if old is not None:
            del self._oldest_first[bisect_left(self._oldest_first, checkpoint_key(old))]

    def _apply_warning(self, event: ev.Warning_, warning: BuildWarning) -> None:
        key = (event.file_path, event.code)
        if event.cleared:
            self._warnings.pop(key, None)
            return
        self._warnings[key] = warning
        if len(self._warnings) > WARNING_WINDOW:
            del self._warnings[max(self._warnings)]

    def _apply_file(self, event: ev.FileChange) -> None:
        if not is_context(event.file_path):
            return
        if event.change_type == "deleted":
            self._context.pop(event.file_path, None)
        else:
            self._context[event.file_path] = ContextFile(
                file_path=event.file_path, modified=event.modified, size=event.size
            )

    def _apply_terminal(self, event: ev.TerminalOutput) -> None:
        lines = event.output.removesuffix("\n").split("\n")
        tail = self._tail
        for number, text in enumerate(lines, event.line):
            row = TerminalLine(line=number, text=text, output_type=event.output_type, source=event.source)
            at = bisect_left(tail, number, key=lambda r: r.line)
            if at < len(tail) and tail[at].line == number:
                tail[at] = row
            else:
                tail.insert(at, row)
        del tail[:-TERMINAL_WINDOW]
        self._next_line = max(self._next_line, event.line + len(lines))

    # -- snapshots and differences --------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """Return the state with its lists sorted. Later messages do not change it."""
        items = self._items
        return State(
            session=self.session,
            components=_by_id(items["component"]),
            features=_by_id(items["feature"]),
            tasks=_by_id(items["task"]),
            phases=_by_id(items["phase"]),
            checkpoints=[items["checkpoint"][key[1]] for key in self._oldest_first],
            progress=self.progress,
            terminal=Terminal(
                first_line=self._tail[0].line if self._tail else 1, next_line=self._next_line, tail=list(self._tail)
            ),
            context=_by_id(self._context),
            runtime=self.runtime,
            warnings=_by_id(self._warnings),
            updated_at=self.updated_at,
            activity=list(self._activity),
        )

    def diff(self, delta: Delta, *, session_id: str, now: datetime) -> list[Change]:
        """Return the numbered changes from this state to ``delta``; empty if nothing differs.

        They are not applied. ``now`` becomes the timestamp of their messages.
        """
        out: list[Change] = []

        def tell(message: Any, record: Any = None) -> None:
            message.seq, message.session_id, message.timestamp = self.seq + len(out) + 1, session_id, now
            out.append((message, record))

        told: dict[tuple[str, str], Any] = {}  # items after the messages so far; None: removed
        # Removals first: they make room in the windows for the items.
        for kind, item_id in delta.removed:
            bucket: dict[str, Any] = self._context if kind == "context" else self._items[kind]
            # A checkpoint outside the window is reported too: a subscriber may have received it earlier.
            if item_id in bucket or kind == "checkpoint":
                tell(ev.Removed(kind=kind, id=item_id))
                told[kind, item_id] = None
        for item in delta.items:
            kind, id_field = KINDS[type(item)]
            item_id = getattr(item, id_field)
            if told.get((kind, item_id), self._items[kind].get(item_id)) != item:
                tell(ev.message_of(item), item)
                told[kind, item_id] = item
        for message in delta.messages:
            tell(msgspec.structs.replace(message))
        warned: dict[tuple[str, str], BuildWarning | None] = {}  # warnings after the messages so far; None: cleared
        for warning, cleared in delta.warnings:
            key = (warning.file_path, warning.code)
            if cleared or warned.get(key, self._warnings.get(key)) != warning:
                tell(ev.message_of(warning, cleared=cleared), warning)
                warned[key] = None if cleared else warning
        for line in delta.activity:
            tell(ev.message_of(line), line)
        if delta.runtime is not None and delta.runtime != self.runtime:
            tell(ev.message_of(delta.runtime), delta.runtime)
        if delta.progress is not None and delta.progress != self.progress:
            tell(ev.message_of(delta.progress), delta.progress)
        if delta.session is not None and delta.session != self.session:
            tell(ev.message_of(delta.session), delta.session)
        return out


def _by_id(items: dict[Any, Any]) -> list[Any]:
    return [items[key] for key in sorted(items)]


def fold(events: Iterable[Any], snapshot: State | None = None, seq: int = 0) -> BuildState:
    """Fold many messages, starting from a snapshot."""
    state = BuildState(snapshot, seq)
    for event in events:
        state.apply(event)
    return state
