"""A watcher that broadcasts the changes in a project, and a server for the clients.

python examples/watcher_example.py path/to/project
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from buildwidget import server
from buildwidget.watcher import create_file_watcher_with_websocket


async def main(project: Path, session: str) -> None:
    """Watch until Ctrl-C."""
    with server.LiveServer.of_process() as live:
        watcher = await create_file_watcher_with_websocket(project, session, server)
        print(f"watching {project}; clients connect to {live.url}")
        try:
            await asyncio.Event().wait()
        finally:
            await watcher.stop()


if __name__ == "__main__":
    try:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
        asyncio.run(main(root, root.name))
    except KeyboardInterrupt:
        sys.exit(130)
