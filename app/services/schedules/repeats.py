"""Keep what has been recorded from firing again because its instant has moved.

When the zone rules or a calendar change, or a schedule begins to follow one, an occurrence that has
had its run may come to lie in the future: the same local time at another instant, or the same day's
occurrence on a later day. It is recognised by the nominal local time that was stored with its run,
and the cursor passes over it.
Timings that count elapsed time repeat local times by right, except where a calendar moves them.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.core.time import (
    CronTiming,
    IntervalTiming,
    Occurrence,
    Timetable,
    Timing,
    timing_from_json,
)
from app.core.time.calendars import LONGEST_RUN
from app.core.time.sources import follows_elapsed_time
from app.core.vocabulary import Adjustment, CalendarMode
from app.models import Schedule
from app.services.schedules.recomputing import CursorOf
from app.services.schedules.timetables import Calendars, timetable_of
from app.store.database import Transaction
from app.store.recomputing import read_recorded_locals

_FARTHEST_MOVE = timedelta(days=LONGEST_RUN + 2)
_MOST_PASSED_OVER = 1_000
_log = structlog.get_logger(__name__)


async def read_moved(
    transaction: Transaction,
    schedules: Iterable[Mapping[str, Any]],
    calendars: Calendars,
    as_of: datetime,
) -> dict[UUID, set[str]]:
    """Return the local times, recorded before, that calendars move to what is still to come.

    `schedules` are the columns of some.
    """
    moved = {each["id"]: _moved_ahead(each, calendars, as_of) for each in schedules}
    having = {id_: as_of for id_, locals_ in moved.items() if locals_}
    wanted = set[str]().union(*moved.values())
    return await read_recorded_locals(transaction, having, _FARTHEST_MOVE, among=wanted)


def _moved_ahead(schedule: Mapping[str, Any], calendars: Calendars, as_of: datetime) -> set[str]:
    """Return the local times of the next occurrences for as long as calendars moved them there."""
    if schedule["calendar_mode"] is CalendarMode.EXCLUDE:
        return set()
    found: set[str] = set()
    try:
        timetable = timetable_of(schedule, calendars)
        instant = as_of
        for _ in range(_MOST_PASSED_OVER):
            following = timetable.next_after(instant, include_excluded=True)
            if following is None or Adjustment.CALENDAR_MOVED not in following.adjustments:
                break
            found.update(local.isoformat() for local in following.nominal_locals)
            instant = following.nominal
    except Exception:
        # Whoever plans it next will quarantine it.
        _log.exception("repeats.unreadable_schedule")
    return found


def passing_over(recorded: Mapping[UUID, set[str]], *, only_moved: bool = False) -> CursorOf:
    """Return the rule that moves a cursor past local times that were recorded before.

    `only_moved` says that nothing but a calendar has moved them.
    """

    def cursor_of(schedule: Schedule, timetable: Timetable, cursor_at: datetime) -> datetime:
        locals_ = recorded.get(schedule.id, set())
        if not locals_:
            return cursor_at
        repeats = _Repeats(schedule, locals_, only_moved=only_moved)
        for _ in range(_MOST_PASSED_OVER):
            following = timetable.next_after(cursor_at, include_excluded=True)
            if following is None or not repeats.include(following):
                break
            cursor_at = following.nominal
        return cursor_at

    return cursor_of


class _Repeats:
    """Tells an occurrence whose local times were recorded from one that merely looks like it."""

    def __init__(self, schedule: Schedule, recorded: set[str], *, only_moved: bool) -> None:
        timings = [timing_from_json(timing) for timing in schedule.timings]
        elapsed = [timing for timing in timings if _counts_elapsed_time(timing)]
        self._recorded = recorded
        self._only_moved = only_moved
        self._elapsed = (
            Timetable.of(elapsed, timezone=schedule.timezone, hash_key=schedule.key)
            if elapsed
            else None
        )

    def include(self, occurrence: Occurrence) -> bool:
        """Return whether every local time that the occurrence stands for was recorded."""
        if any(local.isoformat() not in self._recorded for local in occurrence.nominal_locals):
            return False
        if Adjustment.CALENDAR_MOVED in occurrence.adjustments:
            return True
        if self._only_moved or Adjustment.FOLD_SECOND in occurrence.adjustments:
            return False
        return self._elapsed is None or not self._elapsed.matches(occurrence.nominal)


def _counts_elapsed_time(timing: Timing) -> bool:
    if isinstance(timing, CronTiming):
        return follows_elapsed_time(timing.expression, timing.time_mode)
    return isinstance(timing, IntervalTiming)
