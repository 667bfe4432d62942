"""Small servers that a figure is held against, each a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from app.listening import answers
from bench.instance import free_port

_PATIENCE_SECONDS = 60.0


class Peer(NamedTuple):
    """A server that runs."""

    url: str
    pid: int


@asynccontextmanager
async def running_peer(module: str, *arguments: str) -> AsyncIterator[Peer]:
    """Run a module that serves on the port it is given last, and return where."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, str(port)
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await answers("127.0.0.1", port, "/livez"):
                assert process.returncode is None, f"{module} ended"
                await asyncio.sleep(0.1)
        yield Peer(f"http://127.0.0.1:{port}/graphql", process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
