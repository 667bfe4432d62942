"""The queue of runs: claims, leases, ends.

Every statement here is one whose locking matters; each lies in a file that says what it locks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlmodel import col, select

from app.core.starting import Allowance, Busyness
from app.core.vocabulary import RunState
from app.models import Run
from app.store.database import ReadConnection, Transaction
from app.store.firing import as_columns


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """A queued run that will never start."""

    id: UUID
    state: str
    reason: str
    message: str | None = None


class EndedAttempt(NamedTuple):
    """The end of one attempt, as its worker saw it, and the state its run takes.

    Durations were measured on a monotonic clock: `entry_seconds` from the claim to the entry into
    the handler, `duration_seconds` from there to the end.
    """

    id: UUID
    fencing_token: int
    state: str
    entry_seconds: float = 0.0
    duration_seconds: float = 0.0
    # JSON, for those few that have anything to add: any of `outcome` (the attempt's state, where
    # it is not the run's), `worker`, `reason`, `message`, `error`, `result`, `crashes`,
    # `given_back`, `delay_seconds`, `progress`, `progress_message`, `exit_code` and `http_status`.
    details: str | None = None


@dataclass(frozen=True, slots=True)
class CountedSchedule:
    """The counters of a schedule after the ends of some of its runs."""

    schedule_id: UUID
    revision: int
    consecutive_failures: int


async def lock_startable_runs(
    transaction: Transaction, *, worker_id: UUID, limit: int
) -> Sequence[RowMapping]:
    """Lock queued runs that are due, in the order in which they would start.

    None while the instance starts nothing, or for a worker that drains.
    """
    result = await transaction.run_file(
        "lock_startable_runs", {"worker_id": worker_id, "limit": limit}
    )
    return result.mappings().all()


async def read_busy_schedules(
    transaction: Transaction, schedule_ids: Iterable[UUID], candidate_ids: Iterable[UUID]
) -> dict[UUID, Busyness]:
    """Return what else those schedules have under way."""
    ids = list(schedule_ids)
    if not ids:
        return {}
    result = await transaction.run_file(
        "read_busy_schedules", {"schedule_ids": ids, "candidate_ids": list(candidate_ids)}
    )
    busy: defaultdict[UUID, Busyness] = defaultdict(Busyness)
    for row in result:
        facts = busy[row.schedule_id]
        if row.is_running:
            facts.running.append(row.id)
        else:
            facts.waiting.append((row.tier, row.next_attempt_at, row.id))
    return busy


async def lock_job_slots(transaction: Transaction, job_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Hold jobs that have a concurrency limit and return how many more runs each may start."""
    ids = sorted(set(job_ids))
    if not ids:
        return {}
    limits = (await transaction.run_file("lock_limited_jobs", {"job_ids": ids})).all()
    counted = await transaction.run_file("count_running_of_jobs", {"job_ids": ids})
    running = {row.job_id: row.running for row in counted}
    return {
        row.id: row.concurrency_limit - running.get(row.id, 0)
        for row in limits
        if row.concurrency_limit is not None
    }


async def lock_queue_slots(transaction: Transaction, names: Iterable[str]) -> dict[str, int]:
    """Hold queues that are paused or have a limit; return how many more runs each may start."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    limits = (await transaction.run_file("lock_queues", {"names": wanted})).all()
    counted = await transaction.run_file("count_running_of_queues", {"names": wanted})
    running = {row.name: row.running for row in counted}
    return {
        row.name: 0 if row.paused else row.concurrency_limit - running.get(row.name, 0)
        for row in limits
    }


async def lock_allowances(
    transaction: Transaction, schedule_ids: Iterable[UUID]
) -> dict[UUID, Allowance]:
    """Hold schedules that have a spacing or a maxRuns, and return what they still allow."""
    ids = sorted(set(schedule_ids))
    if not ids:
        return {}
    result = await transaction.run_file("lock_limited_schedules", {"schedule_ids": ids})
    return {
        row.id: Allowance(
            row.as_of,
            row.runs_left,
            None if row.spacing_seconds is None else timedelta(seconds=row.spacing_seconds),
            row.last_start_at,
        )
        for row in result
    }


async def count_started(
    transaction: Transaction, allowances: Mapping[UUID, Allowance]
) -> Sequence[RowMapping]:
    """Note what starts in schedules with a limit; `completes`: maxRuns is through with that.

    Return those whose runs were counted.
    """
    if not allowances:
        return []
    result = await transaction.run_file(
        "count_started",
        {
            "schedule_id": list(allowances),
            "runs": [allowance.runs_used for allowance in allowances.values()],
            "last_start_at": [allowance.last_start_at for allowance in allowances.values()],
        },
    )
    return [row for row in result.mappings() if row["runs"] > 0]


async def has_crashing_run(transaction: Transaction, worker_id: UUID, *, crashes: int) -> bool:
    """Return whether a worker holds a run that has lost at least so many workers."""
    query = select(Run.id).where(
        col(Run.worker_id) == worker_id,
        col(Run.state) == RunState.RUNNING,
        col(Run.crash_count) >= crashes,
    )
    return (await transaction.exec(query.limit(1))).first() is not None


async def start_runs(
    transaction: Transaction,
    previous_success: Mapping[UUID, datetime | None],
    *,
    worker_id: UUID,
    lease_seconds: float,
) -> dict[UUID, RowMapping]:
    """Give runs to a worker; the keys of `previous_success` are their ids."""
    if not previous_success:
        return {}
    result = await transaction.run_file(
        "start_runs",
        {
            "id": list(previous_success),
            "previous_success_for": list(previous_success.values()),
            "worker_id": worker_id,
            "lease_seconds": lease_seconds,
        },
    )
    return {row["id"]: row for row in result.mappings()}


async def close_queued_runs(
    transaction: Transaction, closed: Sequence[ClosedRun]
) -> Sequence[RowMapping]:
    """End queued runs that will never start."""
    if not closed:
        return []
    result = await transaction.run_file("close_queued_runs", as_columns(closed, ClosedRun))
    return result.mappings().all()


async def block_runs(
    transaction: Transaction, run_ids: Sequence[UUID], *, on_queue: bool = False
) -> None:
    """Move runs that must wait, for their schedule or job or queue, out of the queue's way."""
    if run_ids:
        await transaction.run_file("block_runs", {"ids": list(run_ids), "on_queue": on_queue})


async def release_held_runs(transaction: Transaction, names: Iterable[str] | None = None) -> int:
    """Let runs be judged again for which these queues, or any, have room; at most 1,000 each."""
    wanted = None if names is None else sorted(set(names))
    if wanted == []:
        return 0
    result = await transaction.run_file("release_held_runs", {"names": wanted})
    return result.rowcount


async def unblock_runs(transaction: Transaction, ended: Sequence[RowMapping]) -> int:
    """Let runs be judged again that wait for the schedules and jobs these have left."""
    jobs = Counter(row["job_id"] for row in ended)
    result = await transaction.run_file(
        "unblock_runs",
        {
            "schedule_ids": list({row["schedule_id"] for row in ended if row["schedule_id"]}),
            "job_ids": list(jobs),
            "job_runs": list(jobs.values()),
        },
    )
    return result.rowcount


async def unblock_idle_runs(transaction: Transaction, *, limit: int = 1_000) -> int:
    """Let waiting runs be judged again that nobody woke."""
    result = await transaction.run_file("unblock_idle_runs", {"limit": limit})
    return len(result.all())


async def replace_runs(transaction: Transaction, run_ids: Sequence[UUID]) -> Sequence[RowMapping]:
    """Ask running runs to end, and end those that wait for their next attempt."""
    if not run_ids:
        return []
    result = await transaction.run_file("replace_runs", {"ids": list(run_ids)})
    return result.mappings().all()


async def read_unfinished(connection: ReadConnection, run_ids: Iterable[UUID]) -> list[UUID]:
    """Return those of the runs that are queued or running."""
    query = select(Run.id).where(
        col(Run.id).in_(list(run_ids)),
        col(Run.state).in_([RunState.QUEUED, RunState.RUNNING]),
    )
    return list((await connection.exec(query)).all())


async def finish_runs(
    transaction: Transaction,
    ended: Sequence[EndedAttempt],
    *,
    change: str,
    worker: str | None = None,
) -> tuple[Sequence[RowMapping], list[CountedSchedule]]:
    """Write the ends of attempts, their records, the counters of their schedules and the events.

    Return only those that were still this worker's. `change` is what the event says of the runs,
    `worker` whose attempts they were, where their details do not say otherwise.
    """
    result = await transaction.run_file(
        "finish_runs", {**as_columns(ended, EndedAttempt), "change": change, "worker": worker}
    )
    rows, counted = list[RowMapping](), list[CountedSchedule]()
    for row in result.mappings():
        if row["id"] is not None:
            rows.append(row)
        else:
            counted.append(
                CountedSchedule(row["schedule_id"], row["revision"], row["consecutive_failures"])
            )
    return rows, counted


async def renew_leases(
    transaction: Transaction, held: Mapping[UUID, int], *, worker_id: UUID, lease_seconds: float
) -> dict[UUID, bool]:
    """Renew the leases of the runs a worker has in hand, given with their tokens.

    Return those that are still its own, each with whether a cancel was asked for.
    """
    result = await transaction.run_file(
        "renew_leases",
        {
            "id": list(held),
            "fencing_token": list(held.values()),
            "worker_id": worker_id,
            "lease_seconds": lease_seconds,
        },
    )
    return {row.id: row.cancel_requested for row in result}


async def lock_lost_runs(
    transaction: Transaction, *, lease_seconds: float, swept_at: datetime | None, limit: int
) -> Sequence[RowMapping]:
    """Lock running runs whose lease has expired."""
    result = await transaction.run_file(
        "lock_lost_runs", {"lease_seconds": lease_seconds, "swept_at": swept_at, "limit": limit}
    )
    return result.mappings().all()


class NextStart(NamedTuple):
    """When the earliest queued run is due, and what PostgreSQL's clock showed when it said so.

    `seconds` is from then on, and negative when it is due already; None when nothing is queued, or
    while the instance starts nothing.
    """

    seconds: float | None
    as_of: datetime


async def read_next_start(connection: ReadConnection) -> NextStart:
    """Return when the earliest queued run is due."""
    result = await connection.execute(
        text(
            "SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float AS seconds,"
            " clock_timestamp() AS as_of"
            " FROM run WHERE state = 'QUEUED' AND blocked_at IS NULL"
            " AND (SELECT scheduler.state IN ('RUNNING', 'PAUSED')"
            " FROM scheduler_state AS scheduler)"
        )
    )
    row = result.one()
    return NextStart(row.seconds, row.as_of)
