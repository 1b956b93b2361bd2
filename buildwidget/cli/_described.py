"""The content of one file of a build as lines of text: recognised fields first, then everything else."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, cast

from rich.text import Text

from ..model import Status
from ..terminal_view import clean
from ..terminal_view.text import ICONS

__all__ = ["describe"]

MOST: Final = 200  # rows of one list
DEEP: Final = 4  # levels of what lies inside
WIDE: Final = 20  # values in one row of a list
HEAD: Final = ("id", "timestamp", "phase")
# Fields that the first lines already show, or that are computed from them.
SHOWN: Final = {
    *(*HEAD, "components", "features", "component_stats", "feature_stats", "overall_progress"),
    "completion_percentage",
}


def describe(content: dict[str, Any]) -> Generator[Text]:
    """The lines for what `buildwidget.parse_checkpoint` gives."""
    overall: dict[str, Any] = content.get("overall_progress") or {}
    percent = content.get("completion_percentage")
    facts = [
        *((name, content.get(name)) for name in HEAD),
        ("status", f"{overall.get('status', 'unknown')} (by {overall.get('status_source') or 'no rule'})"),
        ("progress", "unknown" if percent is None else f"{percent:.1f} %"),
    ]
    for name, value in facts:
        if value is not None:
            yield Text.assemble((f"{name:9}", "dim"), " ", _short(value))
    for title in ("components", "features"):
        items: list[dict[str, Any]] = content.get(title) or []
        if items:
            yield Text()
            yield Text(f"{title} ({len(items)})", style="bold")
        for item in items:
            yield _item(item)
            for task in cast("list[dict[str, Any]]", item.get("tasks") or []):
                yield Text.assemble(
                    ("    ✔ ", "green") if task.get("completed") else ("    ○ ", "dim"), _short(task["name"])
                )
    for name, value in content.items():
        if name not in SHOWN and not _is_empty(value):
            yield from _rest(name, _without_items(value) if name == "metadata" else value, 0)


def _item(item: dict[str, Any]) -> Text:
    """Return the line for a component or a feature."""
    status = Status(item.get("status") or Status.UNKNOWN)
    icon, style = ICONS[status]
    name = clean(item.get("name") or item.get("id") or "", 60)
    line = Text.assemble(
        (f"{icon} {status.value.replace('_', ' '):12}", style), f" {item.get('progress') or 0:3.0f} %  {name}"
    )
    facts = [
        _short(item.get("type") or item.get("component_type") or ""),
        {True: "tests pass", False: "tests fail"}.get(cast("bool", item.get("tests_pass")), ""),
        f"after {', '.join(map(_short, item['dependencies']))}" if item.get("dependencies") else "",
        f"{len(item['files'])} files" if item.get("files") else "",
        f"estimated {item['estimated_minutes']:g} min" if item.get("estimated_minutes") else "",
        f"took {item['actual_minutes']:g} min" if item.get("actual_minutes") else "",
    ]
    line.append("".join(f"  {fact}" for fact in facts if fact), style="dim")
    if item.get("error"):
        line.append(f"  {clean(str(item['error']).splitlines()[-1])}", style="red")
    return line


def _without_items(metadata: Any) -> Any:
    """Return metadata without its components and features, which are shown already."""
    if not isinstance(metadata, Mapping):
        return metadata
    return {key: value for key, value in cast("Mapping[str, Any]", metadata).items() if key not in SHOWN}


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _rest(name: str, value: Any, depth: int) -> Generator[Text]:
    """Yield a line for a scalar; for a list or an object, a heading and a line for each entry."""
    indent = "  " * depth
    label = clean(name, 60)
    if _is_empty(value):
        return
    if not isinstance(value, Mapping | list):
        yield Text.assemble(f"{indent}", (f"{label:9}", "dim"), " ", _short(value))
        return
    rows = cast("Mapping[str, Any] | list[Any]", value)
    if not depth:
        yield Text()
    yield Text(
        f"{indent}{label} ({len(rows)})" if isinstance(rows, list) or depth == 0 else f"{indent}{label}",
        style="" if depth else "bold",
    )
    pairs = rows.items() if isinstance(rows, Mapping) else (("", one) for one in rows)
    for number, (key, one) in enumerate(pairs):
        if number == MOST:
            yield Text(f"{indent}  … and {len(rows) - MOST:,} more", style="dim")
            return
        if (
            isinstance(rows, list)
            or depth >= DEEP
            or (isinstance(one, Mapping) and _is_flat(cast("Mapping[str, Any]", one)))
        ):
            yield Text(f"{indent}  {clean(key, 60) + '  ' if key else ''}{_row(one)}")
        else:
            yield from _rest(str(key), one, depth + 1)


def _is_flat(value: Mapping[str, Any]) -> bool:
    return not any(isinstance(one, Mapping) for one in value.values())


def _row(value: Any) -> str:
    """Return any value in one line; of an object, each non-empty field with its name."""
    if isinstance(value, Mapping):
        pairs = [(key, one) for key, one in cast("Mapping[str, Any]", value).items() if not _is_empty(one)]
        more = f"  … {len(pairs) - WIDE} more" if len(pairs) > WIDE else ""
        return "  ".join(f"{clean(key, 40)}: {_short(one)}" for key, one in pairs[:WIDE]) + more
    return _short(value)


def _short(value: Any) -> str:
    """Return a value as short text in one line."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.10g}"
        case str():
            return clean(value, 200)
        case list() | tuple():
            values = cast("Sequence[Any]", value)
            texts = [_inner(one) for one in values[:WIDE]]
            return ", ".join([*texts, *([f"… {len(values) - WIDE} more"] if len(values) > WIDE else [])])
        case _:
            return clean(value, 200)


def _inner(value: Any) -> str:
    """Return an element of a list as short text; nested values as their ``str``."""
    return clean(value, 120) if type(value) in {dict, list} else _short(value)
