"""Carry backfills on: often while there are any, seldom while there are none."""

import asyncio

import structlog

from app.runtime import Runtime
from app.services.backfills import advance_backfill, has_backfills
from app.worker.failures import note_failure

_BUSY_SECONDS = 1.0
# Between two steps others get their turn, in this process and in PostgreSQL.
_BETWEEN_SECONDS = 0.05
_log = structlog.get_logger(__name__)


async def carry_backfills_on(runtime: Runtime) -> None:
    """Take step after step until cancelled."""
    while True:
        wait_seconds = await _take_step(runtime)
        await asyncio.sleep(wait_seconds)


async def _take_step(runtime: Runtime) -> float:
    """Take a step, if there is one to take; return how many seconds to wait until the next."""
    try:
        if await advance_backfill(runtime):
            return _BETWEEN_SECONDS
        if await has_backfills(runtime):
            return _BUSY_SECONDS
    except Exception as error:
        note_failure(_log, "backfill.failed", error)
    return runtime.intervals.sweep_seconds
