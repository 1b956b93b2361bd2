"""The original system's seven ``broadcast_*`` functions.

They may be called from any thread and any task, with or without ``await``: the message is published when they return.
The arguments are merged into the known item, and every client gets the whole item. A session without clients is not an
error.
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
    """An awaitable that is already done, so that awaiting it is optional."""

    __slots__ = ("_seq",)

    def __init__(self, seq: int) -> None:
        self._seq = seq

    def __await__(self) -> Generator[Any, None, int]:
        return self._seq
        yield  # makes this function a generator

    def __repr__(self) -> str:
        return f"<done: message {self._seq}>"


def _publish(session_id: str, kind: str, **fields: Any) -> Awaitable[int]:
    given = {name: value for name, value in fields.items() if value is not None}
    return _Done(sessions_with(session_id).publish(session_id, {"type": kind, **given}))


def broadcast_component_update(
    session_id: str, component_id: str, status: str, progress: float, metadata: Mapping[str, Any] | None = None
) -> Awaitable[int]:
    """Publish the status and progress of a component.

    Parameters
    ----------
    session_id
        The session; created if it is unknown and the server creates sessions on demand.
    component_id
        The component's id.
    status
        The status, in any spelling that builds use: ``in_progress``, ``done`` …
    progress
        In percent, 0 to 100.
    metadata
        Merged into the known metadata.

    Returns
    -------
    awaitable of int
        The sequence number of the message.

    Raises
    ------
    buildwidget.publish.PublishError, buildwidget.server.UnknownSessionError
        If an argument is invalid; if there is no such session.
    """
    fields: dict[str, Any] = {"component_id": component_id, "status": status, "progress": progress}
    return _publish(session_id, "component_update", **fields, metadata=_dict(metadata))


def broadcast_feature_update(
    session_id: str, feature_id: str, status: str, progress: float, metadata: Mapping[str, Any] | None = None
) -> Awaitable[int]:
    """Publish the status and progress of a feature. See `broadcast_component_update`."""
    fields: dict[str, Any] = {"feature_id": feature_id, "status": status, "progress": progress}
    return _publish(session_id, "feature_update", **fields, metadata=_dict(metadata))


def broadcast_terminal_output(
    session_id: str, output: str, output_type: str = "stdout", source: str | None = None
) -> Awaitable[int]:
    """Publish output of the build. ``output_type``: stdout, stderr, info, error or success.

    Text without a final newline counts as a whole line: the original system sent lines without one.
    """
    text = output if output.endswith(("\n", "\r")) else output + "\n"
    return _publish(session_id, "terminal_output", output=text, output_type=output_type, source=source)


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
    """Publish a checkpoint. ``tasks`` and ``tasks_completed`` are synonyms, as are ``files`` and ``files_created``."""
    done = tasks_completed if tasks_completed is not None else tasks
    made = files_created if files_created is not None else files
    return _publish(
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
    """Publish the progress of the build. Without ``percent`` it is computed from ``completed`` and ``total``."""
    return _publish(
        session_id,
        "build_progress",
        total=total if total is not None else total_components,
        completed=completed if completed is not None else completed_components,
        percent=percent,
    )


def broadcast_file_change(
    session_id: str, file_path: str, change_type: str, content: str | None = None
) -> Awaitable[int]:
    """Publish a file change: ``created``, ``modified``, ``deleted`` or ``moved``. The path is inside the project.

    ``content`` is passed on for markdown below ``.buildrunner/context`` only, at most 64 KiB.
    """
    return _publish(session_id, "file_change", file_path=file_path, change_type=change_type, content=content)


def broadcast_error(
    session_id: str, error_message: str, error_type: str | None = None, traceback: str | None = None
) -> Awaitable[int]:
    """Publish an error of the build. A traceback goes to the log of this process, never to a client."""
    if traceback:
        from .app import logger

        logger.error("%s: %s\n%s", session_id, error_message, traceback)
    return _publish(session_id, "error", error_message=error_message, error_type=error_type)


def _dict(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)
