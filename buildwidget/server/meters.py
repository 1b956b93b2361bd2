"""Counters of a server, plain integers that the metrics read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Meters"]


@dataclass(slots=True)
class Meters:
    """Counters of one server since its start."""

    connects: int = 0
    refusals: int = 0
    resume_hits: int = 0  # a client resumed exactly where it stopped
    resume_misses: int = 0  # a client asked to resume and got a snapshot
    events: int = 0  # numbered messages that reached a hub
    delivered: int = 0  # messages written, all clients together
    delivered_bytes: int = 0
    collapsed: int = 0  # messages left out because a newer one replaced them
    gaps: int = 0
    dropped_clients: int = 0  # closed because they did not read
    bad_messages: int = 0
    policy_closes: int = 0
    publications: int = 0
