"""Which extra brings which library, and the error that says so where one is missing."""

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
"""Name of a module that the base install does not bring → the extra of the package that does."""


@contextmanager
def needs_extra(what: str) -> Generator[None]:
    """Make a plain sentence of a library that is missing inside.

    Parameters
    ----------
    what
        What needs it, as the user called it: ``h.plot``, ``buildwidget serve``.

    Raises
    ------
    MissingExtraError
        If a library of an extra is not installed. Any other failing import passes as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = error.name or ""
        if library not in EXTRA_OF:  # a library that is there and lacks a module is another fault
            raise
        raise MissingExtraError(what, EXTRA_OF[library], library) from error
