"""What lies ahead of a schedule as it is now."""

from datetime import datetime

from app.core.time import Occurrence
from app.core.vocabulary import ScheduleState
from app.models import Schedule
from app.services.schedules.timetables import Calendars, timetable_of


def upcoming_occurrences(
    schedule: Schedule,
    calendars: Calendars,
    *,
    after: datetime,
    until: datetime | None,
    limit: int,
) -> list[Occurrence]:
    """Return the occurrences in (after, until] that an active schedule would fire."""
    if schedule.state is not ScheduleState.ACTIVE:
        return []
    timetable = timetable_of(schedule.model_dump(), calendars)
    if schedule.max_runs is not None:
        limit = min(limit, max(0, schedule.max_runs - schedule.runs_made))
    found: list[Occurrence] = []
    occurrence = timetable.next_after(after)
    while len(found) < limit and occurrence is not None:
        if until is not None and occurrence.nominal > until:
            break
        found.append(occurrence)
        occurrence = timetable.next_after(occurrence.nominal)
    return found


def next_run(schedule: Schedule, calendars: Calendars) -> datetime | None:
    """Return the next instant at which an active schedule runs.

    `next_run_at` is when a tick looks at it next: perhaps only to record what a calendar excludes.
    """
    if schedule.next_run_at is None:
        return None
    timetable = timetable_of(schedule.model_dump(), calendars)
    following = timetable.next_after(schedule.cursor_at)
    return None if following is None else following.nominal
