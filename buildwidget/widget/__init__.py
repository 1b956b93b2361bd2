"""The live cell: `watch` and `BuildWidget`."""

from ._widget import BuildEndedError, BuildWidget, open_widgets, watch

__all__ = ["BuildEndedError", "BuildWidget", "open_widgets", "watch"]
