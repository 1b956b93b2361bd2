"""What Prometheus reads: numbers that are there anyway, gathered when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from .. import __version__
from .sessions import Sessions

__all__ = ["render"]

_COUNTERS: Final = {
    "connects": ("connections", "Streams that were opened."),
    "refusals": ("refusals", "Streams that were refused."),
    "resume_hits": ("resume_hits", "Clients that went on exactly where they had stopped."),
    "resume_misses": ("resume_misses", "Clients that wanted to, and got a snapshot."),
    "events": ("events", "Numbered messages that sessions with clients made."),
    "delivered": ("messages_sent", "Messages written, all clients together."),
    "delivered_bytes": ("sent_bytes", "Bytes of JSON written, all clients together."),
    "collapsed": (
        "messages_collapsed",
        "Messages that a lagging client did not get because a newer one replaced them.",
    ),
    "gaps": ("gaps", "Times that a client got a gap and a snapshot instead of messages."),
    "dropped_clients": ("slow_clients_dropped", "Clients that were closed because they read nothing."),
    "bad_messages": ("bad_messages", "Client messages that could not be understood."),
    "policy_closes": ("policy_closes", "Clients that were closed because they sent too much."),
    "publications": ("publications", "Publications that were taken."),
}


class _Collector:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def collect(self) -> Iterable[Metric]:
        """Everything, now."""
        sessions = self._sessions
        yield InfoMetricFamily("buildwidget", "The server.", {"version": __version__})
        yield GaugeMetricFamily("buildwidget_uptime_seconds", "Since the start.", time.time() - sessions.started_at)
        for field, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"buildwidget_{name}", text, getattr(sessions.meters, field))
        clients = GaugeMetricFamily("buildwidget_clients", "Streams that are open.", labels=["session"])
        queued = GaugeMetricFamily(
            "buildwidget_queue_bytes", "Bytes that clients have not got yet.", labels=["session"]
        )
        lag = GaugeMetricFamily("buildwidget_lag_messages", "How far the last client is behind.", labels=["session"])
        seq = GaugeMetricFamily("buildwidget_seq", "The number of the newest message.", labels=["session"])
        percent = GaugeMetricFamily("buildwidget_build_percent", "How far the build is, 0 to 100.", labels=["session"])
        status = GaugeMetricFamily("buildwidget_build_status", "1 for the status it has.", labels=["session", "status"])
        for row in sessions.overview():
            name = str(row["session_id"])
            streams = sessions.clients(name)
            clients.add_metric([name], len(streams))
            queued.add_metric([name], sum(client.lag for client in streams))
            lag.add_metric([name], max((max(0, row["seq"] - client.seq) for client in streams), default=0))
            seq.add_metric([name], row["seq"])
            if row["percent"] is not None:
                percent.add_metric([name], row["percent"])
            status.add_metric([name, str(row["status"])], 1)
        yield from (clients, queued, lag, seq, percent, status)


def render(sessions: Sessions, accept: str) -> tuple[bytes, str]:
    """The metrics of a server and of its process.

    Parameters
    ----------
    sessions
        What is counted.
    accept
        The ``Accept`` header: OpenMetrics for those who ask for it.

    Returns
    -------
    tuple of bytes and str
        The body and its content type.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(sessions))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind
