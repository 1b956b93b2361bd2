"""The live cell: `watch` and `BuildWidget`."""

from ..errors import BuildEndedError
from ._widget import BuildWidget, open_widgets, watch

__all__ = ["BuildEndedError", "BuildWidget", "open_widgets", "watch"]
