"""The live cell: `watch` and `BuildWidget`."""

from ..errors import BuildEndedError
from ._cells import open_widgets
from ._widget import BuildWidget, watch

__all__ = ["BuildEndedError", "BuildWidget", "open_widgets", "watch"]
