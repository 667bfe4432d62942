"""Compile a cron expression into bit sets and walk the local calendar with them.

A compiled pattern knows nothing of zones or instants: it finds local times, in seconds. What a
local time that does not exist or comes twice means is decided in `local_walk.py`.

croniter expands the plain fields. It is handed one field's worth of explicit ranges only, since
it reads `5-5` as the whole cycle and has a day-of-week that ends on Saturday; the hash slots, the
special days and the rule between the two day fields are ours.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from croniter import croniter

from app.core.errors import Invalid
from app.core.time.cron_fields import WEEKDAY_FIELD, Field
from app.core.time.cron_syntax import (
    CronSyntax,
    FieldSyntax,
    HashSlot,
    Item,
    LastDay,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
    Span,
    parse_cron,
)
from app.core.time.instants import DAY_SECONDS, NEVER, day_of
from app.core.time.months import (
    LENGTHS,
    MONTHS_IN_HORIZON,
    SHAPES,
    Month,
    lowest_bit,
    month_at,
)
from app.core.vocabulary import DayMatch


@lru_cache(maxsize=4096)
def compile_cron(expression: str, day_match: DayMatch, hash_key: str) -> "CronPattern":
    """Compile an expression; `hash_key` matters only to those with `H` (pass "" for others)."""
    syntax = parse_cron(expression)
    pattern = CronPattern(syntax, expand(syntax, hash_key), day_match)
    if not pattern.ever_fires:
        raise _impossible(syntax)
    return pattern


def expand(syntax: CronSyntax, hash_key: str) -> tuple[tuple[int, ...], ...]:
    """Return the plain values of each of the six fields, sorted; special days are left out."""
    plain = [_plain_text(part, hash_key) for part in syntax.fields]
    columns, _ = croniter.expand(" ".join(text or "*" for text in plain), second_at_beginning=True)
    by_field = (columns[5], *columns[:5])
    return tuple(
        _numbers(part.field, values) if text else ()
        for part, text, values in zip(syntax.fields, plain, by_field, strict=True)
    )


def _numbers(field: Field, values: Iterable[int | str]) -> tuple[int, ...]:
    found = list(values)
    if "*" in found:
        return tuple(range(field.low, 7 if field is WEEKDAY_FIELD else field.high + 1))
    return tuple(sorted(int(value) for value in found))


def _plain_text(part: FieldSyntax, hash_key: str) -> str:
    spans = (_span_of(item, part.field, hash_key) for item in part.items)
    return ",".join(_span_text(part.field, span) for span in spans if span is not None)


def _span_of(item: Item, field: Field, hash_key: str) -> Span | None:
    match item:
        case Span():
            return item
        case HashSlot(low, high, None):
            slot = hash_slot(hash_key, field, low, high)
            return Span(slot, slot)
        case HashSlot(low, high, int(step)):
            first = hash_slot(hash_key, field, low, min(low + step - 1, high))
            return Span(first, high, step)
        case _:
            return None


def hash_slot(hash_key: str, field: Field, low: int, high: int) -> int:
    """Return a value in [low, high] that is stable for this key and independent by field."""
    digest = blake2b(f"{field.name}\0{hash_key}".encode(), digest_size=8).digest()
    return low + int.from_bytes(digest) % (high - low + 1)


def _span_text(field: Field, span: Span) -> str:
    if span.low == span.high or span.low + span.step > span.high:
        return str(span.low % 7 if field is WEEKDAY_FIELD else span.low)
    if span.is_star:
        return f"*/{span.step}" if span.step > 1 else "*"
    return f"{span.low}-{span.high}/{span.step}"


def _impossible(syntax: CronSyntax) -> Invalid:
    day, month, weekday = syntax.fields[3], syntax.fields[4], syntax.fields[5]
    months = "any month" if month.source == "*" else f"month {month.source}"
    days = f"day-of-month {day.source!r}"
    if weekday.source not in ("*", "?"):
        days += f" and day-of-week {weekday.source!r}"
    return Invalid(
        f"The expression never fires: no day of {months} matches {days}.",
        hint="For the last day of a month write L.",
        column=day.column,
    )


class CronPattern:
    """The local times of a cron expression, as bit sets and look-up tables; immutable."""

    __slots__ = (
        "_day_masks",
        "_days_of_month",
        "_hours",
        "_minutes",
        "_months",
        "_seconds",
        "ever_fires",
        "first_time",
        "last_time",
        "needs_both_days",
        "syntax",
        "values",
    )

    def __init__(
        self, syntax: CronSyntax, values: tuple[tuple[int, ...], ...], day_match: DayMatch
    ) -> None:
        self.syntax = syntax
        self.values = values
        seconds, minutes, hours, _, months, _ = values
        self._seconds = Dial(seconds, 60)
        self._minutes = Dial(minutes, 60)
        self._hours = Dial(hours, 24)
        self._days_of_month = sum(1 << day for day in values[3])
        self._months = frozenset(months)
        self.needs_both_days = day_match is DayMatch.ALL or syntax.days_need_both
        self._day_masks = {shape: self._find_days(Month(shape, 0)) for shape in SHAPES}
        self.first_time = (hours[0] * 60 + minutes[0]) * 60 + seconds[0]
        self.last_time = (hours[-1] * 60 + minutes[-1]) * 60 + seconds[-1]
        self.ever_fires = any(
            mask and any(length in LENGTHS[month] for month in self._months)
            for (_, length), mask in self._day_masks.items()
        )

    def first_from(self, local: int) -> int:
        """Return the first local time at or after `local`, NEVER if there is none in 50 years."""
        day, time = divmod(local, DAY_SECONDS)
        date = day_of(local)
        index = date.year * 12 + date.month - 1
        days = self.days_of(index) >> date.day
        if days & 1:
            found = self._time_from(time)
            if found >= 0:
                return day * DAY_SECONDS + found
        if later := days >> 1:
            return (day + 1 + lowest_bit(later)) * DAY_SECONDS + self.first_time
        for following in range(index + 1, index + 1 + MONTHS_IN_HORIZON):
            if days := self.days_of(following):
                start = month_at(following).start
                return (start + lowest_bit(days) - 1) * DAY_SECONDS + self.first_time
        return NEVER

    def last_until(self, local: int) -> int:
        """Return the last local time at or before `local`, -NEVER if none in 50 years."""
        day, time = divmod(local, DAY_SECONDS)
        date = day_of(local)
        index = date.year * 12 + date.month - 1
        days = self.days_of(index) & ((2 << date.day) - 1)
        if days >> date.day:
            found = self._time_until(time)
            if found >= 0:
                return day * DAY_SECONDS + found
            days ^= 1 << date.day
        for earlier in range(index, index - 1 - MONTHS_IN_HORIZON, -1):
            if days:
                start = month_at(earlier).start
                return (start + days.bit_length() - 2) * DAY_SECONDS + self.last_time
            days = self.days_of(earlier - 1)
        return -NEVER

    def days_of(self, index: int) -> int:
        """Return the matching days of the month `year * 12 + month - 1`; bit n is day n."""
        if index % 12 + 1 not in self._months:
            return 0
        return self._day_masks[month_at(index).shape]

    def _time_from(self, time: int) -> int:
        """Return the first time of day at or after `time`, in seconds; -1 if there is none."""
        minutes, second = divmod(time, 60)
        hour, minute = divmod(minutes, 60)
        if self._hours.first[hour] == hour:
            if self._minutes.first[minute] == minute:
                found = self._seconds.first[second]
                if found >= 0:
                    return minutes * 60 + found
            later = self._minutes.first[minute + 1]
            if later >= 0:
                return hour * 3600 + later * 60 + self._seconds.lowest
        later = self._hours.first[hour + 1]
        if later < 0:
            return -1
        return later * 3600 + self._minutes.lowest * 60 + self._seconds.lowest

    def _time_until(self, time: int) -> int:
        """Return the last time of day at or before `time`, in seconds; -1 if there is none."""
        minutes, second = divmod(time, 60)
        hour, minute = divmod(minutes, 60)
        if self._hours.last[hour] == hour:
            if self._minutes.last[minute] == minute:
                found = self._seconds.last[second]
                if found >= 0:
                    return minutes * 60 + found
            earlier = self._minutes.last[minute - 1]
            if earlier >= 0:
                return hour * 3600 + earlier * 60 + self._seconds.highest
        earlier = self._hours.last[hour - 1]
        if earlier < 0:
            return -1
        return earlier * 3600 + self._minutes.highest * 60 + self._seconds.highest

    def days_in(self, month: Month) -> int:
        """Return the matching days of any month of this shape; bit n is day n."""
        return self._day_masks[month.shape]

    def _find_days(self, month: Month) -> int:
        by_day = self._days_of_month & ((2 << month.length) - 1)
        for item in self.syntax.fields[3].items:
            by_day |= _special_days(item, month)
        by_weekday = month.weekdays(self.values[5])
        for item in self.syntax.fields[5].items:
            by_weekday |= _special_days(item, month)
        return by_day & by_weekday if self.needs_both_days else by_day | by_weekday


class Dial:
    """The chosen values of one unit of time of day, with the nearest one from every position.

    `first` has one entry past the end and `last` one before the beginning (its index -1), so
    that a walk may step over the edge without a test.
    """

    __slots__ = ("first", "highest", "last", "lowest")

    def __init__(self, values: tuple[int, ...], size: int) -> None:
        self.lowest, self.highest = values[0], values[-1]
        first, last = [-1] * (size + 1), [-1] * (size + 1)
        chosen = frozenset(values)
        for position in range(size):
            last[position] = position if position in chosen else last[position - 1]
            mirrored = size - 1 - position
            first[mirrored] = mirrored if mirrored in chosen else first[mirrored + 1]
        self.first, self.last = tuple(first), tuple(last)


def _special_days(item: Item, month: Month) -> int:
    match item:
        case LastDay(before):
            return month.day(month.length - before)
        case LastWorkday():
            return month.day(month.nearest_workday(month.length))
        case NearestWorkday(day) if day <= month.length:
            return month.day(month.nearest_workday(day))
        case NthWeekday(weekday, nth):
            return month.nth_weekday(weekday, nth)
        case _:
            return 0
