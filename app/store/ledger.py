"""The decision ledger: what became of a schedule's occurrence."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import text, update
from sqlmodel import col, select

from app.core.vocabulary import RunCause
from app.models import Run
from app.store.database import ReadConnection, Transaction

_CAUSES = (RunCause.SCHEDULE, RunCause.CATCH_UP)


async def read_record(connection: ReadConnection, schedule_id: UUID, at: datetime) -> Run | None:
    """Return the run or record of exactly this occurrence; a range counts with its first one."""
    query = select(Run).where(
        col(Run.schedule_id) == schedule_id,
        col(Run.scheduled_for) == at,
        col(Run.cause).in_(_CAUSES),
    )
    return (await connection.exec(query)).first()


async def read_backfilled(
    connection: ReadConnection, schedule_id: UUID, at: datetime
) -> Run | None:
    """Return the newest run that a backfill made of this occurrence."""
    query = (
        select(Run)
        .where(
            col(Run.schedule_id) == schedule_id,
            col(Run.scheduled_for) == at,
            # As the index of further runs says it.
            col(Run.cause).in_((RunCause.RERUN, RunCause.BACKFILL)),
            col(Run.backfill_id).is_not(None),
        )
        .order_by(col(Run.id).desc())
        .limit(1)
    )
    return (await connection.exec(query)).first()


async def read_range_over(
    connection: ReadConnection, schedule_id: UUID, at: datetime
) -> Run | None:
    """Return the recorded range in which an instant lies.

    The ranges of a schedule never overlap, so it is the last that begins before the instant, or
    none: one step into the index `run_range`, which also holds the end.
    """
    candidate = (
        select(Run.id, Run.range_end)
        .where(
            col(Run.schedule_id) == schedule_id,
            col(Run.range_end).is_not(None),
            col(Run.scheduled_for) <= at,
        )
        .order_by(col(Run.scheduled_for).desc())
        .limit(1)
    )
    found = (await connection.exec(candidate)).first()
    if found is None or found[1] is None or found[1] < at:
        return None
    return await connection.get(Run, found[0])


async def read_uncounted_range(
    connection: ReadConnection, *, besides: Collection[UUID]
) -> Run | None:
    """Return the oldest range that is still to be counted; from the index of those alone."""
    query = (
        select(Run)
        .where(
            col(Run.range_end).is_not(None),
            col(Run.range_count).is_(None),
            # As the index says it.
            text("reason IS DISTINCT FROM 'CIRCUIT_BREAKER'"),
            col(Run.id).not_in(list(besides)),
        )
        .order_by(col(Run.id))
        .limit(1)
    )
    return (await connection.exec(query)).first()


async def set_range_count(transaction: Transaction, run_id: UUID, count: int) -> int | None:
    """Write how many occurrences a range holds, once; None if it was written, or is no more."""
    result = await transaction.execute(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.range_count).is_(None))
        .values(range_count=count, revision=col(Run.revision) + 1)
        .returning(col(Run.revision))
        .execution_options(synchronize_session=False)
    )
    revision: int | None = result.scalar_one_or_none()
    return revision
