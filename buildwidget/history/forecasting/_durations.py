"""How long an attempt takes: what was seen, and how little that is, as many possible distributions of durations.

Each run of the simulation has a distribution of its own, drawn from the posterior of a Dirichlet process [1]_ on the
logarithms of the durations::

    G ~ DP(a + n, (a N(mu, sigma^2) + sum of the n durations seen) / (a + n))

that is: weights ``w ~ Gamma(1)`` for each duration seen and ``w ~ Gamma(a)`` for a lognormal, normalised. With
``a = 0`` this is the Bayesian bootstrap [2]_, which thinks that nothing can come but what was seen; the lognormal mends
that, and so does a narrow normal distribution around each of the durations seen. The lognormal's parameters are drawn
from their own posterior, ``sigma^2 ~ (v s^2 + SS) / chi^2(v + n - 1)`` and ``mu ~ N(mean, sigma^2 / n)``, so that what
the runs draw together has the tails of Student's t on the log scale [3]_: five durations give a much wider forecast
than fifty.

Durations are skewed: where the mean of those seen is too low, so is their spread, and what follows from it holds less
often than it says [4]_. So the weights are ``Gamma(3/4)`` instead of ``Gamma(1)``, which makes them spread wider by a
sixth. This number, `BASE`, `LONGEST` and `SHORTEST` were chosen on some thousand simulated builds, none of which is
among those of the tests; `benchmarks/bench_forecast.py` measures them on others.

Items in progress say something as well: they take longer than their age. Their durations are drawn from the
distribution beyond their age (the residual life), then counted as seen, and all is drawn anew (data augmentation [5]_).
Without that a build that has finished its short items and not its long ones would look fast.

Where items have estimates, the logarithm of a duration is ``b log(estimate) + rest``, and all the above is of the rest.
With ``b = 1`` that resamples the ratios actual / estimate, with ``b = 0`` the estimates tell nothing. Each run draws b
from its posterior. Taking 1 for granted goes wrong: estimates are noisy, and the largest are the most exaggerated.

.. [1] Ferguson (1973), A Bayesian analysis of some nonparametric problems, Annals of Statistics 1, 209-230.
.. [2] Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9, 130-134.
.. [3] Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 3.2.
.. [4] Johnson (1978), Modified t tests and confidence intervals for asymmetrical populations, JASA 73, 536-544.
.. [5] Tanner & Wong (1987), The calculation of posterior distributions by data augmentation, JASA 82, 528-540.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Durations", "centred_logs", "posterior"]

Array = NDArray[Any]
_np: Any = np  # some of whose functions have types that say less

BASE: Final = 2.0  # the weight of the lognormal, in durations (a)
PRIOR_SPREAD: Final = 0.7  # standard deviation of log durations before any is seen (s), with ...
PRIOR_WEIGHT: Final = 2.0  # ... the weight of so many durations (v)
PRIOR_SLOPE: Final = (0.5, 0.5)  # mean and standard deviation of b before anything is seen: between nothing and all
EVIDENCE: Final = 0.75  # what one duration seen counts
WIDTH: Final = 0.05  # of the standard deviation of the log durations: how far each one seen stands for its neighbours
LONGEST: Final = 5.0  # nothing takes so many times as long as the longest seen
SHORTEST: Final = 0.05  # of the mean duration; below that it makes no difference how short, but for the fit's tail
_ATOMS: Final = 200  # so many durations are told apart; of more, quantiles
_AT_ONCE: Final = 200  # items in progress of which nothing is learnt
_CENSORED: Final = 20  # so many items in progress are learnt from
_ROUNDS: Final = 3  # of data augmentation

# The normal distribution, as a table.
_Z: Final = np.linspace(-9.0, 9.0, 3_601)
_CDF: Final = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in _Z.tolist()])


@dataclass(slots=True)
class Durations:
    """One distribution of the logarithms of durations for each run, without what the estimates tell."""

    atoms: Array  # (runs, atoms)
    weights: Array  # (runs, 1 + atoms): of the lognormal, then of the atoms
    mu: Array  # (runs,)
    sigma: Array  # (runs,)
    width: Array  # (runs,) no duration comes twice: how far, as a standard deviation, one may be from an atom
    slope: Array  # (runs,) how the log durations go with the log estimates
    limit: float  # no log duration is beyond

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Draw from each distribution: an array of shape (runs, count)."""
        runs, width = self.weights.shape
        normal = rng.standard_normal((runs, count))
        chance = rng.random((runs, count))
        sums = np.cumsum(self.weights, axis=1)
        sums /= sums[:, -1:]
        row: Array = _np.arange(runs)[:, None]
        place: Array = np.searchsorted((sums + row).ravel(), (chance + row).ravel(), side="right").reshape(runs, count)
        place = np.minimum(place - row * width, width - 1)
        of_atoms = np.take_along_axis(self.atoms, np.maximum(place - 1, 0), axis=1) + self.width[:, None] * normal
        of_base = self.mu[:, None] + self.sigma[:, None] * normal
        return np.minimum(np.where(place > 0, of_atoms, of_base), self.limit)

    def draw_many_beyond(self, rng: np.random.Generator, least: Array) -> Array:
        """Draw from each distribution beyond limits: an array of the shape of these, (runs, count)."""
        runs, width = self.atoms.shape
        row: Array = _np.arange(runs)[:, None]
        order = np.argsort(self.atoms, axis=1)
        atoms = np.take_along_axis(self.atoms, order, axis=1)
        weights = np.take_along_axis(self.weights[:, 1:], order, axis=1)
        sums = np.concatenate([np.zeros((runs, 1)), np.cumsum(weights, axis=1)], axis=1)
        # One search for all runs: each has a range of its own.
        offset = 1.0 + float(max(atoms.max(), least.max()) - min(atoms.min(), least.min()))
        begin = np.searchsorted((atoms + offset * row).ravel(), (least + offset * row).ravel(), side="right")
        begin = begin.reshape(least.shape) - row * width
        below = np.take_along_axis(sums, begin, axis=1)
        above = sums[:, -1:] - below
        low = (least - self.mu[:, None]) / self.sigma[:, None]
        base = self.weights[:, :1] * np.maximum(_cdf(-low), 1e-300)
        of_base = rng.random(least.shape) * (base + above) < base
        high = 1.0 + float(sums.max())
        wanted = below + above * rng.random(least.shape)
        place = np.searchsorted((sums[:, 1:] + high * row).ravel(), (wanted + high * row).ravel(), side="right")
        place = np.minimum(place.reshape(least.shape) - row * width, width - 1)
        atom = np.take_along_axis(atoms, place, axis=1) + self.width[:, None] * rng.standard_normal(least.shape)
        tail = self.mu[:, None] + self.sigma[:, None] * _beyond(low, rng.random(least.shape))
        return np.maximum(np.minimum(np.where(of_base, tail, atom), self.limit), least)

    def draw_beyond(self, rng: np.random.Generator, least: Array, *, without: int) -> Array:
        """Draw one from each distribution beyond a limit (runs,), not looking at one of the atoms."""
        rows = np.arange(len(least))
        centre = np.concatenate([self.mu[:, None], self.atoms], axis=1)
        width = np.broadcast_to(self.width[:, None], centre.shape).copy()
        width[:, 0] = self.sigma
        low = (least[:, None] - centre) / width
        weights = self.weights * np.maximum(_cdf(-low), 1e-300)
        weights[:, 1 + without] = 0.0
        sums = np.cumsum(weights, axis=1)
        place = (sums <= (rng.random(len(rows)) * sums[:, -1])[:, None]).sum(axis=1)
        found = centre[rows, place] + width[rows, place] * _beyond(low[rows, place], rng.random(len(rows)))
        return np.maximum(np.minimum(found, self.limit), least)


def centred_logs(estimate: Array) -> Array:
    """The logarithms of estimates less their mean; 0 where there is no estimate (NaN)."""
    known = np.isfinite(estimate)
    if not known.any():
        return np.zeros(len(estimate))
    logs = np.log(np.where(known, estimate, 1.0))
    return np.where(known, logs - logs[known].mean(), 0.0)


def posterior(
    seconds: Array,
    estimates: Array,
    ages: Array,
    ages_estimates: Array,
    rng: np.random.Generator,
    runs: int,
    *,
    least: Array | None = None,
    most: Array | None = None,
) -> tuple[Durations, Array]:
    """Draw a distribution of durations for each run, and the durations of the items in progress.

    Parameters
    ----------
    seconds, estimates
        Durations seen, in seconds, at least one above 0; and the `centred_logs` of those items' estimates.
    least, most
        The bounds of each of them, where nobody saw the start: each run has one of its own between them.
    ages, ages_estimates
        The same for the items in progress: their ages, in seconds.

    Returns
    -------
    Durations
    numpy.ndarray
        Of shape (runs, ages): the log durations of the items in progress.
    """
    shortest, longest = (seconds if one is None else one for one in (least, most))
    floor = SHORTEST * float(seconds.mean())
    order = np.argsort(seconds, kind="stable")
    each = max(len(seconds) / _ATOMS, 1.0)  # how many durations an atom stands for
    if each > 1.0:
        order = order[((np.arange(_ATOMS) + 0.5) * each).astype(np.int64)]
    x = estimates[order]
    low, high = shortest[order], longest[order]
    y = low if (low == high).all() else low + (high - low) * rng.random((runs, len(order)))
    y = np.log(np.maximum(y, floor))
    beyond = np.log(np.maximum(ages, floor))
    limit = max(float(y.max()), float(beyond.max(initial=-np.inf))) + math.log(LONGEST)
    learnt = np.arange(len(ages))
    if len(ages) > _CENSORED:
        learnt = np.sort(np.argsort(ages, kind="stable")[np.linspace(0, len(ages) - 1, _CENSORED).astype(np.int64)])
    seen, count = len(x), len(learnt)
    x = np.concatenate([x, ages_estimates[learnt]])
    stands_for = np.concatenate([np.full(seen, each), np.full(count, max(len(ages) / _CENSORED, 1.0))])
    logs = np.empty((runs, seen + count))
    logs[:, :seen] = y
    logs[:, seen:] = np.maximum(beyond[learnt], y.mean())  # a first guess
    made = _drawn(logs, x, stands_for, limit, rng)
    for _ in range(_ROUNDS if count else 0):
        for at in range(count):
            shift = made.slope * x[seen + at]
            made.atoms[:, seen + at] = made.draw_beyond(rng, beyond[learnt[at]] - shift, without=seen + at)
            logs[:, seen + at] = made.atoms[:, seen + at] + shift
        made = _drawn(logs, x, stands_for, limit, rng)
    going = np.empty((runs, len(ages)))
    going[:, learnt] = logs[:, seen:]
    rest = np.setdiff1d(_np.arange(len(ages)), learnt)
    for first in range(0, len(rest), _AT_ONCE):
        some = rest[first : first + _AT_ONCE]
        shift = made.slope[:, None] * ages_estimates[some]
        going[:, some] = made.draw_many_beyond(rng, beyond[some] - shift) + shift
    return made, going


def _drawn(logs: Array, x: Array, stands_for: Array, limit: float, rng: np.random.Generator) -> Durations:
    """Draw from the posterior, given all durations."""
    runs, number = len(logs), float(stands_for.sum())
    slope = _slope(logs, x, stands_for, rng) if x.any() else np.zeros(runs)
    atoms = logs - slope[:, None] * x
    mean = (atoms * stands_for).sum(axis=1) / number
    squares = (stands_for * (atoms - mean[:, None]) ** 2).sum(axis=1)
    sigma = np.sqrt((PRIOR_WEIGHT * PRIOR_SPREAD**2 + squares) / rng.chisquare(PRIOR_WEIGHT + number - 1, runs))
    mu = mean + sigma / math.sqrt(number) * rng.standard_normal(runs)
    weights = rng.gamma(np.concatenate([[BASE], EVIDENCE * stands_for]), size=(runs, len(x) + 1))
    width = np.maximum(WIDTH * np.sqrt(squares / number), 0.01)
    return Durations(atoms, weights, mu, sigma, width, slope, limit)


def _slope(logs: Array, x: Array, stands_for: Array, rng: np.random.Generator) -> Array:
    """How the log durations go with the log estimates: one slope for each run, from its posterior (a normal one)."""
    number = float(stands_for.sum())
    away = stands_for * (x - (stands_for * x).sum() / number)
    spread = float((away * x).sum())
    level = (logs * stands_for).sum(axis=1, keepdims=True) / number
    together = ((logs - level) * away).sum(axis=1)
    squares = (stands_for * (logs - level) ** 2).sum(axis=1) - together**2 / max(spread, 1e-9)
    noise = np.maximum(squares, 0.0) / max(number - 2.0, 1.0) + 1e-6
    centre, width = PRIOR_SLOPE
    weight = spread / noise + 1.0 / width**2
    mean = (together / noise + centre / width**2) / weight
    return np.clip(mean + rng.standard_normal(len(logs)) / np.sqrt(weight), 0.0, 1.2)


def _cdf(z: Array) -> Array:
    return np.interp(z, _Z, _CDF)


def _beyond(low: Array, chance: Array) -> Array:
    """A normal number beyond a limit: the quantile ``chance`` of what is left there."""
    in_tail = low > 6  # the tail there is that of an exponential distribution
    tail = low - np.log1p(-chance) / np.maximum(low, 1.0)
    return np.where(in_tail, tail, -np.interp(_cdf(-low) * (1.0 - chance), _CDF, _Z))
