"""Pause, resume and archive schedules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.errors import Invalid, StateConflict
from app.core.firing import MOST_PER_MINUTE, PlannedRecord, spread_out
from app.core.overrides import Override, still_waiting
from app.core.vocabulary import (
    ChangeKind,
    ResumeChoice,
    Role,
    RunReason,
    RunState,
    ScheduleState,
)
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.schedules.accounting import (
    next_columns,
    plan_resumption,
    run_row,
    unfired_stretch,
    withdraw,
    write_runs,
)
from app.services.schedules.editing import hold, refuse_archived, tell
from app.services.schedules.repeats import read_repeats
from app.services.schedules.timetables import Calendars, load_calendars
from app.services.writing import Accepted, Subject, Written, note_audit, note_change
from app.store.database import Transaction
from app.store.firing import RunRow
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.overrides import read_standing_overrides, settle_due_overrides
from app.store.queue import ClosedRun, close_queued_runs
from app.store.runs import lock_waiting_runs
from app.store.schedules import (
    ScheduleRecord,
    forget_failures,
    read_counters,
    update_schedule,
)

DRIP_PER_MINUTE = 60
"""How many occurrences a minute DRIP catches up, unless told otherwise."""

_PAUSABLE = (ScheduleState.ACTIVE, ScheduleState.PAUSED)
_RESUMABLE = (ScheduleState.PAUSED, ScheduleState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """How to resume: what becomes of the occurrences of the pause."""

    missed: ResumeChoice = ResumeChoice.SKIP
    drip_per_minute: int | None = None


async def pause_schedule(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    *,
    reason: str,
    until: datetime | None = None,
    resume_with: ResumeChoice = ResumeChoice.SKIP,
    expected_version: int | None = None,
) -> Accepted[ScheduleRecord]:
    """Stop a schedule from firing. Runs that are due already still run.

    Pausing a paused schedule changes its reason and its end.
    """
    principal.require(Role.OPERATOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        as_of = await read_now(transaction)
        _check_pause(schedule, reason, until, as_of)
        _check_resume_with(resume_with)
        cursor_at = await withdraw(transaction, written, principal, schedule, as_of)
        changes = {
            "state": ScheduleState.PAUSED,
            "state_reason": reason.strip(),
            "paused_at": schedule.paused_at or as_of,
            "paused_by": principal.actor,
            "paused_until": until,
            "resume_with": resume_with,
            # Somebody has decided: nothing is tried any more.
            "probe_at": None,
            "probe_run_id": None,
            "next_run_at": None,
            # What was due and has not fired belongs to the pause: the resume records it.
            "cursor_at": cursor_at,
        }
        schedule = await update_schedule(transaction, schedule_id, changes)
        record = await _finish(
            transaction,
            written,
            principal,
            schedule,
            ChangeKind.PAUSED,
            f"Paused schedule {schedule.key}: {reason.strip()}",
            comment=reason.strip(),
        )
    await runtime.announce(written.changes)
    return Accepted(record)


async def resume_schedule(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    request: ResumeRequest,
    *,
    expected_version: int | None = None,
    only_if: Callable[[Schedule, datetime], bool] | None = None,
) -> Accepted[ScheduleRecord]:
    """Let a schedule fire again, from now on; the pause's occurrences are recorded or caught up.

    `only_if` is asked while the schedule is held, at the present instant: somebody may have
    changed the pause since the caller looked.
    """
    principal.require(Role.OPERATOR)
    _check_drip(request)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        refuse_archived(schedule)
        _require_state(schedule, _RESUMABLE, "Only a paused or quarantined schedule resumes.")
        as_of = await read_now(transaction)
        if only_if is not None and not only_if(schedule, as_of):
            raise StateConflict(
                "The pause has been changed.",
                current=schedule.state.value,
                allowed=[],
                path=("id",),
            )
        calendars = await load_calendars(transaction, schedule.model_dump())
        overrides = await read_standing_overrides(transaction, schedule_id)
        rows = await _caught_up(transaction, schedule, as_of, request, calendars, overrides)
        await write_runs(transaction, written, principal, rows)
        await settle_due_overrides(transaction, schedule_id, as_of)
        await forget_failures(transaction, schedule_id)
        cursor_at = max(as_of, schedule.cursor_at)
        columns = schedule.model_dump()
        # Calendars and zone rules may have changed meanwhile.
        repeats = await read_repeats(transaction, [columns], calendars, as_of)
        columns["passed_over"] = repeats.passed_over(columns, cursor_at)
        changes = {
            **next_columns(columns, cursor_at, calendars, still_waiting(overrides, cursor_at)),
            "passed_over": columns["passed_over"],
            "paused_at": None,
            "paused_by": None,
            "paused_until": None,
            "resume_with": None,
            "probe_at": None,
            "probe_run_id": None,
        }
        schedule = await update_schedule(transaction, schedule_id, changes)
        record = await _finish(
            transaction,
            written,
            principal,
            schedule,
            ChangeKind.RESUMED,
            f"Resumed schedule {schedule.key} with {request.missed}.",
        )
    await runtime.announce(written.changes, ring=written.rings)
    return Accepted(record)


async def archive_schedule(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    *,
    reason: str | None = None,
    expected_version: int | None = None,
) -> Accepted[ScheduleRecord]:
    """End a schedule for good. Queued runs are cancelled, running ones finish.

    Its key may be used again. Archiving twice changes nothing.
    """
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        if schedule.archived_at is not None:
            return Accepted(await _record(transaction, schedule))
        as_of = await read_now(transaction)
        await withdraw(transaction, written, principal, schedule, as_of)
        await _record_unfired(transaction, written, principal, schedule, as_of)
        await _cancel_waiting(transaction, written, principal, schedule)
        changes = {
            "state": ScheduleState.ARCHIVED,
            "state_reason": reason,
            "archived_at": as_of,
            "next_run_at": None,
            "cursor_at": as_of,
            "version": schedule.version + 1,
            "updated_by": principal.actor,
        }
        schedule = await update_schedule(transaction, schedule_id, changes)
        summary = f"Archived schedule {schedule.key}." + (f" {reason}" if reason else "")
        record = await _finish(
            transaction,
            written,
            principal,
            schedule,
            ChangeKind.ARCHIVED,
            summary,
            comment=reason,
        )
    await runtime.announce(written.changes)
    return Accepted(record)


def _check_pause(schedule: Schedule, reason: str, until: datetime | None, as_of: datetime) -> None:
    refuse_archived(schedule)
    _require_state(schedule, _PAUSABLE, f"A schedule that is {schedule.state} does not fire.")
    if not reason.strip() or len(reason) > 1_000:
        raise Invalid("Say why, in at most 1,000 characters.", path=("reason",))
    if until is not None and until <= as_of:
        raise Invalid("A pause ends in the future.", path=("until",))


def _check_resume_with(choice: ResumeChoice) -> None:
    if choice is ResumeChoice.DRIP:
        raise Invalid(
            "A timed pause cannot end in a drip, which needs a rate: resume it by hand.",
            path=("resumeWith",),
        )


def _require_state(schedule: Schedule, allowed: Sequence[ScheduleState], message: str) -> None:
    if schedule.state not in allowed:
        raise StateConflict(
            message,
            current=schedule.state.value,
            allowed=[state.value for state in allowed],
            path=("id",),
        )


def _check_drip(request: ResumeRequest) -> None:
    is_drip = request.missed is ResumeChoice.DRIP
    rate = request.drip_per_minute
    if is_drip and rate is not None and not 1 <= rate <= MOST_PER_MINUTE:
        raise Invalid(
            f"dripPerMinute lies between 1 and {MOST_PER_MINUTE:,}.", path=("dripPerMinute",)
        )
    if not is_drip and rate is not None:
        raise Invalid("dripPerMinute goes with DRIP only.", path=("dripPerMinute",))


async def _caught_up(
    transaction: Transaction,
    schedule: Schedule,
    as_of: datetime,
    request: ResumeRequest,
    calendars: Calendars,
    overrides: Sequence[Override],
) -> list[RunRow]:
    """Return the rows for the occurrences of the pause; those that run are due now, or in turn."""
    job = await read_job(transaction, schedule.project_id, schedule.job_id)
    assert job is not None, "a job outlives its schedules"
    if schedule.state is ScheduleState.QUARANTINED and request.missed is ResumeChoice.SKIP:
        reason = RunReason.QUARANTINED
        records: list[PlannedRecord] = unfired_stretch(
            schedule, as_of, reason, calendars, overrides
        )
    else:
        records = plan_resumption(
            schedule, as_of, request.missed, _reason(schedule), calendars, overrides
        )
    if request.missed is ResumeChoice.DRIP:
        records = list(spread_out(records, as_of, request.drip_per_minute or DRIP_PER_MINUTE))
    return [
        run_row(
            schedule,
            job,
            record,
            due_at=record.due_at or (as_of if record.state is RunState.QUEUED else None),
        )
        for record in records
    ]


def _reason(schedule: Schedule) -> RunReason:
    is_paused = schedule.state is ScheduleState.PAUSED
    return RunReason.PAUSED if is_paused else RunReason.QUARANTINED


async def _record_unfired(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    schedule: Schedule,
    as_of: datetime,
) -> None:
    if schedule.state not in (ScheduleState.ACTIVE, *_RESUMABLE):
        return
    job = await read_job(transaction, schedule.project_id, schedule.job_id)
    assert job is not None, "a job outlives its schedules"
    calendars = await load_calendars(transaction, schedule.model_dump())
    overrides = await read_standing_overrides(transaction, schedule.id)
    records = unfired_stretch(schedule, as_of, RunReason.ARCHIVED, calendars, overrides)
    rows = [run_row(schedule, job, record) for record in records]
    await write_runs(transaction, written, principal, rows)
    await settle_due_overrides(transaction, schedule.id, as_of)


async def _cancel_waiting(
    transaction: Transaction, written: Written, principal: Principal, schedule: Schedule
) -> None:
    waiting = [
        ClosedRun(run_id, RunState.CANCELLED.value, RunReason.ARCHIVED.value)
        for run_id in await lock_waiting_runs(transaction, schedule.id)
    ]
    closed = await close_queued_runs(transaction, waiting)
    await note_change(
        transaction,
        written,
        principal,
        Subject.RUN,
        RunState.CANCELLED.value,
        {row["id"]: row["revision"] for row in closed},
        parent_ids=[schedule.id] * len(closed),
    )


async def _record(transaction: Transaction, schedule: Schedule) -> ScheduleRecord:
    return ScheduleRecord(schedule, await read_counters(transaction, schedule.id))


async def _finish(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    schedule: Schedule,
    change: ChangeKind,
    summary: str,
    *,
    comment: str | None = None,
) -> ScheduleRecord:
    """Write audit, version and event of what was done to a schedule."""
    actions = {
        ChangeKind.PAUSED: "schedulePause",
        ChangeKind.RESUMED: "scheduleResume",
        ChangeKind.ARCHIVED: "scheduleArchive",
    }
    await note_audit(
        transaction, principal, actions[change], Subject.SCHEDULE, [(schedule.id, summary)]
    )
    record = await _record(transaction, schedule)
    await tell(transaction, written, principal, record, change, comment=comment)
    return record
