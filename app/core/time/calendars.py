"""Named dates that exclude or move occurrences.

A calendar names days: single dates, ranges of dates, weekdays, days of every year and the public
holidays of a country. Several calendars exclude what any of them names. A day is a whole local
day in the schedule's zone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from app.core.time.instants import EPOCH_ORDINAL

LONGEST_RUN: Final = 366
"""Occurrences are not moved out of more excluded days in a row than this."""


@dataclass(frozen=True, slots=True)
class DateRange:
    """Every day from the first to the last, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class HolidayRule:
    """The public holidays of a country, or of one of its subdivisions."""

    country: str
    subdivision: str | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """A named set of days, compared by value. Weekdays count from Monday as 0."""

    key: str
    name: str
    ranges: tuple[DateRange, ...] = ()
    weekdays: frozenset[int] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    """(month, day) of every year."""
    holidays: tuple[HolidayRule, ...] = ()

    def names(self, day: date) -> bool:
        """Return whether this calendar names a day."""
        return (
            day.weekday() in self.weekdays
            or (day.month, day.day) in self.yearly
            or any(span.first <= day <= span.last for span in self.ranges)
            or any(day in holidays_in(rule, day.year) for rule in self.holidays)
        )


@lru_cache(maxsize=1024)
def holidays_in(rule: HolidayRule, year: int) -> frozenset[date]:
    """Return the public holidays of one year."""
    import holidays

    return frozenset(
        holidays.country_holidays(rule.country, subdiv=rule.subdivision, years=year, expand=False)
    )


class Exclusions:
    """The days that any of several calendars names; remembers what it has answered."""

    __slots__ = ("_calendars", "_known")

    def __init__(self, calendars: Iterable[Calendar]) -> None:
        self._calendars = tuple(calendars)
        self._known: dict[int, Calendar | None] = {}

    def excluding(self, day: int) -> Calendar | None:
        """Return the calendar that names a day (counted since 1970), if any does."""
        try:
            return self._known[day]
        except KeyError:
            when = date.fromordinal(day + EPOCH_ORDINAL)
            found = next((one for one in self._calendars if one.names(when)), None)
            self._known[day] = found
            return found

    def run_around(self, day: int) -> tuple[int, int]:
        """Return the first and last of the excluded days around an excluded day.

        Looks a year in either direction; see `can_leave`.
        """
        first = last = day
        while day - first <= LONGEST_RUN and self.excluding(first - 1) is not None:
            first -= 1
        while last - day <= LONGEST_RUN and self.excluding(last + 1) is not None:
            last += 1
        return first, last

    @staticmethod
    def can_leave(first: int, last: int) -> bool:
        """Return whether a run of excluded days is short enough to move out of."""
        return last - first < LONGEST_RUN
