"""Time: what is due when, in every zone. Pure: no clock, no I/O.

`Timetable` answers every question about instants; `validate_timings` refuses what makes no sense
before it is stored; `explain_cron` says in words what an expression means. See
`docs/decisions` for the choices, `local_walk.py` for what happens where the clocks change.
"""

from app.core.time.calendars import Calendar, DateRange, HolidayRule
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
from app.core.time.zones import known_timezones, parse_timezone, tzdata_version

__all__ = [
    "Calendar",
    "CalendarIntervalTiming",
    "CronTiming",
    "DateRange",
    "HolidayRule",
    "IntervalTiming",
    "Occurrence",
    "OnceTiming",
    "Timetable",
    "Timing",
    "frequency_timing",
    "known_timezones",
    "parse_timezone",
    "timing_from_json",
    "timing_to_json",
    "tzdata_version",
]
