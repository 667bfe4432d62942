"""Time: what is due when, in every zone. Pure: no clock, no I/O.

`Timetable` answers every question about instants; `validate_timings` refuses what makes no sense
before it is stored; `explain_cron` says in words what an expression means. See
`docs/decisions` for the choices, `local_walk.py` for what happens where the clocks change.
"""

from app.core.time.calendars import (
    Calendar,
    DateRange,
    HolidayRule,
    calendar_from_json,
    holiday_countries,
)
from app.core.time.cron_words import locales
from app.core.time.explain import (
    CRON_PRESETS,
    CronExplanation,
    CronFieldExplanation,
    CronPreset,
    describe_timing,
    explain_cron,
)
from app.core.time.ics import parse_ics
from app.core.time.lint import Lint, LintContext, lint_duration, lint_timing
from app.core.time.timetable import Occurrence, Timetable
from app.core.time.timings import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
    frequency_timing,
    timing_from_json,
    timing_to_json,
)
from app.core.time.validation import MAX_TIMINGS, validate_timings, validate_window
from app.core.time.zones import known_timezones, parse_timezone, tzdata_version

__all__ = [
    "CRON_PRESETS",
    "MAX_TIMINGS",
    "Calendar",
    "CalendarIntervalTiming",
    "CronExplanation",
    "CronFieldExplanation",
    "CronPreset",
    "CronTiming",
    "DateRange",
    "HolidayRule",
    "IntervalTiming",
    "Lint",
    "LintContext",
    "Occurrence",
    "OnceTiming",
    "Timetable",
    "Timing",
    "calendar_from_json",
    "describe_timing",
    "explain_cron",
    "frequency_timing",
    "holiday_countries",
    "known_timezones",
    "lint_duration",
    "lint_timing",
    "locales",
    "parse_ics",
    "parse_timezone",
    "timing_from_json",
    "timing_to_json",
    "tzdata_version",
    "validate_timings",
    "validate_window",
]
