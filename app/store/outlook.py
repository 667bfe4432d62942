"""What reads over all schedules need: definitions instead of schedules, and how long runs take.

A million schedules usually share a few hundred definitions, so PostgreSQL groups them by value and
hands out each definition once, with the number of schedules behind it. Every statement here has a
limit; whoever reaches it is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, Uuid, func, literal_column
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col, select

from app.core.vocabulary import RunState, WorkerState
from app.models import Run, Schedule, Worker
from app.store.database import ReadConnection
from app.store.filters import ScheduleFilter, is_unfiltered
from app.store.schedules import ScheduleRecord, select_records

_RAN = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT)

# Everything that decides when a schedule fires, but for the slots of H, as one number. Grouping by
# it takes a fifth of the time of grouping by the columns. One with overrides is like no other.
_DECIDING = (
    "timings",
    "timezone",
    "dst_gap",
    "dst_fold",
    "start_at",
    "end_at",
    "calendar_ids",
    "calendar_mode",
    "effective_from",
    "timing_before",
    "passed_over",
    "max_runs - schedule.runs_made",
)
_APART = "CASE WHEN schedule.has_overrides THEN schedule.id END"
_SAME: ColumnElement[int] = literal_column(
    "hashtextextended(concat({}), 0)".format(
        ", '|', ".join([*(f"schedule.{name}" for name in _DECIDING), _APART])
    ),
    BigInteger,
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition that active schedules share: its columns, how many, and some of their ids.

    `columns` are those of one of the schedules.
    """

    columns: Mapping[str, Any]
    schedules: int
    member_ids: Sequence[UUID]
    group: int = 0

    @property
    def runs_left(self) -> int | None:
        """Return how many runs each of the schedules may still make."""
        most = self.columns["max_runs"]
        return None if most is None else max(0, most - self.columns["runs_made"])


@dataclass(frozen=True, slots=True)
class Durations:
    """How long runs took: in seconds, over how many."""

    runs: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Schedules that do the same at the same times."""

    schedules: int
    member_ids: Sequence[UUID]


async def read_definitions(
    connection: ReadConnection,
    project_id: UUID,
    *,
    limit: int,
    most_members: int,
    narrowed: ScheduleFilter | None = None,
) -> tuple[list[Definition], int]:
    """Return up to `limit` definitions of active schedules, the most common first.

    Also how many active schedules there are, whether or not their definition is among these.
    """
    count = func.count().label("schedules")
    members = func.array_agg(col(Schedule.id), type_=ARRAY(Uuid))[1 : max(1, most_members)]
    total = func.sum(func.count()).over().label("total")
    columns: tuple[Any, ...] = (_SAME.label("same"), count, members.label("member_ids"), total)
    grouped = _active(select_columns(*columns), project_id, narrowed)
    grouped = grouped.group_by(_SAME, col(Schedule.job_id)).order_by(count.desc())
    chosen = grouped.limit(limit).subquery()
    query: Select[Any] = select_columns(
        Schedule, chosen.c.schedules, chosen.c.member_ids, chosen.c.same, chosen.c.total
    ).join(chosen, col(Schedule.id) == chosen.c.member_ids[1])
    rows = (await connection.execute(query.order_by(chosen.c.schedules.desc()))).all()
    definitions = [
        Definition(schedule.model_dump(), schedules, member_ids, same)
        for schedule, schedules, member_ids, same, _ in rows
    ]
    return definitions, int(rows[0].total) if rows else 0


async def read_members(
    connection: ReadConnection,
    project_id: UUID,
    groups: Iterable[int],
    *,
    limit: int,
    narrowed: ScheduleFilter | None = None,
) -> dict[int, list[Schedule]]:
    """Return up to `limit` schedules of some definitions, by definition."""
    columns: tuple[Any, ...] = (_SAME, Schedule)
    wanted = select_columns(*columns).where(_SAME.in_(list(groups)))
    rows = await connection.execute(_active(wanted, project_id, narrowed).limit(limit))
    found: dict[int, list[Schedule]] = {}
    for same, schedule in rows:
        found.setdefault(same, []).append(schedule)
    return found


def _active(query: Select[Any], project_id: UUID, narrowed: ScheduleFilter | None) -> Select[Any]:
    query = query.where(
        col(Schedule.project_id) == project_id, col(Schedule.next_run_at).is_not(None)
    )
    if narrowed is None or is_unfiltered(narrowed):
        return query
    return query.where(narrowed.standing())


async def read_next_schedules(
    connection: ReadConnection,
    project_id: UUID,
    *,
    after: datetime | None,
    until: datetime,
    limit: int,
    narrowed: ScheduleFilter | None,
) -> list[ScheduleRecord]:
    """Return the schedules whose next instant lies in (after, until], the next ones first."""
    query = select_records(project_id).where(col(Schedule.next_run_at) <= until)
    if after is not None:
        query = query.where(col(Schedule.next_run_at) > after)
    if narrowed is not None:
        query = query.where(narrowed.standing())
    query = query.order_by(col(Schedule.next_run_at), col(Schedule.id)).limit(limit)
    return [ScheduleRecord(*row) for row in (await connection.execute(query)).all()]


async def read_durations(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> tuple[dict[UUID, Durations], dict[UUID, Durations]]:
    """Return how long recent runs took, by job and by schedule."""
    found = await connection.run_file("read_durations", {"project_id": project_id, "limit": limit})
    by_job: dict[UUID, Durations] = {}
    by_schedule: dict[UUID, Durations] = {}
    for row in found.mappings():
        durations = Durations(row["runs"], row["p50"], row["p95"])
        if row["job_id"] is not None:
            by_job[row["job_id"]] = durations
        elif row["schedule_id"] is not None:
            by_schedule[row["schedule_id"]] = durations
    return by_job, by_schedule


async def read_durations_of(
    connection: ReadConnection,
    *,
    job_id: UUID | None = None,
    schedule_id: UUID | None = None,
    limit: int,
) -> Durations | None:
    """Return how long the newest runs of one schedule, or of one job, took; None without any."""
    newest: Any = select_columns(col(Run.state), col(Run.started_at), col(Run.finished_at))
    if schedule_id is not None:
        newest = newest.where(col(Run.schedule_id) == schedule_id)
    else:
        newest = newest.where(col(Run.job_id) == job_id)
    newest = newest.order_by(col(Run.id).desc()).limit(limit).subquery()
    seconds = func.extract("epoch", newest.c.finished_at - newest.c.started_at)
    query = select_columns(
        func.count(),
        func.percentile_cont(0.5).within_group(seconds),
        func.percentile_cont(0.95).within_group(seconds),
    ).where(newest.c.state.in_(_RAN))
    runs, p50, p95 = (await connection.execute(query)).one()
    return Durations(runs, float(p50), float(p95)) if runs else None


async def read_duplicates(
    connection: ReadConnection, project_id: UUID, *, limit: int, most_members: int
) -> list[Duplicates]:
    """Return definitions that several schedules have, the most common first."""
    found = await connection.run_file(
        "read_duplicates",
        {"project_id": project_id, "limit": limit, "most_members": most_members},
    )
    return [Duplicates(row["schedules"], row["member_ids"]) for row in found.mappings()]


async def read_schedules_of_job(
    connection: ReadConnection, job_id: UUID, *, limit: int
) -> Sequence[Schedule]:
    """Return active schedules of a job, the ones due next first."""
    query = (
        select(Schedule)
        .where(col(Schedule.job_id) == job_id, col(Schedule.next_run_at).is_not(None))
        .order_by(col(Schedule.next_run_at), col(Schedule.id))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_slots(connection: ReadConnection) -> int:
    """Return how many runs the workers that are online can execute at once."""
    query = select(func.coalesce(func.sum(col(Worker.slots)), 0)).where(
        col(Worker.state) == WorkerState.ONLINE
    )
    return int((await connection.exec(query)).one())


async def read_schedules_by_id(
    connection: ReadConnection, schedule_ids: Iterable[UUID]
) -> dict[UUID, Schedule]:
    """Return schedules by id."""
    query = select(Schedule).where(col(Schedule.id).in_(set(schedule_ids)))
    return {schedule.id: schedule for schedule in (await connection.exec(query)).all()}
