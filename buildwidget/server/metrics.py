"""Prometheus metrics, collected when they are requested."""

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
    "connects": ("connections", "Streams opened."),
    "refusals": ("refusals", "Streams refused."),
    "resume_hits": ("resume_hits", "Clients that resumed exactly where they had stopped."),
    "resume_misses": ("resume_misses", "Clients that asked to resume and got a snapshot instead."),
    "events": ("events", "Numbered messages of sessions with clients."),
    "delivered": ("messages_sent", "Messages written, all clients together."),
    "delivered_bytes": ("sent_bytes", "Bytes of JSON written, all clients together."),
    "collapsed": (
        "messages_collapsed",
        "Messages that a lagging client did not get because a newer one replaced them.",
    ),
    "gaps": ("gaps", "Gaps sent: a snapshot replaced the messages a client missed."),
    "dropped_clients": ("slow_clients_dropped", "Clients dropped because they read nothing."),
    "bad_messages": ("bad_messages", "Invalid messages of clients."),
    "policy_closes": ("policy_closes", "Clients closed because they exceeded the message rate."),
    "publications": ("publications", "Publications accepted."),
}


class _Collector:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics with their current values."""
        sessions = self._sessions
        yield InfoMetricFamily("buildwidget", "Version of the server.", {"version": __version__})
        yield GaugeMetricFamily(
            "buildwidget_uptime_seconds", "Seconds since the start of the server.", time.time() - sessions.started_at
        )
        for field, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"buildwidget_{name}", text, getattr(sessions.meters, field))
        clients = GaugeMetricFamily("buildwidget_clients", "Open streams.", labels=["session"])
        queued = GaugeMetricFamily("buildwidget_queue_bytes", "Bytes not delivered to clients yet.", labels=["session"])
        lag = GaugeMetricFamily(
            "buildwidget_lag_messages", "Messages that the slowest client lags behind.", labels=["session"]
        )
        seq = GaugeMetricFamily("buildwidget_seq", "Sequence number of the newest message.", labels=["session"])
        percent = GaugeMetricFamily(
            "buildwidget_build_percent", "Progress of the build in percent.", labels=["session"]
        )
        status = GaugeMetricFamily(
            "buildwidget_build_status", "1 for the current status of the build.", labels=["session", "status"]
        )
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
    """Return the metrics of a server and of its process.

    Parameters
    ----------
    sessions
        The sessions of the server.
    accept
        The ``Accept`` header: it selects OpenMetrics or the Prometheus text format.

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
