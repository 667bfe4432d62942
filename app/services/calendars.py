"""Put, import and delete calendars; an edit moves the next instants of whoever follows.

The calendar and its followers change in one transaction, the followers in bounded batches, so no
tick ever sees the one without the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.errors import LimitExceeded, NotFound, StateConflict
from app.core.time import calendar_from_json, parse_ics
from app.core.vocabulary import Role
from app.models import Calendar
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.rules import check_key, check_name, check_object
from app.services.schedules.recomputing import BATCH, recompute
from app.services.schedules.timetables import Calendars, known_calendars, load_calendars
from app.services.writing import Accepted, Subject, Written, field_changes, note_audit
from app.store.calendars import (
    count_calendars,
    delete_calendar,
    insert_calendar,
    lock_calendar,
    lock_followers,
    read_keys_of_followers,
    update_calendar,
)
from app.store.database import Transaction
from app.store.instants import read_now

MOST_CALENDARS = 1_000
"""How many calendars a project has at most."""


@dataclass(frozen=True, slots=True)
class CalendarRequest:
    """What a calendar is to be; the key says which one."""

    key: str
    name: str
    dates: Sequence[str] = ()
    rules: Mapping[str, Any] | None = None


async def put_calendar(
    runtime: Runtime, principal: Principal, request: CalendarRequest
) -> Accepted[Calendar]:
    """Create the calendar of that key, or make it what the request says."""
    principal.require(Role.EDITOR)
    columns = _read(request)
    return await _write(runtime, principal, request.key, columns, "calendarPut")


async def import_calendar(
    runtime: Runtime, principal: Principal, key: str, ics: str
) -> Accepted[Calendar]:
    """Make the days of an iCalendar text those of the calendar; its name and rules stay."""
    principal.require(Role.EDITOR)
    complaints = Complaints()
    with complaints.under():
        check_key(key)
    dates: list[str] = []
    with complaints.under("ics"):
        dates = parse_ics(ics)
    complaints.raise_if_any()
    return await _write(runtime, principal, key, {"dates": dates}, "calendarImport")


async def remove_calendar(runtime: Runtime, principal: Principal, key: str) -> Accepted[Calendar]:
    """Delete a calendar that no schedule follows; its key may be used again."""
    principal.require(Role.EDITOR)
    async with runtime.database.transaction(principal.project_id) as transaction:
        calendar = await lock_calendar(transaction, principal.project_id, key)
        if calendar is None:
            raise NotFound(f"There is no calendar with the key {key[:200]!r}.", path=("key",))
        await _refuse_used(transaction, calendar)
        await delete_calendar(transaction, calendar.id)
        await _note(transaction, principal, calendar, "calendarDelete", "Deleted")
    return Accepted(calendar)


def _read(request: CalendarRequest) -> dict[str, Any]:
    """Return the columns of a request, or raise everything that is wrong with it."""
    complaints = Complaints()
    with complaints.under():
        check_key(request.key)
    with complaints.under():
        check_name(request.name)
    rules: dict[str, Any] = {}
    with complaints.under():
        rules = check_object({} if request.rules is None else request.rules, "rules")
    with complaints.under():
        calendar_from_json(request.key, request.name, request.dates, rules)
    complaints.raise_if_any()
    return {"name": request.name, "dates": list(request.dates), "rules": rules}


async def _write(
    runtime: Runtime, principal: Principal, key: str, columns: dict[str, Any], action: str
) -> Accepted[Calendar]:
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        as_of = await read_now(transaction)
        before = await lock_calendar(transaction, principal.project_id, key)
        if before is None:
            after = await _create(transaction, principal, key, columns, as_of)
            await _note(transaction, principal, after, action, "Created")
            return Accepted(after)
        changes = field_changes(before.model_dump(), columns)
        if not changes:
            return Accepted(before)
        earlier = known_calendars([before])
        after = await update_calendar(
            transaction, before.id, {**columns, "updated_by": principal.actor}
        )
        _refuse_unreadable(after)
        moved = await _move_followers(transaction, written, after.id, earlier, as_of)
        shown = [change for change in changes if change["path"] != "dates"]
        words = f"Changed; {moved} next instants moved:"
        await _note(transaction, principal, after, action, words, changes=shown)
    await runtime.announce(written.changes)
    return Accepted(after)


def _refuse_unreadable(calendar: Calendar) -> None:
    """Raise what is wrong with days that were imported beside rules that were there."""
    calendar_from_json(calendar.key, calendar.name, calendar.dates, calendar.rules)


async def _create(
    transaction: Transaction,
    principal: Principal,
    key: str,
    columns: dict[str, Any],
    as_of: datetime,
) -> Calendar:
    if await count_calendars(transaction, principal.project_id) >= MOST_CALENDARS:
        raise LimitExceeded(f"A project has at most {MOST_CALENDARS:,} calendars.", path=("key",))
    calendar = Calendar(
        **{"name": key, "dates": [], "rules": {}, **columns},
        id=new_id(),
        project_id=principal.project_id,
        key=key,
        created_at=as_of,
        updated_at=as_of,
        created_by=principal.actor,
        updated_by=principal.actor,
    )
    await insert_calendar(transaction, calendar)
    return calendar


async def _move_followers(
    transaction: Transaction,
    written: Written,
    calendar_id: UUID,
    earlier: Calendars,
    as_of: datetime,
) -> int:
    """Recompute whoever follows the calendar, batch by batch; return how many moved."""
    moved, reached = 0, None
    while True:
        batch = await lock_followers(transaction, calendar_id, after=reached, limit=BATCH)
        if not batch:
            return moved
        after = await load_calendars(transaction, *(each.model_dump() for each in batch))
        before = {**after, **earlier}
        done = await recompute(transaction, batch, before=before, after=after, as_of=as_of)
        written.changes.extend(done.changes)
        moved += len(done.moved)
        reached = batch[-1].id


async def _refuse_used(transaction: Transaction, calendar: Calendar) -> None:
    keys = await read_keys_of_followers(transaction, calendar.id, limit=4)
    if keys:
        named = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
        raise StateConflict(
            f"Schedules still follow this calendar ({named}): change them first.",
            current="USED",
            allowed=["a calendar that no schedule follows"],
            path=("key",),
        )


async def _note(
    transaction: Transaction,
    principal: Principal,
    calendar: Calendar,
    action: str,
    words: str,
    *,
    changes: Sequence[dict[str, Any]] = (),
) -> None:
    summary = f"{words} calendar {calendar.key}, {len(calendar.dates)} dates."
    await note_audit(
        transaction,
        principal,
        action,
        Subject.CALENDAR,
        [(calendar.id, summary)],
        changes=changes,
    )
