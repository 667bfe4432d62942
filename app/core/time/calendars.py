"""Named dates that exclude or move occurrences.

A calendar names days: single dates, ranges of dates, weekdays, days of every year and the public
holidays of a country. Several calendars exclude what any of them names. A day is a whole local
day in the schedule's zone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final

from app.core.errors import Invalid, InvalidInput
from app.core.time.instants import EPOCH_ORDINAL

MAX_DATES: Final = 5_000
"""How many dates one calendar lists at most."""

LONGEST_RUN: Final = 366
"""Occurrences are not moved out of more excluded days in a row than this."""

_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MAX_RULES: Final = 50


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
    days: frozenset[date] = frozenset()
    ranges: tuple[DateRange, ...] = ()
    weekdays: frozenset[int] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    """(month, day) of every year."""
    holidays: tuple[HolidayRule, ...] = ()

    def names(self, day: date) -> bool:
        """Return whether this calendar names a day."""
        return (
            day in self.days
            or day.weekday() in self.weekdays
            or (day.month, day.day) in self.yearly
            or any(span.first <= day <= span.last for span in self.ranges)
            or any(day in holidays_in(rule, day.year) for rule in self.holidays)
        )


def calendar_from_json(
    key: str, name: str, dates: Sequence[str], rules: Mapping[str, Any]
) -> Calendar:
    """Read a calendar as it is stored and sent; raise `InvalidInput` with every problem.

    `dates` holds ISO dates and ranges of them ("2026-12-24/2026-12-31"); `rules` may have
    `weekdays` ("SAT"), `yearly` ("12-25") and `holidays` ({"country": "DE", "subdivision": "BY"}).
    """
    reader = _Reader()
    days, ranges = reader.dates(dates)
    reader.refuse_unknown(rules, ("weekdays", "yearly", "holidays"), ("rules",))
    calendar = Calendar(
        key,
        name,
        days=frozenset(days),
        ranges=tuple(ranges),
        weekdays=frozenset(reader.each(rules, "weekdays", _weekday)),
        yearly=frozenset(reader.each(rules, "yearly", _day_of_year)),
        holidays=tuple(reader.each(rules, "holidays", _holiday_rule)),
    )
    if reader.errors:
        raise InvalidInput(reader.errors)
    return calendar


@lru_cache(maxsize=1024)
def holidays_in(rule: HolidayRule, year: int) -> frozenset[date]:
    """Return the public holidays of one year."""
    import holidays

    return frozenset(
        holidays.country_holidays(rule.country, subdiv=rule.subdivision, years=year, expand=False)
    )


@cache
def holiday_countries() -> Mapping[str, tuple[str, ...]]:
    """Return the countries with known holidays, each with its subdivisions."""
    import holidays

    return {code: tuple(parts) for code, parts in holidays.list_supported_countries().items()}


class Exclusions:
    """The days that any of several calendars names; remembers what it has answered.

    A day is counted since 1970. `exists` says which days the zone has: one that it left out is not
    open either.
    """

    __slots__ = ("_calendars", "_exists", "_known", "_open")

    def __init__(self, calendars: Iterable[Calendar], *, exists: Callable[[int], bool]) -> None:
        self._calendars = tuple(calendars)
        self._exists = exists
        self._known: dict[int, Calendar | None] = {}
        self._open: dict[int, bool] = {}

    def excluding(self, day: int) -> Calendar | None:
        """Return the calendar that names a day, if any does."""
        try:
            return self._known[day]
        except KeyError:
            when = date.fromordinal(day + EPOCH_ORDINAL)
            found = next((one for one in self._calendars if one.names(when)), None)
            self._known[day] = found
            return found

    def is_open(self, day: int) -> bool:
        """Return whether occurrences may run on a day."""
        try:
            return self._open[day]
        except KeyError:
            self._open[day] = self.excluding(day) is None and self._exists(day)
            return self._open[day]

    def run_around(self, day: int) -> tuple[int, int]:
        """Return the first and last of the days that are not open around one that is not.

        Looks a year in either direction; see `can_leave`.
        """
        first = last = day
        while day - first <= LONGEST_RUN and not self.is_open(first - 1):
            first -= 1
        while last - day <= LONGEST_RUN and not self.is_open(last + 1):
            last += 1
        return first, last

    @staticmethod
    def can_leave(first: int, last: int) -> bool:
        """Return whether a run of days that are not open is short enough to move out of."""
        return last - first < LONGEST_RUN


class _Reader:
    """Reads the parts of a calendar and collects what is wrong with them."""

    def __init__(self) -> None:
        self.errors: list[Invalid] = []

    def dates(self, texts: Sequence[str]) -> tuple[list[date], list[DateRange]]:
        if len(texts) > MAX_DATES:
            message = f"A calendar lists at most {MAX_DATES} dates; got {len(texts)}."
            self.errors.append(Invalid(message, path=("dates",)))
            return [], []
        days, ranges = [], []
        for index, text in enumerate(texts):
            try:
                span = _date_or_range(text)
            except Invalid as error:
                error.under("dates", str(index))
                self.errors.append(error)
                continue
            if span.first == span.last:
                days.append(span.first)
            else:
                ranges.append(span)
        return days, ranges

    def each(self, rules: Mapping[str, Any], key: str, read: Any) -> Iterator[Any]:
        entries = rules.get(key, [])
        if not isinstance(entries, list) or len(entries) > _MAX_RULES:
            message = f"{key!r} is a list of at most {_MAX_RULES} entries."
            self.errors.append(Invalid(message, path=("rules", key)))
            return
        for index, entry in enumerate(entries):
            try:
                yield read(entry)
            except Invalid as error:
                error.under("rules", key, str(index))
                self.errors.append(error)

    def refuse_unknown(
        self, given: Mapping[str, Any], allowed: Sequence[str], path: Sequence[str]
    ) -> None:
        for key in given:
            if key not in allowed:
                message = f"{key!r} is not a rule; allowed are {', '.join(allowed)}."
                self.errors.append(Invalid(message, path=(*path, str(key))))


def _date_or_range(text: str) -> DateRange:
    first_text, _, last_text = text.partition("/")
    try:
        first = date.fromisoformat(first_text)
        last = date.fromisoformat(last_text) if last_text else first
    except ValueError:
        message = f"{text!r} is not a date such as 2026-12-25, nor a range 2026-12-24/2026-12-31."
        raise Invalid(message) from None
    if last < first:
        raise Invalid(f"{text!r} ends before it begins.")
    return DateRange(first, last)


def _weekday(entry: object) -> int:
    if entry in _WEEKDAYS:
        return _WEEKDAYS.index(str(entry))
    raise Invalid(f"{entry!r} is not a weekday; allowed are {', '.join(_WEEKDAYS)}.")


def _day_of_year(entry: object) -> tuple[int, int]:
    try:
        day = date.fromisoformat(f"2000-{entry}")
    except ValueError:
        raise Invalid(f"{entry!r} is not a day of the year such as 12-25.") from None
    return day.month, day.day


def _holiday_rule(entry: object) -> HolidayRule:
    if not isinstance(entry, Mapping) or not set(entry) <= {"country", "subdivision"}:
        raise Invalid("A holiday rule has a country and perhaps a subdivision.")
    country, subdivision = entry.get("country"), entry.get("subdivision")
    countries = holiday_countries()
    if not isinstance(country, str) or country not in countries:
        near = get_close_matches(str(country).upper(), countries, n=1)
        raise Invalid(
            f"No holidays are known for country {country!r}; give an ISO 3166 code such as DE.",
            path=("country",),
            hint=f"Did you mean {near[0]}?" if near else None,
        )
    if subdivision is not None and subdivision not in countries[country]:
        raise Invalid(
            f"{country} has no subdivision {subdivision!r}; "
            f"allowed are {', '.join(countries[country]) or 'none'}.",
            path=("subdivision",),
        )
    return HolidayRule(country, subdivision)
