"""Functions that tell what really happened: each leaves a line in a file, whatever the tables say.

The lines are written with O_APPEND, whole, so that several processes may write at once.
"""

import asyncio
import base64
import json
import logging
import os
import signal
import sys
import time
from urllib.parse import quote

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


def _say(context: RunContext, token: str) -> dict[str, str]:
    """Say a secret in every way that programs have."""
    encoded = base64.b64encode(f"user:{token}".encode()).decode()
    print(f"plain {token}, basic {encoded}")
    print(f"url {quote(token, safe='')}, json {json.dumps(token)}", file=sys.stderr)
    print(f"no line end {token}", end="")
    context.log.warning("logged %s", token)
    logging.getLogger(__name__).error("by logging %s", token)
    context.progress(0.5, f"half of {token}")
    return {"token": token, "encoded": encoded, token: "as a key"}


@task
async def leak(context: RunContext, token: str, fails: bool = False) -> dict[str, str]:
    """Leak a secret, and then fail over it or return it."""
    said = _say(context, token)
    if fails:
        raise ValueError(f"the server refused {token}")
    return said


@task
def leak_blocking(context: RunContext, token: str, fails: bool = False) -> dict[str, str]:
    """Do the same as a plain function."""
    said = _say(context, token)
    if fails:
        raise ValueError(f"the server refused {token}")
    return said
