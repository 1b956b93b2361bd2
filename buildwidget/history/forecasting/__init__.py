"""When a build will be finished: a Monte-Carlo forecast, its proof on the past, and what would change it.

>>> from buildwidget.history import read_history
>>> from buildwidget.history.forecasting import backtest, forecast, what_if
>>> h = read_history("path/to/project")  # doctest: +SKIP
>>> forecast(h)  # doctest: +SKIP
80 % between 14:05 and 16:40 UTC on 2026-03-02, half of the runs by 15:12; 14 features are left
>>> what_if(h, workers=[2, 4])  # doctest: +SKIP
>>> backtest(h).coverage  # doctest: +SKIP

The rest of the build is simulated many times [1]_ [2]_. Each run has its own distribution of durations, drawn from what
is known about them (`_durations`); a number of workers as seen so far; failures, reopened items and new items at rates
drawn from their posteriors (`_simulate`); and lets the workers go through the graph of dependencies (`_schedule`).

.. [1] Vose (2008), Risk Analysis: A Quantitative Guide, 3rd ed., chapter 19 (schedules).
.. [2] Magennis (2011), Forecasting and Simulating Software Development Projects.
"""

from __future__ import annotations

from ._backtest import Backtest, backtest
from ._forecast import Forecast, forecast, what_if

__all__ = ["Backtest", "Forecast", "backtest", "forecast", "what_if"]
