"""What one tick reads and writes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import RowMapping

from app.core.halting import Halt
from app.core.time import Occurrence
from app.core.vocabulary import ResumeChoice, RunReason, SchedulerState
from app.store.database import Transaction


class RunRow(NamedTuple):
    """A run, or the record of one that will not be, as a tick writes it."""

    id: UUID
    project_id: UUID
    job_id: UUID
    schedule_id: UUID
    schedule_version: int
    state: str
    reason: str | None
    message: str | None
    cause: str
    overlap: str
    scheduled_for: datetime
    scheduled_local: str | None
    due_at: datetime
    range_end: datetime | None
    range_count: int | None
    parameters: str
    tags: str
    queue: str
    priority: int
    max_attempts: int
    other_locals: str | None = None


@dataclass(frozen=True, slots=True)
class AdvancedSchedule:
    """Where a schedule stands after the tick."""

    id: UUID
    cursor_at: datetime
    next_run_at: datetime | None
    state: str
    state_reason: str | None = None
    last_error: str | None = None


def as_columns(rows: Sequence[Any], row_type: type[Any]) -> dict[str, Sequence[Any] | None]:
    """Turn rows into one array a column, as `unnest` takes them.

    A column in which no row says anything is null, which costs nothing: `unnest` fills it up.
    """
    names = getattr(row_type, "_fields", None) or [field.name for field in fields(row_type)]
    columns = zip(*map(attrgetter(*names), rows), strict=True) if rows else [()] * len(names)
    return {
        name: None if column and all(value is None for value in column) else column
        for name, column in zip(names, columns, strict=True)
    }


def other_locals(occurrence: Occurrence) -> str | None:
    """Return, as a run stores them, the local times of an occurrence but the first."""
    if len(occurrence.nominal_locals) < 2:
        return None
    return to_json([local.isoformat() for local in occurrence.nominal_locals[1:]])


def to_json(value: Any) -> str:
    """Return a value as PostgreSQL's driver takes jsonb inside an array: as text."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


async def claim_due_schedules(
    transaction: Transaction,
    *,
    limit: int,
    look_ahead_seconds: float,
    as_of: datetime | None,
) -> Sequence[RowMapping]:
    """Lock due schedules that no other ticker holds; see the statement."""
    result = await transaction.run_file(
        "claim_due_schedules",
        {"limit": limit, "look_ahead_seconds": look_ahead_seconds, "as_of": as_of},
    )
    return result.mappings().all()


async def read_halts(transaction: Transaction, *, since: datetime) -> list[Halt]:
    """Return the halts of the instance that ended at `since` or later, oldest first."""
    result = await transaction.run_file("read_halts", {"since": since})
    return [
        Halt(
            reason=RunReason.PAUSED if row.state == SchedulerState.PAUSED else RunReason.STOPPED,
            began_at=row.began_at,
            ended_at=row.ended_at,
            missed=None if row.missed is None else ResumeChoice(row.missed),
        )
        for row in result
    ]


async def insert_runs(transaction: Transaction, rows: Sequence[RunRow]) -> set[UUID]:
    """Write runs and return the ids of those whose occurrence had no row yet."""
    if not rows:
        return set()
    result = await transaction.run_file("insert_runs", as_columns(rows, RunRow))
    return set(result.scalars())


async def advance_schedules(
    transaction: Transaction, advanced: Sequence[AdvancedSchedule]
) -> dict[UUID, int]:
    """Move cursors and return each schedule's new revision."""
    result = await transaction.run_file("advance_schedules", as_columns(advanced, AdvancedSchedule))
    return {row.id: row.revision for row in result}
