"""Warn about timings that are legal and may still surprise.

Each warning says what will happen, with the values involved, so that a person can decide without
looking anything up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from app.core.time.cadence import cadence_of
from app.core.time.calendar_interval import calendar_pattern
from app.core.time.cron import CronPattern, compile_cron
from app.core.time.cron_syntax import NearestWorkday, Span
from app.core.time.instants import SECOND, local_from_microseconds, to_microseconds
from app.core.time.local_walk import Pattern
from app.core.time.phrases import counted, duration_in_words
from app.core.time.sources import follows_elapsed_time
from app.core.time.timings import CalendarIntervalTiming, CronTiming, IntervalTiming, Timing
from app.core.time.zones import Segment, zone_rules
from app.core.vocabulary import CalendarUnit, DayMatch, DstFoldPolicy, DstGapPolicy, LintCode

_LOOK_AHEAD: Final = timedelta(days=366)
"""How far ahead changes of the clocks are looked at: every yearly rule comes up once."""

_FREQUENT: Final = timedelta(minutes=1)
_SHORT_MONTHS: Final = {2: "February", 4: "April", 6: "June", 9: "September", 11: "November"}


@dataclass(frozen=True, slots=True)
class Lint:
    """One warning."""

    code: LintCode
    message: str


@dataclass(frozen=True, slots=True)
class LintContext:
    """What a warning may depend on beside the timing itself."""

    timezone: str
    as_of: datetime
    dst_gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END
    dst_fold: DstFoldPolicy = DstFoldPolicy.FIRST
    hash_key: str = ""


def lint_timing(timing: Timing, context: LintContext) -> tuple[Lint, ...]:
    """Return the warnings about one valid timing."""
    match timing:
        case CronTiming():
            return tuple(_lint_cron(timing, context))
        case CalendarIntervalTiming(every, unit, anchor):
            pattern = calendar_pattern(every, unit, anchor)
            lints = [*_lint_clock_changes(pattern, context, elapsed=False)]
            if unit in (CalendarUnit.MONTH, CalendarUnit.YEAR) and anchor.day > 28:
                message = f"Where a month has no day {anchor.day}, it runs on the last day."
                lints.append(Lint(LintCode.SHORT_MONTH, message))
            return tuple(lints)
        case IntervalTiming(every) if every < _FREQUENT:
            return (_frequent(every),)
        case _:
            return ()


def lint_duration(expected: timedelta, shortest_interval: timedelta) -> Lint | None:
    """Warn when runs usually take longer than the distance to the next one."""
    if expected <= shortest_interval:
        return None
    return Lint(
        LintCode.LONGER_THAN_INTERVAL,
        f"Runs take about {duration_in_words(_whole(expected))}, longer than the shortest "
        f"interval of {duration_in_words(shortest_interval)}: they will meet the next one.",
    )


def _lint_cron(timing: CronTiming, context: LintContext) -> Iterator[Lint]:
    pattern = compile_cron(timing.expression, timing.day_match, context.hash_key)
    yield from _lint_day_match(pattern, timing.day_match)
    for rule in _CRON_RULES:
        yield from rule(pattern)
    elapsed = follows_elapsed_time(timing.expression, timing.time_mode)
    if not elapsed or len(pattern.values[2]) < 24:
        yield from _lint_clock_changes(pattern, context, elapsed=elapsed)


def _lint_day_match(pattern: CronPattern, day_match: DayMatch) -> Iterator[Lint]:
    day, weekday = pattern.syntax.fields[3], pattern.syntax.fields[5]
    if day_match is DayMatch.ALL or day.source in _OPEN or weekday.source in _OPEN:
        return
    both = f"Day-of-month {day.source!r} and day-of-week {weekday.source!r} are both given"
    if pattern.needs_both_days:
        star = day if day.starts_with_star else weekday
        message = (
            f"{both}, and a day must match both, because {star.source!r} begins with a star "
            "(Vixie's rule)."
        )
    else:
        message = (
            f"{both}, so a day that matches either is due (Vixie's rule). "
            "For days that match both, set dayMatch to ALL."
        )
    yield Lint(LintCode.DAY_MATCH_ANY, message)


_OPEN: Final = ("*", "?")


def _lint_frequency(pattern: CronPattern) -> Iterator[Lint]:
    shortest = cadence_of(pattern).shortest
    if shortest < _FREQUENT:
        yield _frequent(shortest)


def _frequent(every: timedelta) -> Lint:
    return Lint(
        LintCode.VERY_FREQUENT,
        f"It runs as often as every {duration_in_words(every)}; each run is recorded.",
    )


def _lint_short_months(pattern: CronPattern) -> Iterator[Lint]:
    days = {_day_named(item) for item in pattern.syntax.fields[3].items}
    for day in sorted(days - {None}, key=str):
        assert day is not None
        missing = [
            name
            for month, name in _SHORT_MONTHS.items()
            if month in pattern.values[4] and day > (29 if month == 2 else 30)
        ]
        sometimes = day == 29 and 2 in pattern.values[4]
        if missing or sometimes:
            yield Lint(LintCode.SHORT_MONTH, _short_month_message(day, missing))


def _day_named(item: object) -> int | None:
    match item:
        case Span(low, high) if low == high > 28:
            return low
        case NearestWorkday(day) if day > 28:
            return day
        case _:
            return None


def _short_month_message(day: int, missing: list[str]) -> str:
    if day == 29:
        return "February has a day 29 in leap years only; for its last day write L."
    names = ", ".join(missing)
    return f"Day {day} does not exist in {names}; for the last day of each month write L."


def _lint_uneven_steps(pattern: CronPattern) -> Iterator[Lint]:
    for index, size in _CYCLES.items():
        part = pattern.syntax.fields[index]
        for item in part.items:
            if not isinstance(item, Span) or not item.has_step or item.high != part.field.high:
                continue
            last = item.high - (item.high - item.low) % item.step
            rest = size + item.low - last if size else None
            if rest != item.step:
                yield Lint(LintCode.UNEVEN_STEP, _uneven_message(index, item, rest))


# The length of each field's cycle; months have no fixed one.
_CYCLES: Final = {0: 60, 1: 60, 2: 24, 3: None, 4: 12, 5: 7}
_UNITS: Final = ("second", "minute", "hour", "day", "month", "day")
_WHOLES: Final = ("minute", "hour", "day", "month", "year", "week")


def _uneven_message(index: int, item: Span, rest: int | None) -> str:
    unit, whole = _UNITS[index], _WHOLES[index]
    begins = f"A step of {item.step} begins again at {unit} {item.low} of each {whole}"
    if rest is None:
        return f"{begins}, so the distance across the end of a {whole} differs."
    return f"{begins}, so the last distance is {counted(rest, unit)} instead of {item.step}."


def _lint_herd(pattern: CronPattern) -> Iterator[Lint]:
    seconds, minutes, *_ = pattern.values
    if minutes == (0,) and seconds == (0,):
        source = pattern.syntax.normalized.split(" ")
        source[1 if pattern.syntax.has_seconds else 0] = "H"
        yield Lint(
            LintCode.HERD_MINUTE,
            "It runs at minute 0, as most schedules do. Where the minute does not matter, "
            f"{' '.join(source)!r} gives each schedule a minute of its own.",
        )


_CRON_RULES: Final[tuple[Callable[[CronPattern], Iterator[Lint]], ...]] = (
    _lint_frequency,
    _lint_short_months,
    _lint_uneven_steps,
    _lint_herd,
)


def _lint_clock_changes(pattern: Pattern, context: LintContext, *, elapsed: bool) -> Iterator[Lint]:
    """Warn about the first gap and the first fold ahead that touch this pattern."""
    gap = fold = False
    for segment in _changes_ahead(context.timezone, to_microseconds(context.as_of) // SECOND):
        if not gap and pattern.first_from(segment.gap_from) < segment.local_start:
            gap = True
            yield _gap_lint(pattern, segment, context, elapsed=elapsed)
        if not fold and pattern.first_from(segment.local_start) < segment.unique_from:
            fold = True
            yield _fold_lint(pattern, segment, context, elapsed=elapsed)


@lru_cache(maxsize=1024)
def _changes_ahead(timezone: str, instant: int) -> tuple[Segment, ...]:
    until = instant + int(_LOOK_AHEAD.total_seconds())
    return tuple(zone_rules(timezone).changes_between(instant, until))


def _gap_lint(pattern: Pattern, change: Segment, context: LintContext, *, elapsed: bool) -> Lint:
    local = pattern.first_from(change.gap_from)
    if elapsed:
        effect = "it follows elapsed time and does not run there"
    elif context.dst_gap is DstGapPolicy.SKIP:
        effect = "it does not run that day"
    elif context.dst_gap is DstGapPolicy.SHIFT:
        effect = f"it runs at {_time(local + change.local_start - change.gap_from)}"
    else:
        effect = f"it runs once, at {_time(change.local_start)}"
    return Lint(
        LintCode.DST_GAP,
        f"On {_shown(local)} does not exist in {context.timezone}, because the clocks go from "
        f"{_time(change.gap_from)} to {_time(change.local_start)}: {effect}.",
    )


def _fold_lint(pattern: Pattern, change: Segment, context: LintContext, *, elapsed: bool) -> Lint:
    local = pattern.first_from(change.local_start)
    if elapsed or context.dst_fold is DstFoldPolicy.BOTH:
        effect = "it runs both times"
    elif context.dst_fold is DstFoldPolicy.LAST:
        effect = "it runs the second time only"
    else:
        effect = "it runs the first time only"
    return Lint(
        LintCode.DST_FOLD,
        f"On {_shown(local)} comes twice in {context.timezone}, because the clocks go back from "
        f"{_time(change.unique_from)} to {_time(change.local_start)}: {effect}.",
    )


def _shown(local: int) -> str:
    when = local_from_microseconds(local * SECOND)
    return f"{when.date()} the local time {_time(local)}"


def _time(local: int) -> str:
    when = local_from_microseconds(local * SECOND)
    return when.strftime("%H:%M:%S" if when.second else "%H:%M")


def _whole(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))
