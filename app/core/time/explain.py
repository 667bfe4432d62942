"""Explain a timing: in words, field by field, with its cadence and its warnings."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.core.time.cadence import cadence_of
from app.core.time.cron import compile_cron
from app.core.time.cron_words import describe_field, describe_pattern
from app.core.time.lint import Lint, LintContext, lint_timing
from app.core.time.phrases import counted, duration_in_words
from app.core.time.sources import follows_elapsed_time
from app.core.time.timings import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
)
from app.core.vocabulary import (
    CalendarUnit,
    DayMatch,
    DstFoldPolicy,
    DstGapPolicy,
    TimeMode,
)


@dataclass(frozen=True, slots=True)
class CronFieldExplanation:
    """One field: as written, the plain values it expands to, and what it selects in words."""

    name: str
    source: str
    values: tuple[int, ...]
    description: str


@dataclass(frozen=True, slots=True)
class CronExplanation:
    """What a valid expression means."""

    normalized: str
    summary: str
    fields: tuple[CronFieldExplanation, ...]
    lints: tuple[Lint, ...]
    shortest_interval: timedelta
    average_interval: timedelta
    time_mode: TimeMode
    """As classified, never AUTO."""


@dataclass(frozen=True, slots=True)
class CronPreset:
    """A ready-made expression with its name."""

    name: str
    expression: str


CRON_PRESETS: Final = (
    CronPreset("Every minute", "* * * * *"),
    CronPreset("Every 5 minutes", "*/5 * * * *"),
    CronPreset("Every 15 minutes", "*/15 * * * *"),
    CronPreset("Every 30 minutes", "*/30 * * * *"),
    CronPreset("Every hour", "0 * * * *"),
    CronPreset("Every hour, at a minute of its own", "H * * * *"),
    CronPreset("Every 6 hours", "0 */6 * * *"),
    CronPreset("Every day at midnight", "0 0 * * *"),
    CronPreset("Every day at 09:00", "0 9 * * *"),
    CronPreset("Every night, at a time of its own", "H H(1-4) * * *"),
    CronPreset("Monday to Friday at 09:00", "0 9 * * MON-FRI"),
    CronPreset("Every hour of the working day", "0 9-17 * * MON-FRI"),
    CronPreset("Every Monday at midnight", "0 0 * * MON"),
    CronPreset("On the 1st of the month", "0 0 1 * *"),
    CronPreset("On the last day of the month", "0 0 L * *"),
    CronPreset("On the last weekday of the month", "0 18 LW * *"),
    CronPreset("On the first Monday of the month", "0 9 * * MON#1"),
    CronPreset("Every quarter", "0 0 1 JAN,APR,JUL,OCT *"),
    CronPreset("Every year", "0 0 1 1 *"),
)


def explain_cron(
    expression: str,
    *,
    timezone: str,
    as_of: datetime,
    day_match: DayMatch = DayMatch.ANY,
    time_mode: TimeMode = TimeMode.AUTO,
    dst_gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END,
    dst_fold: DstFoldPolicy = DstFoldPolicy.FIRST,
    hash_key: str = "",
    locale: str = "en",
) -> CronExplanation:
    """Explain an expression; raise `Invalid` with the column for one that is not valid.

    `as_of` decides only which changes of the clocks lie ahead; `hash_key` picks the slots of `H`.
    """
    pattern = compile_cron(expression, day_match, hash_key)
    timing = CronTiming(expression, day_match, time_mode)
    context = LintContext(timezone, as_of, dst_gap, dst_fold, hash_key)
    cadence = cadence_of(pattern)
    elapsed = follows_elapsed_time(expression, time_mode)
    shown = range(0 if pattern.syntax.has_seconds else 1, 6)
    return CronExplanation(
        normalized=pattern.syntax.normalized,
        summary=describe_pattern(pattern, locale),
        fields=tuple(
            CronFieldExplanation(
                pattern.syntax.fields[index].field.name,
                pattern.syntax.fields[index].source,
                pattern.values[index],
                describe_field(pattern, index),
            )
            for index in shown
        ),
        lints=lint_timing(timing, context),
        shortest_interval=cadence.shortest,
        average_interval=cadence.average,
        time_mode=TimeMode.ELAPSED if elapsed else TimeMode.WALL_CLOCK,
    )


def describe_timing(timing: Timing, locale: str = "en", *, hash_key: str = "") -> str:
    """Return what a valid timing means, as one sentence without its full stop."""
    match timing:
        case CronTiming(expression, day_match):
            return describe_pattern(compile_cron(expression, day_match, hash_key), locale)
        case IntervalTiming(every, anchor):
            return (
                f"Every {duration_in_words(every)} of elapsed time, "
                f"counted from {_shown(anchor)} ({anchor.tzname()})"
            )
        case CalendarIntervalTiming():
            return _describe_calendar_interval(timing)
        case OnceTiming(at, local):
            if at is not None:
                return f"Once, at {_shown(at)} ({at.tzname()})"
            return f"Once, at {_shown(local)} local time" if local is not None else "Never"


def _describe_calendar_interval(timing: CalendarIntervalTiming) -> str:
    unit, anchor = timing.unit.lower(), timing.anchor
    every = f"Every {unit}" if timing.every == 1 else f"Every {counted(timing.every, unit)}"
    at = f"at {anchor:%H:%M:%S}" if anchor.second else f"at {anchor:%H:%M}"
    on = {
        CalendarUnit.DAY: "",
        CalendarUnit.WEEK: f" on {anchor:%A}",
        CalendarUnit.MONTH: f" on day {anchor.day}",
        CalendarUnit.YEAR: f" on {anchor:%B} {anchor.day}",
    }[timing.unit]
    return f"{every}{on}, {at} local time, counted from {anchor:%Y-%m-%d}"


def _shown(when: datetime) -> str:
    return when.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
