"""Execute runs: claim up to the free slots, hand each to its handler, give back what came of it.

The runner wakes when it is rung, when a slot becomes free, and by its own timer, set to the
instant at which the next queued run is due; it never polls at a fixed interval. A claim is made
only by `run`, so one claim of this worker never waits for another.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.vocabulary import FailureReason, RunState
from app.handlers.execution import KILL_NOW, Failure, Outcome
from app.handlers.registry import Handlers
from app.runtime import Runtime
from app.services.claiming import Claim, ClaimedRun, claim_runs
from app.services.finishing import FinishedAttempt
from app.services.sweeping import seconds_to_next_start
from app.worker.finisher import Finisher
from app.worker.run_log import RunLog, RunLogWriter

_log = structlog.get_logger(__name__)


class Runner:
    """The slots of one worker."""

    def __init__(
        self, runtime: Runtime, handlers: Handlers, *, worker_id: UUID, worker: str, slots: int
    ) -> None:
        self._runtime = runtime
        self._handlers = handlers
        self._worker_id = worker_id
        self._slots = slots
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        # Until the end of its attempt is written, a run is in this worker's hand.
        self._held: dict[UUID, ClaimedRun] = {}
        self._given_back: set[UUID] = set()
        self._wakened = asyncio.Event()
        self._logs = RunLogWriter(runtime)
        self._finisher = Finisher(runtime, worker=worker, on_written=self._let_go)
        self._draining = False

    @property
    def busy(self) -> int:
        """Return how many runs are being executed."""
        return len(self._tasks)

    @property
    def held(self) -> dict[UUID, int]:
        """Return the runs whose leases are to be renewed, with their fencing tokens."""
        # Another thread asks; copying a dict is one step for the interpreter.
        return {run_id: run.fencing_token for run_id, run in self._held.copy().items()}

    def wake(self) -> None:
        """Say that there may be something to claim."""
        self._wakened.set()

    async def run(self) -> None:
        """Claim and execute until cancelled; `drain` first to end in peace."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._finisher.run())
            group.create_task(self._logs.run())
            group.create_task(self._claim_forever())

    async def drain(self, *, timeout_seconds: float) -> None:
        """Stop claiming, let current work finish, then give the rest back to the queue."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_seconds)
        self._given_back.update(self._tasks)
        remaining = list(self._tasks.values())
        for task in remaining:
            task.cancel()
        if remaining:
            await asyncio.wait(remaining)
        await self._finisher.settle()

    def cancel(self, run_id: UUID) -> None:
        """End a run because somebody asked for it."""
        task = self._tasks.get(run_id)
        if task is not None:
            task.cancel()

    def abandon(self, run_id: UUID, fencing_token: int) -> None:
        """Kill a run at once whose lease is gone: another attempt may already have begun."""
        run, task = self._held.get(run_id), self._tasks.get(run_id)
        if run is not None and task is not None and run.fencing_token == fencing_token:
            _log.warning("run.lease_lost", run_id=str(run_id))
            task.cancel(KILL_NOW)

    def abandon_at_most_once(self) -> None:
        """Kill the runs that must not overlap another attempt: their leases have lapsed here."""
        for run in list(self._held.values()):
            if run.at_most_once:
                self.abandon(run.id, run.fencing_token)

    async def _claim_forever(self) -> None:
        delay = 0.1
        while True:
            self._wakened.clear()
            try:
                wait_seconds = await self._claim_once()
                delay = 0.1
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("database.claim_failed", error=str(error))
                wait_seconds, delay = delay, min(delay * 2, 2.0)
            await self._sleep(wait_seconds)

    async def _claim_once(self) -> float | None:
        """Claim once and return how long to wait before the next claim; None: until woken."""
        free = self._slots - len(self._tasks)
        if self._draining or free <= 0:
            return None
        claimed_at = perf_counter()
        claim = await claim_runs(self._runtime, self._worker_id, limit=free)
        self._start(claim, claimed_at)
        if not claim.exhausted:
            return 0.0
        return await seconds_to_next_start(self._runtime)

    async def _sleep(self, seconds: float | None) -> None:
        if seconds is not None and seconds <= 0:
            # Let the runs just started have a turn before the next claim.
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wakened.wait()
        except TimeoutError:
            pass

    def _start(self, claim: Claim, claimed_at: float) -> None:
        for run in claim.runs:
            self._held[run.id] = run
            task = asyncio.create_task(self._execute(run, claimed_at))
            self._tasks[run.id] = task
            task.add_done_callback(partial(self._account_for, run))

    def _account_for(self, run: ClaimedRun, task: asyncio.Task[None]) -> None:
        """End a run whose task was cancelled before its first step, so that none is forgotten."""
        if task.cancelled() and self._tasks.pop(run.id, None) is not None:
            self._wakened.set()
            given_back = run.id in self._given_back
            self._finisher.add(FinishedAttempt(run, _CANCELLED, 0.0, 0.0, given_back=given_back))

    async def _execute(self, run: ClaimedRun, claimed_at: float) -> None:
        """Execute one attempt and hand its end to the finisher, whatever happens."""
        log = self._logs.open(run)
        entered_at = perf_counter()
        try:
            outcome = await self._handlers.execute(run.execution, log)
        except asyncio.CancelledError:
            outcome = _CANCELLED
        except Exception as error:
            _log.exception("handler.failed", run_id=str(run.id))
            outcome = _broken(error)
        ended_at = perf_counter()
        self._tasks.pop(run.id, None)
        self._logs.close(log)
        self._wakened.set()
        self._finisher.add(
            _finished(
                run,
                log,
                outcome,
                entered_at - claimed_at,
                ended_at - entered_at,
                given_back=run.id in self._given_back and outcome is _CANCELLED,
            )
        )

    def _let_go(self, run_ids: Sequence[UUID]) -> None:
        for run_id in run_ids:
            self._held.pop(run_id, None)
            self._given_back.discard(run_id)


_CANCELLED = Outcome(
    RunState.CANCELLED,
    error=Failure(FailureReason.ERROR, "Cancelled", "The run was cancelled."),
)


def _broken(error: Exception) -> Outcome:
    """Return the outcome of an attempt that our own code failed."""
    return Outcome(
        RunState.FAILED,
        error=Failure(FailureReason.ERROR, type(error).__name__, str(error) or repr(error)),
    )


def _finished(
    run: ClaimedRun,
    log: RunLog,
    outcome: Outcome,
    entry_seconds: float,
    duration_seconds: float,
    *,
    given_back: bool,
) -> FinishedAttempt:
    progress = log.last_progress
    return FinishedAttempt(
        run=run,
        outcome=outcome,
        entry_seconds=entry_seconds,
        duration_seconds=duration_seconds,
        progress=None if progress is None else progress.progress,
        progress_message=None if progress is None else progress.message,
        log=log.take_chunk(),
        given_back=given_back,
    )
