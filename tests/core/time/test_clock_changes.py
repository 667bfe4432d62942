"""The days on which the clocks change, zone by zone and year by year.

Each case states the calendar's fact first and checks it with zoneinfo; what must happen to each
kind of timing follows from the fact alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from app.core.time import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    Occurrence,
    OnceTiming,
    Timetable,
    Timing,
)
from app.core.vocabulary import (
    Adjustment,
    CalendarUnit,
    DayMatch,
    DstFoldPolicy,
    DstGapPolicy,
    TimeMode,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Change:
    """At `at` the wall clock of `zone` goes from `before` (exclusive) to `after`."""

    zone: str
    at: datetime
    before: datetime
    after: datetime

    @property
    def size(self) -> timedelta:
        """How much of the local time is missing, or comes twice."""
        return abs(self.after - self.before)

    def __str__(self) -> str:
        return f"{self.zone} {self.at:%Y-%m-%d}"


def read(table: str) -> list[Change]:
    """Read lines of zone, instant, wall time before and wall time after."""
    changes = []
    for line in table.strip().splitlines():
        zone, at, before, after = line.split()
        instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
        walls = (datetime.fromisoformat(text) for text in (before, after))
        changes.append(Change(zone, instant, *walls))
    return changes


GAPS = read("""
America/New_York    2023-03-12T07:00 2023-03-12T02:00 2023-03-12T03:00
America/New_York    2024-03-10T07:00 2024-03-10T02:00 2024-03-10T03:00
America/New_York    2025-03-09T07:00 2025-03-09T02:00 2025-03-09T03:00
America/New_York    2026-03-08T07:00 2026-03-08T02:00 2026-03-08T03:00
Europe/Berlin       2023-03-26T01:00 2023-03-26T02:00 2023-03-26T03:00
Europe/Berlin       2024-03-31T01:00 2024-03-31T02:00 2024-03-31T03:00
Europe/Berlin       2025-03-30T01:00 2025-03-30T02:00 2025-03-30T03:00
Europe/Berlin       2026-03-29T01:00 2026-03-29T02:00 2026-03-29T03:00
Europe/London       2024-03-31T01:00 2024-03-31T01:00 2024-03-31T02:00
Europe/London       2025-03-30T01:00 2025-03-30T01:00 2025-03-30T02:00
Europe/London       2026-03-29T01:00 2026-03-29T01:00 2026-03-29T02:00
Europe/Dublin       2024-03-31T01:00 2024-03-31T01:00 2024-03-31T02:00
Europe/Dublin       2025-03-30T01:00 2025-03-30T01:00 2025-03-30T02:00
Europe/Dublin       2026-03-29T01:00 2026-03-29T01:00 2026-03-29T02:00
Australia/Lord_Howe 2023-09-30T15:30 2023-10-01T02:00 2023-10-01T02:30
Australia/Lord_Howe 2024-10-05T15:30 2024-10-06T02:00 2024-10-06T02:30
Australia/Lord_Howe 2025-10-04T15:30 2025-10-05T02:00 2025-10-05T02:30
Australia/Lord_Howe 2026-10-03T15:30 2026-10-04T02:00 2026-10-04T02:30
Africa/Cairo        2023-04-27T22:00 2023-04-28T00:00 2023-04-28T01:00
Africa/Cairo        2024-04-25T22:00 2024-04-26T00:00 2024-04-26T01:00
Africa/Cairo        2025-04-24T22:00 2025-04-25T00:00 2025-04-25T01:00
Africa/Cairo        2026-04-23T22:00 2026-04-24T00:00 2026-04-24T01:00
America/Santiago    2023-09-03T04:00 2023-09-03T00:00 2023-09-03T01:00
America/Santiago    2024-09-08T04:00 2024-09-08T00:00 2024-09-08T01:00
America/Santiago    2025-09-07T04:00 2025-09-07T00:00 2025-09-07T01:00
America/Santiago    2026-09-06T04:00 2026-09-06T00:00 2026-09-06T01:00
Pacific/Apia        2011-09-24T14:00 2011-09-24T03:00 2011-09-24T04:00
Pacific/Apia        2011-12-30T10:00 2011-12-30T00:00 2011-12-31T00:00
Pacific/Apia        2012-09-29T14:00 2012-09-30T03:00 2012-09-30T04:00
Pacific/Apia        2020-09-26T14:00 2020-09-27T03:00 2020-09-27T04:00
Antarctica/Troll    2024-03-31T01:00 2024-03-31T01:00 2024-03-31T03:00
Antarctica/Troll    2025-03-30T01:00 2025-03-30T01:00 2025-03-30T03:00
Antarctica/Troll    2026-03-29T01:00 2026-03-29T01:00 2026-03-29T03:00
Africa/Casablanca   2023-04-23T02:00 2023-04-23T02:00 2023-04-23T03:00
Africa/Casablanca   2024-04-14T02:00 2024-04-14T02:00 2024-04-14T03:00
Africa/Casablanca   2025-04-06T02:00 2025-04-06T02:00 2025-04-06T03:00
Africa/Casablanca   2026-03-22T02:00 2026-03-22T02:00 2026-03-22T03:00
America/Asuncion    2023-10-01T04:00 2023-10-01T00:00 2023-10-01T01:00
America/Asuncion    2024-10-06T04:00 2024-10-06T00:00 2024-10-06T01:00
""")

FOLDS = read("""
America/New_York    2023-11-05T06:00 2023-11-05T02:00 2023-11-05T01:00
America/New_York    2024-11-03T06:00 2024-11-03T02:00 2024-11-03T01:00
America/New_York    2025-11-02T06:00 2025-11-02T02:00 2025-11-02T01:00
America/New_York    2026-11-01T06:00 2026-11-01T02:00 2026-11-01T01:00
Europe/Berlin       2023-10-29T01:00 2023-10-29T03:00 2023-10-29T02:00
Europe/Berlin       2024-10-27T01:00 2024-10-27T03:00 2024-10-27T02:00
Europe/Berlin       2025-10-26T01:00 2025-10-26T03:00 2025-10-26T02:00
Europe/Berlin       2026-10-25T01:00 2026-10-25T03:00 2026-10-25T02:00
Europe/London       2024-10-27T01:00 2024-10-27T02:00 2024-10-27T01:00
Europe/London       2025-10-26T01:00 2025-10-26T02:00 2025-10-26T01:00
Europe/London       2026-10-25T01:00 2026-10-25T02:00 2026-10-25T01:00
Europe/Dublin       2024-10-27T01:00 2024-10-27T02:00 2024-10-27T01:00
Europe/Dublin       2025-10-26T01:00 2025-10-26T02:00 2025-10-26T01:00
Europe/Dublin       2026-10-25T01:00 2026-10-25T02:00 2026-10-25T01:00
Australia/Lord_Howe 2023-04-01T15:00 2023-04-02T02:00 2023-04-02T01:30
Australia/Lord_Howe 2024-04-06T15:00 2024-04-07T02:00 2024-04-07T01:30
Australia/Lord_Howe 2025-04-05T15:00 2025-04-06T02:00 2025-04-06T01:30
Australia/Lord_Howe 2026-04-04T15:00 2026-04-05T02:00 2026-04-05T01:30
Africa/Cairo        2023-10-26T21:00 2023-10-27T00:00 2023-10-26T23:00
Africa/Cairo        2024-10-31T21:00 2024-11-01T00:00 2024-10-31T23:00
Africa/Cairo        2025-10-30T21:00 2025-10-31T00:00 2025-10-30T23:00
Africa/Cairo        2026-10-29T21:00 2026-10-30T00:00 2026-10-29T23:00
America/Santiago    2023-04-02T03:00 2023-04-02T00:00 2023-04-01T23:00
America/Santiago    2024-04-07T03:00 2024-04-07T00:00 2024-04-06T23:00
America/Santiago    2025-04-06T03:00 2025-04-06T00:00 2025-04-05T23:00
America/Santiago    2026-04-05T03:00 2026-04-05T00:00 2026-04-04T23:00
Antarctica/Troll    2024-10-27T01:00 2024-10-27T03:00 2024-10-27T01:00
Antarctica/Troll    2025-10-26T01:00 2025-10-26T03:00 2025-10-26T01:00
Antarctica/Troll    2026-10-25T01:00 2026-10-25T03:00 2026-10-25T01:00
Africa/Casablanca   2023-03-19T02:00 2023-03-19T03:00 2023-03-19T02:00
Africa/Casablanca   2024-03-10T02:00 2024-03-10T03:00 2024-03-10T02:00
Africa/Casablanca   2025-02-23T02:00 2025-02-23T03:00 2025-02-23T02:00
Africa/Casablanca   2026-02-15T02:00 2026-02-15T03:00 2026-02-15T02:00
America/Asuncion    2023-03-26T03:00 2023-03-26T00:00 2023-03-25T23:00
America/Asuncion    2024-03-24T03:00 2024-03-24T00:00 2024-03-23T23:00
Pacific/Apia        2012-03-31T14:00 2012-04-01T04:00 2012-04-01T03:00
Pacific/Apia        2013-04-06T14:00 2013-04-07T04:00 2013-04-07T03:00
Pacific/Apia        2021-04-03T14:00 2021-04-04T04:00 2021-04-04T03:00
""")

each_gap = pytest.mark.parametrize("change", GAPS, ids=str)
each_fold = pytest.mark.parametrize("change", FOLDS, ids=str)
each_range = pytest.mark.parametrize(
    ("expression", "step"),
    [
        ("0 0-23 * * *", HOUR),
        ("0-59/15 0-23 * * *", 15 * MINUTE),
        ("0 0/20 0-23 * * *", 20 * MINUTE),
    ],
)


def is_on_grid(wall: datetime, step: timedelta) -> bool:
    """Whether a local time is a whole number of steps after the hour."""
    return (wall.minute * MINUTE) % step == timedelta(0) and wall.second == 0


def around(
    change: Change,
    timing: Timing,
    gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END,
    fold: DstFoldPolicy = DstFoldPolicy.FIRST,
    *,
    reach: timedelta = timedelta(hours=6),
    include_skipped: bool = False,
) -> list[Occurrence]:
    """Return what is due within reach of a change."""
    timetable = Timetable.of([timing], timezone=change.zone, dst_gap=gap, dst_fold=fold)
    start, end = change.at - reach, change.at + reach
    return timetable.between(start, end, 100_000, include_skipped=include_skipped)


def cron_at(wall: datetime, *, seconds: bool = False) -> CronTiming:
    """Return an expression for this wall time, every day."""
    text = f"{wall.minute} {wall.hour} * * *"
    return CronTiming(f"0 {text}" if seconds else text)


def instants(occurrences: list[Occurrence]) -> list[datetime]:
    """Return their nominal instants."""
    return [occurrence.nominal for occurrence in occurrences]


@pytest.mark.parametrize("change", [*GAPS, *FOLDS], ids=str)
def test_the_stated_fact_is_what_the_zone_rules_say(change: Change) -> None:
    tz = ZoneInfo(change.zone)
    last = (change.at - MINUTE).astimezone(tz).replace(tzinfo=None)
    first = change.at.astimezone(tz).replace(tzinfo=None)
    assert last + MINUTE == change.before
    assert first == change.after


# ---- gaps ----


@each_gap
@pytest.mark.parametrize("seconds", [False, True])
def test_a_time_that_does_not_exist_runs_once_at_the_end_of_the_gap(
    change: Change, seconds: bool
) -> None:
    missing = change.before + change.size / 2
    found = around(change, cron_at(missing, seconds=seconds))
    assert instants(found) == [change.at]
    assert found[0].local == missing
    assert found[0].adjustments == (Adjustment.GAP_MOVED,)


@each_gap
def test_several_times_inside_one_gap_coalesce_and_each_is_named(change: Change) -> None:
    first, second = change.before + change.size / 3, change.before + change.size * 2 / 3
    assert first < second < change.after
    first, second = (wall.replace(second=0) for wall in (first, second))
    timetable = Timetable.of([cron_at(first), cron_at(second)], timezone=change.zone)
    found = timetable.between(change.at - MINUTE, change.at + MINUTE, 10)
    assert instants(found) == [change.at]
    assert found[0].nominal_locals == (first, second)


@each_gap
def test_shift_runs_as_much_later_as_the_gap_is_long(change: Change) -> None:
    missing = change.before + change.size / 2
    found = around(change, cron_at(missing), DstGapPolicy.SHIFT, reach=timedelta(hours=13))
    found = [o for o in found if o.local == missing]
    assert instants(found) == [change.at + change.size / 2]
    assert found[0].adjustments == (Adjustment.GAP_MOVED,)
    tz = ZoneInfo(change.zone)
    assert found[0].nominal.astimezone(tz).replace(tzinfo=None) == missing + change.size


@each_gap
def test_skip_leaves_it_out_and_a_preview_says_so(change: Change) -> None:
    missing = change.before + change.size / 2
    assert not around(change, cron_at(missing), DstGapPolicy.SKIP)
    (shown,) = around(change, cron_at(missing), DstGapPolicy.SKIP, include_skipped=True)
    assert shown.nominal == change.at
    assert shown.nominal_locals == (missing,)
    assert shown.adjustments == (Adjustment.GAP_SKIPPED,)
    assert not shown.will_run


@each_gap
@pytest.mark.parametrize("expression", ["* * * * *", "*/5 * * * *", "* */1 * * *", "0 * * * * *"])
def test_wildcards_run_through_a_gap_without_a_hole(change: Change, expression: str) -> None:
    found = instants(around(change, CronTiming(expression)))
    step = 5 * MINUTE if "/5" in expression else MINUTE
    assert {later - earlier for earlier, later in pairwise(found)} == {step}


@each_gap
def test_a_wildcard_step_never_runs_off_its_grid(change: Change) -> None:
    tz = ZoneInfo(change.zone)
    found = around(change, CronTiming("0 */2 * * *"), reach=timedelta(hours=30))
    walls = [at.astimezone(tz) for at in instants(found)]
    assert all(wall.hour % 2 == 0 and wall.minute == 0 for wall in walls)
    assert not any(occurrence.adjustments for occurrence in found)


@each_gap
@each_range
def test_a_fixed_range_runs_at_every_time_that_exists_and_coalesces_the_rest(
    change: Change, expression: str, step: timedelta
) -> None:
    found = around(change, CronTiming(expression), reach=timedelta(hours=30))
    tz = ZoneInfo(change.zone)
    ordinary = [o for o in found if o.nominal.astimezone(tz).replace(tzinfo=None) == o.local]
    displaced = [o for o in found if o not in ordinary]
    assert all(is_on_grid(o.local, step) for o in found)
    missing = [wall for o in displaced for wall in o.nominal_locals if wall < change.after]
    swallowed = (change.before + MINUTE * n for n in range(change.size // MINUTE))
    assert set(missing) == {wall for wall in swallowed if is_on_grid(wall, step)}
    assert {o.nominal for o in displaced} <= {change.at}


@each_gap
def test_an_interval_does_not_notice_a_gap(change: Change) -> None:
    anchor = change.at - timedelta(days=3, minutes=7)
    found = instants(around(change, IntervalTiming(25 * MINUTE, anchor)))
    assert {later - earlier for earlier, later in pairwise(found)} == {25 * MINUTE}
    assert all((at - anchor) % (25 * MINUTE) == timedelta(0) for at in found)


@each_gap
@pytest.mark.parametrize("unit", [CalendarUnit.DAY, CalendarUnit.WEEK, CalendarUnit.MONTH])
def test_a_calendar_interval_follows_the_wall_clock_into_a_gap(
    change: Change, unit: CalendarUnit
) -> None:
    missing = change.before + change.size / 2
    timing = CalendarIntervalTiming(1, unit, missing)
    assert instants(around(change, timing)) == [change.at]
    assert not around(change, timing, DstGapPolicy.SKIP)


@each_gap
def test_once_at_a_local_time_in_a_gap_runs_at_its_end(change: Change) -> None:
    timing = OnceTiming(local=change.before + change.size / 2)
    assert instants(around(change, timing)) == [change.at]


@each_gap
def test_elapsed_mode_leaves_out_what_does_not_exist(change: Change) -> None:
    missing = change.before + change.size / 2
    text = f"{missing.minute} {missing.hour} * * *"
    assert not around(change, CronTiming(text, time_mode=TimeMode.ELAPSED))


@each_gap
def test_wall_clock_mode_coalesces_even_a_wildcard(change: Change) -> None:
    timing = CronTiming("*/10 * * * *", time_mode=TimeMode.WALL_CLOCK)
    found = around(change, timing)
    (moved,) = [o for o in found if Adjustment.GAP_MOVED in o.adjustments]
    assert moved.nominal == change.at
    assert {later - earlier for earlier, later in pairwise(instants(found))} == {10 * MINUTE}


# ---- folds ----


@each_fold
@pytest.mark.parametrize("seconds", [False, True])
@pytest.mark.parametrize(
    ("policy", "passes"),
    [(DstFoldPolicy.FIRST, [0]), (DstFoldPolicy.LAST, [1]), (DstFoldPolicy.BOTH, [0, 1])],
)
def test_a_time_that_comes_twice_runs_in_the_chosen_pass(
    change: Change, policy: DstFoldPolicy, passes: list[int], seconds: bool
) -> None:
    repeated = change.after + change.size / 2
    found = around(change, cron_at(repeated, seconds=seconds), fold=policy)
    both = [change.at - change.size / 2, change.at + change.size / 2]
    flags = [Adjustment.FOLD_FIRST, Adjustment.FOLD_SECOND]
    assert instants(found) == [both[n] for n in passes]
    assert [o.adjustments for o in found] == [(flags[n],) for n in passes]
    assert {o.local for o in found} == {repeated}
    assert len({o.offset for o in found}) == len(passes)


@each_fold
@pytest.mark.parametrize("expression", ["* * * * *", "*/5 * * * *", "0 */5 * * * *"])
def test_wildcards_run_through_both_passes_without_hole_or_double(
    change: Change, expression: str
) -> None:
    found = instants(around(change, CronTiming(expression)))
    step = 5 * MINUTE if "/5" in expression else MINUTE
    assert {later - earlier for earlier, later in pairwise(found)} == {step}


@each_fold
@each_range
def test_a_fixed_range_runs_every_local_time_once(
    change: Change, expression: str, step: timedelta
) -> None:
    found = around(change, CronTiming(expression), reach=timedelta(hours=30))
    walls = [o.local for o in found]
    assert len(walls) == len(set(walls))
    assert {later - earlier for earlier, later in pairwise(walls)} == {step}


@each_fold
def test_an_interval_does_not_notice_a_fold(change: Change) -> None:
    anchor = change.at - timedelta(days=400, minutes=7)
    found = instants(around(change, IntervalTiming(25 * MINUTE, anchor)))
    assert {later - earlier for earlier, later in pairwise(found)} == {25 * MINUTE}


@each_fold
def test_a_calendar_interval_runs_once_in_a_fold(change: Change) -> None:
    repeated = change.after + change.size / 2
    timing = CalendarIntervalTiming(1, CalendarUnit.DAY, repeated - 10 * DAY)
    assert instants(around(change, timing)) == [change.at - change.size / 2]
    assert len(around(change, timing, fold=DstFoldPolicy.BOTH)) == 2


@each_fold
def test_once_is_once_even_where_both_passes_are_asked_for(change: Change) -> None:
    timing = OnceTiming(local=change.after + change.size / 2)
    for policy in DstFoldPolicy:
        assert len(around(change, timing, fold=policy)) == 1


@each_fold
def test_a_daily_time_outside_the_fold_is_not_disturbed(change: Change) -> None:
    noon = CronTiming("0 12 * * *")
    found = around(change, noon, reach=timedelta(days=3))
    assert {o.local.hour for o in found} == {12}
    assert {later - earlier for earlier, later in pairwise(o.local for o in found)} == {DAY}


# ---- particular days ----


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu"])
def test_zones_without_changes_have_no_adjustments_all_year(zone: str) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    timetable = Timetable.of([CronTiming("*/30 0-23 * * *")], timezone=zone)
    found = timetable.between(start, start + 365 * DAY, 100_000)
    assert len(found) == 365 * 48
    assert not any(o.adjustments for o in found)


def test_kathmandu_runs_at_its_odd_offset() -> None:
    # Nepal is 5 hours 45 minutes ahead of UTC.
    timetable = Timetable.of([CronTiming("0 9 * * *")], timezone="Asia/Kathmandu")
    occurrence = timetable.next_after(datetime(2025, 1, 1, tzinfo=UTC))
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 1, 1, 3, 15, tzinfo=UTC)
    assert occurrence.offset == "+05:45"


def test_apia_keeps_the_run_of_the_day_that_never_was() -> None:
    # Samoa went from the end of Thursday 29 December 2011 to Saturday the 31st.
    timetable = Timetable.of([CronTiming("0 9 * * *")], timezone="Pacific/Apia")
    start = datetime(2011, 12, 28, tzinfo=UTC)
    found = timetable.between(start, start + 3 * DAY, 10)
    assert [o.local.day for o in found] == [28, 29, 30, 31]
    assert found[2].nominal == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert found[2].adjustments == (Adjustment.GAP_MOVED,)
    assert found[3].nominal - found[2].nominal == 9 * HOUR


def test_cairo_midnight_that_does_not_exist_runs_at_one() -> None:
    # Egypt went forward at 00:00 on Friday 25 April 2025.
    timetable = Timetable.of([CronTiming("0 0 * * FRI")], timezone="Africa/Cairo")
    occurrence = timetable.next_after(datetime(2025, 4, 20, tzinfo=UTC))
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 4, 24, 22, tzinfo=UTC)
    assert occurrence.local == datetime(2025, 4, 25)  # noqa: DTZ001


def test_dublin_in_winter_is_its_negative_daylight_saving() -> None:
    # Irish standard time is summer time; zoneinfo reports a negative dst() in winter.
    winter = datetime(2025, 1, 1, tzinfo=UTC).astimezone(ZoneInfo("Europe/Dublin"))
    assert winter.dst() == -HOUR
    timetable = Timetable.of([CronTiming("30 1 * * *")], timezone="Europe/Dublin")
    occurrence = timetable.next_after(datetime(2025, 3, 29, 12, tzinfo=UTC))
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 3, 30, 1, tzinfo=UTC)


def test_casablanca_goes_back_for_ramadan_and_forward_after_it() -> None:
    timetable = Timetable.of([CronTiming("30 2 * * *")], timezone="Africa/Casablanca")
    found = timetable.between(
        datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC), 1_000
    )
    flagged = {o.local.date().isoformat(): o.adjustments for o in found if o.adjustments}
    assert flagged == {
        "2025-02-23": (Adjustment.FOLD_FIRST,),
        "2025-04-06": (Adjustment.GAP_MOVED,),
    }


def test_asuncion_changes_no_more_after_2024() -> None:
    timetable = Timetable.of([CronTiming("0 0 * * *")], timezone="America/Asuncion")
    start = datetime(2025, 1, 1, tzinfo=UTC)
    found = timetable.between(start, start + 1_000 * DAY, 2_000)
    assert {o.offset for o in found} == {"-03:00"}


def test_leap_days_come_every_four_years_but_not_in_2100() -> None:
    timetable = Timetable.of([CronTiming("0 0 29 2 *")], timezone="UTC")
    years = [
        o.nominal.year
        for o in timetable.between(
            datetime(2089, 1, 1, tzinfo=UTC), datetime(2110, 1, 1, tzinfo=UTC), 10
        )
    ]
    assert years == [2092, 2096, 2104, 2108]


def test_the_year_turns_over_in_local_time() -> None:
    timetable = Timetable.of([CronTiming("@yearly")], timezone="Pacific/Kiritimati")
    occurrence = timetable.next_after(datetime(2025, 12, 31, tzinfo=UTC))
    assert occurrence is not None
    assert occurrence.nominal == datetime(2025, 12, 31, 10, tzinfo=UTC)


def test_the_rarest_expression_is_found_across_forty_years() -> None:
    # 29 February is a Monday in 2072 and not again before 2112: 2100 is no leap year.
    timing = CronTiming("0 0 29 2 MON", DayMatch.ALL)
    timetable = Timetable.of([timing], timezone="UTC")
    occurrence = timetable.next_after(datetime(2072, 3, 1, tzinfo=UTC))
    assert occurrence is not None
    assert occurrence.nominal == datetime(2112, 2, 29, tzinfo=UTC)


def test_nothing_is_found_beyond_fifty_years() -> None:
    at = datetime(2090, 1, 1, tzinfo=UTC)
    timetable = Timetable.of([OnceTiming(at=at)], timezone="UTC")
    assert timetable.next_after(datetime(2025, 1, 1, tzinfo=UTC)) is None
    assert timetable.next_after(datetime(2045, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_fifty_years_ahead_every_day_still_runs_once(zone: str) -> None:
    timetable = Timetable.of([CronTiming("15 2 * * *")], timezone=zone)
    start = datetime(2074, 1, 1, 12, tzinfo=UTC)
    found = timetable.between(start, start + 730 * DAY, 1_000)
    days = [o.local.date() for o in found]
    assert all(later - earlier == DAY for earlier, later in pairwise(days))
    assert len(days) >= 729
