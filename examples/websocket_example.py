"""A FastAPI application with the build stream in it, and a page that shows it.

python examples/websocket_example.py [PORT]
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse

from buildwidget.server import (
    broadcast_build_progress,
    broadcast_component_update,
    broadcast_terminal_output,
    router,
)

SESSION = "demo"
PARTS = ["database", "api", "frontend"]
steps = itertools.cycle(range(10, 101, 10))


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Broadcast before the first client connects: clients get the current state when they connect."""
    for part in PARTS:
        await broadcast_component_update(SESSION, part, "pending", 0)
    yield


app = FastAPI(title="Build stream", lifespan=lifespan)
app.include_router(router)


@app.get("/client")
async def client() -> FileResponse:
    """Return the page. A page opened from a file has the origin ``null``, which the stream refuses."""
    return FileResponse(Path(__file__).parent / "websocket_client.html")


@app.post("/demo/send-update")
async def send_update() -> dict[str, float]:
    """Advance the build by one step."""
    percent = next(steps)
    for part in PARTS:
        await broadcast_component_update(SESSION, part, "completed" if percent == 100 else "in_progress", percent)
    await broadcast_build_progress(SESSION, len(PARTS), len(PARTS) if percent == 100 else 0, percent)
    await broadcast_terminal_output(SESSION, f"built {percent} %", "success" if percent == 100 else "stdout")
    return {"percent": percent}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
