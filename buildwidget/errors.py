"""The exceptions of the package, in one hierarchy: ``except BuildwidgetError`` catches all that is raised on purpose.

Where a built-in exception fits (`ValueError`, `LookupError`, `ImportError` …), the class is a subclass of it too. The
text of an error says what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AuthError",
    "BadRequestError",
    "BuildEndedError",
    "BuildwidgetError",
    "CertificateError",
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
    """The base class of all exceptions of the package."""


class CheckpointError(BuildwidgetError, ValueError):
    """A file cannot be read as the kind of file that its path says it is.

    Attributes
    ----------
    path : str
        The path of the file.
    reason : str
        What is wrong, in a sentence that says what to do.
    place : str
        The position in the file (``line 3, column 7``, ``$.components[2]``), or an empty string.
    code : str
        A stable identifier of the reason: ``empty``, ``not_json``, ``not_object``, ``too_deep``, ``too_big``,
        ``not_utf8``, ``wrong_shape``, ``unreadable``, ``not_a_file``, ``outside``, ``unstable``.
    """

    def __init__(self, path: object, reason: str, place: str = "", code: str = "not_json") -> None:
        self.path, self.reason, self.place, self.code = str(path), reason, place, code
        super().__init__(f"{path}: {reason}" + (f" ({place})" if place else ""))


class PublishError(BuildwidgetError, ValueError):
    """A published message is not valid. When a list is published, none of its messages is accepted."""


class BuildEndedError(BuildwidgetError, RuntimeError):
    """The build ended with a status other than those waited for.

    Attributes
    ----------
    status : str
        The status with which it ended.
    """

    def __init__(self, status: str, wanted: Iterable[str]) -> None:
        self.status = status
        super().__init__(f"the build ended with status {str(status)!r}; waited for {', '.join(map(repr, wanted))}")


class MissingExtraError(BuildwidgetError, ImportError):
    """A part of the package needs libraries that are not installed.

    Attributes
    ----------
    extra : str
        The name of the extra that installs them: ``pip install 'buildwidget[extra]'``.
    """

    def __init__(self, what: str, extra: str, missing: str | None = None) -> None:
        self.extra = extra
        needed = f"{missing}, which is not installed" if missing else "libraries that are not installed"
        super().__init__(f"{what} needs {needed}: pip install 'buildwidget[{extra}]'", name=missing)


class DemoError(BuildwidgetError):
    """The demo cannot run. The text says why, and what to do."""


class OutputError(BuildwidgetError):
    """The output of a command is full or closed. The text says which output, and why."""


# -- history ----------------------------------------------------------------------------------------------------------


class GitError(BuildwidgetError, ValueError):
    """The history of a git repository cannot be read. The text says why, and what to do."""


class NotAGitRepositoryError(GitError):
    """The project is not in a git repository."""


# -- server -----------------------------------------------------------------------------------------------------------


class OptionsError(BuildwidgetError, ValueError):
    """Options are invalid, alone or in combination. The text says what to do."""


class UnknownSessionError(BuildwidgetError, LookupError):
    """The session does not exist and cannot be created. The text says why."""


class BadRequestError(BuildwidgetError, ValueError):
    """A query or a message of a client is not valid. The text is sent to the client."""


class FilterError(BadRequestError):
    """A filter names unknown topics or levels. The text is sent to the client."""


# -- client -----------------------------------------------------------------------------------------------------------


class ClientError(BuildwidgetError):
    """The server, or the connection to it, failed. The text says what to do."""


class AuthError(ClientError):
    """The server refused the token, the origin or the host of the request."""


class NoSuchSessionError(ClientError):
    """The server has no such session."""


class ConnectionFailedError(ClientError):
    """The server cannot be reached, or does not speak the protocol of buildwidget."""


class CertificateError(ConnectionFailedError):
    """The server's certificate is not trusted here, or it speaks no TLS. The text says what to do."""


class GapError(ClientError):
    """Messages of a stream were lost. Its state is complete again, and the stream can be read further.

    Attributes
    ----------
    gap : buildwidget.events.Gap
        The numbers of the lost messages, and the reason.
    """

    def __init__(self, text: str, gap: Any) -> None:
        self.gap = gap
        super().__init__(text)
