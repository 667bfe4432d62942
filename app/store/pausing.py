"""Stop schedules that keep failing, and take back what a tick prepared for them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, func, select, update
from sqlmodel import col

from app.core.vocabulary import ResumeChoice, ScheduleState
from app.models import Schedule
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
) -> dict[UUID, datetime | None]:
    """Remove runs that a tick prepared for later than `as_of`; the caller holds the schedule.

    Return their occurrences, which the cursor has to go back before; None where an override
    accounts for it, whatever the cursor. A run that is being claimed at this moment stays.
    """
    result = await transaction.run_file(
        "withdraw_prepared_runs", {"schedule_ids": [schedule_id], "as_of": as_of}
    )
    return {row.id: row.occurrence_at for row in result}


async def set_paused(
    transaction: Transaction,
    schedule_id: UUID,
    *,
    reason: str,
    actor: ActorRecord,
    as_of: datetime,
    cursor_at: datetime | None,
    probe_at: datetime | None,
) -> int:
    """Pause a schedule the caller holds; return its new revision.

    The cursor goes back to `cursor_at`, if that is not None and earlier: what was prepared beyond
    it has been withdrawn, and is not accounted for.
    """
    result = await transaction.execute(
        update(Schedule)
        .where(col(Schedule.id) == schedule_id)
        .values(
            state=ScheduleState.PAUSED,
            state_reason=reason,
            paused_at=as_of,
            paused_by=actor,
            probe_at=probe_at,
            probe_run_id=None,
            next_run_at=None,
            cursor_at=func.least(col(Schedule.cursor_at), cursor_at),
            revision=col(Schedule.revision) + 1,
        )
        .returning(col(Schedule.revision))
    )
    revision: int = result.scalar_one()
    return revision


async def read_ended_windows(
    connection: ReadConnection, *, limit: int
) -> Sequence[tuple[UUID, UUID]]:
    """Return project and id of paused schedules whose window is over; not of timed pauses."""
    query = (
        select(col(Schedule.project_id), col(Schedule.id))
        .where(
            col(Schedule.state) == ScheduleState.PAUSED,
            col(Schedule.paused_until).is_(None),
            col(Schedule.end_at) < func.now(),
        )
        .order_by(col(Schedule.end_at))
        .limit(limit)
    )
    rows = (await connection.execute(query)).all()
    return [(row.project_id, row.id) for row in rows]


async def read_due_probes(connection: ReadConnection, *, limit: int) -> Sequence[tuple[UUID, UUID]]:
    """Return project and id of paused schedules whose probe is to be let through, or has ended.

    None while the instance fires nothing.
    """
    result = await connection.run_file("read_due_probes", {"limit": limit})
    return [(row.project_id, row.id) for row in result]


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
