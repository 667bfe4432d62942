"""What this worker has reserved: runs that its own ticks have prepared, until their instant.

They are read in the background, a few hundred at a time, while nothing is due yet. What was not
read in time, or is too much to keep, is claimed like any other run.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from app.runtime import Runtime
from app.services.reserving import ReservedRun, rehearse, reserve_runs
from app.worker.failures import note_failure
from app.worker.server_clock import ServerClock

_MOST_KEPT = 20_000
_AT_ONCE = 500
_CONNECTIONS = 3
_log = structlog.get_logger(__name__)


class Reservations:
    """Reserved runs in the order in which they start."""

    def __init__(self, runtime: Runtime, clock: ServerClock, *, worker_id: UUID) -> None:
        self._runtime = runtime
        self._worker_id = worker_id
        self._clock = clock
        self._unread: list[UUID] = []
        # Those that start last come first, so that taking the next ones costs little.
        self._reserved: list[ReservedRun] = []
        self._arrived = asyncio.Event()

    def add(self, run_ids: Sequence[UUID]) -> None:
        """Reserve runs that were just prepared, as many as fit."""
        room = _MOST_KEPT - len(self._unread) - len(self._reserved)
        self._unread.extend(run_ids[: max(room, 0)])
        self._arrived.set()

    def clear(self) -> None:
        """Forget everything: this worker starts nothing any more."""
        self._unread.clear()
        self._reserved.clear()

    def take_due(self, limit: int, *, moment: float) -> list[ReservedRun]:
        """Hand out up to so many whose instant has come; they are not kept."""
        due: list[ReservedRun] = []
        while self._reserved and len(due) < limit and self._is_due(self._reserved[-1], moment):
            due.append(self._reserved.pop())
        return due

    def _is_due(self, run: ReservedRun, moment: float) -> bool:
        left = self._clock.seconds_until(run.starts_at, moment=moment)
        return left is not None and left <= 0

    async def run(self) -> None:
        """Read until cancelled."""
        await self._rehearse()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._unread:
                await self._read_some()

    async def _rehearse(self) -> None:
        try:
            # On as many connections as are in use when a herd starts.
            await asyncio.gather(
                *(rehearse(self._runtime, self._worker_id) for _ in range(_CONNECTIONS))
            )
        except Exception as error:
            note_failure(_log, "run.rehearsal_failed", error)

    async def _read_some(self) -> None:
        run_ids, self._unread = self._unread[:_AT_ONCE], self._unread[_AT_ONCE:]
        try:
            found = await reserve_runs(self._runtime, run_ids)
        except Exception as error:
            # Nothing is lost: they are in the queue.
            note_failure(_log, "run.reserve_failed", error)
            return
        self._reserved.extend(found)
        self._reserved.sort(key=lambda run: run.order, reverse=True)
