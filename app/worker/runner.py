"""Execute runs: claim up to the free slots, hand each to its handler, give back what came of it.

The runner wakes when it is rung, when a slot becomes free, and by its own timer, set to the
instant at which the next queued run is due; it never polls at a fixed interval. A claim is made
only by `run`, so one claim of this worker never waits for another.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import structlog

from app.core.ids import Kind, public_id
from app.core.vocabulary import FailureReason, RunState
from app.handlers.execution import KILL_NOW, Failure, Outcome
from app.handlers.registry import Handlers
from app.runtime import Runtime
from app.services.claiming import Claim, ClaimedRun, claim_runs
from app.services.finished_attempts import FinishedAttempt
from app.services.reserving import start_reserved
from app.services.sweeping import find_next_start
from app.worker.failures import GrowingDelay, note_failure
from app.worker.finisher import Finisher
from app.worker.reservations import Reservations
from app.worker.run_log import RunLog, RunLogWriter
from app.worker.server_clock import ServerClock

# After a handler was told to end: a process gets its grace, and then the signal it cannot ignore.
_KILL_SECONDS = 15.0
# For the ends of runs to be written; without PostgreSQL their leases lapse.
_SETTLE_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class Attempt(NamedTuple):
    """What names an attempt; a run may be in one worker's hand twice, if it slept too long."""

    run_id: UUID
    fencing_token: int


class Runner:
    """The slots of one worker."""

    def __init__(
        self, runtime: Runtime, handlers: Handlers, *, worker_id: UUID, worker: str, slots: int
    ) -> None:
        self._runtime = runtime
        self._handlers = handlers
        self._worker_id = worker_id
        self._slots = slots
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}
        # Until its end is written, an attempt is in this worker's hand.
        self._held: dict[Attempt, ClaimedRun] = {}
        # What becomes of the attempts that were told to end.
        self._endings: dict[Attempt, Outcome] = {}
        self._wakened = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._held_up = GrowingDelay(0.01, 0.5)
        self._clock = ServerClock()
        self._reservations = Reservations(runtime, self._clock, worker_id=worker_id)
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
        # Another thread asks; copying a dict is one step for the interpreter. The newest attempt
        # of a run comes last, and wins.
        return {attempt.run_id: attempt.fencing_token for attempt in self._held.copy()}

    def wake(self) -> None:
        """Say that there may be something to claim."""
        self._wakened.set()

    def reserve(self, run_ids: Sequence[UUID]) -> None:
        """Keep in mind runs that are soon due, so as to lose no time then."""
        if not self._draining:
            self._reservations.add(run_ids)

    async def run(self) -> None:
        """Claim and execute until cancelled; `drain` first to end in peace."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._finisher.run())
            group.create_task(self._logs.run())
            group.create_task(self._reservations.run())
            group.create_task(self._claim_forever())

    async def drain(self, *, timeout_seconds: float) -> None:
        """Stop claiming, let current work finish, then give the rest back to the queue.

        Ends in bounded time, also without PostgreSQL: what could not be written lapses.
        """
        self.stop_claiming()
        with suppress(TimeoutError):
            # What a claim under way is given must be among the tasks.
            async with asyncio.timeout(_SETTLE_SECONDS), self._claiming:
                pass
        await self._tasks_ended(timeout_seconds)
        for attempt in list(self._tasks):
            self._end(attempt, _GIVEN_BACK)
        await self._tasks_ended(_KILL_SECONDS)
        await self._logs.flush()
        if self._tasks or not await self._finisher.settle(timeout_seconds=_SETTLE_SECONDS):
            _log.warning("worker.runs_left", runs=len(self._held))

    def stop_claiming(self) -> None:
        """Take nothing new from now on."""
        self._draining = True
        self._reservations.clear()

    def cancel(self, run_id: UUID, fencing_token: int, *, force: bool = False) -> None:
        """End a run because somebody asked for it; by force: without grace."""
        self._end(Attempt(run_id, fencing_token), _KILLED if force else _CANCELLED)

    def give_back(self, run_id: UUID, fencing_token: int) -> None:
        """End a run that is to begin again elsewhere or later."""
        self._end(Attempt(run_id, fencing_token), _GIVEN_BACK)

    def abandon(self, run_id: UUID, fencing_token: int) -> None:
        """Kill a run at once whose lease is gone: another attempt may already have begun."""
        attempt = Attempt(run_id, fencing_token)
        if attempt in self._tasks and self._endings.get(attempt) is not _LOST:
            _log.warning("run.lease_lost", run_id=public_id(Kind.RUN, run_id))
            self._end(attempt, _LOST)

    def abandon_at_most_once(self) -> None:
        """Kill the runs that must not overlap another attempt: their leases have lapsed here."""
        for attempt, run in list(self._held.items()):
            if run.at_most_once:
                self.abandon(*attempt)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Tell an attempt to end, once: a second word would disturb its tidying up.

        Unless that word is to make short work of it.
        """
        task, told = self._tasks.get(attempt), self._endings.get(attempt)
        is_urgent = outcome is _LOST or outcome is _KILLED
        if task is None or told is _LOST or told is outcome or (told is not None and not is_urgent):
            return
        self._endings[attempt] = outcome
        if told is None:
            task.add_done_callback(partial(self._account_for, attempt, self._held[attempt]))
        task.cancel(KILL_NOW if is_urgent else None)

    async def _tasks_ended(self, timeout_seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout_seconds)

    async def _claim_forever(self) -> None:
        failed = GrowingDelay(0.1, 2.0)
        while True:
            self._wakened.clear()
            try:
                wait_seconds = await self._claim_once()
                failed.reset()
            except Exception as error:
                note_failure(_log, "run.claim_failed", error)
                wait_seconds = failed.grow()
            await self._sleep(wait_seconds)

    async def _claim_once(self) -> float | None:
        """Claim once and return how long to wait before the next claim; None: until woken."""
        free = self._slots - len(self._tasks)
        if self._draining or free <= 0:
            return None
        async with self._claiming:
            claim = await self._start_reserved(free)
            if claim is None:
                claimed_at = perf_counter()
                claim = await claim_runs(self._runtime, self._worker_id, limit=free)
                self._start(claim, claimed_at)
        if claim.settled:
            self._held_up.reset()
            if not claim.exhausted:
                return 0.0
        asked_at = perf_counter()
        seconds, as_of = await find_next_start(self._runtime)
        self._clock.note(as_of, asked_at=asked_at, answered_at=perf_counter())
        if seconds is not None and seconds <= 0 and not claim.settled:
            # Somebody else holds what is due. Usually for a moment; but they may have been stopped.
            return self._held_up.grow()
        return seconds

    async def _start_reserved(self, limit: int) -> Claim | None:
        """Start what this worker has reserved and is due; None when nothing of that starts."""
        claimed_at = perf_counter()
        reserved = self._reservations.take_due(limit, moment=claimed_at)
        if not reserved:
            return None
        claim = await start_reserved(self._runtime, self._worker_id, reserved, limit=limit)
        self._start(claim, claimed_at)
        return claim if claim.runs else None

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
        if perf_counter() - claimed_at > self._runtime.intervals.lease_seconds:
            # This process was stopped in between: the runs are not its own any more.
            _log.warning("run.claim_too_late", runs=len(claim.runs))
            return
        earlier = self._abandon_earlier(claim)
        for run in claim.runs:
            attempt = Attempt(run.id, run.fencing_token)
            self._held[attempt] = run
            self._tasks[attempt] = asyncio.create_task(
                self._execute(attempt, run, claimed_at, earlier.get(run.id, ()))
            )

    def _abandon_earlier(self, claim: Claim) -> dict[UUID, list[asyncio.Task[None]]]:
        """Kill what this worker still has of runs that it was given anew: it slept too long."""
        claimed = {run.id for run in claim.runs}
        earlier: dict[UUID, list[asyncio.Task[None]]] = {}
        for attempt in [attempt for attempt in self._tasks if attempt.run_id in claimed]:
            self.abandon(*attempt)
            earlier.setdefault(attempt.run_id, []).append(self._tasks[attempt])
        return earlier

    def _account_for(self, attempt: Attempt, run: ClaimedRun, task: asyncio.Task[None]) -> None:
        """End a run whose task was cancelled before its first step, so that none is forgotten."""
        if self._tasks.pop(attempt, None) is None:
            return
        self._wakened.set()
        outcome = self._endings.get(attempt, _CANCELLED)
        self._finisher.add(
            FinishedAttempt(run, outcome, 0.0, 0.0, given_back=outcome is _GIVEN_BACK)
        )

    async def _execute(
        self,
        attempt: Attempt,
        run: ClaimedRun,
        claimed_at: float,
        earlier: Sequence[asyncio.Task[None]],
    ) -> None:
        """Execute one attempt and hand its end to the finisher, whatever happens."""
        log = self._logs.open(run)
        entered_at = perf_counter()
        try:
            if earlier:
                await asyncio.wait(earlier)
                entered_at = perf_counter()
            outcome = run.refusal or await self._handlers.execute(run.execution, log)
        except asyncio.CancelledError:
            outcome = self._endings.get(attempt, _CANCELLED)
        except Exception as error:
            _log.exception("handler.failed", run_id=public_id(Kind.RUN, run.id))
            outcome = _broken(error)
        ended_at = perf_counter()
        self._tasks.pop(attempt, None)
        self._logs.close(log)
        self._wakened.set()
        self._finisher.add(
            _finished(run, log, outcome, entered_at - claimed_at, ended_at - entered_at)
        )

    def _let_go(self, runs: Sequence[ClaimedRun]) -> None:
        for run in runs:
            attempt = Attempt(run.id, run.fencing_token)
            self._held.pop(attempt, None)
            self._endings.pop(attempt, None)
        # Their ends may have let others start, or have put them into the queue again.
        self._wakened.set()


_CANCELLED = Outcome(
    RunState.CANCELLED,
    error=Failure(FailureReason.ERROR, "Cancelled", "The run was cancelled."),
)
_KILLED = Outcome(
    RunState.CANCELLED,
    error=Failure(FailureReason.ERROR, "Cancelled", "The run was cancelled by force."),
)
_GIVEN_BACK = Outcome(
    RunState.CANCELLED,
    error=Failure(FailureReason.WORKER_LOST, "GivenBack", "Its worker was told to stop."),
)
_LOST = Outcome(
    RunState.LOST,
    error=Failure(FailureReason.WORKER_LOST, "LeaseLost", "Its worker could not renew its lease."),
)


def _broken(error: Exception) -> Outcome:
    """Return the outcome of an attempt that our own code failed."""
    return Outcome(
        RunState.FAILED,
        error=Failure(FailureReason.ERROR, type(error).__name__, str(error) or repr(error)),
    )


def _finished(
    run: ClaimedRun, log: RunLog, outcome: Outcome, entry_seconds: float, duration_seconds: float
) -> FinishedAttempt:
    progress = log.last_progress
    return FinishedAttempt(
        run=run,
        outcome=outcome,
        entry_seconds=entry_seconds,
        duration_seconds=duration_seconds,
        progress=None if progress is None else progress.progress,
        progress_message=None if progress is None else progress.message,
        log=log.rest(),
        given_back=outcome is _GIVEN_BACK,
    )
