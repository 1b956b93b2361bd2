"""Analyses of the history of a build: pure functions of its tables.

The first argument of each is a `History`, or anything else that has its tables (`Tables`); all others are keywords. All
but `diff` and `convergence` tell of all projects of a history, with a column ``session_id``; ``session_id=`` chooses
one. Columns and their types are always the same: texts are categoricals, statuses ordered ones, times
``datetime64[us, UTC]``, durations ``timedelta64[us]``, numbers pandas' nullable types. What is not known is missing.

``kind`` chooses the items: ``feature``, ``task``, ``component`` or ``phase``. By default it is the first of these that
a project has.
"""

from __future__ import annotations

from ._core import KINDS, Given, Tables
from .change import churn, lineage, regressions
from .compare import diff
from .flow import burnup, cumulative_flow, cycle_time, spans_of_work, time_in_status
from .graph import critical_path, slack
from .health import aging, flakiness, stalls
from .rates import throughput, velocity
from .trend import Convergence, convergence

__all__ = [
    "KINDS",
    "Convergence",
    "Given",
    "Tables",
    "aging",
    "burnup",
    "churn",
    "convergence",
    "critical_path",
    "cumulative_flow",
    "cycle_time",
    "diff",
    "flakiness",
    "lineage",
    "regressions",
    "slack",
    "spans_of_work",
    "stalls",
    "throughput",
    "time_in_status",
    "velocity",
]
