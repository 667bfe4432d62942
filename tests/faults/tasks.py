"""Functions that tell what really happened: each leaves lines in a file, whatever the tables say.

Each returns which attempt it was: a result that belongs to another attempt than its run says was
written by a stale worker.
"""

import asyncio
import os
import signal
import time

from tests.faults.witness import END, START, bear_witness
from tickwheel import RunContext, task


@task
async def witnessed(context: RunContext, path: str, seconds: float = 0.0) -> dict[str, int]:
    """Take `seconds`, and tell of the start and of the end."""
    bear_witness(path, context, START)
    try:
        await asyncio.sleep(seconds)
    finally:
        bear_witness(path, context, END)
    return {"attempt": context.attempt}


@task
async def listing(context: RunContext, path: str, seconds: float, items: int) -> dict[str, object]:
    """Do the same, and return a list for a chain."""
    told = await witnessed(context, path, seconds)
    return {**told, "items": [{"item": item} for item in range(items)]}


@task
async def blocking(context: RunContext, path: str, seconds: float) -> dict[str, int]:
    """Block the whole loop of the worker, as no function should."""
    bear_witness(path, context, START)
    time.sleep(seconds)  # noqa: ASYNC251 - this is what it is for
    bear_witness(path, context, END)
    return {"attempt": context.attempt}


@task
async def poison(context: RunContext, path: str) -> None:
    """Kill the worker."""
    bear_witness(path, context, START)
    os.kill(os.getpid(), signal.SIGKILL)
