"""Local times at a calendar distance: every N days, weeks, months or years from an anchor."""

from datetime import datetime

from app.core.time.instants import DAY_SECONDS, NEVER, SECOND, day_of, local_to_microseconds
from app.core.time.months import month_at
from app.core.vocabulary import CalendarUnit

_FIRST_MONTH, _LAST_MONTH = 1 * 12, 9990 * 12


class DayPattern:
    """Every so many days at the anchor's time of day."""

    __slots__ = ("_anchor", "_every")

    def __init__(self, days: int, anchor: datetime) -> None:
        self._every = days * DAY_SECONDS
        self._anchor = local_to_microseconds(anchor) // SECOND

    def first_from(self, local: int) -> int:
        """Return the first local time at or after `local`."""
        return local + (self._anchor - local) % self._every

    def last_until(self, local: int) -> int:
        """Return the last local time at or before `local`."""
        return local - (local - self._anchor) % self._every


class MonthPattern:
    """Every so many months on the anchor's day, or on the last day of a shorter month."""

    __slots__ = ("_anchor", "_day", "_every", "_time")

    def __init__(self, months: int, anchor: datetime) -> None:
        self._every = months
        self._anchor = anchor.year * 12 + anchor.month - 1
        self._day = anchor.day
        self._time = local_to_microseconds(anchor) // SECOND % DAY_SECONDS

    def first_from(self, local: int) -> int:
        """Return the first local time at or after `local`, or NEVER beyond the calendar."""
        index = self._at_or_before(local)
        found = self._local_in(index)
        return found if found >= local else self._local_in(index + self._every)

    def last_until(self, local: int) -> int:
        """Return the last local time at or before `local`, or -NEVER beyond the calendar."""
        index = self._at_or_before(local)
        found = self._local_in(index)
        return found if found <= local else self._local_in(index - self._every)

    def _at_or_before(self, local: int) -> int:
        date = day_of(local)
        index = date.year * 12 + date.month - 1
        return index - (index - self._anchor) % self._every

    def _local_in(self, index: int) -> int:
        if index < _FIRST_MONTH:
            return -NEVER
        if index > _LAST_MONTH:
            return NEVER
        month = month_at(index)
        return (month.start + min(self._day, month.length) - 1) * DAY_SECONDS + self._time


def calendar_pattern(every: int, unit: CalendarUnit, anchor: datetime) -> DayPattern | MonthPattern:
    """Return the pattern of a calendar interval."""
    match unit:
        case CalendarUnit.DAY:
            return DayPattern(every, anchor)
        case CalendarUnit.WEEK:
            return DayPattern(every * 7, anchor)
        case CalendarUnit.MONTH:
            return MonthPattern(every, anchor)
        case CalendarUnit.YEAR:
            return MonthPattern(every * 12, anchor)
