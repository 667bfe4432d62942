"""Windows, unions, intervals, jitter and what is shared between schedules."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.time import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timetable,
    Timing,
    frequency_timing,
    timing_from_json,
    timing_to_json,
)
from app.core.time.timetable import _next
from app.core.vocabulary import (
    Adjustment,
    CalendarUnit,
    DayMatch,
    Frequency,
    TimeMode,
)

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3_600, 86_400))


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str) -> datetime:
    """Return a naive local time."""
    return datetime.fromisoformat(text)


def nominals(timetable: Timetable, after: str, until: str) -> list[str]:
    """Return what is due in (after, until] as text."""
    found = timetable.between(at(after), at(until), 1_000)
    return [o.nominal.strftime("%Y-%m-%dT%H:%M:%S") for o in found]


def test_a_window_includes_both_of_its_ends() -> None:
    timetable = Timetable.of(
        [CronTiming("0 * * * *")],
        timezone="UTC",
        start_at=at("2025-01-01T10:00"),
        end_at=at("2025-01-01T12:00"),
    )
    hours = [f"2025-01-01T{hour}:00:00" for hour in (10, 11, 12)]
    assert nominals(timetable, "2024-01-01", "2026-01-01") == hours
    assert timetable.next_after(at("2025-01-01T12:00")) is None
    assert timetable.previous_before(at("2025-01-01T10:00")) is None
    last = timetable.previous_before(at("2030-01-01"))
    assert last is not None
    assert last.nominal == at("2025-01-01T12:00")
    assert not timetable.matches(at("2025-01-01T13:00"))


def test_a_window_may_begin_far_in_the_future() -> None:
    timetable = Timetable.of(
        [CronTiming("0 0 1 1 *")], timezone="UTC", start_at=at("9000-06-01T00:00")
    )
    occurrence = timetable.next_after(at("2025-01-01"))
    assert occurrence is not None
    assert occurrence.nominal == at("9001-01-01")


def test_a_union_merges_what_falls_on_the_same_instant() -> None:
    timetable = Timetable.of(
        [
            CronTiming("0 */6 * * *"),
            CronTiming("0 12 * * *"),
            OnceTiming(at=at("2025-01-01T12:00")),
            IntervalTiming(8 * HOUR, at("2025-01-01T00:00")),
        ],
        timezone="UTC",
    )
    assert nominals(timetable, "2025-01-01T00:00", "2025-01-02T00:00") == [
        f"2025-01-01T{hour:02}:00:00" for hour in (6, 8, 12, 16, 18)
    ] + ["2025-01-02T00:00:00"]


def test_a_moved_time_meets_another_timing_at_the_end_of_the_gap() -> None:
    # Berlin, 30 March 2025: 02:00 to 03:00 does not exist.
    timetable = Timetable.of(
        [CronTiming("30 2 * * *"), CronTiming("0 3 * * *")], timezone="Europe/Berlin"
    )
    (found,) = timetable.between(at("2025-03-30T00:00"), at("2025-03-30T12:00"), 10)
    assert found.nominal == at("2025-03-30T01:00")
    assert found.nominal_locals == (local("2025-03-30T02:30"), local("2025-03-30T03:00"))


def test_an_interval_keeps_its_phase_to_the_microsecond() -> None:
    anchor = at("2025-01-01T00:00:00.123456")
    timetable = Timetable.of([IntervalTiming(90 * SECOND, anchor)], timezone="UTC")
    found = timetable.between(anchor + DAY, anchor + DAY + HOUR, 100)
    assert {later.nominal - earlier.nominal for earlier, later in pairwise(found)} == {90 * SECOND}
    assert all(o.nominal.microsecond == 123456 for o in found)
    assert timetable.matches(anchor + DAY)
    assert not timetable.matches(anchor + DAY + timedelta(microseconds=1))
    before = timetable.previous_before(anchor)
    assert before is not None
    assert before.nominal == anchor - 90 * SECOND


@pytest.mark.parametrize(
    ("every", "unit", "anchor", "expected"),
    [
        (2, CalendarUnit.DAY, "2024-12-31T09:00", ["2025-01-02", "2025-01-04", "2025-01-06"]),
        (2, CalendarUnit.WEEK, "2025-01-06T09:00", ["2025-01-06", "2025-01-20", "2025-02-03"]),
        (1, CalendarUnit.MONTH, "2024-08-31T09:00", ["2025-01-31", "2025-02-28", "2025-03-31"]),
        (3, CalendarUnit.MONTH, "2025-11-30T09:00", ["2025-02-28", "2025-05-30", "2025-08-30"]),
        (1, CalendarUnit.YEAR, "2024-02-29T09:00", ["2025-02-28", "2026-02-28", "2027-02-28"]),
        (4, CalendarUnit.YEAR, "2024-02-29T09:00", ["2028-02-29", "2032-02-29", "2036-02-29"]),
    ],
)
def test_a_calendar_interval_counts_on_the_calendar(
    every: int, unit: CalendarUnit, anchor: str, expected: list[str]
) -> None:
    timing = CalendarIntervalTiming(every, unit, local(anchor))
    timetable = Timetable.of([timing], timezone="Europe/Berlin")
    found = timetable.between(at("2025-01-01"), at("2040-01-01"), 3)
    assert [o.local.date().isoformat() for o in found] == expected
    assert {o.local.time().isoformat() for o in found} == {"09:00:00"}
    again = timetable.previous_before(found[2].nominal)
    assert again == found[1]


def test_the_bounds_of_between_are_exclusive_then_inclusive() -> None:
    timetable = Timetable.of([CronTiming("0 * * * *")], timezone="UTC")
    assert nominals(timetable, "2025-01-01T01:00", "2025-01-01T02:00") == ["2025-01-01T02:00:00"]
    assert len(timetable.between(at("2025-01-01"), at("2026-01-01"), 7)) == 7
    assert timetable.count_between(at("2025-01-01"), at("2026-01-01"), 7) == (7, False)
    assert timetable.count_between(at("2025-01-01"), at("2025-01-02"), 24) == (24, True)


def test_instants_of_any_zone_are_understood() -> None:
    timetable = Timetable.of([CronTiming("0 0 * * *")], timezone="UTC")
    base = datetime.fromisoformat("2025-01-01T01:00+02:00")
    occurrence = timetable.next_after(base)
    assert occurrence is not None
    assert occurrence.nominal == at("2025-01-01T00:00")


# ---- jitter ----


def test_both_passes_of_a_fold_are_told_apart() -> None:
    """On 3 November 2024 it was 01:30 in New York twice; as keys of a memo the two are equal."""
    first = datetime(2024, 11, 3, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    second = first.replace(fold=1)
    assert first == second
    timetable = Timetable.of([CronTiming("*/20 * * * *")], timezone="America/New_York")
    found = [timetable.next_after(instant) for instant in (first, second)]
    assert [o.nominal.astimezone(UTC).hour for o in found if o is not None] == [5, 6]


def test_jitter_is_the_same_every_time_and_stays_below_the_next_occurrence() -> None:
    def table(key: str) -> Timetable:
        return Timetable.of(
            [CronTiming("*/5 * * * *")], timezone="UTC", hash_key=key, jitter=timedelta(hours=2)
        )

    found = table("a").between(at("2025-01-01"), at("2025-01-03"), 1_000)
    assert found == table("a").between(at("2025-01-01"), at("2025-01-03"), 1_000)
    assert found != table("b").between(at("2025-01-01"), at("2025-01-03"), 1_000)
    for occurrence, following in pairwise(found):
        assert occurrence.nominal <= occurrence.at < following.nominal
    delays = [o.at - o.nominal for o in found]
    assert len(set(delays)) > 500
    assert max(delays) > 4 * MINUTE
    assert all((Adjustment.JITTERED in o.adjustments) is (o.at != o.nominal) for o in found)
    assert all(table("a").next_after(a.nominal) == b for a, b in pairwise(found[:20]))


def test_jitter_leaves_the_nominal_key_alone() -> None:
    plain = Timetable.of([CronTiming("0 * * * *")], timezone="UTC")
    jittered = Timetable.of(
        [CronTiming("0 * * * *")], timezone="UTC", hash_key="k", jitter=timedelta(minutes=10)
    )
    pairs = zip(
        plain.between(at("2025-01-01"), at("2025-01-02"), 100),
        jittered.between(at("2025-01-01"), at("2025-01-02"), 100),
        strict=True,
    )
    assert all(a.nominal == b.nominal and b.at - b.nominal < 10 * MINUTE for a, b in pairs)
    assert jittered.matches(at("2025-01-01T05:00"))


# ---- what is shared ----


def test_schedules_that_are_equal_by_value_share_the_work() -> None:
    _next.cache_clear()
    for number in range(100):
        timetable = Timetable.of(
            [CronTiming("7 3 * * *")], timezone="Europe/Paris", hash_key=f"schedule {number}"
        )
        assert timetable.next_after(at("2025-01-01")) is not None
    assert _next.cache_info().misses == 1


def test_the_key_of_a_schedule_matters_only_to_its_hash_slots() -> None:
    def table(expression: str, key: str) -> Timetable:
        return Timetable.of([CronTiming(expression)], timezone="UTC", hash_key=key)

    found = {table("H H * * *", f"{n}").next_after(at("2025-01-01")) for n in range(50)}
    assert len(found) > 40
    # THU has an H too.
    found = {table("0 9 * * THU", f"{n}").next_after(at("2025-01-01")) for n in range(50)}
    assert len(found) == 1


# ---- the stored form ----

naive = st.datetimes(local("1950-01-01"), local("2100-01-01"))
aware = naive.map(lambda when: when.replace(tzinfo=UTC))
any_timing: st.SearchStrategy[Timing] = st.one_of(
    st.builds(
        CronTiming,
        st.text(max_size=20),
        st.sampled_from(DayMatch),
        st.sampled_from(TimeMode),
        st.none() | st.sampled_from(Frequency),
    ),
    st.builds(IntervalTiming, st.timedeltas(SECOND, 4_000 * DAY), aware),
    st.builds(CalendarIntervalTiming, st.integers(1, 99), st.sampled_from(CalendarUnit), naive),
    st.builds(OnceTiming, at=aware),
    st.builds(OnceTiming, local=naive),
)


@given(any_timing)
def test_a_timing_survives_being_stored(timing: Timing) -> None:
    assert timing_from_json(timing_to_json(timing)) == timing
    assert hash(timing_from_json(timing_to_json(timing))) == hash(timing)


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        ({}, ()),
        ({"cron": {"expression": "* * * * *"}, "once": {}}, ()),
        ({"cron": {"expression": 5}}, ("cron", "expression")),
        ({"cron": {"expression": "* * * * *", "dayMatch": "SOME"}}, ("cron", "dayMatch")),
        ({"cron": {"expression": "* * * * *", "zone": "UTC"}}, ("cron", "zone")),
        ({"interval": {"everySeconds": "1", "anchor": ""}}, ("interval", "everySeconds")),
        ({"interval": {"everySeconds": 1, "anchor": "2025-01-01"}}, ("interval", "anchor")),
        ({"interval": {"everySeconds": 1e300, "anchor": ""}}, ("interval", "everySeconds")),
        ({"once": {"local": "2025-01-01T00:00Z"}}, ("once", "local")),
        ({"weekly": {}}, ()),
    ],
)
def test_a_stored_form_that_is_not_ours_is_refused(
    stored: dict[str, object], path: tuple[str, ...]
) -> None:
    with pytest.raises(Invalid) as refused:
        timing_from_json(stored)
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        (Frequency.HOURLY, "2025-01-01T01:00:00"),
        (Frequency.DAILY, "2025-01-02T00:00:00"),
        (Frequency.WEEKLY, "2025-01-06T00:00:00"),
        (Frequency.MONTHLY, "2025-02-01T00:00:00"),
    ],
)
def test_a_frequency_is_aligned_as_people_expect(frequency: Frequency, expected: str) -> None:
    timetable = Timetable.of([frequency_timing(frequency)], timezone="UTC")
    occurrence = timetable.next_after(at("2025-01-01T00:00"))
    assert occurrence is not None
    assert occurrence.nominal == at(expected)
