"""The extra that installs each optional library, and the error for a library that is missing."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from .errors import MissingExtraError

__all__ = ["EXTRA_OF", "needs_extra"]

EXTRA_OF: Final = {
    "duckdb": "history",
    "platformdirs": "history",
    "pyarrow": "history",
    "tqdm": "history",
    "altair": "plot",
    "matplotlib": "plot",
    "vl_convert": "plot",
    "httptools": "server",
    "prometheus_client": "server",
    "starlette": "server",
    "uvicorn": "server",
    "websockets": "server",
    "fastapi": "fastapi",
    "ipykernel": "lab",
    "jupyterlab": "lab",
}
"""Name of a module that the base install lacks → the extra of the package that installs it."""


@contextmanager
def needs_extra(what: str) -> Generator[None]:
    """Turn the failed import of an optional library inside the block into an error that names the extra.

    Parameters
    ----------
    what
        The feature that needs the library, as the user called it: ``h.plot``, ``buildwidget serve``.

    Raises
    ------
    MissingExtraError
        If a library of an extra is not installed. Any other failing import is raised unchanged.
    """
    try:
        yield
    except MissingExtraError as error:  # of something that the user did not call
        raise MissingExtraError(what, error.extra, error.name) from error
    except ModuleNotFoundError as error:
        library = error.name or ""
        if library not in EXTRA_OF:  # a submodule missing from an installed library: not a matter of extras
            raise
        raise MissingExtraError(what, EXTRA_OF[library], library) from error
