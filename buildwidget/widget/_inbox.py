# pyright: basic
# (ipywidgets, anywidget and IPython have no types of their own)
"""Handling of the messages that views send to the kernel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from .. import __version__
from ..session import BuildSession
from ._outbox import Outbox

__all__ = ["Inbox"]

logger = logging.getLogger("buildwidget.widget")

IDS: Final = 10_000  # ids in a selection
TEXT: Final = 1_000  # characters of a filter


class Inbox:
    """Answers the messages of the views of one widget.

    Parameters
    ----------
    set_trait
        Called with the name and the value of a trait to set; schedules it in the event loop.
    touched
        Called when a user interacts with a view.
    """

    def __init__(
        self,
        session: BuildSession,
        outbox: Outbox,
        set_trait: Callable[[str, Any], None],
        touched: Callable[[], None],
    ) -> None:
        self._session, self._outbox = session, outbox
        self._set_trait, self._touched = set_trait, touched
        self.shown: bool | None = None  # whether a view is on show, as reported by the views; None: no report yet

    def receive(self, content: Any) -> None:
        """Handle a message of a view, in any thread. It is answered at once; traits are set later in the loop."""
        try:
            self._answer(content)
        except Exception:
            logger.exception("a message of the view failed")

    def _answer(self, content: Any) -> None:
        if not isinstance(content, dict):
            return
        self._outbox.adopt()
        match content.get("kind"):
            case "view":
                self.shown = content.get("shown") is not False
                return
            case "hello":
                self.shown = content.get("shown") is not False
                welcome = {
                    "id": content.get("id"),
                    "protocol": 1,
                    "server": f"buildwidget {__version__}",
                    "heartbeat": 1,
                    "now": msgspec.to_builtins(datetime.now(UTC)),
                }
                self._outbox.hello(content, welcome)
                return
            case "replay":
                self._outbox.replay(content.get("epoch"), content.get("since"))
                return
            case "ping":
                self._outbox.publish({"kind": "pong", "id": content.get("id")})
                return
            case "select":
                ids = content.get("ids")
                if isinstance(ids, list):
                    chosen = [i for i in ids[:IDS] if isinstance(i, str)]
                    self._outbox.publish({"kind": "selected", "ids": chosen})
                    self._set_trait("selected", chosen)
            case "filter":
                text = content.get("text")
                if isinstance(text, str):
                    self._outbox.publish({"kind": "filter", "text": text[:TEXT]})
                    self._set_trait("filter", text[:TEXT])
            case "refresh":
                self._session.refresh()
                self._outbox.publish({"kind": "refreshed", "seq": self._session.seq})
            case _:
                pass
        self._touched()
