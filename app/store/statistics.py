"""Statistics: read from the ledger and the schedules, within bounds.

Runs belong to a window by the instant at which they were recorded. Their ids carry it, too, so the
indexes of a project's, a job's and a schedule's runs lead to just those rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    RowMapping,
    Select,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlmodel import col

from app.core.vocabulary import RunState, ScheduleState
from app.models import Run
from app.models.columns import lowest_id
from app.store.database import ReadConnection
from app.store.filters import TimingKind

# Ids are made by the clocks of many machines, instants by PostgreSQL's.
_SLACK = timedelta(hours=1)
_TIMED = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT)
FAILED = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
"""What counts against a success rate."""


class Of(Enum):
    """Whose runs."""

    PROJECT = "project_id"
    JOB = "job_id"
    SCHEDULE = "schedule_id"

    @property
    def column(self) -> Any:
        """Return the column that says so."""
        return col(getattr(Run, self.value))


@dataclass(frozen=True, slots=True)
class StatsWindow:
    """From an instant, inclusive, until another, exclusive."""

    since: datetime
    until: datetime

    def holds(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the run table."""
        return [
            col(Run.id) >= lowest_id(self.since - _SLACK),
            col(Run.id) < lowest_id(self.until + _SLACK),
            col(Run.created_at) >= self.since,
            col(Run.created_at) < self.until,
        ]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What became of the runs of a window. A recorded range counts as all it holds.

    `durations`: p50, p95 and p99 of how long last attempts took, in seconds; None without any.
    `times` has the columns `lateness_*`, in seconds.
    """

    by_state: dict[RunState, int]
    durations: Sequence[float] | None
    times: RowMapping | None


@dataclass(frozen=True, slots=True)
class BucketFigures:
    """What became of the runs of a bucket that begins at `at`."""

    at: datetime
    total: int
    succeeded: int
    failed: int
    duration_p95: float | None


def _seconds() -> ColumnElement[float]:
    return cast(func.extract("epoch", col(Run.finished_at) - col(Run.started_at)), Float)


def _lateness() -> ColumnElement[float]:
    return cast(func.extract("epoch", col(Run.first_started_at) - col(Run.due_at)), Float)


def _size() -> ColumnElement[int]:
    return func.coalesce(col(Run.range_count), 1)


async def read_run_figures(
    connection: ReadConnection, of: Of, ids: Iterable[UUID], window: StatsWindow
) -> dict[UUID, RunFigures]:
    """Return the figures of each project, job or schedule that has any run in the window."""
    query = _figures().add_columns(of.column.label("subject_id"))
    chosen = (of.column.in_(list(ids)), *window.holds())
    rows = (await connection.execute(query.where(*chosen).group_by(of.column))).mappings()
    return {
        row["subject_id"]: RunFigures(
            by_state={state: row[state.value] for state in RunState if row[state.value]},
            durations=row["durations"],
            times=row,
        )
        for row in rows
    }


def _figures() -> Select[Any]:
    """Return everything that is counted: the rows are many, so they are read once."""
    state, size, lateness = col(Run.state), _size(), _lateness()
    counts = [func.sum(size).filter(state == each.value).label(each.value) for each in RunState]
    figures: list[Any] = [
        *counts,
        func.percentile_disc(literal_column("ARRAY[0.5, 0.95, 0.99]::float[]"))
        .within_group(_seconds())
        .filter(state.in_(_TIMED))
        .label("durations"),
        func.count(lateness).label("lateness_count"),
        func.percentile_disc(0.5).within_group(lateness).label("lateness_p50"),
        func.percentile_disc(0.99).within_group(lateness).label("lateness_p99"),
        func.max(lateness).label("lateness_max"),
    ]
    return select(*figures)


async def read_buckets(
    connection: ReadConnection, of: Of, subject_id: UUID, window: StatsWindow, bucket: timedelta
) -> list[BucketFigures]:
    """Return the buckets that hold any run, the earliest first; they begin with the window."""
    at = func.date_bin(literal(bucket), col(Run.created_at), literal(window.since)).label("at")
    size = _size()
    is_timed = col(Run.state).in_(_TIMED)
    query = (
        select(
            at,
            func.sum(size),
            func.coalesce(func.sum(size).filter(col(Run.state) == RunState.SUCCEEDED), 0),
            func.coalesce(func.sum(size).filter(col(Run.state).in_(FAILED)), 0),
            func.percentile_disc(0.95).within_group(_seconds()).filter(is_timed),
        )
        .where(of.column == subject_id, *window.holds())
        .group_by(at)
        .order_by(at)
    )
    return [BucketFigures(*row) for row in (await connection.execute(query)).all()]


async def read_schedule_lateness(
    connection: ReadConnection, schedule_ids: Sequence[UUID], *, limit: int
) -> dict[UUID, RowMapping]:
    """Return how late the newest runs of each schedule started, as columns `lateness_*`."""
    result = await connection.run_file(
        "read_schedule_lateness", {"ids": list(schedule_ids), "limit": limit}
    )
    return {row["id"]: row for row in result.mappings()}


async def count_schedules(
    connection: ReadConnection, project_id: UUID
) -> tuple[dict[ScheduleState, int], dict[TimingKind, int]]:
    """Return a project's schedules by state, and by kind of timing."""
    result = await connection.run_file("count_schedules", {"project_id": project_id})
    states: dict[ScheduleState, int] = {}
    kinds: dict[TimingKind, int] = {}
    for row in result:
        if row.what == "STATE":
            states[ScheduleState(row.word)] = row.schedules
        else:
            kinds[TimingKind(row.word)] = row.schedules
    return states, kinds
