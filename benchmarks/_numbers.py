"""Statistics and text tables for the benchmarks."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of some values: the value that ``share`` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def summary(values: Sequence[float], digits: int = 1) -> str:
    """Return median, 95th percentile and maximum as text."""
    if not values:
        return "nothing measured"
    return (
        f"median {statistics.median(values):.{digits}f}  p95 {quantile(values, 0.95):.{digits}f}  "
        f"worst {max(values):.{digits}f}  (n = {len(values)})"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a text table with the first column aligned left and the others right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return "\n".join(lines)


def verdict(value: float, limit: float) -> str:
    """Return whether a target is met, as text."""
    return f"{'ok' if value <= limit else 'MISSED'} (target {limit:g})"
