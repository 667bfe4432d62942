"""Change a schedule's definition. An edit takes effect from now on, never retroactively.

It may say from when it holds: until then the schedule fires as before, and what it was is kept in
`timing_before`. Another edit of when it fires replaces one that has not taken effect.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.errors import Invalid, NotFound, StateConflict, TickwheelError
from app.core.overrides import Override, still_waiting
from app.core.vocabulary import ChangeKind, Role, RunReason, SchedulerState, ScheduleState
from app.models import Job, Schedule
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.projects import defaults_of
from app.services.schedules.accounting import (
    judge_overrides,
    next_columns,
    run_row,
    unfired_stretch,
    withdraw,
    write_runs,
)
from app.services.schedules.creating import duplicate_of, only_instant, write_past_runs
from app.services.schedules.definition import (
    ScheduleFields,
    check_calendars,
    check_for_job,
    default_columns,
    definition_hash,
    given_calendar_ids,
    past_instants,
    read_fields,
)
from app.services.schedules.owning import Owners
from app.services.schedules.reaching import refuse_ending
from app.services.schedules.repeats import read_repeats
from app.services.schedules.timetables import (
    TIMING_COLUMNS,
    Calendars,
    known_calendars,
    load_calendars,
    stored_timing,
    timetable_of,
)
from app.services.secret_references import check_references, share_referenced
from app.services.writing import (
    Accepted,
    Subject,
    Written,
    check_version,
    field_changes,
    note_audit,
    note_change,
)
from app.store.calendars import share_calendars
from app.store.database import ReadConnection, Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.overrides import read_standing_overrides, settle_due_overrides
from app.store.schedules import (
    ScheduleRecord,
    find_same_definitions,
    hold_definitions,
    lock_schedule,
    read_counters,
    update_schedule,
)
from app.store.status import read_control
from app.store.versions import record_versions

_GOES_ON = (ScheduleState.ACTIVE, ScheduleState.PAUSED)
# Why an occurrence before an edit has not fired; without a reason there was none to fire.
_WHY_UNFIRED = {
    ScheduleState.ACTIVE: RunReason.TOO_LATE,
    ScheduleState.PAUSED: RunReason.PAUSED,
    ScheduleState.QUARANTINED: RunReason.QUARANTINED,
}
# The same while the whole instance fires nothing.
_WHY_HALTED = {
    SchedulerState.PAUSED: RunReason.PAUSED,
    SchedulerState.DRAINING: RunReason.STOPPED,
    SchedulerState.STOPPED: RunReason.STOPPED,
}


async def update_schedule_definition(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    fields: ScheduleFields,
    *,
    expected_version: int | None,
    comment: str | None = None,
    effective_from: datetime | None = None,
) -> Accepted[ScheduleRecord]:
    """Change a schedule; the next instant is recomputed in the same transaction.

    With `effective_from` it fires as before until then.
    """
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        given = await share_calendars(transaction, principal.project_id, given_calendar_ids(fields))
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        refuse_archived(schedule)
        as_of = await read_now(transaction)
        calendars = {
            **await load_calendars(transaction, schedule.model_dump()),
            **known_calendars(given.values()),
        }
        job = await read_job(transaction, schedule.project_id, schedule.job_id)
        assert job is not None, "a job outlives its schedules"
        columns = await check_edit(
            runtime,
            transaction,
            schedule,
            job,
            fields,
            calendars=calendars,
            as_of=as_of,
            effective_from=effective_from,
        )
        columns["owner"] = await choose_owner(transaction, principal, schedule, fields, as_of)
        columns |= turn_columns(schedule, columns, effective_from, as_of)
        changes = field_changes(schedule.model_dump(), columns)
        if changes:
            edit = Edit(principal, schedule, job, calendars, as_of, written)
            schedule = await edit.apply(transaction, columns, fields)
            summary = f"Changed schedule {schedule.key}." + (f" {comment}" if comment else "")
            await note_audit(
                transaction,
                principal,
                "scheduleUpdate",
                Subject.SCHEDULE,
                [(schedule.id, summary)],
                changes=changes,
            )
        record = ScheduleRecord(schedule, await read_counters(transaction, schedule.id))
        if changes:
            await tell(transaction, written, principal, record, ChangeKind.UPDATED, comment=comment)
    await runtime.announce(written.changes, ring=written.rings)
    return Accepted(record)


async def hold(
    transaction: Transaction,
    principal: Principal,
    schedule_id: UUID,
    expected_version: int | None,
    *,
    argument: str = "id",
) -> Schedule:
    """Lock a schedule of the caller's project, at the version the caller has seen."""
    schedule = await lock_schedule(transaction, principal.project_id, schedule_id)
    if schedule is None:
        raise NotFound(
            "There is no such schedule in this project.", id=str(schedule_id), path=(argument,)
        )
    check_version(expected_version, schedule.version)
    return schedule


async def choose_owner(
    connection: ReadConnection,
    principal: Principal,
    schedule: Schedule,
    fields: ScheduleFields,
    as_of: datetime,
) -> ActorRecord | None:
    """Return the owner after an edit, or raise why it cannot be the one that is named."""
    owners = await Owners.load(connection, principal, [fields], as_of=as_of)
    try:
        return owners.choose(fields, created_by=schedule.created_by, so_far=schedule.owner)
    except TickwheelError as error:
        raise error.under("fields") from None


def refuse_archived(schedule: Schedule, *, argument: str = "id") -> None:
    """Raise `StateConflict` for a schedule that is no more."""
    if schedule.archived_at is not None:
        raise StateConflict(
            "The schedule is archived; its key may be used for a new one.",
            current=schedule.state.value,
            allowed=[state.value for state in ScheduleState if state is not ScheduleState.ARCHIVED],
            path=(argument,),
        )


async def tell(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    record: ScheduleRecord,
    change: ChangeKind,
    *,
    comment: str | None = None,
) -> None:
    """Write the version and the event of a changed schedule."""
    await record_versions(
        transaction, [record.schedule.id], change, by=principal.actor, comment=comment
    )
    await note_change(
        transaction,
        written,
        principal,
        Subject.SCHEDULE,
        change.value,
        {record.schedule.id: record.revision},
    )


async def check_edit(
    runtime: Runtime,
    transaction: Transaction,
    schedule: Schedule,
    job: Job,
    fields: ScheduleFields,
    *,
    calendars: Calendars,
    as_of: datetime,
    base: Mapping[str, Any] | None = None,
    effective_from: datetime | None = None,
) -> dict[str, Any]:
    """Return the definition as it will be, or raise what is wrong with it.

    `base` is what `fields` lie over: what the schedule is now, unless given.
    """
    complaints = Complaints()
    defaults = await defaults_of(runtime, transaction, schedule.project_id)
    columns = read_fields(
        fields,
        complaints,
        base=schedule.model_dump() if base is None else base,
        defaults=default_columns(defaults, schedule.key),
        as_of=as_of,
    )
    check_calendars(columns, calendars, complaints)
    check_for_job(columns, job, complaints)
    parameters = columns["parameters"]
    secrets = await share_referenced(transaction, schedule.project_id, [parameters])
    check_references(parameters, secrets, complaints, "parameters")
    if not complaints.errors:
        after = max(as_of, effective_from or as_of)
        with complaints.under():
            refuse_ending(schedule, columns, calendars, fields, after=after)
    if not complaints.errors:
        same = definition_hash(job.id, columns)
        columns["definition_hash"] = same
        if same != schedule.definition_hash:
            await hold_definitions(transaction, schedule.project_id, [same])
        twins = await find_same_definitions(
            transaction, schedule.project_id, [same], besides=schedule.id
        )
        if same != schedule.definition_hash and same in twins:
            complaints.add(duplicate_of(twins[same]).under())
    for error in complaints.errors:
        if error.path[:1] != ("fields",):
            error.under("fields")
    complaints.raise_if_any()
    return columns


def is_retimed(before: Schedule, columns: dict[str, Any]) -> bool:
    """Return whether a definition fires at other instants, or may."""
    return any(getattr(before, name) != columns[name] for name in TIMING_COLUMNS)


def turn_columns(
    before: Schedule, columns: dict[str, Any], effective_from: datetime | None, as_of: datetime
) -> dict[str, Any]:
    """Return the columns that say from when the definition holds, and what holds until then."""
    is_pending = before.effective_from is not None and before.effective_from > as_of
    if effective_from is None:
        is_stale = is_retimed(before, columns)
        return {"effective_from": None, "timing_before": None} if is_stale else {}
    check_effective_from(before, columns, effective_from, as_of)
    if is_pending:
        return {"effective_from": effective_from}
    if not is_retimed(before, columns):
        return {}
    in_force = stored_timing(before.model_dump())
    return {"effective_from": effective_from, "timing_before": in_force}


def check_effective_from(
    before: Schedule, columns: dict[str, Any], effective_from: datetime, as_of: datetime
) -> None:
    """Refuse an edit that would reach back, or that would take effect in parts."""
    path = ("effectiveFrom",)
    if effective_from <= as_of:
        raise Invalid("An edit takes effect now or later, never in the past.", path=path)
    others = [
        name
        for name, value in columns.items()
        if name not in (*TIMING_COLUMNS, "definition_hash") and getattr(before, name) != value
    ]
    if others:
        raise Invalid(
            "effectiveFrom goes with changes of when it fires; everything else holds at once: "
            f"change {', '.join(others)} by itself.",
            path=path,
        )


class Edit:
    """The edit of one schedule, which the caller holds."""

    def __init__(
        self,
        principal: Principal,
        schedule: Schedule,
        job: Job,
        calendars: Calendars,
        as_of: datetime,
        written: Written,
    ) -> None:
        self._principal = principal
        self._before = schedule
        self._job = job
        self._calendars = calendars
        self._as_of = as_of
        self._written = written

    async def apply(
        self, transaction: Transaction, columns: dict[str, Any], fields: ScheduleFields
    ) -> Schedule:
        """Write the new definition; account for what the old one had still to fire."""
        before = self._before
        new = {
            **columns,
            "version": before.version + 1,
            "updated_by": self._principal.actor,
        }
        accounted = await withdraw(transaction, self._written, self._principal, before, self._as_of)
        overrides = await read_standing_overrides(transaction, before.id)
        cursor_at = await self._settle(transaction, columns, overrides, accounted)
        whole = {**before.model_dump(), **columns}
        if is_retimed(before, columns):
            passed_over = await self._pass_over(transaction, whole, cursor_at)
            new["passed_over"] = whole["passed_over"] = passed_over
            overrides = await judge_overrides(transaction, whole, self._as_of, self._calendars)
        if before.state is ScheduleState.PAUSED:
            return await update_schedule(transaction, before.id, new | {"cursor_at": cursor_at})
        standing = still_waiting(overrides, cursor_at)
        new |= next_columns(whole, cursor_at, self._calendars, standing)
        after = await update_schedule(transaction, before.id, new)
        await self._run_past(transaction, after, fields)
        return after

    async def _settle(
        self,
        transaction: Transaction,
        columns: dict[str, Any],
        overrides: Sequence[Override],
        accounted: datetime,
    ) -> datetime:
        """Return where the cursor goes.

        Other instants begin now; then what was due under the old ones, and no tick has fired, is
        recorded. Where the instants stay, the tick will fire it, or the pause goes on.
        """
        before = self._before
        if before.state in _GOES_ON and not is_retimed(before, columns):
            return accounted
        reason = _WHY_UNFIRED.get(before.state)
        if before.state is ScheduleState.ACTIVE:
            control = await read_control(transaction)
            reason = _WHY_HALTED.get(control.state, reason)
        if reason is not None:
            missed = unfired_stretch(before, self._as_of, reason, self._calendars, overrides)
            rows = [run_row(before, self._job, record) for record in missed]
            await write_runs(transaction, self._written, self._principal, rows)
        await settle_due_overrides(transaction, before.id, self._as_of, recorded=reason is not None)
        return self._as_of

    async def _pass_over(
        self, transaction: Transaction, whole: dict[str, Any], cursor_at: datetime
    ) -> list[datetime]:
        """Return the instants at which the new definition would repeat what has been recorded."""
        before = self._before.model_dump()
        repeats = await read_repeats(
            transaction, [whole], self._calendars, self._as_of, before=before
        )
        return repeats.passed_over(whole, cursor_at, recorded_in=before["timezone"])

    async def _run_past(
        self, transaction: Transaction, after: Schedule, fields: ScheduleFields
    ) -> None:
        past = []
        for index in past_instants(fields):
            one = after.model_dump() | {"timings": [after.timings[index]]}
            alone = timetable_of(one, self._calendars)
            instant = only_instant(alone, self._as_of)
            if instant is not None:
                past.append((after, instant))
        await write_past_runs(
            transaction,
            self._written,
            self._principal,
            past,
            {self._job.id: self._job},
            calendars=self._calendars,
            as_of=self._as_of,
        )
