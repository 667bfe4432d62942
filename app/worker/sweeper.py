"""Sweep every few seconds."""

import asyncio
from datetime import datetime

import structlog

from app.core.clock import elapsed_seconds
from app.handlers.survivors import end_survivors
from app.runtime import Runtime
from app.services.auditing import seal_audit
from app.services.controlling import settle_control
from app.services.schedules.probing import probe_paused_schedules
from app.services.schedules.timed_pauses import resume_ended_pauses
from app.services.sweeping import Swept, sweep
from app.worker.failures import note_failure
from app.worker.runner import Runner

_log = structlog.get_logger(__name__)


class Sweeper:
    """The sweeps of one worker.

    After its own connection was lost, or after it slept, it does not sweep for one full lease: the
    others may have been cut off as well, and must have the time to renew what is theirs.
    """

    def __init__(self, runtime: Runtime, runner: Runner) -> None:
        self._runtime = runtime
        self._runner = runner
        self._not_before = 0.0
        self._swept_at: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._runtime.intervals.sweep_seconds)
            if elapsed_seconds() >= self._not_before:
                await self._sweep_once()

    async def _sweep_once(self) -> None:
        try:
            swept = await sweep(self._runtime, swept_at=self._swept_at)
            await resume_ended_pauses(self._runtime)
            await probe_paused_schedules(self._runtime)
            await settle_control(self._runtime)
            await seal_audit(self._runtime)
        except Exception as error:
            note_failure(_log, "sweep.failed", error)
            self._hold_off()
            # Waiting runs must not wait for a lease: the runner's own claim needs no sweep.
            self._runner.wake()
            return
        self._look_out(swept)
        if swept.lost:
            await asyncio.to_thread(end_survivors)
        next_sweep = self._runtime.intervals.sweep_seconds
        is_soon = swept.seconds_to_next is not None and swept.seconds_to_next <= next_sweep
        if swept.lost or swept.unblocked or is_soon:
            # The runner sets its timer to what is due before the next sweep.
            self._runner.wake()

    def _look_out(self, swept: Swept) -> None:
        """Hold off if PostgreSQL's clock has run on for longer than a lease between two looks."""
        before, self._swept_at = self._swept_at, swept.at
        if before is not None:
            gap_seconds = (swept.at - before).total_seconds()
            if gap_seconds > self._runtime.intervals.lease_seconds:
                self._hold_off()

    def _hold_off(self) -> None:
        # Then the gap is explained, and the next look is a first one.
        self._not_before = elapsed_seconds() + self._runtime.intervals.lease_seconds
        self._swept_at = None
