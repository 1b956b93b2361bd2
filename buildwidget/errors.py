"""The errors of the package, as one tree: ``except BuildwidgetError`` catches all that is raised on purpose.

Each also is the built-in error that people expect (`ValueError`, `LookupError`, `ImportError` …). The text of an error
says what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AuthError",
    "BadRequestError",
    "BuildEndedError",
    "BuildwidgetError",
    "CheckpointError",
    "ClientError",
    "ConnectionFailedError",
    "DemoError",
    "FilterError",
    "GapError",
    "GitError",
    "MissingExtraError",
    "NoSuchSessionError",
    "NotAGitRepositoryError",
    "OptionsError",
    "OutputError",
    "PublishError",
    "UnknownSessionError",
]


class BuildwidgetError(Exception):
    """The root of the tree."""


class CheckpointError(BuildwidgetError, ValueError):
    """A file cannot be read as what its name says.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        What is wrong, in a sentence a person can act on.
    place : str
        Where in the file (``line 3, column 7``, ``$.components[2]``), or an empty string.
    code : str
        A short stable word: ``empty``, ``not_json``, ``not_object``, ``too_deep``, ``too_big``, ``not_utf8``,
        ``wrong_shape``, ``unreadable``, ``not_a_file``, ``outside``, ``unstable``.
    """

    def __init__(self, path: object, reason: str, place: str = "", code: str = "not_json") -> None:
        self.path, self.reason, self.place, self.code = str(path), reason, place, code
        super().__init__(f"{path}: {reason}" + (f" ({place})" if place else ""))


class PublishError(BuildwidgetError, ValueError):
    """A publication that cannot be accepted. Nothing of the whole list was."""


class BuildEndedError(BuildwidgetError, RuntimeError):
    """The build ended in another way than the one waited for.

    Attributes
    ----------
    status : str
        How it ended.
    """

    def __init__(self, status: str, wanted: Iterable[str]) -> None:
        self.status = status
        super().__init__(f"the build ended with status {str(status)!r}; waited for {', '.join(map(repr, wanted))}")


class MissingExtraError(BuildwidgetError, ImportError):
    """A part of the package needs libraries that are not installed.

    Attributes
    ----------
    extra : str
        The extra that brings them: ``pip install 'buildwidget[extra]'``.
    """

    def __init__(self, what: str, extra: str, missing: str | None = None) -> None:
        self.extra = extra
        needed = f"{missing}, which is not installed" if missing else "libraries that are not installed"
        super().__init__(f"{what} needs {needed}: pip install 'buildwidget[{extra}]'", name=missing)


class DemoError(BuildwidgetError):
    """The demo cannot run, and why; the text says what to do."""


class OutputError(BuildwidgetError):
    """What a command writes to is full or closed. The text says which, and why."""


# -- history ----------------------------------------------------------------------------------------------------------


class GitError(BuildwidgetError, ValueError):
    """The history of a repository cannot be read. The message says why, and what to do."""


class NotAGitRepositoryError(GitError):
    """The project is not in a git repository."""


# -- server -----------------------------------------------------------------------------------------------------------


class OptionsError(BuildwidgetError, ValueError):
    """Options that do not go together. The text says what to do."""


class UnknownSessionError(BuildwidgetError, LookupError):
    """There is no such session, and none can be made. The text says why."""


class BadRequestError(BuildwidgetError, ValueError):
    """A query or a message that cannot be understood. The text goes to the client."""


class FilterError(BadRequestError):
    """A filter that names unknown topics or levels. The text goes to the client."""


# -- client -----------------------------------------------------------------------------------------------------------


class ClientError(BuildwidgetError):
    """Something is wrong with a server or the way to it. The text says what to do."""


class AuthError(ClientError):
    """The server asks for another token, or does not take connections from here."""


class NoSuchSessionError(ClientError):
    """The server has no such session."""


class ConnectionFailedError(ClientError):
    """The server cannot be reached, or speaks another protocol."""


class GapError(ClientError):
    """A stream misses messages; the state it holds is whole again. Reading on is possible.

    Attributes
    ----------
    gap : buildwidget.events.Gap
        Which messages, and why.
    """

    def __init__(self, text: str, gap: Any) -> None:
        self.gap = gap
        super().__init__(text)
