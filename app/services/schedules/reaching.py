"""Refuse a schedule that would never be due: it would be over at the moment it is saved.

Each of its timings may make sense and nothing be due all the same: the window is too narrow, or
the calendars exclude every occurrence. The search is bounded like every other: 50 years.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.core.errors import Invalid
from app.models import Schedule
from app.services.schedules.definition import ScheduleFields, past_instants
from app.services.schedules.timetables import TIMING_COLUMNS, Calendars, timetable_of

_OPEN = {"start_at": None, "end_at": None}
_FREE: dict[str, Any] = {"calendar_ids": []}


def refuse_never_due(
    columns: Mapping[str, Any],
    calendars: Calendars,
    fields: ScheduleFields,
    *,
    key: str,
    after: datetime,
) -> None:
    """Raise `Invalid`, with the field at fault, if nothing would run after an instant.

    What is to run although its instant has passed counts, too.
    """
    whole = {**columns, "key": key}
    if _next(whole, calendars, after) is not None:
        return
    if past_instants(fields) and timetable_of(whole, calendars).previous_before(after) is not None:
        return
    if _next({**whole, **_FREE}, calendars, after) is not None:
        raise Invalid(
            "The calendars exclude every occurrence: the schedule would never run.",
            path=("calendarIds",),
        )
    outside = _next({**whole, **_FREE, **_OPEN}, calendars, after)
    if outside is not None:
        raise Invalid(
            f"Nothing is due in the window {_window(columns)}: the schedule would never run. "
            f"Without the window it would at {_shown(outside)} next.",
            path=("startAt" if columns["end_at"] is None else "endAt",),
        )
    raise Invalid("Nothing is due any more: the schedule would never run.", path=("timings",))


def refuse_ending(
    before: Schedule,
    columns: Mapping[str, Any],
    calendars: Calendars,
    fields: ScheduleFields,
    *,
    after: datetime,
) -> None:
    """Raise `Invalid` for an edit after which nothing would run any more.

    An edit of `endAt` alone may end a schedule: that is what it is for.
    """
    changed = {name for name in TIMING_COLUMNS if getattr(before, name) != columns[name]}
    if changed - {"end_at", "jitter_seconds"}:
        refuse_never_due(columns, calendars, fields, key=before.key, after=after)


def _next(columns: Mapping[str, Any], calendars: Calendars, after: datetime) -> datetime | None:
    following = timetable_of(columns, calendars).next_after(after)
    return None if following is None else following.nominal


def _window(columns: Mapping[str, Any]) -> str:
    start_at, end_at = columns["start_at"], columns["end_at"]
    start = "" if start_at is None else f"from {_shown(start_at)} "
    return (start + ("on" if end_at is None else f"until {_shown(end_at)}")).strip()


def _shown(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
