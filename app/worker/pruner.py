"""Remove what is old: now and then, and bite after bite while there is more."""

import asyncio

import structlog

from app.core.clock import elapsed_seconds
from app.runtime import Runtime
from app.services.pruning import Positions, prune
from app.worker.failures import note_failure

_NOW_AND_THEN_SECONDS = 60.0
# Between two bites the others get their turn at the disk.
_BETWEEN_SECONDS = 0.1
# What was passed over because it was under way is looked at again.
_AFRESH_SECONDS = 3_600.0
_log = structlog.get_logger(__name__)


async def remove_what_is_old(runtime: Runtime) -> None:
    """Prune until cancelled."""
    positions: Positions = {}
    afresh_at = 0.0
    while True:
        if elapsed_seconds() >= afresh_at:
            afresh_at = elapsed_seconds() + _AFRESH_SECONDS
            positions.clear()
        wait_seconds = await _take_bite(runtime, positions)
        await asyncio.sleep(wait_seconds)


async def _take_bite(runtime: Runtime, positions: Positions) -> float:
    """Prune a little; return how many seconds to wait until the next time."""
    try:
        pruned = await prune(runtime, positions)
    except Exception as error:
        note_failure(_log, "prune.failed", error)
        return _NOW_AND_THEN_SECONDS
    return _BETWEEN_SECONDS if pruned.has_more else _NOW_AND_THEN_SECONDS
