"""Ranges that are too long to be counted at once are counted exactly."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.counting import RangeCount
from app.core.time import Calendar, CronTiming, IntervalTiming, Timetable, Timing

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
WEEKENDS = Calendar("weekends", "Weekends", weekdays=frozenset({5, 6}))


def counted(timetable: Timetable, first: datetime, last: datetime) -> int:
    """Count to the end."""
    progress = RangeCount.of(timetable, first, last)
    while not progress.is_done:
        progress.advance()
    return progress.count


@pytest.mark.parametrize(
    ("timing", "days", "size"),
    [
        (IntervalTiming(SECOND, NOON), 1, 86_401),
        (CronTiming("* * * * *"), 30, 30 * 1440 + 1),
        (CronTiming("0 12 * * *"), 365, 366),
    ],
)
def test_a_long_range_holds_what_a_calculation_says(timing: Timing, days: int, size: int) -> None:
    timetable = Timetable.of([timing], timezone="UTC")
    assert counted(timetable, NOON, NOON + days * DAY) == size


def test_both_ends_count_and_nothing_beyond_them() -> None:
    minutes = Timetable.of([CronTiming("* * * * *")], timezone="UTC")
    assert counted(minutes, NOON, NOON) == 1
    assert counted(minutes, NOON, NOON + 3 * 60 * SECOND) == 4


def test_what_a_calendar_excludes_counts_as_it_did_when_it_was_recorded() -> None:
    hourly = Timetable.of([CronTiming("0 * * * *")], timezone="UTC", calendars=[WEEKENDS])
    assert counted(hourly, NOON, NOON + 14 * DAY) == 14 * 24 + 1


def test_timings_that_no_schedule_can_have_are_given_up() -> None:
    progress = RangeCount.of(
        Timetable.of([IntervalTiming(SECOND / 100, NOON)], timezone="UTC"), NOON, NOON + DAY
    )
    with pytest.raises(ValueError, match="within an hour"):
        progress.advance()
