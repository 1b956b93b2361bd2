"""``python -m buildwidget``: the same as the command ``buildwidget``."""

from __future__ import annotations

from .cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
