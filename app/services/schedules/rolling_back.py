"""Give a schedule an earlier definition again.

That is an edit like any other: a new version, checked by today's rules, from now on.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.errors import Invalid, NotFound, TickwheelError
from app.core.time import timing_from_json, validate_timings
from app.core.vocabulary import ChangeKind, Role
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.schedules.definition import ScheduleFields
from app.services.schedules.editing import (
    Edit,
    check_edit,
    hold,
    refuse_archived,
    tell,
    turn_columns,
)
from app.services.schedules.timetables import known_calendars, load_calendars
from app.services.writing import Accepted, Subject, Written, field_changes, note_audit
from app.store.calendars import share_calendars
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.schedules import ScheduleRecord, read_counters, read_schedule
from app.store.versions import columns_of, read_definition

_NOTHING_GIVEN = ScheduleFields()


async def roll_back_schedule(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    *,
    to_version: int,
    expected_version: int,
    comment: str | None = None,
) -> Accepted[ScheduleRecord]:
    """Make a schedule what it was at `to_version`; its state stays."""
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        base = await _read_base(transaction, principal, schedule_id, to_version)
        # Calendars are held before schedules, as an edit does.
        earlier = await share_calendars(transaction, principal.project_id, base["calendar_ids"])
        schedule = await hold(transaction, principal, schedule_id, expected_version)
        refuse_archived(schedule)
        as_of = await read_now(transaction)
        calendars = {
            **await load_calendars(transaction, schedule.model_dump()),
            **known_calendars(earlier.values()),
        }
        job = await read_job(transaction, schedule.project_id, schedule.job_id)
        assert job is not None, "a job outlives its schedules"
        try:
            columns = await check_edit(
                runtime,
                transaction,
                schedule,
                job,
                _NOTHING_GIVEN,
                calendars=calendars,
                as_of=as_of,
                base=base,
            )
            _check_anew(schedule, columns, as_of)
        except TickwheelError as error:
            message = f"Version {to_version} cannot hold any more: {error.message}"
            raise Invalid(message, path=("toVersion",)) from error
        columns |= turn_columns(schedule, columns, None, as_of)
        changes = field_changes(schedule.model_dump(), columns)
        if changes:
            edit = Edit(principal, schedule, job, calendars, as_of, written)
            schedule = await edit.apply(transaction, columns, _NOTHING_GIVEN)
            summary = f"Rolled schedule {schedule.key} back to version {to_version}."
            await note_audit(
                transaction,
                principal,
                "scheduleRollback",
                Subject.SCHEDULE,
                [(schedule.id, summary + (f" {comment}" if comment else ""))],
                changes=changes,
            )
        record = ScheduleRecord(schedule, await read_counters(transaction, schedule.id))
        if changes:
            change = ChangeKind.ROLLED_BACK
            await tell(transaction, written, principal, record, change, comment=comment)
    await runtime.announce(written.changes, ring=written.rings)
    return Accepted(record)


async def _read_base(
    transaction: Transaction, principal: Principal, schedule_id: UUID, version: int
) -> dict[str, Any]:
    """Return the columns of an earlier definition."""
    if await read_schedule(transaction, principal.project_id, schedule_id) is None:
        raise NotFound(
            "There is no such schedule in this project.", id=str(schedule_id), path=("id",)
        )
    found = await read_definition(transaction, schedule_id, version)
    if found is None:
        raise NotFound(
            f"The schedule has no version {version}.", id=str(version), path=("toVersion",)
        )
    return columns_of(found.snapshot)


def _check_anew(schedule: Schedule, columns: Mapping[str, Any], as_of: datetime) -> None:
    """Refuse other timings that by now lie in the past."""
    if columns["timings"] == schedule.timings:
        return
    validate_timings(
        [timing_from_json(timing) for timing in columns["timings"]],
        timezone=columns["timezone"],
        dst_gap=columns["dst_gap"],
        as_of=as_of,
    )
