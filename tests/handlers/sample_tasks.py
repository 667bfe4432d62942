"""What a team's module of tasks might look like, with some that misbehave."""

import asyncio
import contextlib
import logging
import os
import resource
import subprocess
import sys
import time
from datetime import date
from typing import Any

from tickwheel import RunContext, task

logger = logging.getLogger(__name__)


@task
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@task
def days_until(day: date) -> str:
    """Show that parameters arrive typed."""
    return f"{type(day).__name__} {day.year}"


@task
def speak() -> None:
    """Say something in every way there is."""
    print("printed")
    print("wrong", file=sys.stderr)
    print("no line end", end="")
    logger.info("logged %s", 1)
    logger.warning("warned")


@task
def report(context: RunContext) -> dict[str, Any]:
    """Use everything a context offers."""
    context.log.debug("deep %s", "detail")
    context.progress(0.5, "half")
    return {
        "run_id": str(context.run_id),
        "attempt": context.attempt,
        "scheduled_for": context.scheduled_for.isoformat(),
        "previous_success_at": str(context.previous_success_at),
        "parameters": dict(context.parameters),
        "cancelled": context.cancelled,
        "pid": os.getpid(),
    }


@task
def explode(message: str) -> None:
    """Raise."""
    raise ValueError(message)


@task
def leave(code: int) -> None:
    """Try to end the worker."""
    sys.exit(code)


@task
def die() -> None:
    """End without a word."""
    os._exit(9)


@task
def spin() -> None:
    """Never end, and start something that does not either."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("pid", child.pid, flush=True)
    print("self", os.getpid(), flush=True)
    while True:
        time.sleep(0.01)


@task
def work_until_told(context: RunContext) -> None:
    """Look at `cancelled`, and clean up."""
    print("working", flush=True)
    while not context.cancelled:
        time.sleep(0.01)
    print("cleaned up", flush=True)


@task(isolation="thread")
def spin_in_thread() -> None:
    """Never end by itself."""
    print("spinning")
    while True:
        time.sleep(0.01)


@task
async def wait_for_ever() -> None:
    """Wait."""
    print("waiting")
    await asyncio.Event().wait()


@task
async def ignore_cancel() -> str:
    """Swallow the first cancellation and return anyway."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "too late"


@task
async def cancel_itself() -> None:
    """Let the cancellation of something else slip."""
    child = asyncio.ensure_future(asyncio.Event().wait())
    child.cancel()
    await child


@task
async def leave_inline() -> None:
    """Try to end the worker, inline."""
    sys.exit(3)


@task
async def speak_inline(word: str) -> None:
    """Print around an await."""
    print(word, "one")
    await asyncio.sleep(0)
    print(word, "two")
    logger.error("%s three", word)


@task(name="reports.odd", isolation="inline")
async def odd(json: int, copy: str = "x", **rest: Any) -> dict[str, Any]:
    """Have parameters with the names of pydantic's methods."""
    return {"json": json, "copy": copy, **rest}


@task
async def unstorable() -> dict[str, Any]:
    """Return what no table keeps."""
    return {"a": "x\0y", "nan": float("nan"), "when": date(2026, 1, 1)}


@task
async def enormous() -> str:
    """Return too much."""
    return "x" * 1_000_000


@task
def environment() -> None:
    """Print the environment."""
    for name, value in os.environ.items():
        print(f"{name}={value}")


@task(isolation="thread")
async def wait_in_thread() -> None:
    """Wait on an event loop of its own."""
    print("waiting")
    await asyncio.Event().wait()


@task
def snowman() -> None:
    """Print what a C locale cannot, and stay."""
    print(f"☃ é\n{sys.flags.utf8_mode}")
    time.sleep(1000)


@task
def limits() -> list[int]:
    """Tell the limits of this process."""
    return [resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]]
