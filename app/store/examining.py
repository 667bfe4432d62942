"""What the health monitor looks at: a few schedules a round, found by indexes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlmodel import col, select

from app.core.health import EndedRun
from app.core.vocabulary import RunState
from app.models import HealthRound, Schedule, ScheduleCounters, ScheduleVersion
from app.store.database import ReadConnection, Transaction


@dataclass(frozen=True, slots=True)
class BegunRound:
    """A round that is this worker's to make."""

    as_of: datetime
    # Runs that ended before this have been looked at.
    examined_until: datetime
    # So far the pass over all schedules has come; None: it begins.
    reached_id: UUID | None


@dataclass(frozen=True, slots=True)
class ExaminedSchedule:
    """A schedule, what came of its runs, and when it last became what it is."""

    schedule: Schedule
    counters: ScheduleCounters
    changed_at: datetime


async def claim_round(transaction: Transaction, *, every_seconds: float) -> BegunRound | None:
    """Begin the round that is due; None: none is, or somebody else makes it."""
    result = await transaction.run_file("claim_health_round", {"every_seconds": every_seconds})
    row = result.first()
    return None if row is None else BegunRound(row.as_of, row.examined_until, row.reached_id)


async def end_round(
    transaction: Transaction, *, examined_until: datetime, reached_id: UUID | None
) -> None:
    """Note how far a round has come."""
    await transaction.execute(
        update(HealthRound).values(examined_until=examined_until, reached_id=reached_id)
    )


async def find_schedules_to_examine(
    connection: ReadConnection, *, since: datetime, most: int, most_overdue: int
) -> set[UUID]:
    """Return schedules of which something may be wrong, or was."""
    result = await connection.run_file(
        "find_schedules_to_examine", {"since": since, "most": most, "most_overdue": most_overdue}
    )
    return set(result.scalars())


async def find_silent_schedules(
    connection: ReadConnection, reached_id: UUID | None, *, limit: int
) -> tuple[Sequence[UUID], UUID | None]:
    """Return those of the next slice that have not run for a week, and where the slice ends."""
    result = await connection.run_file(
        "find_silent_schedules", {"reached_id": reached_id, "limit": limit}
    )
    row = result.one()
    return row.silent_ids, row.reached_id


async def read_examined(
    connection: ReadConnection, schedule_ids: Iterable[UUID]
) -> list[ExaminedSchedule]:
    """Return the schedules."""
    changed_at = (
        select(ScheduleVersion.at)
        .where(col(ScheduleVersion.schedule_id) == col(Schedule.id))
        .order_by(col(ScheduleVersion.sequence).desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(Schedule, ScheduleCounters, changed_at)
        .join(ScheduleCounters, col(ScheduleCounters.schedule_id) == col(Schedule.id))
        .where(col(Schedule.id).in_(list(schedule_ids)))
    )
    rows = (await connection.execute(query)).all()
    return [
        ExaminedSchedule(schedule, counters, changed or schedule.updated_at)
        for schedule, counters, changed in rows
    ]


async def read_newest_ends(
    connection: ReadConnection, schedule_ids: Iterable[UUID], *, limit: int
) -> dict[UUID, list[EndedRun]]:
    """Return how the newest runs of each schedule ended, newest first."""
    result = await connection.run_file(
        "read_newest_ends", {"ids": list(schedule_ids), "limit": limit}
    )
    ends: defaultdict[UUID, list[EndedRun]] = defaultdict(list)
    for row in result:
        state = None if row.state == RunState.RUNNING else RunState(row.state)
        ends[row.schedule_id].append(EndedRun(state, row.ended_at, row.ended_at - row.started_at))
    return ends
