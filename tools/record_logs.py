"""Record logs for both folds: `python tools/record_logs.py` writes tests/fixtures/logs/random-*.json.

Each file holds a snapshot, messages, and the state that results from folding them. Seeds are fixed. Run it again when
the protocol changes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from buildwidget.state import fold  # noqa: E402
from tests import strategies as my  # noqa: E402

OUT = ROOT / "tests" / "fixtures" / "logs"


def record(name: str, log: list[Any], cut: int) -> None:
    """Write one file."""
    early, late = fold(log[:cut]), fold(log)
    body = {
        "snapshot": json.loads(msgspec.json.encode(early.snapshot())),
        "messages": json.loads(msgspec.json.encode(log[cut:])),
        "result": json.loads(msgspec.json.encode(late.snapshot())),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(body, ensure_ascii=True, separators=(",", ":")) + "\n", "utf-8")


def main() -> None:
    """Record six logs of random messages."""
    for number in range(6):
        logs: list[list[Any]] = []

        @seed(20260301 + number)
        @settings(
            max_examples=12,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(my.drafts, min_size=40 if number else 0, max_size=400))
        def collect(messages: list[Any]) -> None:
            logs.append(my.number(messages))  # noqa: B023 (called at once)

        collect()
        longest = max(logs, key=len)
        record(f"random-{number}", longest, len(longest) // 3)


if __name__ == "__main__":
    main()
