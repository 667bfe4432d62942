"""Let schedules expire whose window has ended although no tick looks at them: paused ones.

A tick lets a schedule expire as soon as nothing more comes within its window. A paused one is no
tick's business, so the sweep looks for it; both come to the same state by the same rule. What lies
in the pause is recorded as its resumption would record it. A timed pause is left alone: its own
end, with the plan it carries, comes to the same.
"""

from uuid import UUID

import structlog

from app.core.endings import state_at_end
from app.core.ids import Kind, public_id
from app.core.time import timing_from_json
from app.core.vocabulary import ChangeKind, ResumeChoice, Role, RunReason, ScheduleState
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.pausing import SYSTEM
from app.services.schedules.accounting import plan_resumption, run_row, write_runs
from app.services.schedules.editing import tell
from app.services.schedules.timetables import load_calendars
from app.services.writing import Written
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.overrides import read_standing_overrides, settle_due_overrides
from app.store.pausing import read_ended_windows
from app.store.schedules import ScheduleRecord, lock_schedule, read_counters, update_schedule

_AT_ONCE = 100
_log = structlog.get_logger(__name__)


async def expire_ended_windows(runtime: Runtime) -> int:
    """Let schedules expire, at most a hundred at once; return how many did."""
    async with runtime.database.reading(None) as connection:
        ended = await read_ended_windows(connection, limit=_AT_ONCE)
    return sum([await _expire(runtime, *one) for one in ended])


async def _expire(runtime: Runtime, project_id: UUID, schedule_id: UUID) -> bool:
    principal, written = Principal(SYSTEM, Role.ADMIN, project_id), Written()
    async with runtime.database.transaction(project_id) as transaction:
        schedule = await lock_schedule(transaction, project_id, schedule_id)
        as_of = await read_now(transaction)
        if (
            schedule is None
            or schedule.state is not ScheduleState.PAUSED
            or schedule.paused_until is not None
            or schedule.end_at is None
            or schedule.end_at >= as_of
        ):
            return False
        await _account_for_pause(transaction, written, principal, schedule)
        timings = [timing_from_json(timing) for timing in schedule.timings]
        state, reason = state_at_end(timings, schedule.end_at, schedule.timezone)
        changes = {
            "state": state,
            "state_reason": reason,
            "cursor_at": as_of,
            "paused_at": None,
            "paused_by": None,
            "resume_with": None,
            "probe_at": None,
            "probe_run_id": None,
        }
        schedule = await update_schedule(transaction, schedule_id, changes)
        record = ScheduleRecord(schedule, await read_counters(transaction, schedule_id))
        await tell(transaction, written, principal, record, ChangeKind(state.value))
    await runtime.announce(written.changes)
    _log.info("schedule.expired", schedule_id=public_id(Kind.SCHEDULE, schedule_id))
    return True


async def _account_for_pause(
    transaction: Transaction, written: Written, principal: Principal, schedule: Schedule
) -> None:
    as_of = await read_now(transaction)
    job = await read_job(transaction, schedule.project_id, schedule.job_id)
    assert job is not None, "a job outlives its schedules"
    calendars = await load_calendars(transaction, schedule.model_dump())
    overrides = await read_standing_overrides(transaction, schedule.id)
    records = plan_resumption(
        schedule, as_of, ResumeChoice.SKIP, RunReason.PAUSED, calendars, overrides
    )
    rows = [run_row(schedule, job, record) for record in records]
    await write_runs(transaction, written, principal, rows)
    await settle_due_overrides(transaction, schedule.id, as_of)
