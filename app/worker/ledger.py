"""Complete the ledger, now and then: what no tick and no run brings about by itself."""

import asyncio

import structlog

from app.runtime import Runtime
from app.services.schedules.expiring import expire_ended_windows
from app.worker.failures import note_failure

_NOW_AND_THEN_SECONDS = 60.0
_log = structlog.get_logger(__name__)


async def complete_ledger(runtime: Runtime) -> None:
    """Let windows end, until cancelled."""
    while True:
        try:
            await expire_ended_windows(runtime)
        except Exception as error:
            note_failure(_log, "ledger.failed", error)
        await asyncio.sleep(_NOW_AND_THEN_SECONDS)
