"""The original system's seven ``broadcast_*`` functions.

They may be called from any thread and any task, with or without ``await``: the work is done when they return. What they
are given is merged into what is known of the item, and the whole item goes to every client. To a session that nobody
watches that costs some microseconds, and is not an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping, Sequence
from typing import Any

from .sessions import sessions_with

__all__ = [
    "broadcast_build_progress",
    "broadcast_checkpoint_update",
    "broadcast_component_update",
    "broadcast_error",
    "broadcast_feature_update",
    "broadcast_file_change",
    "broadcast_terminal_output",
]


class _Done:
    """Something to await that is over already, so that nobody must."""

    __slots__ = ("_seq",)

    def __init__(self, seq: int) -> None:
        self._seq = seq

    def __await__(self) -> Generator[Any, None, int]:
        return self._seq
        yield  # what makes this a generator

    def __repr__(self) -> str:
        return f"<done: message {self._seq}>"


def _say(session_id: str, kind: str, **fields: Any) -> Awaitable[int]:
    given = {name: value for name, value in fields.items() if value is not None}
    return _Done(sessions_with(session_id).publish(session_id, {"type": kind, **given}))


def broadcast_component_update(
    session_id: str, component_id: str, status: str, progress: float, metadata: Mapping[str, Any] | None = None
) -> Awaitable[int]:
    """Say how a component stands.

    Parameters
    ----------
    session_id
        The session; made if it is not known and the server makes sessions.
    component_id
        The component.
    status
        Any word that a build writes: ``in_progress``, ``done`` …
    progress
        From 0 to 100.
    metadata
        Merged into what is known.

    Returns
    -------
    awaitable of int
        The number of the newest message.

    Raises
    ------
    buildwidget.publish.PublishError, buildwidget.server.UnknownSessionError
        If something given is not possible; if there is no such session.
    """
    fields: dict[str, Any] = {"component_id": component_id, "status": status, "progress": progress}
    return _say(session_id, "component_update", **fields, metadata=_dict(metadata))


def broadcast_feature_update(
    session_id: str, feature_id: str, status: str, progress: float, metadata: Mapping[str, Any] | None = None
) -> Awaitable[int]:
    """Say how a feature stands. See `broadcast_component_update`."""
    fields: dict[str, Any] = {"feature_id": feature_id, "status": status, "progress": progress}
    return _say(session_id, "feature_update", **fields, metadata=_dict(metadata))


def broadcast_terminal_output(
    session_id: str, output: str, output_type: str = "stdout", source: str | None = None
) -> Awaitable[int]:
    """Add output of the build. ``output_type``: stdout, stderr, info, error or success.

    What does not end with a newline is taken as a line all the same: the original sent lines without.
    """
    text = output if output.endswith(("\n", "\r")) else output + "\n"
    return _say(session_id, "terminal_output", output=text, output_type=output_type, source=source)


def broadcast_checkpoint_update(
    session_id: str,
    checkpoint_id: str,
    phase: str,
    tasks: Sequence[str] | None = None,
    files: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    tasks_completed: Sequence[str] | None = None,
    files_created: Sequence[str] | None = None,
) -> Awaitable[int]:
    """Tell of a checkpoint. ``tasks`` and ``tasks_completed`` are the same, and so are the two names for files."""
    done = tasks_completed if tasks_completed is not None else tasks
    made = files_created if files_created is not None else files
    return _say(
        session_id,
        "checkpoint_update",
        checkpoint_id=checkpoint_id,
        phase=phase,
        tasks_completed=None if done is None else list(done),
        files_created=None if made is None else list(made),
        metadata=_dict(metadata),
    )


def broadcast_build_progress(
    session_id: str,
    total: int | None = None,
    completed: int | None = None,
    percent: float | None = None,
    *,
    total_components: int | None = None,
    completed_components: int | None = None,
) -> Awaitable[int]:
    """Say how far the build is. Without ``percent`` it is counted from the two numbers."""
    return _say(
        session_id,
        "build_progress",
        total=total if total is not None else total_components,
        completed=completed if completed is not None else completed_components,
        percent=percent,
    )


def broadcast_file_change(
    session_id: str, file_path: str, change_type: str, content: str | None = None
) -> Awaitable[int]:
    """Tell that a file changed: ``created``, ``modified``, ``deleted`` or ``moved``. The path is inside the project.

    ``content`` is passed on for markdown below ``.buildrunner/context`` only, at most 64 KiB.
    """
    return _say(session_id, "file_change", file_path=file_path, change_type=change_type, content=content)


def broadcast_error(
    session_id: str, error_message: str, error_type: str | None = None, traceback: str | None = None
) -> Awaitable[int]:
    """Tell of an error of the build. A traceback goes to the log of this program, never to a client."""
    if traceback:
        from .app import logger

        logger.error("%s: %s\n%s", session_id, error_message, traceback)
    return _say(session_id, "error", error_message=error_message, error_type=error_type)


def _dict(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)
