"""A worker process from its start to its end.

It opens the runtime, registers itself, and runs its loops until it is told to stop; then it stops
firing and claiming, lets current work finish, gives the rest back, and says goodbye.
"""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterable
from contextlib import aclosing, suppress
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import __version__
from app.config import Settings
from app.core.vocabulary import WorkerRequest, WorkerState
from app.handlers.registry import Handlers
from app.handlers.survivors import end_survivors
from app.handlers.task_modules import load_modules
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.services import own_functions
from app.services.backfills import advance_backfills
from app.services.endpoint_tokens import SharedTokens
from app.services.firing import fire_due
from app.services.health.watchdog import Watchdog
from app.services.notifications.notifier import Notifier
from app.services.workers import mark_worker, register_worker
from app.store.database import Database
from app.store.workers import WorkerIdentity, WorkerOrders
from app.worker.arq_worker import run_arq_worker
from app.worker.backfiller import carry_backfills_on
from app.worker.health import serve_health
from app.worker.heartbeat import Heartbeat
from app.worker.ledger import complete_ledger
from app.worker.monitor import monitor_health
from app.worker.pruner import remove_what_is_old
from app.worker.runner import Runner
from app.worker.sweeper import Sweeper
from app.worker.ticker import Ticker
from app.worker.zones import follow_zone_rules

_DRAIN_SECONDS = 30.0
_CANCEL_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Leave:
    """The word to end, and how: from a signal, or from those who control the instance."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.drain_seconds = _DRAIN_SECONDS
        self.restarts = False

    def on_signal(self) -> None:
        """End; whoever sends signals also starts processes."""
        self.restarts = False
        self.asked.set()

    def on_orders(self, orders: WorkerOrders) -> None:
        """End when asked to, for good or to begin anew."""
        if not orders.drains or self.asked.is_set():
            return
        if orders.drain_seconds is not None:
            self.drain_seconds = orders.drain_seconds
        self.restarts = orders.asked_to is WorkerRequest.RESTART
        self.asked.set()


async def run_worker(settings: Settings) -> bool:
    """Fire and execute until told to stop; return whether to begin anew as a new process."""
    _collect_garbage_rarely()
    leave = Leave()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.on_signal)
    async with open_runtime(settings) as runtime:
        load_modules([own_functions.__name__])
        handlers = await Handlers.open(
            runtime.handler_options, tokens=SharedTokens(runtime), instance=runtime
        )
        try:
            await asyncio.to_thread(end_survivors)
            await _serve(settings, runtime, handlers, leave)
        finally:
            await handlers.close()
    return leave.restarts


def _collect_garbage_rarely() -> None:
    """Let a herd not be looked through for cycles, of which it has none, all the while.

    What is loaded by now stays for good.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def tick_once(settings: Settings) -> None:
    """Fire what is due now, for those who start it from a cron of their own."""
    async with open_runtime(settings) as runtime:
        fired = await fire_due(runtime)
        await advance_backfills(runtime)
        _log.info("tick.done", schedules=fired.schedules, runs=fired.runs)


async def _serve(settings: Settings, runtime: Runtime, handlers: Handlers, leave: Leave) -> None:
    worker = WorkerIdentity(
        id=new_id(),
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        slots=settings.worker_slots,
        confinement=handlers.confinement.as_json(),
    )
    worker_id = worker.id
    runner = Runner(runtime, handlers, worker_id=worker_id, worker=worker.name, slots=worker.slots)
    ticker = Ticker(runtime, runner, worker_id=worker_id)
    heartbeat = Heartbeat(
        partial(_heartbeat_database, settings),
        runner,
        worker_id=worker_id,
        intervals=runtime.intervals,
        on_orders=leave.on_orders,
    )
    async with serve_health(
        settings.worker_host,
        settings.worker_port,
        is_ready=partial(_is_ready, runtime),
        metrics=runtime.metrics,
    ):
        if not await _register(runtime, worker, leave.asked):
            return
        up = runtime.metrics.worker_up.labels(worker.name)
        up.set(1)
        runtime.metrics.follow_slots(worker.slots, lambda: runner.busy)
        _log.info("worker.started", worker_id=str(worker_id), slots=settings.worker_slots)
        heartbeat.start()
        bell = run_arq_worker(
            settings.redis_url, prefix=settings.redis_prefix, tick=ticker.tick, ring=runner.wake
        )
        beside = [
            asyncio.create_task(loop)
            for loop in (
                follow_zone_rules(runtime),
                Watchdog(runtime).run(),
                Notifier(runtime).run(),
                monitor_health(runtime),
            )
        ]
        finding = [
            asyncio.create_task(loop)
            for loop in (
                bell,
                ticker.run(),
                Sweeper(runtime, runner).run(),
                carry_backfills_on(runtime),
                remove_what_is_old(runtime),
                complete_ledger(runtime),
            )
        ]
        running = [
            asyncio.create_task(loop)
            for loop in (runner.run(), heartbeat.ended(), _beat_when_hinted(runtime, heartbeat))
        ]
        defect = await _until_stopped(leave.asked, [*finding, *running])
        # First of all, and before anything that waits: from here on nothing fires or starts here.
        ticker.stop()
        runner.stop_claiming()
        up.set(0)
        await _say(runtime, worker, WorkerState.DRAINING)
        # Rings and ticks are for those who go on.
        await _cancel([*beside, *finding])
        await runner.drain(timeout_seconds=leave.drain_seconds)
        await heartbeat.stop()
        await _cancel(running)
        await _say(runtime, worker, WorkerState.STOPPED)
        _log.info("worker.stopped", worker_id=str(worker_id))
        if defect is not None:
            raise defect


async def _register(runtime: Runtime, worker: WorkerIdentity, stop: asyncio.Event) -> bool:
    """Register as soon as PostgreSQL answers; return False when told to stop before that."""
    while not stop.is_set():
        try:
            await register_worker(runtime, worker)
            return True
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("database.unavailable", error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=1.0)
    return False


async def _until_stopped(
    stop: asyncio.Event, loops: list[asyncio.Task[None]]
) -> BaseException | None:
    """Wait for the word to stop.

    A loop that ends by itself is a defect: it is returned, and ends the process, so that whoever
    supervises it starts a new one.
    """
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task in done - {stopped}:
        error = None if task.cancelled() else task.exception()
        defect = error or RuntimeError("A loop of the worker has ended by itself.")
        _log.critical("worker.broken", exc_info=defect)
        return defect
    return None


async def _cancel(loops: Iterable[asyncio.Task[None]]) -> None:
    """Cancel as often as it takes: a library may mistake one for an error of its own."""
    left = set(loops)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_SECONDS)


async def _beat_when_hinted(runtime: Runtime, heartbeat: Heartbeat) -> None:
    async with aclosing(runtime.worker_channel.hints()) as hints:
        async for _ in hints:
            heartbeat.beat_soon()


def _heartbeat_database(settings: Settings) -> Database:
    return Database.open(
        settings.database_url,
        pool_size=1,
        statement_timeout_seconds=settings.heartbeat_seconds,
    )


async def _is_ready(runtime: Runtime) -> bool:
    try:
        async with asyncio.timeout(2), runtime.database.reading(None) as connection:
            await connection.connection()
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


async def _say(runtime: Runtime, worker: WorkerIdentity, state: WorkerState) -> None:
    try:
        await mark_worker(runtime, worker.id, state)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        _log.warning("database.goodbye_failed", error=str(error))
