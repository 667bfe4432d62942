"""Sweep every few seconds."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.clock import elapsed_seconds
from app.runtime import Runtime
from app.services.schedules.timed_pauses import resume_ended_pauses
from app.services.sweeping import sweep
from app.worker.runner import Runner

_log = structlog.get_logger(__name__)


class Sweeper:
    """The sweeps of one worker.

    After this worker's own connection was lost it does not sweep for one full lease: the others
    may have been cut off as well, and must have the time to renew what is theirs.
    """

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner
        self._not_before = 0.0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._runtime.intervals.sweep_seconds)
            if elapsed_seconds() >= self._not_before:
                await self._sweep_once()

    async def _sweep_once(self) -> None:
        try:
            swept = await sweep(self._runtime)
            await resume_ended_pauses(self._runtime)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("database.sweep_failed", error=str(error))
            self._not_before = elapsed_seconds() + self._runtime.intervals.lease_seconds
            # Waiting runs must not wait for a lease: the runner's own claim needs no sweep.
            self._runner.wake()
            return
        if swept.lost or swept.unblocked or (swept.seconds_to_next or 1.0) <= 0:
            self._runner.wake()
