"""What a timing means, however it was written: equal meanings are due at the same instants.

`1` and `MON`, `0` and `7`, `*/1` and `*`, `@daily` and `0 0 * * *`, a list in another order, a
frequency and its expression, a day field that makes no difference: what counts is which local
times a timing selects and whether it follows the wall clock or elapsed time. Of an interval the
anchor's phase counts and not which of its instants was named.

`H` keeps its text's meaning: two schedules that ask for a slot of their own ask for the same.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from app.core.time.cron import compile_cron
from app.core.time.cron_fields import WEEKDAY_FIELD
from app.core.time.cron_syntax import FieldSyntax, Span, parse_cron
from app.core.time.instants import DAY_SECONDS, SECOND, local_to_microseconds, to_microseconds
from app.core.time.months import LENGTHS, SHAPES, Month
from app.core.time.sources import follows_elapsed_time
from app.core.time.timings import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
)
from app.core.vocabulary import CalendarUnit, DayMatch

Meaning = tuple[Any, ...]
"""Plain values: it can be compared, hashed and written as JSON."""

_MONTHS: Final = range(1, 13)
_DAYS_OF: Final = {CalendarUnit.DAY: 1, CalendarUnit.WEEK: 7}
_MONTHS_OF: Final = {CalendarUnit.MONTH: 1, CalendarUnit.YEAR: 12}
_MICROSECOND: Final = timedelta(microseconds=1)


@lru_cache(maxsize=4096)
def meaning_of(timing: Timing) -> Meaning:
    """Return what a valid timing means; it is the same for every way to write it."""
    match timing:
        case CronTiming():
            return _meaning_of_cron(timing)
        case IntervalTiming(every, anchor):
            length = every // _MICROSECOND
            return ("interval", length, to_microseconds(anchor) % length)
        case CalendarIntervalTiming():
            return _meaning_of_calendar_interval(timing)
        case OnceTiming(at, local):
            if at is not None:
                return ("at", to_microseconds(at))
            assert local is not None
            return ("local", local_to_microseconds(local))


def _meaning_of_cron(timing: CronTiming) -> Meaning:
    syntax = parse_cron(timing.expression)
    elapsed = follows_elapsed_time(timing.expression, timing.time_mode)
    if syntax.uses_hash:
        both = timing.day_match is DayMatch.ALL or syntax.days_need_both
        return ("hash", elapsed, both, *map(_hashed_field, syntax.fields))
    pattern = compile_cron(timing.expression, timing.day_match, "")
    return (elapsed, *pattern.values[:3], _days(pattern.values[4], pattern.days_in))


def _days(months: Iterable[int], days_in: Callable[[Month], int]) -> Meaning:
    """Return which days of which months are due, for every shape that a month may have."""
    found = (
        (month, *(days_in(Month(shape, 0)) for shape in SHAPES if shape[1] in LENGTHS[month]))
        for month in months
    )
    return tuple(one for one in found if any(one[1:]))


def _hashed_field(part: FieldSyntax) -> Meaning:
    """Return the plain values of a field, and what depends on the schedule or on the month."""
    spans = [item for item in part.items if isinstance(item, Span)]
    values = {value for one in spans for value in range(one.low, one.high + 1, one.step)}
    if part.field is WEEKDAY_FIELD:
        values = {value % 7 for value in values}
    others = {str(item) for item in part.items if not isinstance(item, Span)}
    return (tuple(sorted(values)), tuple(sorted(others)))


def _meaning_of_calendar_interval(timing: CalendarIntervalTiming) -> Meaning:
    """Return the meaning of a calendar interval: that of a cron expression where there is one."""
    anchor = timing.anchor
    index = anchor.year * 12 + anchor.month - 1
    seconds = local_to_microseconds(anchor) // SECOND
    days, months = _DAYS_OF.get(timing.unit, 0), _MONTHS_OF.get(timing.unit, 0)
    every = timing.every * (days or months)
    if days and every not in (1, 7):
        return ("days", every, seconds % (every * DAY_SECONDS))
    if months and 12 % every:
        return ("months", every, index % every, anchor.day, seconds % DAY_SECONDS)

    def days_in(month: Month) -> int:
        if months:
            return month.day(min(anchor.day, month.length))
        return month.weekdays(range(7) if every == 1 else [anchor.isoweekday() % 7])

    due = [month for month in _MONTHS if days or (month - 1 - index) % every == 0]
    return (False, (anchor.second,), (anchor.minute,), (anchor.hour,), _days(due, days_in))
