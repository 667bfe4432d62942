"""Functions that tell what really happened: each leaves a line in a file, whatever the tables say.

The lines are written with O_APPEND, whole, so that several processes may write at once.
"""

import asyncio
import os
import signal
import time

from tickwheel import RunContext, task


def _witness(path: str, context: RunContext, what: str) -> None:
    line = f"{context.run_id} {context.attempt} {os.getpid()} {what} {time.monotonic()}\n"
    file = os.open(path, os.O_APPEND | os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@task
async def witnessed(context: RunContext, path: str, seconds: float = 0.0) -> None:
    """Take `seconds`, and tell of the start and of the end."""
    _witness(path, context, "start")
    await asyncio.sleep(seconds)
    _witness(path, context, "end")


@task
async def blocking(context: RunContext, path: str, seconds: float) -> None:
    """Block the whole loop of the worker, as no function should."""
    _witness(path, context, "start")
    time.sleep(seconds)  # noqa: ASYNC251 - this is what it is for
    _witness(path, context, "end")


@task
async def poison(context: RunContext, path: str) -> None:
    """Kill the worker."""
    _witness(path, context, "start")
    os.kill(os.getpid(), signal.SIGKILL)
