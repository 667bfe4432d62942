"""What recomputing the next instants of many schedules reads and writes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping
from sqlmodel import col, select

from app.core.time.repeats import Record
from app.models import Job, Schedule
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


@dataclass(frozen=True, slots=True)
class Standing(AdvancedSchedule):
    """Where a schedule stands after its rules have changed, and what it passes over."""

    # An array as PostgreSQL writes it: arrays of arrays cannot differ in length.
    passed_over: str = "{}"

    @staticmethod
    def array_of(instants: Iterable[datetime]) -> str:
        """Return instants as PostgreSQL writes an array of them."""
        return f"{{{','.join(instant.isoformat() for instant in instants)}}}"


async def recompute_schedules(
    transaction: Transaction, standings: Sequence[Standing]
) -> dict[UUID, int]:
    """Write where schedules stand and return each one's new revision."""
    if not standings:
        return {}
    result = await transaction.run_file("recompute_schedules", as_columns(standings, Standing))
    return {row.id: row.revision for row in result}


@dataclass(frozen=True, slots=True)
class RecordsWanted:
    """Which records of a schedule are asked for: those after an instant and with later locals."""

    schedule_id: UUID
    since: datetime
    # The schedule's local time at the present instant, as runs store it.
    local_now: str


async def read_records(
    connection: ReadConnection, wanted: Sequence[RecordsWanted], *, among: Collection[str]
) -> dict[UUID, list[Record]]:
    """Return the records that may come again; see the statement."""
    if not wanted:
        return {}
    result = await connection.run_file(
        "read_records", {**as_columns(wanted, RecordsWanted), "among": list(among)}
    )
    found: dict[UUID, list[Record]] = {}
    for row in result:
        locals_ = (row.scheduled_local, *(row.other_locals or ()))
        record = Record(
            tuple(map(datetime.fromisoformat, locals_)), row.scheduled_for, row.range_end
        )
        found.setdefault(row.schedule_id, []).append(record)
    return found
