"""A program that broadcasts the progress of its own build. The functions work from any thread.

python examples/broadcast_example.py [SECONDS]
"""

from __future__ import annotations

import sys
import time

from buildwidget.server import (
    LiveServer,
    broadcast_build_progress,
    broadcast_checkpoint_update,
    broadcast_component_update,
    broadcast_error,
    broadcast_feature_update,
    broadcast_file_change,
    broadcast_terminal_output,
)

SESSION = "manual"


def build(seconds: float) -> None:
    """Broadcast the messages of a small build."""
    broadcast_component_update(SESSION, "api", "in_progress", 0, {"language": "Python"})
    for percent in range(0, 101, 20):
        broadcast_component_update(SESSION, "api", "in_progress" if percent < 100 else "completed", percent)
        broadcast_feature_update(SESSION, "login", "in_progress" if percent < 100 else "completed", percent)
        broadcast_terminal_output(SESSION, f"compiled {percent} %", source="compiler")
        broadcast_build_progress(SESSION, total=2, completed=2 if percent == 100 else 0, percent=percent)
        time.sleep(seconds / 6)
    broadcast_file_change(SESSION, "src/api.py", "modified")
    broadcast_error(SESSION, "one test is slow", "TestWarning")
    broadcast_checkpoint_update(SESSION, "checkpoint_1", "build_complete", tasks=["api"], files=["src/api.py"])


if __name__ == "__main__":
    with LiveServer.of_process() as live:
        print(f"open {live.url}/?session={SESSION}")
        build(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
