"""What a client does, without any socket: where to connect, what to yield, when to come again."""

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
    """The state of one client. It is told what comes, and says what to yield and what to do next.

    Parameters
    ----------
    place
        With a session.
    epoch, since
        Go on after this message; without, begin with a snapshot.
    topics, components, min_level
        The filter; None for everything.
    raw
        Yield the messages about the connection too.
    reconnect
        Whether to connect again when the connection breaks.
    max_backoff
        The longest pause before that, in seconds.
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
        self._told = self._resumable  # whether `_seq` is the end of what was yielded: then a jump from it is a gap
        self._gap: ev.Gap | None = None  # told of by the server, and not yielded yet: the snapshot comes first
        self._tries = 0
        self._max_backoff, self._reconnect = max_backoff, reconnect

    @property
    def seq(self) -> int:
        """The number of the newest message that was taken in."""
        return self._seq

    def snapshot(self) -> State:
        """The present state."""
        return self._build.snapshot()

    @property
    def url(self) -> str:
        """Where to connect now."""
        query: dict[str, Any] = {"epoch": self.epoch or "", "since": self._seq} if self._resumable else {"snapshot": 1}
        for name in ("topics", "components"):
            if self.filter[name] is not None:
                query[name] = ",".join(self.filter[name])
        if self.filter["min_level"]:
            query["min_level"] = self.filter["min_level"]
        return self.place.stream_url(query)

    @property
    def patience(self) -> float:
        """Seconds of silence after which the connection counts as dead."""
        return 2.5 * self.heartbeat

    def take(self, text: str | bytes) -> list[Any]:
        """A message has come: what to yield because of it.

        A `Gap` is yielded when the state is whole again, after the snapshot that mends it was taken in.

        Raises
        ------
        ConnectionFailedError
            If it is no message of this protocol.
        """
        try:
            message = ev.decode(text)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConnectionFailedError(f"{self.place.base} says what no server of ours says: {error}") from None
        self._tries = 0
        match message:
            case ev.Connection():
                self.newest, self.heartbeat = message.seq, max(0.1, message.heartbeat)
                self._resumable = self._resumable and message.resumed
                self._gap = None
            case ev.Snapshot():
                return self._begin_anew(message)
            case ev.Gap():
                self._gap = message
                return []
            case ev.Heartbeat():
                self.newest = max(self.newest, message.seq)
            # A status report may be ahead of messages that are on their way: the state is not taken from it, else
            # these would count as known, and never be yielded.
            case ev.StatusReport() | ev.Pong() | ev.Subscribed():
                pass
            case _ if message.seq is not None:
                if message.seq <= self._seq:
                    return []  # it was here before
                self._seq = message.seq
                self.newest = max(self.newest, message.seq)
                self._build.apply(message)
                self._resumable = self._told = self.epoch is not None
                return [message]
            case _:
                pass
        return [message] if self._raw else []

    def _begin_anew(self, snapshot: ev.Snapshot) -> list[Any]:
        """Take the state from a snapshot; yield what is missed by that, if anything is."""
        gap, self._gap = self._gap, None
        if gap is None and self._told and not self._resumable:
            gap = self._missed(snapshot)
        self._build = BuildState(snapshot.state, snapshot.seq)
        self.newest = max(self.newest if snapshot.epoch == self.epoch else 0, snapshot.seq)
        self.epoch, self._seq = snapshot.epoch, snapshot.seq
        self._resumable = self._told = True
        return [*([] if gap is None else [gap]), *([snapshot] if self._raw else [])]

    def _missed(self, snapshot: ev.Snapshot) -> ev.Gap | None:
        """What lies between the end of what was yielded and a snapshot, where a server could not resume."""
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
        """The connection broke, or was not to be had: the longest time to wait before the next try, in seconds.

        Raises
        ------
        ClientError
            If another try makes no sense.
        """
        if not self._reconnect or isinstance(error, AuthError | CertificateError | NoSuchSessionError):
            raise error from None
        self._tries += 1
        return min(self._max_backoff, FIRST_PAUSE * 2 ** min(self._tries, 16))
