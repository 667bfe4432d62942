"""An independent answer to "when is it due?": look at every minute (or second) there is.

It shares nothing with the implementation: no parser, no bit sets, no segments. Expressions come
as text together with a predicate built beside it; local times come from zoneinfo, one instant
after another; gaps and folds are seen, not known.
"""

import calendar
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import assume
from hypothesis import strategies as st

from app.core.vocabulary import CalendarMode, DayMatch, DstFoldPolicy, DstGapPolicy, TimeMode

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True)
class Scan:
    """Every step of a stretch of real time with the wall clock at that instant."""

    step: timedelta
    instants: tuple[datetime, ...]
    walls: tuple[datetime, ...]

    @property
    def gaps(self) -> list[tuple[datetime, datetime, datetime]]:
        """(first wall time that does not exist, first that exists again, instant of that)."""
        return [
            (before + self.step, after, instant)
            for before, after, instant in zip(
                self.walls[:-1], self.walls[1:], self.instants[1:], strict=True
            )
            if after - before > self.step
        ]


@lru_cache(maxsize=256)
def scan(zone: str, start: datetime, end: datetime, step: timedelta = MINUTE) -> Scan:
    """Look at the wall clock of a zone at every step of [start, end)."""
    instants = [start + step * n for n in range((end - start) // step)]
    tz = ZoneInfo(zone)
    walls = [instant.astimezone(tz).replace(tzinfo=None) for instant in instants]
    return Scan(step, tuple(instants), tuple(walls))


@dataclass(frozen=True)
class Expected:
    """An expression as text, and what it means as predicates."""

    text: str
    time_matches: Callable[[datetime], bool]
    day_matches: Callable[[date], bool]
    is_elapsed: bool

    def matches(self, wall: datetime) -> bool:
        """Whether a wall time is nominally due."""
        return self.time_matches(wall) and self.day_matches(wall.date())


def due(
    expected: Expected,
    seen: Scan,
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    time_mode: TimeMode = TimeMode.AUTO,
) -> dict[datetime, tuple[datetime, ...]]:
    """Return each due instant in the scan with its nominal wall times, in order."""
    elapsed = expected.is_elapsed if time_mode is TimeMode.AUTO else time_mode is TimeMode.ELAPSED
    passes = defaultdict(list)
    for instant, wall in zip(seen.instants, seen.walls, strict=True):
        passes[wall].append(instant)
    found: dict[datetime, set[datetime]] = defaultdict(set)
    for wall, instants in passes.items():
        if expected.matches(wall):
            for instant in instants if elapsed else _choose(instants, fold):
                found[instant].add(wall)
    if not elapsed:
        for instant, wall in _out_of_gaps(expected, seen, gap):
            found[instant].add(wall)
    return {instant: tuple(sorted(found[instant])) for instant in sorted(found)}


def _choose(instants: list[datetime], fold: DstFoldPolicy) -> list[datetime]:
    match fold:
        case DstFoldPolicy.FIRST:
            return instants[:1]
        case DstFoldPolicy.LAST:
            return instants[-1:]
        case DstFoldPolicy.BOTH:
            return instants


def _out_of_gaps(
    expected: Expected, seen: Scan, gap: DstGapPolicy
) -> list[tuple[datetime, datetime]]:
    displaced = []
    for first, end, instant in seen.gaps:
        wall = first
        while wall < end:
            if expected.matches(wall) and gap is DstGapPolicy.RUN_AT_GAP_END:
                displaced.append((instant, wall))
            if expected.matches(wall) and gap is DstGapPolicy.SHIFT:
                displaced.append((instant + (wall - first), wall))
            wall += seen.step
    return displaced


# ---- days, and moving from one to another ----


@lru_cache(maxsize=1024)
def minutes_of(zone: str, day: date, step: timedelta = timedelta(minutes=1)) -> list[datetime]:
    """Every minute of a local day, in the order of real time."""
    start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(hours=48)
    seen = scan(zone, start, start + timedelta(hours=96), step)
    both = zip(seen.instants, seen.walls, strict=True)
    return [instant for instant, wall in both if wall.date() == day]


def exists(zone: str, day: date) -> bool:
    """Whether a zone has a day at all; no day was ever shorter than an hour."""
    return bool(minutes_of(zone, day, timedelta(hours=1)))


def first_at_or_after(zone: str, wanted: datetime) -> datetime:
    """The first minute of a day that shows this time or a later one; or else the day's end."""
    tz = ZoneInfo(zone)
    for fold in (0, 1):
        instant = wanted.replace(tzinfo=tz, fold=fold).astimezone(UTC)
        if instant.astimezone(tz).replace(tzinfo=None) == wanted:
            return instant
    minutes = minutes_of(zone, wanted.date())
    late = (at for at in minutes if at.astimezone(tz).replace(tzinfo=None) >= wanted)
    return next(late, minutes[-1] + timedelta(seconds=59))


def moved_by_hand(
    instants: Sequence[datetime],
    zone: str,
    excludes: Callable[[date], bool],
    mode: CalendarMode,
) -> list[datetime]:
    """Leave out what lies on an excluded day, or move it to the nearest day that is not."""
    tz, found = ZoneInfo(zone), set()
    for instant in instants:
        wall = instant.astimezone(tz).replace(tzinfo=None)
        if not excludes(wall.date()):
            found.add(instant)
            continue
        if mode is CalendarMode.EXCLUDE:
            continue
        day, step = wall.date(), DAY if mode is CalendarMode.MOVE_NEXT else -DAY
        while excludes(day) or not exists(zone, day):
            day += step
        found.add(first_at_or_after(zone, datetime.combine(day, wall.time())))
    return sorted(found)


# ---- expressions with their meaning ----


@dataclass(frozen=True)
class FieldMeaning:
    """The text of a field and the values it selects."""

    text: str
    values: frozenset[int]

    @property
    def has_star(self) -> bool:
        """Whether it begins with a star, literally."""
        return self.text[0] in "*?"


MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def fields(low: int, high: int, names: Sequence[str] = ()) -> st.SearchStrategy[FieldMeaning]:
    """Fields of plain values: stars, numbers, names, ranges, steps and lists of them."""
    spellings = [(n, text) for n in range(low, high + 1) for text in (str(n), f"{n:02}")]
    spellings += [(n, text) for n, name in enumerate(names, low) for text in (name, name.lower())]
    spelt = st.sampled_from(spellings)

    @st.composite
    def item(draw: st.DrawFn) -> FieldMeaning:
        kind = draw(st.sampled_from(["value", "range", "range/step", "start/step", "*/step"]))
        if kind == "*/step":
            step = draw(st.integers(1, high + 2))
            return FieldMeaning(f"*/{step}", frozenset(range(low, high + 1, step)))
        first, text = draw(spelt)
        if kind == "value":
            return FieldMeaning(text, frozenset({first}))
        step = draw(st.integers(1, high + 2))
        if kind == "start/step":
            return FieldMeaning(f"{first}/{step}", frozenset(range(first, high + 1, step)))
        last, last_text = draw(spelt)
        # SUN begins a range as 0 and ends one as 7, unless it is all there is of it.
        if last_text.upper() == "SUN" and first > 0:
            last = 7
        assume(first <= last)
        text = f"{text}-{last_text}"
        if kind == "range":
            return FieldMeaning(text, frozenset(range(first, last + 1)))
        return FieldMeaning(f"{text}/{step}", frozenset(range(first, last + 1, step)))

    @st.composite
    def field(draw: st.DrawFn) -> FieldMeaning:
        if draw(st.integers(0, 2)) == 0:
            return FieldMeaning("*", frozenset(range(low, high + 1)))
        items = draw(st.lists(item(), min_size=1, max_size=3))
        text = ",".join(one.text for one in items)
        return FieldMeaning(text, frozenset().union(*(one.values for one in items)))

    return field()


def last_day(day: date) -> int:
    """The number of the last day of a day's month."""
    return calendar.monthrange(day.year, day.month)[1]


def nearest_workday(year: int, month: int, wanted: int) -> int | None:
    """The Monday-to-Friday nearest to a day of a month, found by trying."""
    length = calendar.monthrange(year, month)[1]
    if wanted > length:
        return None
    workdays = [day for day in range(1, length + 1) if date(year, month, day).isoweekday() <= 5]
    # Saturday and Sunday each have one neighbour at distance 1, unless the month ends there.
    return min(workdays, key=lambda day: abs(day - wanted))


SPECIAL_DAYS: list[tuple[str, Callable[[date], bool]]] = [
    ("L", lambda day: day.day == last_day(day)),
    ("L-3", lambda day: day.day == last_day(day) - 3),
    ("LW", lambda day: day.day == nearest_workday(day.year, day.month, last_day(day))),
    ("15W", lambda day: day.day == nearest_workday(day.year, day.month, 15)),
    ("1W", lambda day: day.day == nearest_workday(day.year, day.month, 1)),
    ("31W", lambda day: day.day == nearest_workday(day.year, day.month, 31)),
]
SPECIAL_WEEKDAYS: list[tuple[str, Callable[[date], bool]]] = [
    ("5L", lambda day: day.isoweekday() == 5 and day.day + 7 > last_day(day)),
    ("L0", lambda day: day.isoweekday() == 7 and day.day + 7 > last_day(day)),
    ("sunL", lambda day: day.isoweekday() == 7 and day.day + 7 > last_day(day)),
    ("1#1", lambda day: day.isoweekday() == 1 and day.day <= 7),
    ("FRI#2", lambda day: day.isoweekday() == 5 and 8 <= day.day <= 14),
    ("7#5", lambda day: day.isoweekday() == 7 and day.day > 28),
]


ANY_DAY = FieldMeaning("*", frozenset(range(1, 32)))
ANY_MONTH = FieldMeaning("*", frozenset(range(1, 13)))
ANY_WEEKDAY = FieldMeaning("*", frozenset(range(8)))


@st.composite
def expressions(
    draw: st.DrawFn,
    *,
    specials: bool = True,
    seconds: bool = False,
    every_day: bool | None = None,
    day_match: DayMatch = DayMatch.ANY,
) -> Expected:
    """Whole expressions with their meaning; half of them daily, so that most have something due."""
    if every_day is None:
        every_day = draw(st.booleans())
    second = draw(fields(0, 59)) if seconds else FieldMeaning("0", frozenset({0}))
    minute, hour = draw(fields(0, 59)), draw(fields(0, 23))
    day = ANY_DAY if every_day else draw(fields(1, 31))
    month = ANY_MONTH if every_day else draw(fields(1, 12, MONTHS))
    weekday = ANY_WEEKDAY if every_day else draw(fields(0, 7, WEEKDAYS))
    specials = specials and not every_day

    def in_day(d: date) -> bool:
        return d.day in day.values

    def in_week(d: date) -> bool:
        return bool({d.isoweekday(), d.isoweekday() % 7} & weekday.values)

    chosen_day: Callable[[date], bool] = in_day
    chosen_week: Callable[[date], bool] = in_week
    day_text, weekday_text = day.text, weekday.text
    if specials and draw(st.integers(0, 3)) == 0:
        day_text, chosen_day = draw(st.sampled_from(SPECIAL_DAYS))
    if specials and draw(st.integers(0, 3)) == 0:
        weekday_text, chosen_week = draw(st.sampled_from(SPECIAL_WEEKDAYS))
    if specials and draw(st.integers(0, 5)) == 0:
        day_text, chosen_day = "?", lambda _: True
    both = day_match is DayMatch.ALL or day_text[0] in "*?" or weekday_text[0] in "*?"

    def day_matches(d: date) -> bool:
        if d.month not in month.values:
            return False
        by_day, by_week = chosen_day(d), chosen_week(d)
        return (by_day and by_week) if both else (by_day or by_week)

    def time_matches(wall: datetime) -> bool:
        return (
            wall.second in second.values
            and wall.minute in minute.values
            and wall.hour in hour.values
        )

    text = f"{minute.text} {hour.text} {day_text} {month.text} {weekday_text}"
    if seconds:
        text = f"{second.text} {text}"
    return Expected(text, time_matches, day_matches, minute.has_star or hour.has_star)


# ---- changes of the clocks, as instants after which the wall clock differs ----


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_CHANGES = """
America/New_York     2024-03-10T07:00 2024-11-03T06:00 2026-03-08T07:00 2026-11-01T06:00
Europe/Berlin        2024-03-31T01:00 2024-10-27T01:00 2026-03-29T01:00 2026-10-25T01:00
Europe/London        2025-03-30T01:00 2025-10-26T01:00
Europe/Dublin        2025-03-30T01:00 2025-10-26T01:00
Australia/Lord_Howe  2025-10-04T15:30 2025-04-05T15:00 2026-04-04T15:00
Africa/Cairo         2024-04-25T22:00 2024-10-31T21:00 2025-04-24T22:00 2025-10-30T21:00
America/Santiago     2024-09-08T04:00 2025-04-06T03:00 2025-09-07T04:00
Pacific/Apia         2011-12-30T10:00 2012-03-31T14:00
Antarctica/Troll     2025-03-30T01:00 2025-10-26T01:00
Africa/Casablanca    2025-02-23T02:00 2025-04-06T02:00
America/Asuncion     2024-03-24T03:00 2024-10-06T04:00
"""
CHANGES: list[tuple[str, datetime]] = [
    (zone, _utc(instant))
    for zone, *instants in map(str.split, _CHANGES.strip().splitlines())
    for instant in instants
]
STEADY = ["UTC", "Asia/Kolkata", "Asia/Kathmandu"]
