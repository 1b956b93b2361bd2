"""The forecast: how often its 80 % interval holds, on the demo's builds and on simulated ones; and its time.

The demo's builds are those of its scenario ``success``, of seeds 0 to 399: written as checkpoint files, read back with
``read_history``, and forecast at 25, 50 and 75 % of the way to the end of the last feature. The forecast was tuned on
the seeds 10,000 to 10,199 and looked at on 11,000 to 11,199; never tune it on those that are measured here.
``--seeds 50`` takes the first 50 only.

The simulated builds are seen by nothing else.

The peer: the simplest Monte-Carlo forecast, by throughput. It draws the numbers of items that are completed in a tenth
of the time so far from those seen, until all that are left are done; it knows nothing of durations, workers,
dependencies, rework and growth (Magennis 2011).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._numbers import table, verdict
from buildwidget.demo import prepare, write_instant
from buildwidget.history import read_history
from buildwidget.history.forecasting import backtest, forecast, what_if
from tests.simulated_builds import SimulatedBuild, simulated_build

# Seeds from here on. Those of the tests are below 100,000, those of the calibration below a million.
FIRST = 1_000_000
SHARES = (0.25, 0.5, 0.75)
DEMO_SEEDS = 400
DEMO_END = datetime(2026, 3, 2, 17, tzinfo=UTC)


class Said(NamedTuple):
    """What a forecast and the peer said at one moment, and whether it held."""

    family: str
    size: int
    share: float
    held: bool | None  # None: it said nothing
    early: bool  # finished before the interval
    width: float  # of the interval, in what was really left
    off: float  # logarithm of median / truth
    peer_held: bool
    peer_off: float


def by_throughput(build: SimulatedBuild, share: float, runs: int) -> np.ndarray:
    """Microseconds from now to the finish, by the peer."""
    now = build.length * share
    status: dict[str, str] = {}
    counts = np.zeros(10)
    for ts, name, _, to in build.changes:
        if ts <= now:
            status[name] = to
            counts[min(9, int(10 * ts / now))] += to == "completed"
    left = sum(one != "completed" for one in status.values())
    rng = np.random.default_rng(build.seed)
    drawn = np.cumsum(rng.choice(np.maximum(counts, 0.01), (runs, 400)), axis=1)
    return ((drawn < left).sum(axis=1) + 1) * now / 10


def look(seed: int) -> list[Said]:
    """One build, at each of the shares of its time."""
    build = simulated_build(seed)
    tables = build.tables()
    size = sum(item.first_seen == 0 for item in build.items)
    found = []
    for share in SHARES:
        made = forecast(tables, now=build.at(share), n=500, seed=seed)
        left = build.length * (1 - share)
        peer = by_throughput(build, share, 500)
        low, median, high = np.quantile(peer, [0.1, 0.5, 0.9])
        if not made.known:
            found.append(Said(build.family, size, share, None, False, math.nan, math.nan, low <= left <= high, 0.0))
            continue
        micros = [
            (one - made.now).total_seconds() * 1e6 for one in (made.finish_low, made.finish_median, made.finish_high)
        ]
        found.append(
            Said(
                build.family,
                size,
                share,
                made.finish_low <= build.finish <= made.finish_high,
                build.finish < made.finish_low,
                (micros[2] - micros[0]) / left,
                math.log(micros[1] / left),
                bool(low <= left <= high),
                math.log(median / left),
            )
        )
    return found


def row(name: str, rows: list[Said]) -> list[str]:
    told = [one for one in rows if one.held is not None]
    held = statistics.mean(bool(one.held) for one in told)
    early = statistics.mean(one.early for one in told)
    return [
        name,
        str(len(told)),
        f"{held:.1%}",
        f"{early:.1%}",
        f"{1 - held - early:.1%}",
        f"{statistics.median(one.width for one in told):.2f}",
        f"{math.exp(statistics.median(abs(one.off) for one in told)):.2f}",
        f"{statistics.mean(one.peer_held for one in told):.1%}",
        f"{math.exp(statistics.median(abs(one.peer_off) for one in told)):.2f}",
    ]


def coverage(count: int) -> None:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        said = [one for found in pool.map(look, range(FIRST, FIRST + count), chunksize=8) for one in found]
    rows = []
    for share in SHARES:
        here = [one for one in said if one.share == share]
        rows.append(row(f"at {share:.0%} of the time", here))
        for family in ("lognormal", "real"):
            of = [one for one in here if one.family == family]
            rows.append(row(f"  {family} durations", of))
            for low, high in ((20, 45), (46, 80), (81, 120)):
                rows.append(row(f"    {low} to {high} items", [one for one in of if low <= one.size <= high]))
    head = ["", "builds", "held", "earlier", "later", "width", "off by", "peer held", "peer off"]
    print(table(head, rows))
    print(f"   silent, as too little was known: {sum(one.held is None for one in said)} of {len(said)}")
    half = [bool(one.held) for one in said if one.share == 0.5 and one.held is not None]
    share = statistics.mean(half)
    print(f"   held at half time {share:.1%}: {'ok' if 0.74 <= share <= 0.86 else 'MISSED'} (target 74 % to 86 %)")


def look_at_demo(seed: int) -> list[tuple[float, bool | None, float, float]]:
    """One build of the demo, at each share of its time: did it hold, the interval's width, median less truth."""
    with tempfile.TemporaryDirectory(prefix="buildwidget-") as root:
        folder = prepare(Path(root) / "demo")
        write_instant(folder, "success", seed, end=DEMO_END, only_checkpoints=True)
        history = read_history(folder, cache=False)
        features = history.transitions.query("kind == 'feature'")
        begin, end = features["ts"].min(), features.loc[features["to_status"] == "completed", "ts"].max()
        found: list[tuple[float, bool | None, float, float]] = []
        for share in SHARES:
            made = history.forecast(now=begin + share * (end - begin), n=500, seed=seed, kind="feature")
            left = end - made.now
            if made.known:
                held = made.finish_low <= end <= made.finish_high
                found.append(
                    (
                        share,
                        bool(held),
                        (made.finish_high - made.finish_low) / left,
                        math.log((made.finish_median - made.now) / left),
                    )
                )
            else:
                found.append((share, None, math.nan, math.nan))
    return found


def demo_coverage(count: int) -> None:
    """How often the interval held on the demo's builds."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        said = [one for found in pool.map(look_at_demo, range(count), chunksize=4) for one in found]
    rows: list[list[str]] = []
    for share in SHARES:
        here = [one for one in said if one[0] == share]
        told = [one for one in here if one[1] is not None]
        held = statistics.mean(bool(one[1]) for one in told) if told else math.nan
        rows.append(
            [
                f"at {share:.0%} of the way",
                str(len(here)),
                str(len(here) - len(told)),
                f"{held:.1%}",
                f"{statistics.median(one[2] for one in told):.2f}" if told else "",
                f"{math.exp(statistics.median(one[3] for one in told)):.2f}" if told else "",
                "ok" if 0.75 <= held <= 0.85 else "MISSED",
            ]
        )
    print(f"the demo's builds, scenario success, seeds 0 to {count - 1}; 80 % intervals, target 75 % to 85 %")
    print(table(["", "builds", "silent", "held", "width", "median / truth", ""], rows))


def timed(what: str, limit: float, work: object) -> None:
    assert callable(work)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    print(f"   {what}: {min(took) * 1000:.0f} ms {verdict(min(took), limit)}")


def times() -> None:
    build = simulated_build(FIRST - 1, size=220, family="lognormal")
    tables, moment = build.tables(), build.at(0.1)
    left = forecast(tables, now=moment, n=10).remaining
    timed(f"forecast, 2,000 runs of {left} items", 2.0, lambda: forecast(tables, now=moment))
    timed("what_if, 4 scenarios of it", 8.0, lambda: what_if(tables, now=moment, workers=[2, 3, 4]))
    timed(f"backtest, 20 moments of {len(build.items)} items", 4.0, lambda: backtest(tables))
    large = simulated_build(FIRST - 2, size=8_000, family="lognormal")
    tables, moment = large.tables(), large.at(0.98)
    left = forecast(tables, now=moment, n=10).remaining
    timed(f"forecast, {left} items left of {len(large.items):,}", 2.0, lambda: forecast(tables, now=moment))
    started = time.perf_counter()
    for _ in range(10):
        by_throughput(build, 0.1, 2_000)
    print(f"   the peer, 2,000 runs: {(time.perf_counter() - started) * 100:.0f} ms")


def main(*, quick: bool = False, seeds: int | None = None) -> None:
    demo_coverage(seeds or (60 if quick else DEMO_SEEDS))
    coverage(200 if quick else 1_000)
    times()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, help="how many builds of the demo, from seed 0 on")
    parser.add_argument("--demo-only", action="store_true", help="leave out the simulated builds and the times")
    given = parser.parse_args()
    if given.demo_only:
        demo_coverage(given.seeds or DEMO_SEEDS)
    else:
        main(quick=given.quick, seeds=given.seeds)
