"""What becomes of occurrences: tables of what people expect, and properties of every plan."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.firing import GRACE, CatchUp, FiringPlan, PlannedRecord, plan_firing, plan_stretch
from app.core.time import Calendar, CronTiming, IntervalTiming, OnceTiming, Timetable, Timing
from app.core.vocabulary import CatchUpPolicy, RunCause, RunReason, RunState

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LOOK_AHEAD = 2 * SECOND
WEEKENDS = Calendar("weekends", "Weekends", weekdays=frozenset({5, 6}))


def every(step: timedelta, **options: Any) -> Timetable:
    """Due at NOON and every `step` before and after it."""
    return Timetable.of([IntervalTiming(step, NOON)], timezone="UTC", **options)


def plan(
    timetable: Timetable,
    after: datetime,
    as_of: datetime,
    policy: CatchUpPolicy = CatchUpPolicy.LATEST,
    **catch_up: Any,
) -> FiringPlan:
    """Plan with the look-ahead of production."""
    return plan_firing(
        timetable,
        after=after,
        as_of=as_of,
        catch_up=CatchUp(policy, **catch_up),
        look_ahead=LOOK_AHEAD,
    )


def shown(record: PlannedRecord) -> tuple[Any, ...]:
    """First and last occurrence relative to NOON, and what becomes of them."""
    last = record.range_end or record.occurrence.nominal
    return (
        record.occurrence.nominal - NOON,
        last - NOON,
        record.state,
        record.reason or record.cause,
    )


def test_what_is_due_runs_and_what_is_due_soon_is_prepared() -> None:
    found = plan(every(SECOND), NOON - SECOND, NOON + SECOND / 2)
    assert [shown(record)[0] for record in found.records] == [0 * SECOND, SECOND, 2 * SECOND]
    assert {record.cause for record in found.records} == {RunCause.SCHEDULE}
    assert found.cursor_at == NOON + 2 * SECOND
    assert found.next_run_at == NOON + 3 * SECOND


def test_ten_seconds_late_is_not_missed_and_a_moment_more_is() -> None:
    none = CatchUpPolicy.NONE
    late = plan(every(MINUTE), NOON - SECOND, NOON + GRACE, none)
    too_late = plan(every(MINUTE), NOON - SECOND, NOON + GRACE + timedelta(microseconds=1), none)
    assert [shown(one)[2:] for one in late.records] == [(RunState.QUEUED, RunCause.SCHEDULE)]
    assert [shown(one)[2:] for one in too_late.records] == [
        (RunState.MISSED, RunReason.CATCH_UP_NONE)
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            CatchUpPolicy.NONE,
            [
                (-60, -16, RunState.MISSED, RunReason.TOO_LATE),
                (-15, -1, RunState.MISSED, RunReason.CATCH_UP_NONE),
            ],
        ),
        (
            CatchUpPolicy.LATEST,
            [
                (-60, -16, RunState.MISSED, RunReason.TOO_LATE),
                (-15, -2, RunState.MISSED, RunReason.COALESCED),
                (-1, -1, RunState.QUEUED, RunCause.CATCH_UP),
            ],
        ),
        (
            CatchUpPolicy.ALL,
            [
                (-60, -16, RunState.MISSED, RunReason.TOO_LATE),
                (-15, -4, RunState.MISSED, RunReason.LIMIT),
                (-3, -3, RunState.QUEUED, RunCause.CATCH_UP),
                (-2, -2, RunState.QUEUED, RunCause.CATCH_UP),
                (-1, -1, RunState.QUEUED, RunCause.CATCH_UP),
            ],
        ),
    ],
)
def test_an_outage_of_an_hour_of_a_schedule_of_every_minute(
    policy: CatchUpPolicy, expected: list[tuple[int, int, RunState, Any]]
) -> None:
    """Within the window of 15 minutes the policy decides; what lies before it is too late."""
    found = plan(every(MINUTE), NOON - HOUR - SECOND, NOON, policy, limit=3)
    in_minutes = [(first * MINUTE, last * MINUTE, *rest) for first, last, *rest in expected]
    assert [shown(record) for record in found.records] == [
        *in_minutes,
        (0 * MINUTE, 0 * MINUTE, RunState.QUEUED, RunCause.SCHEDULE),
    ]


def test_a_rate_lets_the_missed_ones_start_one_after_the_other() -> None:
    planned = plan(every(MINUTE), NOON, NOON + 5 * MINUTE, CatchUpPolicy.ALL, limit=3, per_minute=4)
    due = [(record.cause, record.due_at) for record in planned.records if record.due_at]
    now = NOON + 5 * MINUTE
    assert due == [(RunCause.CATCH_UP, now + n * 15 * SECOND) for n in range(3)]
    live = [record for record in planned.records if record.cause is RunCause.SCHEDULE]
    assert [record.due_at for record in live] == [None, None]


def test_all_of_them_wait_for_one_another_and_the_newest_alone_is_judged_by_overlap() -> None:
    """`ALL` would else run one and skip the others, where overlap is `SKIP`."""
    for policy, in_turn in ((CatchUpPolicy.ALL, {True}), (CatchUpPolicy.LATEST, {False})):
        found = plan(every(MINUTE), NOON, NOON + 5 * MINUTE, policy)
        caught_up = [one for one in found.records if one.cause is RunCause.CATCH_UP]
        assert {one.in_turn for one in caught_up} == in_turn
        live = [one for one in found.records if one.cause is RunCause.SCHEDULE]
        assert not any(one.in_turn for one in live if one.state is RunState.QUEUED)


def test_what_fires_implausibly_often_is_stopped_and_accounted_for_in_one_row() -> None:
    """No such timing can be saved: it takes a damaged row, or a fault in the walk over instants.

    Made to fail by a bound that grows with the number of records.
    """
    stopped = plan(every(SECOND / 100), NOON, NOON + 5 * SECOND)
    assert stopped.is_implausible
    assert stopped.next_run_at is None
    assert stopped.cursor_at == NOON + 5 * SECOND
    assert [(one.state, one.reason, one.range_count) for one in stopped.records] == [
        (RunState.MISSED, RunReason.CIRCUIT_BREAKER, 500)
    ]


@pytest.mark.parametrize("late", [timedelta(0), SECOND, GRACE, HOUR, 30 * 24 * HOUR])
@pytest.mark.parametrize("policy", CatchUpPolicy)
def test_sixteen_timings_of_every_second_are_plausible(
    policy: CatchUpPolicy, late: timedelta
) -> None:
    """The most that may be saved, each at another fraction of the second."""
    timings = [IntervalTiming(SECOND, NOON + n * SECOND / 16) for n in range(16)]
    busiest = Timetable.of(timings, timezone="UTC")
    planned = plan_firing(
        busiest,
        after=NOON,
        as_of=NOON + late,
        catch_up=CatchUp(policy, window=HOUR),
        look_ahead=10 * SECOND,
    )
    assert not planned.is_implausible
    assert sum(record.cause is RunCause.SCHEDULE for record in planned.records) >= 160


def test_a_window_of_nothing_catches_up_nothing() -> None:
    found = plan(every(MINUTE), NOON - HOUR, NOON - 30 * SECOND, window=timedelta(0))
    assert [record.reason for record in found.records] == [RunReason.TOO_LATE]


def test_the_last_occurrence_of_a_schedule_leaves_nothing_to_look_at() -> None:
    once = Timetable.of([OnceTiming(at=NOON)], timezone="UTC")
    found = plan(once, NOON - HOUR, NOON)
    assert [shown(record)[2] for record in found.records] == [RunState.QUEUED]
    assert found.next_run_at is None


def test_what_a_calendar_excludes_is_skipped_with_its_name_and_never_caught_up() -> None:
    """The fifth and sixth of January 2030 are a weekend; the look is on the Monday after."""
    daily = Timetable.of([CronTiming("0 12 * * *")], timezone="UTC", calendars=[WEEKENDS])
    monday = datetime(2030, 1, 7, 11, tzinfo=UTC)
    window = timedelta(days=30)
    found = plan(daily, NOON + timedelta(days=2), monday, window=window)
    assert [shown(record)[2:] for record in found.records] == [
        (RunState.QUEUED, RunCause.CATCH_UP),  # Friday
        (RunState.SKIPPED, RunReason.CALENDAR),  # both days of the weekend, in one row
    ]
    saturday = plan(daily, NOON + timedelta(days=3), NOON + timedelta(days=4))
    assert [(one.state, one.message) for one in saturday.records] == [
        (RunState.SKIPPED, "Excluded by the calendar Weekends.")
    ]


def test_a_stretch_of_one_is_no_range_and_a_stretch_of_none_is_no_record() -> None:
    hourly = every(HOUR)
    one = plan_stretch(hourly, NOON - SECOND, NOON, RunReason.PAUSED)
    assert one is not None
    assert (one.occurrence.nominal, one.range_end, one.range_count) == (NOON, None, None)
    assert plan_stretch(hourly, NOON, NOON + HOUR - SECOND, RunReason.PAUSED) is None


class CountingTimetable:
    """Counts what is asked of a timetable."""

    def __init__(self, timetable: Timetable) -> None:
        self._timetable = timetable
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        if name == "count_between":
            return self._count_between
        return getattr(self._timetable, name)

    def _count_between(self, *args: Any, **options: Any) -> Any:
        count, exact = self._timetable.count_between(*args, **options)
        self.calls["steps"] += count
        return count, exact


@pytest.mark.parametrize("policy", CatchUpPolicy)
def test_a_month_without_workers_costs_a_bounded_number_of_steps(policy: CatchUpPolicy) -> None:
    timetable = CountingTimetable(every(SECOND))
    month = timedelta(days=30)
    found = plan(cast(Timetable, timetable), NOON - month, NOON, policy)
    assert timetable.calls.total() < 2_500
    assert len(found.records) < 150
    long = [record for record in found.records if record.reason is RunReason.TOO_LATE]
    assert [record.range_count for record in long] == [None]


def test_at_most_a_thousand_records_are_planned_and_the_next_plan_goes_on_behind_them() -> None:
    """An outage is no longer than the window, and the limit is large."""
    timetable, after = every(SECOND), NOON - HOUR
    first = plan(timetable, after, NOON, CatchUpPolicy.ALL, window=HOUR, limit=3_000)
    assert first.next_run_at is not None
    second = plan(timetable, first.cursor_at, NOON, CatchUpPolicy.ALL, window=HOUR, limit=3_000)
    assert accounted(timetable, [*first.records, *second.records]) == due(
        timetable, after, second.cursor_at
    )


def due(timetable: Timetable, after: datetime, until: datetime) -> list[datetime]:
    """Every occurrence in (after, until]."""
    found = timetable.between(after, until, 100_000, include_excluded=True)
    return [occurrence.nominal for occurrence in found]


def accounted(timetable: Timetable, records: list[PlannedRecord]) -> list[datetime]:
    """Every occurrence that some record accounts for, in the order of the records."""

    def instants() -> Iterator[datetime]:
        for record in records:
            first = record.occurrence.nominal
            last = record.range_end or first
            inside = due(timetable, first - timedelta(microseconds=1), last)
            assert inside[0] == first
            assert inside[-1] == last
            assert record.range_count in (None, len(inside))
            yield from inside

    return list(instants())


timings: st.SearchStrategy[Timing] = st.one_of(
    st.builds(
        IntervalTiming,
        st.integers(1, 7_200).map(lambda seconds: timedelta(seconds=seconds)),
        st.integers(0, 7_200_000_000).map(lambda late: NOON + timedelta(microseconds=late)),
    ),
    st.sampled_from(
        [
            CronTiming("* * * * *"),
            CronTiming("*/7 * * * *"),
            CronTiming("*/5 * * * * *"),
            CronTiming("0 3 * * *"),
            OnceTiming(at=NOON),
        ]
    ),
)
lengths = st.one_of(
    st.timedeltas(timedelta(0), 30 * SECOND),
    st.timedeltas(timedelta(0), 2 * HOUR),
    st.timedeltas(timedelta(0), timedelta(days=8)),
)


@st.composite
def timetables(draw: st.DrawFn) -> Timetable:
    """One to three timings, perhaps with a window, a calendar and jitter."""
    chosen = draw(st.lists(timings, min_size=1, max_size=3))
    start = draw(st.none() | st.timedeltas(-HOUR, HOUR))
    return Timetable.of(
        chosen,
        timezone=draw(st.sampled_from(["UTC", "America/New_York"])),
        start_at=None if start is None else NOON + start,
        end_at=draw(st.none() | lengths.map(lambda length: NOON + HOUR + length)),
        calendars=draw(st.sampled_from([(), (WEEKENDS,)])),
        jitter=draw(st.sampled_from([timedelta(0), 30 * SECOND])),
        hash_key="a",
    )


catch_ups = st.builds(
    CatchUp,
    st.sampled_from(CatchUpPolicy),
    window=st.one_of(st.just(timedelta(0)), lengths),
    limit=st.integers(1, 20),
    per_minute=st.none() | st.integers(1, 600),
)


@given(
    timetables(),
    st.timedeltas(-HOUR, HOUR),
    lengths,
    catch_ups,
    st.sampled_from([timedelta(0), LOOK_AHEAD]),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_occurrence_is_accounted_for_exactly_once_and_nothing_else_is(
    timetable: Timetable,
    offset: timedelta,
    outage: timedelta,
    catch_up: CatchUp,
    look_ahead: timedelta,
) -> None:
    after = NOON + offset
    # An occurrence a second for longer than this is covered by the test of a month.
    if timetable.count_between(after, after + outage, 20_000, include_excluded=True)[0] == 20_000:
        outage = HOUR
    as_of = after + outage
    found = plan_firing(
        timetable, after=after, as_of=as_of, catch_up=catch_up, look_ahead=look_ahead
    )
    assert after <= found.cursor_at <= as_of + look_ahead
    # Complete and exact, in order, without a hole up to the cursor.
    instants = accounted(timetable, list(found.records))
    assert instants == due(timetable, after, found.cursor_at)
    # What follows is consistent with the cursor, and beyond the horizon unless the plan was full.
    following = timetable.next_after(found.cursor_at, include_excluded=True)
    assert found.next_run_at == (following and following.nominal)
    if len(found.records) < 1_000 and found.next_run_at is not None:
        assert found.next_run_at > as_of + look_ahead
    check_policy(found, as_of, catch_up)


def check_policy(found: FiringPlan, as_of: datetime, catch_up: CatchUp) -> None:
    """Only what may run does, each as often as the policy says."""
    caught_up = [record for record in found.records if record.cause is RunCause.CATCH_UP]
    most = {CatchUpPolicy.NONE: 0, CatchUpPolicy.LATEST: 1, CatchUpPolicy.ALL: catch_up.limit}
    assert len(caught_up) <= most[catch_up.policy]
    for record in caught_up:
        assert as_of - catch_up.window <= record.occurrence.nominal < as_of - GRACE
    if catch_up.per_minute is not None and caught_up:
        apart = timedelta(minutes=1) / catch_up.per_minute
        assert [record.due_at for record in caught_up] == [
            as_of + apart * turn for turn in range(len(caught_up))
        ]
    assert not found.is_implausible
    for record in found.records:
        assert record.due_at is None or record.cause is RunCause.CATCH_UP
        assert (record.state is RunState.QUEUED) == (record.reason is None)
        if record.reason is RunReason.TOO_LATE:
            assert (record.range_end or record.occurrence.nominal) < as_of - catch_up.window


@given(timetables(), lengths, catch_ups)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_planning_twice_from_the_cursor_repeats_nothing(
    timetable: Timetable, outage: timedelta, catch_up: CatchUp
) -> None:
    as_of = NOON + outage
    first = plan_firing(timetable, after=NOON, as_of=as_of, catch_up=catch_up)
    if first.next_run_at is not None and first.next_run_at <= as_of:
        return  # The plan was full.
    again = plan_firing(timetable, after=first.cursor_at, as_of=as_of, catch_up=catch_up)
    assert again.records == ()


@given(
    timetables(),
    st.lists(lengths, min_size=1, max_size=6),
    catch_ups,
    st.sampled_from([timedelta(0), LOOK_AHEAD]),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_however_the_ticks_come_each_occurrence_gets_one_record(
    timetable: Timetable, gaps: list[timedelta], catch_up: CatchUp, look_ahead: timedelta
) -> None:
    """Ticks close together, ticks after outages: the cursor only moves on, and nothing is lost.

    Made to fail by a tick that begins one step behind the cursor, or one before it.
    """
    total = sum(gaps, timedelta(0))
    if timetable.count_between(NOON, NOON + total, 20_000, include_excluded=True)[0] == 20_000:
        gaps = [min(gap, 10 * MINUTE) for gap in gaps]
    now = cursor_at = NOON
    records: list[PlannedRecord] = []
    for gap in gaps:
        now += gap
        found = plan_firing(
            timetable, after=cursor_at, as_of=now, catch_up=catch_up, look_ahead=look_ahead
        )
        assert found.cursor_at >= cursor_at
        # A plan is bounded: what it queues, and a few rows for the stretches between.
        assert len(found.records) <= 1_000 + 3 + 2 * catch_up.limit
        records += found.records
        cursor_at = found.cursor_at
    assert accounted(timetable, records) == due(timetable, NOON, cursor_at)
