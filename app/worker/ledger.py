"""Complete the ledger, now and then: what no tick and no run brings about by itself."""

import asyncio

import structlog

from app.runtime import Runtime
from app.services.counting_ranges import RangeCounter
from app.services.schedules.expiring import expire_ended_windows
from app.worker.failures import note_failure

_NOW_AND_THEN_SECONDS = 60.0
# Between two slices of a count everything else gets its turn in this process.
_BETWEEN_SECONDS = 2.0
_log = structlog.get_logger(__name__)


async def complete_ledger(runtime: Runtime) -> None:
    """Let windows end and count long ranges, until cancelled."""
    counter = RangeCounter(runtime)
    while True:
        has_more = False
        try:
            await expire_ended_windows(runtime)
            has_more = await counter.step()
        except Exception as error:
            note_failure(_log, "ledger.failed", error)
        await asyncio.sleep(_BETWEEN_SECONDS if has_more else _NOW_AND_THEN_SECONDS)
