"""Try schedules again that paused themselves because they kept failing.

A half-open circuit: some time after the pause began, one run is let through while the schedule
stays paused. Its success resumes the schedule; whatever else comes of it leaves it paused for as
long again. The sweep of any worker calls this, and it looks at the row alone: nothing is lost when
a worker dies in between, and what somebody decides by hand in the meantime stands.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.core.errors import NotFound, StateConflict
from app.core.firing import PlannedRecord
from app.core.ids import Kind, public_id
from app.core.overrides import Override, overridden, still_waiting, waiting
from app.core.run_states import is_final
from app.core.vocabulary import (
    ChangeKind,
    ResumeChoice,
    Role,
    RunCause,
    RunReason,
    RunState,
    ScheduleState,
)
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.pausing import SYSTEM, probe_in_words
from app.services.schedules.accounting import plan_resumption, run_row, write_runs
from app.services.schedules.control import ResumeRequest, resume_schedule
from app.services.schedules.editing import tell
from app.services.schedules.timetables import Calendars, load_calendars, timetable_of
from app.services.writing import Subject, Written, note_audit
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.overrides import read_standing_overrides, settle_due_overrides
from app.store.pausing import read_due_probes
from app.store.runs import read_run
from app.store.schedules import ScheduleRecord, lock_schedule, read_counters, update_schedule

_AT_ONCE = 100
_log = structlog.get_logger(__name__)


async def probe_paused_schedules(runtime: Runtime) -> int:
    """Let the probes through that are due, and act on those that have ended; return how many."""
    async with runtime.database.reading(None) as connection:
        due = await read_due_probes(connection, limit=_AT_ONCE)
    return sum([await _probe(runtime, *one) for one in due])


async def _probe(runtime: Runtime, project_id: UUID, schedule_id: UUID) -> bool:
    principal, written = Principal(SYSTEM, Role.ADMIN, project_id), Written()
    async with runtime.database.transaction(project_id) as transaction:
        schedule = await lock_schedule(transaction, project_id, schedule_id)
        as_of = await read_now(transaction)
        if schedule is None or not _is_due(schedule, as_of):
            return False
        has_worked = False
        if schedule.probe_run_id is None:
            await _let_one_through(transaction, written, principal, schedule, as_of)
        else:
            run = await read_run(transaction, project_id, schedule.probe_run_id)
            if run is not None and not is_final(run.state):
                return False
            has_worked = run is not None and run.state is RunState.SUCCEEDED
            if not has_worked:
                await _wait_again(transaction, written, principal, schedule, as_of)
    await runtime.announce(written.changes, ring=written.rings)
    if has_worked:
        await _resume(runtime, principal, schedule)
    return True


def _is_due(schedule: Schedule, as_of: datetime) -> bool:
    return (
        schedule.state is ScheduleState.PAUSED
        and schedule.probe_at is not None
        and schedule.probe_at <= as_of
    )


async def _let_one_through(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    schedule: Schedule,
    as_of: datetime,
) -> None:
    """Queue the newest occurrence of the pause; without one yet, wait for the next."""
    job = await read_job(transaction, schedule.project_id, schedule.job_id)
    assert job is not None, "a job outlives its schedules"
    calendars = await load_calendars(transaction, schedule.model_dump())
    overrides = await read_standing_overrides(transaction, schedule.id)
    planned = plan_resumption(
        schedule, as_of, ResumeChoice.LATEST, RunReason.PAUSED, calendars, overrides
    )
    records = _only_the_newest(planned)
    rows = [
        run_row(schedule, job, one, due_at=as_of if one.state is RunState.QUEUED else None)
        for one in records
    ]
    probe = next((row for row in rows if row.state == RunState.QUEUED), None)
    if probe is None:
        next_at = _next_at(schedule, as_of, calendars, overrides)
        await update_schedule(transaction, schedule.id, {"probe_at": next_at})
        return
    await write_runs(transaction, written, principal, rows)
    await settle_due_overrides(transaction, schedule.id, as_of)
    changes = {"probe_run_id": probe.id, "cursor_at": as_of}
    await update_schedule(transaction, schedule.id, changes)
    _log.info(
        "schedule.probed",
        schedule_id=public_id(Kind.SCHEDULE, schedule.id),
        run_id=public_id(Kind.RUN, probe.id),
    )


def _only_the_newest(planned: Sequence[PlannedRecord]) -> list[PlannedRecord]:
    """Let a single record run: also what somebody moved into the pause waits for its end."""
    running = [one for one in planned if one.state is RunState.QUEUED]
    newest = max(running, key=lambda one: one.occurrence.at, default=None)
    return [
        replace(one, state=RunState.MISSED, cause=RunCause.SCHEDULE, reason=RunReason.PAUSED)
        if one.state is RunState.QUEUED and one is not newest
        else one
        for one in planned
    ]


def _next_at(
    schedule: Schedule, as_of: datetime, calendars: Calendars, overrides: Sequence[Override]
) -> datetime | None:
    """Return when something is due next; None if nothing ever is."""
    timetable = overridden(timetable_of(schedule.model_dump(), calendars), overrides)
    following = timetable.next_after(as_of)
    instants = [override.fires_at for override in waiting(still_waiting(overrides, as_of))]
    if following is not None:
        instants.append(following.at)
    return min(instants, default=None)


async def _wait_again(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    schedule: Schedule,
    as_of: datetime,
) -> None:
    """Leave the schedule paused, until the next probe if it still has any."""
    reason = "Still paused: the run that was let through has not succeeded."
    probe_at = None
    if schedule.probe_after_seconds is not None:
        probe_after = timedelta(seconds=schedule.probe_after_seconds)
        probe_at = as_of + probe_after
        reason += f" {probe_in_words(probe_after)}"
    changes = {"probe_at": probe_at, "probe_run_id": None, "state_reason": reason}
    schedule = await update_schedule(transaction, schedule.id, changes)
    await note_audit(
        transaction, principal, "schedule.autoPause", Subject.SCHEDULE, [(schedule.id, reason)]
    )
    record = ScheduleRecord(schedule, await read_counters(transaction, schedule.id))
    await tell(transaction, written, principal, record, ChangeKind.PAUSED, comment=reason)


async def _resume(runtime: Runtime, principal: Principal, probed: Schedule) -> None:
    """Let the schedule fire again. Should a crash come before this, the next sweep does it."""

    def still_stands(schedule: Schedule, as_of: datetime) -> bool:
        return _is_due(schedule, as_of) and schedule.probe_run_id == probed.probe_run_id

    with suppress(StateConflict, NotFound):
        await resume_schedule(runtime, principal, probed.id, ResumeRequest(), only_if=still_stands)
        _log.info("schedule.probe_worked", schedule_id=public_id(Kind.SCHEDULE, probed.id))
