"""Renew the leases of a worker's runs, on a thread that no run can block.

A hint makes it beat at once, so that a cancel or a drain is quick; without Redis the next ordinary
beat finds what was asked.

The thread has an event loop and a connection of its own, so a Python function that blocks the
worker's loop, or a claim that waits for a lock, never costs a lease. What the answer does not
name is no longer this worker's and is killed at once. While PostgreSQL is away leases cannot be
renewed; runs of at-most-once jobs are then killed when their lease lapses by this machine's own
clock, the others go on, since a lease that was not taken may still be renewed.
"""

import asyncio
import threading
from collections.abc import Callable
from uuid import UUID

import structlog

from app.core.clock import elapsed_seconds
from app.runtime import EngineIntervals
from app.store.control import read_forced_cancels
from app.store.database import Database
from app.store.queue import renew_leases
from app.store.workers import WorkerOrders, beat_worker
from app.worker.failures import note_failure
from app.worker.runner import Runner

_AGAIN_SECONDS = 1.0
_SHORTEST_SECONDS = 0.2
_LEAST_PAUSE_SECONDS = 0.05
_log = structlog.get_logger(__name__)


class Heartbeat:
    """The sign of life of one worker."""

    def __init__(
        self,
        open_database: Callable[[], Database],
        runner: Runner,
        *,
        worker_id: UUID,
        intervals: EngineIntervals,
        on_orders: Callable[[WorkerOrders], None],
    ) -> None:
        self._open_database = open_database
        self._runner = runner
        self._worker_id = worker_id
        self._intervals = intervals
        self._on_orders = on_orders
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._ended = asyncio.Event()
        self._renewed_at = elapsed_seconds()

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def beat_soon(self) -> None:
        """Beat at once: somebody has asked something of a worker or a run."""
        self._wanted.set()

    async def stop(self) -> None:
        """Stop beating and wait for the thread to end."""
        self._stopping.set()
        self._wanted.set()
        await self._ended.wait()

    async def ended(self) -> None:
        """Wait for the thread to end: before it is told to, that is a defect."""
        await self._ended.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._beat_forever())
        except Exception:
            _log.exception("heartbeat.died")
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)

    async def _beat_forever(self) -> None:
        database = self._open_database()
        try:
            while not self._stopping.is_set():
                self._wanted.clear()
                pause_seconds = await self.beat_once(database)
                # However many ask, this is the least time from one beat to the next.
                await asyncio.to_thread(self._stopping.wait, _LEAST_PAUSE_SECONDS)
                await asyncio.to_thread(self._wanted.wait, pause_seconds)
        finally:
            await database.close()

    async def beat_once(self, database: Database) -> float:
        """Beat, and return how long to wait before the next time."""
        begun_at = elapsed_seconds()
        lapses_at = self._renewed_at + self._intervals.lease_seconds
        # An answer must come before the leases lapse: then there is something else to do.
        patience_seconds = max(
            min(self._intervals.heartbeat_seconds, lapses_at - begun_at), _SHORTEST_SECONDS
        )
        try:
            async with asyncio.timeout(patience_seconds):
                await self._beat(database)
        except Exception as error:
            note_failure(_log, "heartbeat.failed", error)
            left_seconds = lapses_at - elapsed_seconds()
            if left_seconds <= 0:
                self._loop.call_soon_threadsafe(self._runner.abandon_at_most_once)
            return max(min(_AGAIN_SECONDS, left_seconds), _SHORTEST_SECONDS)
        # The leases count from a moment that PostgreSQL chose after this one.
        self._renewed_at = begun_at
        return self._intervals.heartbeat_seconds

    async def _beat(self, database: Database) -> None:
        held = self._runner.held
        async with database.transaction() as transaction:
            orders = await beat_worker(transaction, self._worker_id, busy=self._runner.busy)
            own = await renew_leases(
                transaction,
                held,
                worker_id=self._worker_id,
                lease_seconds=self._intervals.lease_seconds,
            )
            asked = [run_id for run_id, is_asked in own.items() if is_asked]
            forced = await read_forced_cancels(transaction, asked) if asked else set()
        self._loop.call_soon_threadsafe(self._obey, orders, held, own, forced)

    def _obey(
        self,
        orders: WorkerOrders,
        held: dict[UUID, int],
        own: dict[UUID, bool],
        forced: set[UUID],
    ) -> None:
        """Do on the worker's loop what the heartbeat has heard."""
        self._on_orders(orders)
        for run_id, token in held.items():
            if run_id not in own:
                self._runner.abandon(run_id, token)
            elif own[run_id]:
                self._runner.cancel(run_id, token, force=run_id in forced)
            elif orders.gives_back:
                self._runner.give_back(run_id, token)
