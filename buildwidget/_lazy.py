"""Public names that are imported when they are first used, so that importing a package costs nearly nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ._extras import needs_extra

__all__ = ["lazy_exports"]


def lazy_exports(
    package: str, homes: Mapping[str, str], made: Mapping[str, Callable[[], Any]] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` (PEP 562) of a package or a module.

    Parameters
    ----------
    package
        Its ``__name__``.
    homes
        Public name → the module it lives in, relative to the package; for a module, ``.neighbour`` beside it.
    made
        Public name → what makes it when it is first asked for.

    Raises
    ------
    MissingExtraError
        By the ``__getattr__``, for a name that needs a library which is not installed.
    """

    def get(name: str) -> Any:
        if name not in homes and name not in (made or {}):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with needs_extra(f"{package}.{name}"):
            maker = (made or {}).get(name)
            value = maker() if maker else getattr(import_module(f".{homes[name]}", package), name)
        setattr(sys.modules[package], name, value)  # from now on an ordinary attribute
        return value

    def listing() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *(made or ())})

    return get, listing
