"""Group commit: while one batch of ended attempts is being written, the next one gathers.

An attempt stays in its worker's hand, and its lease is renewed, until its end is written. While
PostgreSQL is away the batch is tried again for as long as it takes; if another worker has taken a
run over in the meantime, the fencing token turns the late write into nothing.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from app.core.ids import Kind, public_id
from app.runtime import Runtime
from app.services.claiming import ClaimedRun
from app.services.finished_attempts import FinishedAttempt
from app.services.finishing import finish_attempts
from app.store.database import is_refused
from app.worker.failures import GrowingDelay, note_failure

_MOST_AT_ONCE = 500
_log = structlog.get_logger(__name__)


class Finisher:
    """Writes the ends of attempts; `on_written` is told which runs have left this worker's hand."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        worker: str,
        on_written: Callable[[Sequence[ClaimedRun]], None],
    ) -> None:
        self._runtime = runtime
        self._worker = worker
        self._on_written = on_written
        self._pending: list[FinishedAttempt] = []
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, finished: FinishedAttempt) -> None:
        """Take the end of an attempt; it is written with the next batch."""
        self._pending.append(finished)
        self._empty.clear()
        self._arrived.set()

    async def settle(self, *, timeout_seconds: float) -> bool:
        """Wait until everything taken so far is written; return False if it could not be."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._pending = (
                self._pending[:_MOST_AT_ONCE],
                self._pending[_MOST_AT_ONCE:],
            )
            if not self._pending:
                self._arrived.clear()
            await self._write(batch)
            self._on_written([finished.run for finished in batch])
            if not self._pending:
                self._empty.set()

    async def _write(self, batch: Sequence[FinishedAttempt], *, stripped: bool = False) -> None:
        delay = GrowingDelay(0.1, 2.0)
        while True:
            try:
                await finish_attempts(self._runtime, batch, worker=self._worker)
                return
            except Exception as error:
                note_failure(_log, "run.finish_failed", error)
                if is_refused(error):
                    break
            await asyncio.sleep(delay.grow())
        await self._write_apart(batch, stripped=stripped)

    async def _write_apart(self, batch: Sequence[FinishedAttempt], *, stripped: bool) -> None:
        """Find the end that was refused: it must not hold up the others.

        Nor may its run be executed again because of it, so it ends without what it has said.
        """
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._write(batch[:middle], stripped=stripped)
            await self._write(batch[middle:], stripped=stripped)
        elif not stripped:
            await self._write([batch[0].stripped()], stripped=True)
        else:
            _log.error("run.end_refused", run_id=public_id(Kind.RUN, batch[0].run.id))
