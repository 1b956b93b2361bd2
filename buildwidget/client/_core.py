"""The client's protocol logic without I/O: where to connect, what to yield, when to retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from .. import events as ev
from ..errors import AuthError, CertificateError, ClientError, ConnectionFailedError, NoSuchSessionError
from ..model import State
from ..state import BuildState
from ._place import Place

__all__ = ["Core"]

FIRST_PAUSE: Final = 0.25  # seconds


class Core:
    """The state of one client: it gets the server's messages and returns what to yield and how long to back off.

    Parameters
    ----------
    place
        The server and the session; ``place.session`` is not None.
    epoch, since
        Resume after this message; None: begin with a snapshot.
    topics, components, min_level
        The filter; None for everything.
    raw
        Yield the messages about the connection too.
    reconnect
        Whether to reconnect when the connection breaks.
    max_backoff
        The longest pause before a retry, in seconds.
    """

    def __init__(
        self,
        place: Place,
        *,
        epoch: str | None = None,
        since: int | None = None,
        topics: Sequence[str] | None = None,
        components: Sequence[str] | None = None,
        min_level: str | None = None,
        raw: bool = False,
        max_backoff: float = 15.0,
        reconnect: bool = True,
    ) -> None:
        self.place, self._raw = place, raw
        self._build = BuildState()
        self.epoch: str | None = epoch
        self._seq = since if epoch is not None and since is not None else 0
        self.filter: dict[str, Any] = {"topics": list(topics) if topics is not None else None}
        self.filter |= {"components": list(components) if components is not None else None, "min_level": min_level}
        self.newest = 0
        self.heartbeat = 15.0
        self._resumable = epoch is not None and since is not None
        # Whether everything up to `_seq` was yielded: then a snapshot with another number means a gap.
        self._has_yielded = self._resumable
        self._gap: ev.Gap | None = None  # announced by the server; yielded after the snapshot that follows it
        self.is_current = False  # whether the state is that of the server: a snapshot came, or the stream was resumed
        self._tries = 0
        self._max_backoff, self._reconnect = max_backoff, reconnect

    @property
    def seq(self) -> int:
        """The sequence number of the newest message applied to the state."""
        return self._seq

    def snapshot(self) -> State:
        """Return the current state, an immutable snapshot."""
        return self._build.snapshot()

    @property
    def url(self) -> str:
        """The address for the next connection, with the cursor and the filter in its query."""
        query: dict[str, Any] = {"epoch": self.epoch or "", "since": self._seq} if self._resumable else {"snapshot": 1}
        for name in ("topics", "components"):
            if self.filter[name] is not None:
                query[name] = ",".join(self.filter[name])
        if self.filter["min_level"]:
            query["min_level"] = self.filter["min_level"]
        return self.place.stream_url(query)

    @property
    def patience(self) -> float:
        """Seconds without a message after which the connection counts as dead."""
        return 2.5 * self.heartbeat

    def receive(self, text: str | bytes) -> list[Any]:
        """Apply one message of the server and return what to yield because of it.

        A `Gap` is held back until the snapshot that follows it is applied: the state is then complete again.

        Raises
        ------
        ConnectionFailedError
            If the text is not a message of the protocol.
        """
        try:
            message = ev.decode(text)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConnectionFailedError(
                f"{self.place.base} sent something that is no message of the buildwidget protocol: {error}"
            ) from None
        self._tries = 0
        match message:
            case ev.Connection():
                self.newest, self.heartbeat = message.seq, max(0.1, message.heartbeat)
                self._resumable = self._resumable and message.resumed
                self.is_current = self.is_current or message.resumed
                self._gap = None
            case ev.Snapshot():
                return self._restart_from(message)
            case ev.Gap():
                self._gap = message
                return []
            case ev.Heartbeat():
                self.newest = max(self.newest, message.seq)
            # A status report may be ahead of messages still in transit. If the state were replaced by it, those would
            # count as known and never be yielded.
            case ev.StatusReport() | ev.Pong() | ev.Subscribed():
                pass
            case _ if message.seq is not None:
                if message.seq <= self._seq:
                    return []  # a duplicate
                self._seq = message.seq
                self.newest = max(self.newest, message.seq)
                self._build.apply(message)
                self._resumable = self._has_yielded = self.epoch is not None
                return [message]
            case _:
                pass
        return [message] if self._raw else []

    def _restart_from(self, snapshot: ev.Snapshot) -> list[Any]:
        """Replace the state by a snapshot; return what to yield: a gap if messages were skipped."""
        gap, self._gap = self._gap, None
        if gap is None and self._has_yielded and not self._resumable:
            gap = self._missed(snapshot)
        self._build = BuildState(snapshot.state, snapshot.seq)
        self.newest = max(self.newest if snapshot.epoch == self.epoch else 0, snapshot.seq)
        self.epoch, self._seq = snapshot.epoch, snapshot.seq
        self._resumable = self._has_yielded = self.is_current = True
        return [*([] if gap is None else [gap]), *([snapshot] if self._raw else [])]

    def _missed(self, snapshot: ev.Snapshot) -> ev.Gap | None:
        """Return the gap between the last message yielded and a snapshot; None if nothing was skipped."""
        same = snapshot.epoch == self.epoch
        if same and snapshot.seq == self._seq:
            return None
        return ev.Gap(
            from_seq=self._seq + 1 if same and snapshot.seq > self._seq else None,
            to_seq=snapshot.seq,
            reason="log_exceeded" if same else "new_epoch",
            session_id=snapshot.session_id,
            timestamp=snapshot.timestamp,
        )

    def failed(self, error: ClientError) -> float:
        """Count a failed or broken connection; return the upper bound of the backoff before the next try, in seconds.

        Raises
        ------
        ClientError
            If retrying is pointless or switched off: the same error.
        """
        if not self._reconnect or isinstance(error, AuthError | CertificateError | NoSuchSessionError):
            raise error from None
        self._tries += 1
        return min(self._max_backoff, FIRST_PAUSE * 2 ** min(self._tries, 16))
