"""Messages of the protocol as lines of text: time, type, subject, status."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from .. import events as ev
from .text import clean, clock

__all__ = ["message_line"]

_STYLE = {
    "completed": ("✓", "green"),
    "in_progress": ("▶", "cyan"),
    "error": ("✗", "red"),
    "failed": ("✗", "red"),
    "blocked": ("!", "yellow"),
    "unknown": ("?", "dim"),
}


def message_line(message: Any) -> list[Text]:
    """Return the lines of one message; terminal output may have several.

    Columns: time, icon, type (10 characters), subject, and status or other facts.
    """
    stamp = clock(message.timestamp)
    match message:
        case ev.ComponentUpdate() | ev.FeatureUpdate() | ev.TaskUpdate() | ev.PhaseUpdate():
            name = clean(message.name, 60)
            item = getattr(message, ev.type_of(message).removesuffix("_update") + "_id")
            label = name if name and name.lower() == clean(item).lower() else f"{clean(item, 60)}  {name}".rstrip()
            done: float = getattr(message, "progress", 0.0)
            share = f"{done:5.1f} %" if done else ""
            notes = (getattr(message, field, None) for field in ("error", "conflict"))
            facts = [message.status.replace("_", " "), share, *(clean(note, 120) for note in notes if note)]
            kind = ev.type_of(message).removesuffix("_update")
            word = getattr(message, "feature_type", None)  # in the words of its system
            return [_line(stamp, clean(word or kind, 20), label, facts, message.status)]
        case ev.SessionUpdate():
            facts = [message.status.replace("_", " "), f"phase {clean(message.phase, 60)}" if message.phase else ""]
            return [_line(stamp, "build", clean(message.project, 60), facts, message.status)]
        case ev.BuildProgress():
            share = "unknown" if message.percent is None else f"{message.percent:5.1f} %"
            count = f"{message.completed} of {message.total}" if message.total is not None else ""
            return [_line(stamp, "progress", share, [count], message.status)]
        case ev.CheckpointUpdate():
            return [_line(stamp, "checkpoint", clean(message.checkpoint_id, 60), [clean(message.phase or "", 60)])]
        case ev.TerminalOutput():
            lines = message.output.removesuffix("\n").split("\n")
            style = "red" if message.output_type in {"stderr", "error"} else ""
            source = clean(message.source or "", 24)
            return [
                Text(f"{stamp}    {source or 'output':<10}  ", end="").append(clean(line, 2_000), style=style)
                for line in lines
            ]
        case ev.FileChange():
            return [_line(stamp, "file", clean(message.file_path, 120), [message.change_type])]
        case ev.Error():
            return [
                _line(stamp, "error", clean(message.error_message, 400), [clean(message.error_type or "")], "error")
            ]
        case ev.Warning_():
            state = "no longer: " if message.cleared else ""
            return [_line(stamp, "warning", clean(message.file_path, 120), [state + clean(message.message)], "blocked")]
        case ev.RuntimeUpdate():
            return [_line(stamp, "runtime", clean(message.runtime or "", 60), [clean(message.backend or "", 60)])]
        case ev.ActivityMessage():
            text = clean(message.text or message.item or "", 400)
            return [_line(stamp, clean(message.kind, 20).replace("_", " "), text, [clean(message.source or "", 120)])]
        case ev.Removed():
            return [_line(stamp, "removed", f"{message.kind} {clean(message.id, 60)}", [])]
        case ev.Gap():
            missing = f"messages {message.from_seq} to {message.to_seq} are missing"
            label = (
                "a new log has begun; messages of the old one may be missing" if message.from_seq is None else missing
            )
            return [_line(stamp, "gap", label, [message.reason.replace("_", " ")], "blocked")]
        case _:
            return []


def _line(stamp: str, kind: str, label: str, facts: list[str], status: str = "") -> Text:
    icon, style = _STYLE.get(status, ("·", ""))
    line = Text(f"{stamp}  ")
    line.append(icon, style=style)
    line.append(f" {kind:<10}  {label}")
    for fact in facts:
        if fact.strip():
            line.append(f"  {fact.strip()}", style=style)
    return line
