"""Put right what a crash, a lost message or a dead worker left behind.

Every worker sweeps every few seconds; any of them may find a thing, and one of them mends it.
"""

from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog
from sqlalchemy import RowMapping

from app.core.ids import Kind, public_id
from app.core.retry import RetryPolicy, may_follow_a_lost_attempt
from app.core.starting import MOST_CRASHES
from app.core.vocabulary import FailureReason, OnWorkerLost, RunReason, RunState
from app.handlers.execution import Failure
from app.runtime import Runtime
from app.services.chaining import start_chained
from app.services.claiming import run_changes
from app.services.finishing import error_record, schedule_changes
from app.services.measuring import measure_lost
from app.services.pausing import pause_failing_schedules
from app.store import queue
from app.store.firing import to_json
from app.store.instants import read_now
from app.store.workers import mark_lost_workers

_BATCH = 1_000
_CHANGE = "LOST"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep found."""

    at: datetime
    lost: int
    unblocked: int
    seconds_to_next: float | None


async def sweep(runtime: Runtime, *, swept_at: datetime | None = None) -> Swept:
    """Take back the runs of dead workers, wake waiting runs, ring when something is due.

    `swept_at` is when this sweeper looked last. Is that longer ago than a lease, then it takes
    nothing back: the whole machine may have slept, or PostgreSQL may have been away.
    """
    lost = await requeue_lost_runs(runtime, swept_at=swept_at)
    async with runtime.database.transaction() as transaction:
        at = await read_now(transaction)
        unblocked = await queue.unblock_idle_runs(transaction)
        unblocked += await queue.release_held_runs(transaction)
        await mark_lost_workers(transaction, lease_seconds=runtime.intervals.lease_seconds)
        seconds_to_next = (await queue.read_next_start(transaction)).seconds
    if seconds_to_next is not None and seconds_to_next <= 0:
        await runtime.doorbell.ring()
    return Swept(at, lost, unblocked, seconds_to_next)


async def requeue_lost_runs(runtime: Runtime, *, swept_at: datetime | None = None) -> int:
    """End the attempts whose lease has expired; queue those runs again that may be tried again."""
    async with runtime.database.transaction() as transaction:
        lost = await queue.lock_lost_runs(
            transaction,
            lease_seconds=runtime.intervals.lease_seconds,
            swept_at=swept_at,
            limit=_BATCH,
        )
        if not lost:
            return 0
        rows, counters = await queue.finish_runs(
            transaction, [_ended(row) for row in lost], change=_CHANGE
        )
        await queue.unblock_runs(transaction, rows)
        chained = await start_chained(transaction, [row["id"] for row in rows])
    changes = [*run_changes(rows, _CHANGE), *schedule_changes(rows, counters), *chained]
    for row in lost:
        _log.warning("run.lost", run_id=public_id(Kind.RUN, row["id"]), worker=row["worker"])
    measure_lost(runtime.metrics, rows, lost)
    await runtime.announce(changes, ring=True)
    await pause_failing_schedules(
        runtime, [row.schedule_id for row in counters if row.consecutive_failures > 0]
    )
    return len(lost)


def _ended(row: RowMapping) -> queue.EndedAttempt:
    """Decide what becomes of a run whose worker is gone."""
    crashes = row["crash_count"] + 1
    state, reason, message = RunState.QUEUED, RunReason.WORKER_LOST, "Its worker was lost."
    if row["cancel_requested_at"] is not None:
        state, reason = RunState.CANCELLED, RunReason.CANCEL_REQUESTED
    elif row["on_worker_lost"] == OnWorkerLost.FAIL or not _may_be_tried_again(row):
        state = RunState.LOST
    elif crashes >= MOST_CRASHES:
        state, reason = RunState.LOST, RunReason.QUARANTINED
        message = f"It has lost {crashes} workers and is not tried again."
    return queue.EndedAttempt(
        id=row["id"],
        fencing_token=row["fencing_token"],
        state=state.value,
        duration_seconds=max(0.0, (row["as_of"] - row["started_at"]).total_seconds()),
        details=to_json(
            {
                "outcome": RunState.LOST.value,
                "worker": row["worker"],
                "reason": reason.value,
                "message": message,
                "error": error_record(_LOST),
                "crashes": 1,
            }
        ),
    )


def _may_be_tried_again(row: RowMapping) -> bool:
    policy = RetryPolicy.from_json(orjson.loads(row["job_retry"]))
    return may_follow_a_lost_attempt(policy, due_at=row["due_at"], as_of=row["as_of"])


_LOST = Failure(FailureReason.WORKER_LOST, "WorkerLost", "The worker gave no sign of life.")


async def find_next_start(runtime: Runtime) -> queue.NextStart:
    """Return when the next queued run is due, by PostgreSQL's clock."""
    async with runtime.database.reading(None) as connection:
        return await queue.read_next_start(connection)
