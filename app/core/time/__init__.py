"""Time: what is due when, in every zone. Pure: no clock, no I/O, no async.

`Timetable` answers every question about instants; `validate_timings` refuses what makes no sense
before it is stored; `explain_cron` and `describe_timing` say what a timing means.

From the text inwards: `cron_syntax` reads an expression, `cron` compiles it to bit sets over the
local calendar, `local_walk` turns local times into instants where the clocks change, `sources`
gives every kind of timing one face, `calendar_walk` excludes and moves, `timetable` puts window,
jitter and memo around it all. `zones` knows where the clocks change.

Choices where the rules were silent:

- An anchor fixes the phase, not the beginning: the window says when a schedule begins (Temporal).
- A range that ends before it begins is refused, as by cron and Kubernetes; SAT-SUN is a range.
- `nW` does not fire in a month without day n, just as `n` does not; `LW` is the last weekday.
- `n/step` runs to the end of the field, and a week ends with Sunday, 7 (Debian).
- `H` in day-of-month stays below the 29th, so that every month has it (Jenkins).
- A local time that a gap swallowed is shown at the end of the gap; one that coalesces there with
  a time of its own is one occurrence that names both.
- `once` at a local time that comes twice runs once, in the last pass only if that is asked for.
- A calendar's day is the local day on which an occurrence would run.
- An occurrence moved by a calendar keeps its time of day; its key is the instant it moved to.
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
from app.core.time.sameness import meaning_of
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
from app.core.time.zones import known_timezones, local_time, parse_timezone, tzdata_version

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
    "local_time",
    "locales",
    "meaning_of",
    "parse_ics",
    "parse_timezone",
    "timing_from_json",
    "timing_to_json",
    "tzdata_version",
    "validate_timings",
    "validate_window",
]
