"""Tick: once a second, from arq's cron, and from a timer of our own when arq is silent.

arq's cron may run a tick twice, late or not at all (it lives in Redis); firing does not care. With
no tick for a second and a half this worker ticks by itself.
"""

import asyncio
from uuid import UUID

import structlog

from app.core.clock import elapsed_seconds, utc_now
from app.runtime import Runtime
from app.services.firing import fire_due
from app.services.recording import Fired
from app.services.workers import note_tick
from app.worker.failures import note_failure
from app.worker.runner import Runner

_LONGEST_SILENCE_SECONDS = 1.5
_log = structlog.get_logger(__name__)


class Ticker:
    """The ticks of one worker; one at a time."""

    def __init__(self, runtime: Runtime, runner: Runner, *, worker_id: UUID) -> None:
        self._runtime = runtime
        self._runner = runner
        self._worker_id = worker_id
        self._last_tick_at = elapsed_seconds()
        self._ticking = asyncio.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Stop firing; a tick under way ends in its own time."""
        self._stopped = True

    async def tick(self) -> Fired:
        """Fire what is due, unless a tick of this worker is under way."""
        if self._ticking.locked() or self._stopped:
            return Fired()
        metrics = self._runtime.metrics
        async with self._ticking:
            self._last_tick_at = elapsed_seconds()
            try:
                fired = await fire_due(self._runtime, on_batch=self._hand_over)
                await note_tick(self._runtime, self._worker_id)
            except Exception as error:
                note_failure(_log, "tick.failed", error)
                metrics.ticks_failed.inc()
                return Fired()
            metrics.tick_duration.observe([elapsed_seconds() - self._last_tick_at])
            metrics.last_tick.set(utc_now().timestamp())
        if fired.runs:
            self._runner.wake()
        return fired

    def _hand_over(self, fired: Fired) -> None:
        self._runner.reserve(fired.queued)

    async def run(self) -> None:
        """Tick whenever arq has been silent for too long, until cancelled."""
        while True:
            silent_for = elapsed_seconds() - self._last_tick_at
            if silent_for >= _LONGEST_SILENCE_SECONDS:
                await self.tick()
                silent_for = 0.0
            await asyncio.sleep(max(_LONGEST_SILENCE_SECONDS - silent_for, 0.1))
