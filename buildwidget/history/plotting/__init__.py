"""How `buildwidget.history.plots` draws: what is seen (`views`, `timeline`), and two ways to draw it (`vega`, `mpl`).

A view is a frame and its words, and knows nothing of a library. So both libraries show the same.
"""

from __future__ import annotations

__all__: list[str] = []
