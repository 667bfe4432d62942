"""Stop schedules that keep failing."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, ScalarSelect, func, select, update
from sqlmodel import col

from app.core.vocabulary import ResumeChoice, RunCause, ScheduleState
from app.models import Run, Schedule
from app.models.columns import ActorRecord
from app.store.database import ReadConnection, Transaction


async def lock_failing_schedules(
    transaction: Transaction, schedule_ids: Sequence[UUID]
) -> Sequence[RowMapping]:
    """Lock the active schedules that have failed as often in a row as they bear."""
    result = await transaction.run_file(
        "lock_failing_schedules", {"schedule_ids": list(schedule_ids)}
    )
    return result.mappings().all()


async def withdraw_prepared_runs(
    transaction: Transaction, schedule_id: UUID, *, as_of: datetime
) -> list[UUID]:
    """Remove the runs a tick prepared for instants after `as_of`; the caller moves the cursor.

    Returns their ids: whoever watched them must be told.
    """
    result = await transaction.run_file(
        "withdraw_prepared_runs", {"schedule_id": schedule_id, "as_of": as_of}
    )
    return [row.id for row in result]


async def set_paused(
    transaction: Transaction,
    schedule_id: UUID,
    *,
    reason: str,
    actor: ActorRecord,
    as_of: datetime,
) -> int:
    """Pause a schedule the caller holds; return its new revision."""
    result = await transaction.execute(
        update(Schedule)
        .where(col(Schedule.id) == schedule_id)
        .values(
            state=ScheduleState.PAUSED,
            state_reason=reason,
            paused_at=as_of,
            paused_by=actor,
            next_run_at=None,
            # What was prepared beyond this instant has been withdrawn: it is not accounted for.
            # Except for what a worker was claiming at that moment.
            cursor_at=func.least(
                col(Schedule.cursor_at), func.greatest(as_of, _newest_left(schedule_id))
            ),
            revision=col(Schedule.revision) + 1,
        )
        .returning(col(Schedule.revision))
    )
    revision: int = result.scalar_one()
    return revision


async def read_ended_pauses(
    connection: ReadConnection, *, limit: int
) -> list[tuple[UUID, UUID, ResumeChoice | None]]:
    """Return project, id and resume plan of schedules whose timed pause is over."""
    query = (
        select(col(Schedule.project_id), col(Schedule.id), col(Schedule.resume_with))
        .where(
            col(Schedule.state) == ScheduleState.PAUSED,
            col(Schedule.paused_until) <= func.now(),
        )
        .order_by(col(Schedule.paused_until))
        .limit(limit)
    )
    rows = (await connection.execute(query)).all()
    return [(row.project_id, row.id, row.resume_with) for row in rows]


def _newest_left(schedule_id: UUID) -> ScalarSelect[datetime]:
    """Return the newest occurrence that still has its run, or null."""
    newest: ScalarSelect[datetime] = (
        select(func.max(col(Run.scheduled_for)))
        .where(col(Run.schedule_id) == schedule_id, col(Run.cause) == RunCause.SCHEDULE)
        .scalar_subquery()
    )
    return newest
