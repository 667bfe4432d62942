"""Where a schedule stands: its next instant, and the records that keep every instant accounted for.

Used by whoever moves a schedule's cursor outside a tick, inside the transaction that holds the
schedule.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.core.backfilling import overlap_of
from app.core.endings import state_at_end
from app.core.firing import (
    PlannedRecord,
    newest_occurrences,
    plan_choice,
    plan_due_overrides,
    plan_stretches,
)
from app.core.overrides import Override, overridden, still_waiting, waiting
from app.core.time import Timetable, timing_from_json
from app.core.vocabulary import ResumeChoice, RunReason, RunState, ScheduleState
from app.models import Job, OccurrenceOverride, Schedule
from app.models.columns import new_id
from app.services.access import Principal
from app.services.schedules.timetables import Calendars, timetable_of
from app.services.writing import Subject, Written, note_change
from app.store.counters import count_outcomes, count_recorded
from app.store.database import Transaction
from app.store.firing import RunRow, insert_runs, other_locals, to_json
from app.store.overrides import (
    mark_orphaned,
    override_of,
    read_standing_overrides,
    read_unsettled_overrides,
)
from app.store.pausing import withdraw_prepared_runs

_TICK = timedelta(microseconds=1)


def next_columns(
    schedule: Mapping[str, Any],
    cursor_at: datetime,
    calendars: Calendars,
    overrides: Sequence[Override] = (),
) -> dict[str, Any]:
    """Return cursor, next instant and state of a schedule that is not paused.

    `overrides` are those that have still to fire, or have fired early.
    """
    timetable = overridden(timetable_of(schedule, calendars), overrides)
    following = timetable.next_after(cursor_at, include_excluded=True)
    # One that is due and that no tick has fired yet may lie at the cursor or before it.
    instants = [max(override.fires_at, cursor_at + _TICK) for override in waiting(overrides)]
    if following is not None:
        instants.append(following.nominal)
    runs_left = schedule["max_runs"] is None or schedule["runs_made"] < schedule["max_runs"]
    columns: dict[str, Any] = {"cursor_at": cursor_at, "next_run_at": None, "last_error": None}
    if instants and runs_left:
        state, reason = ScheduleState.ACTIVE, None
        columns["next_run_at"] = min(instants)
    elif not runs_left:
        state, reason = ScheduleState.COMPLETED, "It has made all its runs."
    else:
        timings = [timing_from_json(timing) for timing in schedule["timings"]]
        state, reason = state_at_end(timings, schedule["end_at"], schedule["timezone"])
    return {**columns, "state": state, "state_reason": reason}


async def withdraw(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    schedule: Schedule,
    as_of: datetime,
) -> datetime:
    """Take back the runs that a tick prepared for instants still to come.

    Return up to where every occurrence is then accounted for: a run that is being claimed at this
    moment stays, and must not lie in what somebody records later.
    """
    ids = await withdraw_prepared_runs(transaction, schedule.id, as_of=as_of)
    await note_change(
        transaction,
        written,
        principal,
        Subject.RUN,
        "WITHDRAWN",
        dict.fromkeys(ids, 0),
        parent_ids=[schedule.id] * len(ids),
    )
    taken_back = [occurrence_at for occurrence_at in ids.values() if occurrence_at is not None]
    return min(taken_back) - _TICK if taken_back else schedule.cursor_at


def unfired_stretch(
    schedule: Schedule,
    as_of: datetime,
    reason: RunReason,
    calendars: Calendars,
    overrides: Sequence[Override] = (),
) -> list[PlannedRecord]:
    """Record what should have fired and has not, because no tick came before a change did.

    A quarantined schedule may not even be readable: then there is nothing to record.
    """
    try:
        timetable = timetable_of(schedule.model_dump(), calendars)
        regular = overridden(timetable, overrides)
        records = list(plan_stretches(regular, schedule.cursor_at, as_of, reason))
        return [*records, *plan_due_overrides(timetable, overrides, as_of, reason).records]
    except Exception:
        if schedule.state is not ScheduleState.QUARANTINED:
            raise
        return []


def plan_resumption(
    schedule: Schedule,
    as_of: datetime,
    choice: ResumeChoice,
    reason: RunReason,
    calendars: Calendars,
    overrides: Sequence[Override] = (),
) -> list[PlannedRecord]:
    """Choose which occurrences of a pause run; the others are recorded, in one range if they can.

    What somebody moved or added by hand runs unless all is skipped.
    """
    timetable = timetable_of(schedule.model_dump(), calendars)
    regular = overridden(timetable, overrides)
    limit = {ResumeChoice.SKIP: 0, ResumeChoice.LATEST: 1}.get(choice, schedule.catch_up_limit)
    running = newest_occurrences(regular, schedule.cursor_at, as_of, limit)
    in_turn = choice in (ResumeChoice.ALL, ResumeChoice.DRIP)
    records = list(
        plan_choice(regular, schedule.cursor_at, as_of, running, reason, in_turn=in_turn)
    )
    missed = reason if choice is ResumeChoice.SKIP else None
    return [*records, *plan_due_overrides(timetable, overrides, as_of, missed).records]


async def judge_overrides(
    transaction: Transaction, schedule: Mapping[str, Any], as_of: datetime, calendars: Calendars
) -> list[Override]:
    """Find out which overrides still have something to override, now that the timings differ.

    Returns those that do, and that fire later than `as_of` or have fired early.
    """
    timetable = timetable_of(schedule, calendars)
    rows = await read_unsettled_overrides(transaction, schedule["id"], later_than=as_of)
    judged = {row.id: _stands(row, schedule, timetable) for row in rows}
    await mark_orphaned(
        transaction,
        [id_ for id_, stands in judged.items() if not stands],
        [id_ for id_, stands in judged.items() if stands],
    )
    standing = await read_standing_overrides(transaction, schedule["id"])
    return still_waiting(standing, as_of)


def _stands(row: OccurrenceOverride, schedule: Mapping[str, Any], timetable: Timetable) -> bool:
    return in_window(row.fires_at, schedule) and (
        override_of(row, schedule["timezone"]).occurrence(timetable) is not None
    )


def in_window(instant: datetime, schedule: Mapping[str, Any]) -> bool:
    """Return whether an instant lies in the window of a schedule, both ends included."""
    start_at, end_at = schedule["start_at"], schedule["end_at"]
    return (start_at is None or start_at <= instant) and (end_at is None or instant <= end_at)


def run_row(
    schedule: Schedule, job: Job, record: PlannedRecord, *, due_at: datetime | None = None
) -> RunRow:
    """Return the row of one record."""
    occurrence = record.occurrence
    priority = job.priority if schedule.priority is None else schedule.priority
    return RunRow(
        id=new_id(),
        project_id=schedule.project_id,
        job_id=job.id,
        schedule_id=schedule.id,
        schedule_version=schedule.version,
        state=record.state.value,
        reason=None if record.reason is None else record.reason.value,
        message=record.message,
        cause=record.cause.value,
        overlap=(overlap_of(schedule.overlap) if record.in_turn else schedule.overlap).value,
        scheduled_for=occurrence.nominal,
        scheduled_local=occurrence.local.isoformat(),
        due_at=due_at or record.due_at or occurrence.at,
        range_end=record.range_end,
        range_count=record.range_count,
        parameters=to_json({**job.parameters, **schedule.parameters}),
        tags=to_json({**job.tags, **schedule.tags}),
        queue=job.queue,
        priority=priority,
        max_attempts=int(job.retry.get("maxAttempts", 1)),
        other_locals=other_locals(occurrence),
    )


async def write_runs(
    transaction: Transaction, written: Written, principal: Principal, rows: Sequence[RunRow]
) -> None:
    """Insert runs and records, count the records, and tell of them."""
    inserted = await insert_runs(transaction, rows)
    new_rows = [row for row in rows if row.id in inserted]
    await count_outcomes(transaction, count_recorded(new_rows))
    await note_change(
        transaction,
        written,
        principal,
        Subject.RUN,
        "CREATED",
        dict.fromkeys((row.id for row in new_rows), 1),
        parent_ids=[row.schedule_id for row in new_rows],
    )
    written.rings = written.rings or any(row.state == RunState.QUEUED for row in new_rows)
