"""What recomputing the next instants of many schedules reads and writes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping, func
from sqlmodel import col, select

from app.core.vocabulary import RunCause
from app.models import Job, Run, Schedule
from app.store.database import ReadConnection, Transaction
from app.store.firing import AdvancedSchedule, as_columns


async def lock_firing_schedules(
    transaction: Transaction, *, after: UUID | None, limit: int
) -> Sequence[Schedule]:
    """Hold the next schedules of the whole instance that have a next instant, by their ids.

    Those in UTC are left out: no rules of any zone concern them.
    """
    query = (
        select(Schedule)
        .where(col(Schedule.next_run_at).is_not(None), col(Schedule.timezone) != "UTC")
        .order_by(col(Schedule.id))
        .limit(limit)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if after is not None:
        query = query.where(col(Schedule.id) > after)
    return (await transaction.exec(query)).all()


async def read_jobs_of(connection: ReadConnection, job_ids: Iterable[UUID]) -> dict[UUID, Job]:
    """Return jobs by id, whichever project they belong to."""
    query = select(Job).where(col(Job.id).in_(set(job_ids)))
    return {job.id: job for job in (await connection.exec(query)).all()}


async def withdraw_prepared_runs_of_many(
    transaction: Transaction, schedule_ids: Sequence[UUID], as_of: datetime
) -> Sequence[RowMapping]:
    """Remove the runs prepared for instants after `as_of`; return id, project and schedule."""
    result = await transaction.run_file(
        "withdraw_prepared_runs", {"schedule_ids": list(schedule_ids), "as_of": as_of}
    )
    return result.mappings().all()


async def recompute_schedules(
    transaction: Transaction, standings: Sequence[AdvancedSchedule]
) -> dict[UUID, int]:
    """Write where schedules stand and return each one's new revision."""
    if not standings:
        return {}
    result = await transaction.run_file(
        "recompute_schedules", as_columns(standings, AdvancedSchedule)
    )
    return {row.id: row.revision for row in result}


async def read_recorded_locals(
    connection: ReadConnection,
    cursors: Mapping[UUID, datetime],
    window: timedelta,
    *,
    among: Collection[str] | None = None,
) -> dict[UUID, set[str]]:
    """Return the local times recorded for each schedule in a window before its cursor.

    With `among` only those of them.
    """
    if not cursors:
        return {}
    query = select(Run.schedule_id, func.array_agg(col(Run.scheduled_local))).where(
        col(Run.schedule_id).in_(cursors),
        col(Run.cause).in_([RunCause.SCHEDULE, RunCause.CATCH_UP]),
        col(Run.scheduled_for) > min(cursors.values()) - window,
    )
    if among is not None:
        query = query.where(col(Run.scheduled_local).in_(among))
    found = (await connection.exec(query.group_by(col(Run.schedule_id)))).all()
    return {
        schedule_id: set(filter(None, locals_))
        for schedule_id, locals_ in found
        if schedule_id is not None
    }
