"""What the watchdogs and the health monitor look at."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import col, select

from app.core.health import InstanceFacts
from app.core.vocabulary import SchedulerState
from app.models import Project, Schedule, ScheduleCounters
from app.store.database import ReadConnection

_COUNT_UP_TO = 10_000


async def read_instance_facts(connection: ReadConnection, *, lease_seconds: float) -> InstanceFacts:
    """Return the facts of `read_instance_facts.sql`."""
    result = await connection.run_file(
        "read_instance_facts", {"lease_seconds": lease_seconds, "count_up_to": _COUNT_UP_TO}
    )
    row = result.mappings().one()
    facts = InstanceFacts(**{**row, "state": SchedulerState(row["state"])}, overdue_is_exact=True)
    if facts.overdue > _COUNT_UP_TO:
        return replace(facts, overdue=_COUNT_UP_TO, overdue_is_exact=False)
    return facts


async def read_clock(connection: ReadConnection) -> datetime:
    """Return PostgreSQL's clock at the very moment, not at the beginning of the transaction."""
    now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now


class ScheduleTimes(NamedTuple):
    """When something of a schedule last ran, and the newest occurrence that succeeded."""

    project_key: str
    schedule_key: str
    last_run_at: datetime | None
    last_success_for: datetime | None


async def read_schedule_times(connection: ReadConnection, *, limit: int) -> list[ScheduleTimes]:
    """Return the times of up to `limit` schedules that fire, the oldest schedules first."""
    query = (
        select(
            Project.key,
            Schedule.key,
            ScheduleCounters.last_run_at,
            ScheduleCounters.last_success_for,
        )
        .join(Project, col(Project.id) == col(Schedule.project_id))
        .join(ScheduleCounters, col(ScheduleCounters.schedule_id) == col(Schedule.id))
        .where(col(Schedule.next_run_at).is_not(None))
        .order_by(col(Schedule.id))
        .limit(limit)
    )
    return [ScheduleTimes(*row) for row in (await connection.execute(query)).all()]
