"""What the live feed reads: snapshots, new events, and the rows they are about.

Everything a batch needs is read inside one repeatable-read transaction, so that the rows are
exactly those of the batch's snapshot: no newer, no older.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel import col, select

from app.core.clock import utc_now
from app.models import Run, Schedule
from app.store.database import Database, ReadConnection
from app.store.filters import RunFilter, ScheduleFilter
from app.store.pages import in_no_index, plan_for_values
from app.store.schedules import ScheduleRecord, select_records


@dataclass(frozen=True, slots=True)
class Standpoint:
    """The snapshot of a transaction and PostgreSQL's clock at its beginning."""

    snapshot: str
    at: datetime


@asynccontextmanager
async def reading_at_one_instant(
    database: Database, project_id: UUID | None
) -> AsyncIterator[tuple[ReadConnection, Standpoint]]:
    """Open a transaction all of whose reads see the same state, and say which."""
    async with database.reading(project_id) as connection:
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        row = (
            await connection.execute(
                text("SELECT cast(pg_current_snapshot() AS text) AS snapshot, now() AS at")
            )
        ).one()
        yield connection, Standpoint(row.snapshot, row.at)


async def read_new_events(
    connection: ReadConnection, *, previous: str, until: str | None = None, limit: int
) -> Sequence[Row[tuple[int, int, UUID, str, str, list[UUID], list[UUID | None] | None]]]:
    """Return the events this transaction sees (and `until` saw) that `previous` did not."""
    result = await connection.run_file(
        "read_new_events", {"previous": previous, "until": until, "limit": limit}
    )
    return result.all()


async def read_matching_runs(
    connection: ReadConnection, project_id: UUID, ids: Sequence[UUID], narrowed: RunFilter
) -> dict[UUID, Run]:
    """Return those of the runs that pass the filter."""
    query = select(Run).where(
        col(Run.project_id) == project_id, col(Run.id).in_(ids), narrowed.condition()
    )
    return {run.id: run for run in (await connection.exec(query)).all()}


async def read_newest_runs(
    connection: ReadConnection, project_id: UUID, narrowed: RunFilter, limit: int
) -> list[Run]:
    """Return the newest runs that pass the filter."""
    await plan_for_values(connection)
    id_column = in_no_index(Run.id) if narrowed.is_apart(utc_now()) else col(Run.id)
    query = (
        select(Run)
        .where(col(Run.project_id) == project_id, narrowed.condition())
        .order_by(id_column.desc())
        .limit(limit)
    )
    return list((await connection.exec(query)).all())


async def read_matching_schedules(
    connection: ReadConnection, project_id: UUID, ids: Sequence[UUID], narrowed: ScheduleFilter
) -> dict[UUID, ScheduleRecord]:
    """Return those of the schedules that pass the filter."""
    query = select_records(project_id).where(col(Schedule.id).in_(ids), narrowed.standing())
    records = [ScheduleRecord(*row) for row in (await connection.execute(query)).all()]
    return {record.schedule.id: record for record in records}
