"""Months as bit sets of days.

What day-of-month and day-of-week rules select depends on a month only through its shape: the
weekday it begins on and its length. There are 28 shapes, so a pattern computes each once.
"""

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

from app.core.time.instants import EPOCH_ORDINAL, HORIZON

MONTHS_IN_HORIZON: Final = HORIZON.days // 30
"""How many months a search looks through before it gives up."""

Shape = tuple[int, int]
"""Weekday of the first (Sunday is 0) and number of days."""

SHAPES: Final[tuple[Shape, ...]] = tuple(product(range(7), (28, 29, 30, 31)))

LENGTHS: Final = (
    (),
    (31,),
    (28, 29),
    (31,),
    (30,),
    (31,),
    (30,),
    (31,),
    (31,),
    (30,),
    (31,),
    (30,),
    (31,),
)
"""The lengths each month may have; January is 1."""


class Month(NamedTuple):
    """A month of a certain shape; `start` is the number of its first day since 1970."""

    shape: Shape
    start: int

    @property
    def length(self) -> int:
        """Return the number of days."""
        return self.shape[1]

    def day(self, day: int) -> int:
        """Return the bit of a day, 0 for one that the month does not have."""
        return 1 << day if 1 <= day <= self.length else 0

    def weekday(self, day: int) -> int:
        """Return the weekday of a day; Sunday is 0."""
        return (self.shape[0] + day - 1) % 7

    def weekdays(self, weekdays: Iterable[int]) -> int:
        """Return the days that fall on any of these weekdays."""
        days = 0
        for weekday in weekdays:
            days |= _WEEKDAYS[self.shape][weekday]
        return days

    def nth_weekday(self, weekday: int, nth: int | None) -> int:
        """Return the n-th such weekday, the last one for None."""
        days = _WEEKDAYS[self.shape][weekday]
        week = ((1 << 7) - 1) << (self.length - 6 if nth is None else nth * 7 - 6)
        return days & week

    def nearest_workday(self, day: int) -> int:
        """Return the Monday-to-Friday nearest to a day, without leaving the month."""
        match self.weekday(day):
            case 6:
                return day - 1 if day > 1 else day + 2
            case 0:
                return day + 1 if day < self.length else day - 2
            case _:
                return day


def _days_by_weekday(shape: Shape) -> tuple[int, ...]:
    month = Month(shape, 0)
    days = [0] * 7
    for day in range(1, month.length + 1):
        days[month.weekday(day)] |= 1 << day
    return tuple(days)


_WEEKDAYS: Final = {shape: _days_by_weekday(shape) for shape in SHAPES}


@lru_cache(maxsize=4096)
def month_at(index: int) -> Month:
    """Return the month of `year * 12 + month - 1`."""
    year, month = divmod(index, 12)
    first = date(year, month + 1, 1)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    length = following.toordinal() - first.toordinal()
    return Month((first.isoweekday() % 7, length), first.toordinal() - EPOCH_ORDINAL)


def lowest_bit(bits: int) -> int:
    """Return the position of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1
