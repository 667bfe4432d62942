"""Group commit: while one batch of ended attempts is being written, the next one gathers.

An attempt stays in its worker's hand, and its lease is renewed, until its end is written. While
PostgreSQL is away the batch is tried again for as long as it takes; if another worker has taken a
run over in the meantime, the fencing token turns the late write into nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.runtime import Runtime
from app.services.finishing import FinishedAttempt, finish_attempts

_MOST_AT_ONCE = 500
_log = structlog.get_logger(__name__)


class Finisher:
    """Writes the ends of attempts; `on_written` is told which runs have left this worker's hand."""

    def __init__(
        self, runtime: Runtime, *, worker: str, on_written: Callable[[Sequence[UUID]], None]
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

    async def settle(self) -> None:
        """Wait until everything taken so far is written."""
        await self._empty.wait()

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
            self._on_written([finished.run.id for finished in batch])
            if not self._pending:
                self._empty.set()

    async def _write(self, batch: list[FinishedAttempt]) -> None:
        delay = 0.1
        while True:
            try:
                await finish_attempts(self._runtime, batch, worker=self._worker)
                return
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                if isinstance(error, DBAPIError) and _is_refused(error) and len(batch) > 1:
                    # One bad value must not hold up the others: write them one by one.
                    for finished in batch:
                        await self._write([finished])
                    return
                if isinstance(error, DBAPIError) and _is_refused(error):
                    _log.exception("run.end_refused", run_id=str(batch[0].run.id))
                    return
                _log.warning("database.finish_failed", error=str(error), runs=len(batch))
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)


def _is_refused(error: DBAPIError) -> bool:
    """Return whether PostgreSQL refused the values, so that repeating them cannot help."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] in {"22", "23"}
