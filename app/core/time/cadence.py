"""How often a cron expression comes up, computed from the expression and not by watching it.

Over 28 years every month has met every shape it can have (outside a century year without a leap
day), so counting days over 28 years gives the average and the shortest distance exactly, in
local time. Changes of the clocks are left out: they are not the expression's doing.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from app.core.time.cron import CronPattern
from app.core.time.instants import DAY_SECONDS
from app.core.time.months import month_at

_FIRST_MONTH: Final = 2001 * 12
_MONTHS: Final = 28 * 12
_DAYS: Final = 28 * 1461 // 4


@dataclass(frozen=True, slots=True)
class Cadence:
    """The shortest and the average distance between two occurrences."""

    shortest: timedelta
    average: timedelta


@lru_cache(maxsize=1024)
def cadence_of(pattern: CronPattern) -> Cadence:
    """Return how often a pattern comes up."""
    days = _matching_days(pattern)
    _, minutes, hours, *_ = pattern.values
    times = len(pattern.values[0]) * len(minutes) * len(hours)
    average = timedelta(days=_DAYS) / (len(days) * times)
    between_days = min((after - before for before, after in pairwise(days)), default=_DAYS)
    shortest = between_days * DAY_SECONDS + pattern.first_time - pattern.last_time
    within_day = _shortest_within_day(pattern)
    return Cadence(
        timedelta(seconds=min(shortest, within_day or shortest)),
        timedelta(seconds=round(average.total_seconds())),
    )


def _matching_days(pattern: CronPattern) -> list[int]:
    days: list[int] = []
    for index in range(_FIRST_MONTH, _FIRST_MONTH + _MONTHS):
        mask = pattern.days_of(index)
        start = month_at(index).start
        days.extend(start + day for day in range(1, 32) if mask >> day & 1)
    return days


def _shortest_within_day(pattern: CronPattern) -> int | None:
    seconds, minutes, hours, *_ = pattern.values
    shortest = [after - before for before, after in pairwise(seconds)]
    starts = [hour * 60 + minute for hour in hours for minute in minutes]
    shortest.extend(
        (after - before) * 60 + seconds[0] - seconds[-1] for before, after in pairwise(starts)
    )
    return min(shortest, default=None)
