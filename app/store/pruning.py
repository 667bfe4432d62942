"""Remove what is kept for a time only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, func, select

from app.core.ids import first_id_at
from app.store.database import Transaction

# Any number that no other advisory lock has.
_LOCK = 5_023_941_877
_FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Retention:
    """What ended before this instant the project keeps no longer."""

    project_id: UUID
    ended_before: datetime


@dataclass(frozen=True, slots=True)
class Bite:
    """What was looked at: up to which run, how many, and how many of them were removed."""

    reached_id: UUID | None
    looked_at: int
    removed: int


async def hold_pruning(transaction: Transaction) -> bool:
    """Keep other workers from pruning until this transaction ends; False: one is at it."""
    result = await transaction.execute(select(func.pg_try_advisory_xact_lock(_LOCK)))
    return bool(result.scalar_one())


async def read_retention(transaction: Transaction) -> list[Retention]:
    """Return what each project keeps."""
    result = await transaction.run_file("read_retention", {})
    return [Retention(row.project_id, row.ended_before) for row in result]


async def prune_runs(
    transaction: Transaction, retention: Retention, *, after_id: UUID | None, limit: int
) -> Bite:
    """Look at up to `limit` of the project's oldest runs and remove those that are over."""
    row = (
        await transaction.run_file(
            "prune_runs",
            {
                "project_id": retention.project_id,
                "ended_before": retention.ended_before,
                "after_id": after_id or _FIRST_ID,
                "before_id": first_id_at(retention.ended_before),
                "limit": limit,
            },
        )
    ).one()
    return Bite(row.reached_id, row.looked_at, row.removed)


async def prune_backfills(transaction: Transaction, retention: Retention, *, limit: int) -> int:
    """Forget up to `limit` of the project's backfills that are over; return how many."""
    result = await transaction.run_file(
        "prune_backfills",
        {
            "project_id": retention.project_id,
            "ended_before": retention.ended_before,
            "limit": limit,
        },
    )
    return result.rowcount


async def purge_schedules(transaction: Transaction, *, limit: int) -> Sequence[RowMapping]:
    """Remove up to `limit` archived schedules for good; return which."""
    return (await transaction.run_file("purge_schedules", {"limit": limit})).mappings().all()


async def purge_jobs(transaction: Transaction, *, limit: int) -> Sequence[RowMapping]:
    """Remove up to `limit` archived jobs for good; return which."""
    return (await transaction.run_file("purge_jobs", {"limit": limit})).mappings().all()


async def prune_events(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Remove up to `limit` old events, the oldest first; return how many."""
    result = await transaction.run_file(
        "prune_events", {"older_than_seconds": older_than.total_seconds(), "limit": limit}
    )
    return result.rowcount


async def prune_idempotency(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Forget up to `limit` old idempotency keys, the oldest first; return how many."""
    result = await transaction.run_file(
        "prune_idempotency", {"older_than_seconds": older_than.total_seconds(), "limit": limit}
    )
    return result.rowcount
