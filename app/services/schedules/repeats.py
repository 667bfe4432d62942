"""Keep what has been recorded from firing again because its instant has moved.

When the zone rules or a calendar change, an occurrence that has had its run may come to lie in the
future: the same local time at another instant, or the same day's occurrence on a later day. It is
recognised by the nominal local time that was stored with its run, and the cursor passes over it.
Timings that count elapsed time repeat local times by right, except where a calendar moves them.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from app.core.time import (
    CronTiming,
    IntervalTiming,
    Occurrence,
    Timetable,
    Timing,
    timing_from_json,
)
from app.core.time.sources import follows_elapsed_time
from app.core.vocabulary import Adjustment
from app.models import Schedule
from app.services.schedules.recomputing import CursorOf

_MOST_PASSED_OVER = 1_000


def passing_over(recorded: Mapping[UUID, set[str]]) -> CursorOf:
    """Return the rule that moves a cursor past local times that were recorded before."""

    def cursor_of(schedule: Schedule, timetable: Timetable, cursor_at: datetime) -> datetime:
        locals_ = recorded.get(schedule.id, set())
        if not locals_:
            return cursor_at
        repeats = _Repeats(schedule, locals_)
        for _ in range(_MOST_PASSED_OVER):
            following = timetable.next_after(cursor_at, include_excluded=True)
            if following is None or not repeats.include(following):
                break
            cursor_at = following.nominal
        return cursor_at

    return cursor_of


class _Repeats:
    """Tells an occurrence whose local times were recorded from one that merely looks like it."""

    def __init__(self, schedule: Schedule, recorded: set[str]) -> None:
        timings = [timing_from_json(timing) for timing in schedule.timings]
        elapsed = [timing for timing in timings if _counts_elapsed_time(timing)]
        self._recorded = recorded
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
        if Adjustment.FOLD_SECOND in occurrence.adjustments:
            return False
        return self._elapsed is None or not self._elapsed.matches(occurrence.nominal)


def _counts_elapsed_time(timing: Timing) -> bool:
    if isinstance(timing, CronTiming):
        return follows_elapsed_time(timing.expression, timing.time_mode)
    return isinstance(timing, IntervalTiming)
