"""Excluded days: left out or moved, checked against moving every occurrence by hand."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidInput
from app.core.time import (
    Calendar,
    CronTiming,
    DateRange,
    HolidayRule,
    IntervalTiming,
    Timetable,
    Timing,
    calendar_from_json,
)
from app.core.vocabulary import Adjustment, CalendarMode, DstFoldPolicy
from tests.core.time.oracle import CHANGES, STEADY, moved_by_hand

DAY, SECOND, MICROSECOND = timedelta(days=1), timedelta(seconds=1), timedelta(microseconds=1)
WEEKEND = Calendar("weekend", "Weekend", weekdays=frozenset({5, 6}))
CHRISTMAS = Calendar("christmas", "Christmas", yearly=frozenset({(12, 25), (12, 26)}))


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table(mode: CalendarMode, *calendars: Calendar, cron: str = "0 9 * * *") -> Timetable:
    """Return a daily timetable in Berlin."""
    return Timetable.of(
        [CronTiming(cron)],
        timezone="Europe/Berlin",
        calendars=calendars,
        calendar_mode=mode,
    )


def test_excluded_days_are_left_out_and_named_when_asked_for() -> None:
    # 20 December 2025 is a Saturday.
    timetable = table(CalendarMode.EXCLUDE, WEEKEND, CHRISTMAS)
    found = timetable.between(at("2025-12-19T00:00"), at("2025-12-30T00:00"), 100)
    assert [o.local.day for o in found] == [19, 22, 23, 24, 29]
    every = timetable.between(
        at("2025-12-19T00:00"), at("2025-12-30T00:00"), 100, include_excluded=True
    )
    assert [o.local.day for o in every] == list(range(19, 30))
    excluded = {o.local.day: o.note for o in every if not o.will_run}
    assert excluded[20] == "Excluded by the calendar Weekend."
    assert excluded[25] == "Excluded by the calendar Christmas."
    assert all((Adjustment.CALENDAR_EXCLUDED in o.adjustments) is not o.will_run for o in every)


def test_previous_leaves_excluded_days_out_too() -> None:
    timetable = table(CalendarMode.EXCLUDE, WEEKEND)
    previous = timetable.previous_before(at("2025-12-22T00:00"))
    assert previous is not None
    assert previous.local.day == 19
    sunday = timetable.previous_before(at("2025-12-22T00:00"), include_excluded=True)
    assert sunday is not None
    assert sunday.local.day == 21
    assert not sunday.will_run


def test_an_occurrence_on_an_excluded_day_does_not_match() -> None:
    timetable = table(CalendarMode.EXCLUDE, WEEKEND)
    assert timetable.matches(at("2025-12-19T08:00"))
    assert not timetable.matches(at("2025-12-20T08:00"))


def test_moved_occurrences_meet_those_of_the_day_they_move_to() -> None:
    timetable = table(CalendarMode.MOVE_NEXT, WEEKEND)
    found = timetable.between(at("2025-12-19T00:00"), at("2025-12-23T00:00"), 100)
    assert [o.nominal.day for o in found] == [19, 22]
    monday = found[1]
    assert [local.day for local in monday.nominal_locals] == [20, 21, 22]
    assert Adjustment.CALENDAR_MOVED in monday.adjustments
    assert monday.note == "Moved from 2025-12-20 by the calendar Weekend."


def test_the_first_of_the_month_moves_to_the_previous_working_day() -> None:
    # 1 November 2025 is a Saturday, 1 February and 1 March 2026 are Sundays.
    timetable = table(CalendarMode.MOVE_PREVIOUS, WEEKEND, cron="0 9 1 * *")
    found = timetable.between(at("2025-10-15T00:00"), at("2026-04-15T00:00"), 100)
    assert [o.nominal.date().isoformat() for o in found] == [
        "2025-10-31",
        "2025-12-01",
        "2026-01-01",
        "2026-01-30",
        "2026-02-27",
        "2026-04-01",
    ]
    assert found[0].local.date() == date(2025, 11, 1)


def test_a_schedule_all_of_whose_days_are_excluded_never_runs() -> None:
    timetable = table(CalendarMode.EXCLUDE, WEEKEND, cron="0 9 * * SAT")
    assert timetable.next_after(at("2025-01-01T00:00")) is None
    never = Calendar("never", "Never", weekdays=frozenset(range(7)))
    for mode in CalendarMode:
        assert table(mode, never).next_after(at("2025-01-01T00:00")) is None
        assert table(mode, never).previous_before(at("2025-01-01T00:00")) is None


def test_an_occurrence_moved_into_a_gap_is_found_from_every_base() -> None:
    """Berlin's clocks go from 02:00 to 03:00 on Sunday, 29 March 2026; Saturday is excluded."""
    timetable = Timetable.of(
        [CronTiming("30 2 * * 6")],
        timezone="Europe/Berlin",
        calendars=[Calendar("k", "K", days=frozenset([date(2026, 3, 28)]))],
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    moved = datetime(2026, 3, 29, 1, tzinfo=UTC)
    for base in (moved - 2 * DAY, moved - timedelta(microseconds=1)):
        found = timetable.next_after(base)
        assert found is not None
        assert found.nominal == moved
    assert timetable.matches(moved)


def test_public_holidays_of_a_country_and_a_subdivision_are_known() -> None:
    # Epiphany is a holiday in Bavaria, not in Berlin.
    bavaria = Calendar("by", "Bavaria", holidays=(HolidayRule("DE", "BY"),))
    berlin = Calendar("be", "Berlin", holidays=(HolidayRule("DE", "BE"),))
    epiphany, unity = date(2026, 1, 6), date(2026, 10, 3)
    assert bavaria.names(epiphany)
    assert not berlin.names(epiphany)
    assert bavaria.names(unity)
    assert berlin.names(unity)


def by_hand(
    timing: Timing, zone: str, calendar: Calendar, mode: CalendarMode, start: date, days: int
) -> list[datetime]:
    """Move every occurrence of a stretch by looking for an allowed day, one after another."""
    plain = Timetable.of([timing], timezone=zone)
    first = datetime(start.year, start.month, start.day, tzinfo=UTC) - 22 * DAY
    found = [o.nominal for o in plain.between(first, first + (days + 44) * DAY, 100_000)]
    return moved_by_hand(found, zone, calendar.names, mode)


timings: st.SearchStrategy[Timing] = st.one_of(
    st.sampled_from(
        [
            "0 9 * * *",
            "30 1,2 * * *",
            "*/30 * * * *",
            "15 */3 * * *",
            "0 0 1,15 * *",
            "45 23 * * MON",
            "59 23 * * *",
            "*/15 22-23 * * *",
        ]
    ).map(CronTiming),
    st.integers(20, 5_000).map(
        lambda minutes: IntervalTiming(timedelta(minutes=minutes), at("2024-01-01T00:07"))
    ),
)


# Greenland's clocks go forward at 23:00 on a Saturday: that day ends in its gap.
NUUK = [("America/Nuuk", at("2026-03-29T01:00")), ("America/Nuuk", at("2027-03-28T01:00"))]
PLACES = [*CHANGES, *NUUK, *((zone, at("2025-03-30T01:00")) for zone in STEADY)]


@pytest.mark.parametrize("zone", sorted({zone for zone, _ in PLACES}))
@settings(max_examples=max(settings().max_examples // 3, 20))
@given(
    timings,
    st.data(),
    st.frozensets(st.integers(-6, 6), max_size=9),
    st.frozensets(st.integers(0, 6), max_size=3),
    st.sampled_from(CalendarMode),
    st.integers(-4 * 86_400, 4 * 86_400),
)
def test_excluding_and_moving_agree_with_moving_by_hand(
    zone: str,
    timing: Timing,
    data: st.DataObject,
    days: frozenset[int],
    weekdays: frozenset[int],
    mode: CalendarMode,
    offset: int,
) -> None:
    instant = data.draw(st.sampled_from([at for name, at in PLACES if name == zone]))
    middle = instant.astimezone(ZoneInfo(zone)).date()
    calendar = Calendar("c", "C", days=frozenset(middle + DAY * n for n in days), weekdays=weekdays)
    agrees_with_moving_by_hand(timing, (zone, instant), calendar, mode, offset)


@pytest.mark.parametrize("mode", [CalendarMode.MOVE_NEXT, CalendarMode.MOVE_PREVIOUS])
@pytest.mark.parametrize(
    "place", [NUUK[1], ("Pacific/Apia", at("2011-12-30T10:00"))], ids=["Nuuk", "Apia"]
)
def test_every_choice_of_days_around_one_that_ends_in_a_gap_is_moved_right(
    place: tuple[str, datetime], mode: CalendarMode
) -> None:
    """Of Greenland's Saturday the last hour never came, of Apia's 30 December not a minute.

    Breaks that it catches: the end of the day left out of `_moved`, `_first_local` or
    `_last_local` of the moving walk; a day that does not exist taken for an open one.
    """
    zone, instant = place
    middle = instant.astimezone(ZoneInfo(zone)).date()
    for number in range(1, 32):
        days = frozenset(middle + DAY * (n - 3) for n in range(5) if number >> n & 1)
        calendar = Calendar("c", "C", days=days)
        for timing in (CronTiming("30 23 * * *"), CronTiming("0,45 0,22,23 * * *")):
            agrees_with_moving_by_hand(timing, place, calendar, mode, 0)


def agrees_with_moving_by_hand(
    timing: Timing, place: tuple[str, datetime], calendar: Calendar, mode: CalendarMode, offset: int
) -> None:
    """Assert that next, previous, between, matches and count say what moving by hand says."""
    zone, instant = place
    middle = instant.astimezone(ZoneInfo(zone)).date()
    truth = by_hand(timing, zone, calendar, mode, middle - 10 * DAY, 20)
    timetable = Timetable.of([timing], timezone=zone, calendars=[calendar], calendar_mode=mode)
    start, end = instant - 5 * DAY, instant + 5 * DAY
    expected = [t for t in truth if start < t <= end]
    found = timetable.between(start, end, 100_000)
    assert [o.nominal for o in found] == expected
    assert timetable.count_between(start, end, 100_000) == (len(expected), True)
    tz = ZoneInfo(zone)
    assert not any(calendar.names(t.astimezone(tz).date()) for t in expected)
    assert all(map(timetable.matches, expected))
    base = instant + timedelta(seconds=offset)
    around = [base, *sorted(expected, key=lambda t: abs(t - base))[:3]]
    beside = {t + step for t in around for step in (MICROSECOND, -MICROSECOND, SECOND, -SECOND)}
    for one in sorted({*around, *beside}):
        assert timetable.matches(one) == (one in truth)
        following, preceding = timetable.next_after(one), timetable.previous_before(one)
        # A sparse timing's neighbours may lie beyond what was moved by hand.
        later, earlier = [t for t in truth if t > one], [t for t in truth if t < one]
        if later and later[0] <= end:
            assert following is not None
            assert following.nominal == later[0]
        if earlier and earlier[-1] > start:
            assert preceding is not None
            assert preceding.nominal == earlier[-1]


@pytest.mark.parametrize(
    ("zone", "last_second", "allowed", "excluded", "mode"),
    [
        # 2027-03-27 in Nuuk ends at 23:00, and 23:30 of it never comes.
        (
            "America/Nuuk",
            "2027-03-28T00:59:59",
            date(2027, 3, 27),
            [date(2027, 3, 26), date(2027, 3, 28)],
            CalendarMode.MOVE_NEXT,
        ),
        # Friday, 30 December 2011, never came to Apia: what leaves the 31st goes to the 29th.
        (
            "Pacific/Apia",
            "2011-12-30T09:30",
            date(2011, 12, 29),
            [date(2011, 12, 31)],
            CalendarMode.MOVE_PREVIOUS,
        ),
    ],
)
def test_a_moved_occurrence_stays_on_the_day_it_moved_to(
    zone: str, last_second: str, allowed: date, excluded: list[date], mode: CalendarMode
) -> None:
    timetable = Timetable.of(
        [CronTiming("30 23 * * *")],
        timezone=zone,
        calendars=[Calendar("k", "K", days=frozenset(excluded))],
        calendar_mode=mode,
    )
    moved = at(last_second)
    assert moved.astimezone(ZoneInfo(zone)).date() == allowed
    found = timetable.next_after(moved - MICROSECOND)
    assert found is not None
    assert found.nominal == moved
    assert timetable.matches(moved)
    previous = timetable.previous_before(moved + MICROSECOND)
    assert previous is not None
    assert previous.nominal == moved


@pytest.mark.timeout(20)
@pytest.mark.parametrize("mode", CalendarMode)
def test_a_fold_that_reaches_back_over_midnight_ends_the_search(mode: CalendarMode) -> None:
    """In St. John's the clocks went from 00:01 on 7 November 2010 back to 23:01 on the 6th.

    Seen to fail, with EXCLUDE, where the search goes on from the beginning of the following day.
    """
    timetable = Timetable.of(
        [CronTiming("*/7 * * * *"), CronTiming("30 23 * * *")],
        timezone="America/St_Johns",
        dst_fold=DstFoldPolicy.BOTH,
        calendars=[Calendar("k", "K", days=frozenset([date(2010, 11, 6)]))],
        calendar_mode=mode,
    )
    start, end = at("2010-11-05T00:00"), at("2010-11-09T00:00")
    found = [o.nominal for o in timetable.between(start, end, 10_000)]
    assert found
    assert found == sorted(set(found))
    for minutes in range(0, 4 * 24 * 60, 17):
        base = start + timedelta(minutes=minutes)
        assert timetable.next_after(base) is not None
        assert timetable.previous_before(base) is not None


def test_fractions_of_a_second_that_a_calendar_moves_into_a_gap_come_together_at_its_end() -> None:
    """On 13 March 2016 the clocks of New York went from 02:00 to 03:00, which was 07:00 UTC.

    Seen to fail where what comes out of the gap keeps its fraction of a second.
    """
    timetable = Timetable.of(
        [IntervalTiming(timedelta(seconds=5400.5), at("2020-01-01T00:00"))],
        timezone="America/New_York",
        calendars=[Calendar("k", "K", days=frozenset([date(2016, 3, 12)]))],
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    end = at("2016-03-13T07:00")
    out_of_gap = timetable.next_after(end - MICROSECOND)
    assert out_of_gap is not None
    assert (out_of_gap.nominal, timetable.matches(end)) == (end, True)
    assert out_of_gap.local.microsecond
    following = timetable.next_after(end)
    assert following is not None
    assert timetable.previous_before(following.nominal) == out_of_gap


def test_a_calendar_is_read_from_its_stored_form() -> None:
    calendar = calendar_from_json(
        "shop",
        "Shop",
        ["2026-01-02", "2026-12-24/2026-12-31"],
        {
            "weekdays": ["SUN"],
            "yearly": ["05-01"],
            "holidays": [{"country": "DE", "subdivision": "BY"}],
        },
    )
    assert calendar == Calendar(
        "shop",
        "Shop",
        days=frozenset({date(2026, 1, 2)}),
        ranges=(DateRange(date(2026, 12, 24), date(2026, 12, 31)),),
        weekdays=frozenset({6}),
        yearly=frozenset({(5, 1)}),
        holidays=(HolidayRule("DE", "BY"),),
    )
    named = [date(2026, 1, 2), date(2026, 12, 27), date(2026, 5, 1), date(2026, 1, 6)]
    assert all(map(calendar.names, named))
    assert not calendar.names(date(2026, 1, 5))


def test_every_mistake_in_a_calendar_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        calendar_from_json(
            "k",
            "K",
            ["2026-02-30", "2026-02-02/2026-02-01"],
            {
                "weekdays": ["Sunday"],
                "yearly": ["13-01"],
                "holidays": [{"country": "XX"}, {"country": "DE", "subdivision": "QQ"}],
                "moons": [],
            },
        )
    assert {error.path for error in refused.value.errors} == {
        ("dates", "0"),
        ("dates", "1"),
        ("rules", "weekdays", "0"),
        ("rules", "yearly", "0"),
        ("rules", "holidays", "0", "country"),
        ("rules", "holidays", "1", "subdivision"),
        ("rules", "moons"),
    }
