"""Change a schedule's definition. An edit takes effect from now on, never retroactively."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.errors import NotFound, StateConflict
from app.core.vocabulary import ChangeKind, Role, RunReason, ScheduleState
from app.models import Job, Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.findings import Findings
from app.services.schedules.accounting import (
    next_columns,
    run_row,
    timetable_of,
    unfired_stretch,
    withdraw,
    write_runs,
)
from app.services.schedules.creating import duplicate_of, only_instant, write_past_runs
from app.services.schedules.definition import (
    ScheduleFields,
    check_for_job,
    default_columns,
    definition_hash,
    past_instants,
    read_fields,
)
from app.services.writing import (
    Accepted,
    Subject,
    Written,
    check_version,
    field_changes,
    note_audit,
    note_change,
)
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.schedules import (
    ScheduleRecord,
    find_same_definitions,
    lock_schedule,
    read_counters,
    update_schedule,
)

_DECIDES_WHEN = frozenset(
    {"timings", "timezone", "dst_gap", "dst_fold", "start_at", "end_at", "jitter_seconds"}
)


async def update_schedule_definition(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    fields: ScheduleFields,
    *,
    expected_version: int | None,
    comment: str | None = None,
) -> Accepted[ScheduleRecord]:
    """Change a schedule; the next instant is recomputed in the same transaction."""
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        refuse_archived(schedule)
        as_of = await read_now(transaction)
        job = await read_job(transaction, schedule.project_id, schedule.job_id)
        assert job is not None, "a job outlives its schedules"
        columns = await _check(runtime, transaction, schedule, job, fields, as_of)
        changes = field_changes(schedule.model_dump(), columns)
        if changes:
            edit = _Edit(principal, schedule, job, as_of, written)
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
            await tell(transaction, written, principal, record, ChangeKind.UPDATED)
    await runtime.announce(written.changes, ring=written.rings)
    return Accepted(record)


async def hold(
    transaction: Transaction,
    principal: Principal,
    schedule_id: UUID,
    expected_version: int | None,
) -> Schedule:
    """Lock a schedule of the caller's project, at the version the caller has seen."""
    schedule = await lock_schedule(transaction, principal.project_id, schedule_id)
    if schedule is None:
        raise NotFound(
            "There is no such schedule in this project.", id=str(schedule_id), path=("id",)
        )
    check_version(expected_version, schedule.version)
    return schedule


def refuse_archived(schedule: Schedule) -> None:
    """Raise `StateConflict` for a schedule that is no more."""
    if schedule.archived_at is not None:
        raise StateConflict(
            "The schedule is archived; its key may be used for a new one.",
            current=schedule.state.value,
            allowed=[state.value for state in ScheduleState if state is not ScheduleState.ARCHIVED],
            path=("id",),
        )


async def tell(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    record: ScheduleRecord,
    change: ChangeKind,
) -> None:
    """Write the event of a changed schedule."""
    await note_change(
        transaction,
        written,
        principal,
        Subject.SCHEDULE,
        change.value,
        {record.schedule.id: record.revision},
    )


async def _check(
    runtime: Runtime,
    transaction: Transaction,
    schedule: Schedule,
    job: Job,
    fields: ScheduleFields,
    as_of: datetime,
) -> dict[str, Any]:
    """Return the definition as it will be, or raise what is wrong with it."""
    findings = Findings()
    columns = read_fields(
        fields,
        findings,
        base=schedule.model_dump(),
        defaults=default_columns(runtime, schedule.key),
        as_of=as_of,
    )
    check_for_job(columns, job, findings)
    if not findings.errors:
        same = definition_hash(job.id, columns)
        columns["definition_hash"] = same
        twins = await find_same_definitions(
            transaction, schedule.project_id, [same], besides=schedule.id
        )
        if same != schedule.definition_hash and same in twins:
            findings.add(duplicate_of(twins[same]).under())
    for error in findings.errors:
        if error.path[:1] != ("fields",):
            error.under("fields")
    findings.raise_if_any()
    return columns


class _Edit:
    """The edit of one schedule, which the caller holds."""

    def __init__(
        self,
        principal: Principal,
        schedule: Schedule,
        job: Job,
        as_of: datetime,
        written: Written,
    ) -> None:
        self._principal = principal
        self._before = schedule
        self._job = job
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
        if before.state is ScheduleState.PAUSED:
            return await update_schedule(transaction, before.id, new)
        await withdraw(transaction, self._written, self._principal, before, self._as_of)
        cursor_at = await self._settle(transaction, columns)
        new |= next_columns({**before.model_dump(), **columns}, cursor_at)
        after = await update_schedule(transaction, before.id, new)
        await self._run_past(transaction, after, fields)
        return after

    async def _settle(self, transaction: Transaction, columns: dict[str, Any]) -> datetime:
        """Return where the cursor goes.

        Other instants begin now; then what was due under the old ones, and no tick has fired, is
        recorded. Where the instants stay, the tick will fire it.
        """
        before = self._before
        is_retimed = any(getattr(before, name) != columns[name] for name in _DECIDES_WHEN)
        if before.state is ScheduleState.ACTIVE and not is_retimed:
            return min(before.cursor_at, self._as_of)
        if before.state in (ScheduleState.ACTIVE, ScheduleState.QUARANTINED):
            reason = (
                RunReason.TOO_LATE
                if before.state is ScheduleState.ACTIVE
                else RunReason.QUARANTINED
            )
            missed = unfired_stretch(before, self._as_of, reason)
            rows = [run_row(before, self._job, record) for record in missed]
            await write_runs(transaction, self._written, self._principal, rows)
        return self._as_of

    async def _run_past(
        self, transaction: Transaction, after: Schedule, fields: ScheduleFields
    ) -> None:
        past = []
        for index in past_instants(fields):
            alone = timetable_of(after.model_dump() | {"timings": [after.timings[index]]})
            instant = only_instant(alone, self._as_of)
            if instant is not None:
                past.append((after, instant))
        await write_past_runs(
            transaction,
            self._written,
            self._principal,
            past,
            {self._job.id: self._job},
            self._as_of,
        )
