"""What lies ahead of a schedule as it is now."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice, takewhile
from typing import Any, Final

from app.core.overrides import Override, by_hand, overridden
from app.core.spacing import spaced_after
from app.core.time import Occurrence, Timetable
from app.core.vocabulary import ScheduleState
from app.models import OccurrenceOverride, Schedule
from app.services.schedules.timetables import Calendars, timetable_of
from app.store.overrides import override_of

_MOST_STARTS: Final = 10_000


def upcoming_occurrences(
    schedule: Schedule,
    calendars: Calendars,
    *,
    after: datetime,
    until: datetime | None,
    limit: int,
    overrides: Sequence[OccurrenceOverride] = (),
) -> list[Occurrence]:
    """Return the occurrences in (after, until] that an active schedule would fire.

    What somebody moved stands where it was moved to.
    """
    if schedule.state is not ScheduleState.ACTIVE:
        return []
    timetable = timetable_of(schedule.model_dump(), calendars)
    if schedule.max_runs is not None:
        limit = min(limit, max(0, schedule.max_runs - schedule.runs_made))
    standing = _standing(schedule, overrides)
    regular = _regular(schedule, overridden(timetable, standing), after, until, limit)
    decided = _by_hand(timetable, standing, after, until)
    return list(islice(merge(regular, decided, key=lambda occurrence: occurrence.at), limit))


def spacing_of(columns: Mapping[str, Any]) -> timedelta | None:
    """Return the least distance between two starts of a schedule, if it keeps one."""
    seconds = columns["spacing_seconds"]
    return None if seconds is None else timedelta(seconds=seconds)


def starts_after(
    timetable: Timetable, columns: Mapping[str, Any], after: datetime
) -> Iterator[Occurrence]:
    """Yield what starts later than `after`, if each run starts on time; for one with a spacing."""
    spacing = spacing_of(columns)
    assert spacing is not None, "a schedule without a spacing starts all of them"
    jitter = timedelta(seconds=columns["jitter_seconds"])
    last_start_at = columns["last_start_at"]
    return spaced_after(timetable, after, spacing, jitter=jitter, last_start_at=last_start_at)


def next_run(
    schedule: Schedule, calendars: Calendars, overrides: Sequence[OccurrenceOverride] = ()
) -> datetime | None:
    """Return the next instant at which an active schedule runs.

    `next_run_at` is when a tick looks at it next: perhaps only to record what a calendar excludes
    or somebody skips.
    """
    if schedule.next_run_at is None:
        return None
    timetable = timetable_of(schedule.model_dump(), calendars)
    standing = _standing(schedule, overrides)
    following = overridden(timetable, standing).next_after(schedule.cursor_at)
    instants = [one.at for one in _by_hand(timetable, standing, schedule.cursor_at, None)]
    if following is not None:
        instants.append(following.nominal)
    return min(instants, default=None)


def _standing(schedule: Schedule, overrides: Sequence[OccurrenceOverride]) -> list[Override]:
    return [override_of(row, schedule.timezone) for row in overrides if not row.orphaned]


def _regular(
    schedule: Schedule,
    timetable: Timetable,
    after: datetime,
    until: datetime | None,
    limit: int,
) -> list[Occurrence]:
    if schedule.spacing_seconds is not None:
        # From where the schedule stands: which of them start depends on those before.
        since = min(after, schedule.cursor_at)
        starts = islice(starts_after(timetable, schedule.model_dump(), since), _MOST_STARTS)
        within = takewhile(lambda one: until is None or one.nominal <= until, starts)
        return list(islice((one for one in within if one.nominal > after), limit))
    found: list[Occurrence] = []
    occurrence = timetable.next_after(after)
    while len(found) < limit and occurrence is not None:
        if until is not None and occurrence.nominal > until:
            break
        found.append(occurrence)
        occurrence = timetable.next_after(occurrence.nominal)
    return found


def _by_hand(
    timetable: Timetable, overrides: Sequence[Override], after: datetime, until: datetime | None
) -> list[Occurrence]:
    """Return what was moved or added, in the order in which it fires."""
    return [
        occurrence
        for occurrence in by_hand(timetable, overrides)
        if occurrence.will_run
        and occurrence.at > after
        and (until is None or occurrence.at <= until)
    ]
