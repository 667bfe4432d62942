"""The days of an iCalendar recurrence rule, within a bounded window.

dateutil would expand them too, but a rule that never comes true (30 February, daily) keeps it
busy up to the year 9999. This walks period by period and stops at the end of the window, so its
cost is bounded whatever the rule says. Whole days only; rules finer than a day are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from app.core.errors import Invalid

_WEEKDAYS: Final = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_KNOWN: Final = frozenset(
    ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST")
)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrence rule of whole days. Weekdays count from Monday as 0."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: date | None = None
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: tuple[tuple[int, int | None], ...] = ()
    """(weekday, n-th of the period or None for each)."""
    positions: frozenset[int] = frozenset()
    week_start: int = 0


def parse_recurrence(rule: Mapping[str, Sequence[Any]]) -> Recurrence:
    """Read a rule as icalendar parses it; refuse what is finer than a day or unusual."""
    parts = {str(key).upper(): list(values) for key, values in rule.items()}
    unknown = sorted(set(parts) - _KNOWN)
    if unknown:
        raise Invalid(f"Recurrence rules with {unknown[0]} are not supported.")
    frequency = str(parts.get("FREQ", [""])[0]).upper()
    if frequency not in _PERIODS:
        raise Invalid(f"A calendar recurs {', '.join(_PERIODS)}; got {frequency or 'nothing'!r}.")
    until = parts.get("UNTIL", [None])[0]
    return Recurrence(
        frequency,
        interval=max(1, int(parts.get("INTERVAL", [1])[0])),
        count=int(parts["COUNT"][0]) if "COUNT" in parts else None,
        until=until.date() if isinstance(until, datetime) else until,
        months=frozenset(map(int, parts.get("BYMONTH", ()))),
        month_days=frozenset(map(int, parts.get("BYMONTHDAY", ()))),
        weekdays=tuple(map(_weekday, parts.get("BYDAY", ()))),
        positions=frozenset(map(int, parts.get("BYSETPOS", ()))),
        week_start=_weekday(parts.get("WKST", ["MO"])[0])[0],
    )


def _weekday(text: object) -> tuple[int, int | None]:
    word = str(text).upper()
    if word[-2:] not in _WEEKDAYS:
        raise Invalid(f"{word!r} is not a weekday of a recurrence rule.")
    return _WEEKDAYS[word[-2:]], int(word[:-2]) if word[:-2] else None


def days_of(rule: Recurrence, start: date, last: date) -> Iterator[date]:
    """Yield the days of a rule from its start, in order, up to and including `last`."""
    end = last if rule.until is None else min(last, rule.until)
    left = rule.count
    for period in _PERIODS[rule.frequency](rule, start, end):
        for day in _chosen(rule, start, period):
            if day > end or left == 0:
                return
            if day >= start:
                yield day
                left = None if left is None else left - 1


def _chosen(rule: Recurrence, start: date, period: list[date]) -> list[date]:
    days = [day for day in period if _matches(rule, start, day, period)]
    if not rule.positions:
        return days
    return [
        day
        for index, day in enumerate(days)
        if index + 1 in rule.positions or index - len(days) in rule.positions
    ]


def _matches(rule: Recurrence, start: date, day: date, period: list[date]) -> bool:
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days and not {day.day, day.day - _month_length(day) - 1} & rule.month_days:
        return False
    if rule.weekdays:
        return any(_is_weekday(rule, day, period, *wanted) for wanted in rule.weekdays)
    return _falls_on_start(rule, start, day)


def _falls_on_start(rule: Recurrence, start: date, day: date) -> bool:
    """Without days of its own, a rule takes them from its start."""
    if rule.month_days or rule.frequency == "DAILY":
        return True
    if rule.frequency == "WEEKLY":
        return day.weekday() == start.weekday()
    same_month = rule.frequency == "MONTHLY" or bool(rule.months) or day.month == start.month
    return same_month and day.day == start.day


def _is_weekday(
    rule: Recurrence, day: date, period: list[date], weekday: int, nth: int | None
) -> bool:
    if day.weekday() != weekday:
        return False
    if nth is None or rule.frequency in ("DAILY", "WEEKLY"):
        return True
    first, last = period[0], period[-1]
    if rule.frequency == "MONTHLY" or rule.months:
        first, last = day.replace(day=1), day.replace(day=_month_length(day))
    return nth in ((day - first).days // 7 + 1, -((last - day).days // 7) - 1)


def _daily(rule: Recurrence, start: date, end: date) -> Iterator[list[date]]:
    day = start
    while day <= end:
        yield [day]
        day = _later(day, rule.interval)


def _weekly(rule: Recurrence, start: date, end: date) -> Iterator[list[date]]:
    first = start - timedelta(days=(start.weekday() - rule.week_start) % 7)
    while first <= end:
        yield _days(first, 7)
        first = _later(first, 7 * rule.interval)


def _monthly(rule: Recurrence, start: date, end: date) -> Iterator[list[date]]:
    index = start.year * 12 + start.month - 1
    while index <= end.year * 12 + end.month - 1:
        first = date(index // 12, index % 12 + 1, 1)
        yield _days(first, _month_length(first))
        index += rule.interval


def _yearly(rule: Recurrence, start: date, end: date) -> Iterator[list[date]]:
    for year in range(start.year, end.year + 1, rule.interval):
        if rule.weekdays or rule.months or rule.month_days:
            first = date(year, 1, 1)
            yield _days(first, date(year, 12, 31).toordinal() - first.toordinal() + 1)
        else:
            first = date(year, start.month, 1)
            yield _days(first, _month_length(first))


_PERIODS: Final = {"DAILY": _daily, "WEEKLY": _weekly, "MONTHLY": _monthly, "YEARLY": _yearly}


def _days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=distance) for distance in range(count)]


def _later(day: date, days: int) -> date:
    return date.fromordinal(min(day.toordinal() + days, date.max.toordinal()))


def _month_length(day: date) -> int:
    following = date(day.year + (day.month == 12), day.month % 12 + 1, 1)
    return (following - timedelta(days=1)).day
