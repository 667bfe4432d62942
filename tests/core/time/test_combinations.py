"""Everything at once: unions, policies, windows and calendars against looking at every minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.time import (
    Calendar,
    CronTiming,
    IntervalTiming,
    Timetable,
    Timing,
)
from app.core.vocabulary import CalendarMode, DstFoldPolicy, DstGapPolicy
from tests.core.time.oracle import (
    CHANGES,
    DAY,
    MINUTE,
    STEADY,
    Expected,
    due,
    expressions,
    moved_by_hand,
    scan,
)

MICROSECOND = timedelta(microseconds=1)
NUUK = ("America/Nuuk", datetime(2027, 3, 28, 1, tzinfo=UTC))
places = st.sampled_from([*CHANGES, NUUK, *((zone, CHANGES[0][1]) for zone in STEADY)])
every = st.sampled_from([7, 30, 61, 360, 1441]).map(lambda minutes: minutes * MINUTE)
sparse = expressions(every_day=False) | expressions(every_day=True)


def ever_fires(expected: Expected) -> bool:
    """Whether a random expression asks for a day that there is."""
    try:
        Timetable.of([CronTiming(expected.text)], timezone="UTC")
    except Invalid:
        return False
    return True


@settings(max_examples=max(settings().max_examples // 3, 20))
@given(
    places,
    st.lists(sparse.filter(ever_fires), min_size=1, max_size=3),
    st.none() | every,
    st.tuples(st.sampled_from(DstGapPolicy), st.sampled_from(DstFoldPolicy)),
    st.frozensets(st.integers(-3, 3), max_size=5),
    st.sampled_from(CalendarMode),
    st.tuples(st.none() | st.integers(-4000, 4000), st.none() | st.integers(-4000, 4000)),
    st.integers(-3 * 86_400, 3 * 86_400),
)
def test_unions_policies_windows_and_calendars_together_are_complete_and_exact(
    place: tuple[str, datetime],
    many: list[Expected],
    interval: timedelta | None,
    policies: tuple[DstGapPolicy, DstFoldPolicy],
    days: frozenset[int],
    mode: CalendarMode,
    window: tuple[int | None, int | None],
    offset: int,
) -> None:
    """Next, previous, between, matches and count of a whole definition.

    Seen to fail with a union that prefers the later of two hits.
    """
    zone, change = place
    seen = scan(zone, change - 12 * DAY, change + 12 * DAY)
    truth: set[datetime] = set()
    for expected in many:
        truth |= set(due(expected, seen, *policies))
    timings: list[Timing] = [CronTiming(expected.text) for expected in many]
    if interval is not None:
        timings.append(IntervalTiming(interval, change))
        truth |= {at for at in seen.instants if (at - change) % interval == timedelta(0)}
    middle = change.astimezone(ZoneInfo(zone)).date()
    calendar = Calendar("c", "C", days=frozenset(middle + DAY * n for n in days))
    start_at, end_at = (None if n is None else change + n * MINUTE for n in window)
    moved = moved_by_hand(sorted(truth), zone, calendar.names, mode)
    expected_at = [
        at
        for at in moved
        if (start_at is None or at >= start_at) and (end_at is None or at <= end_at)
    ]
    timetable = Timetable.of(
        timings,
        timezone=zone,
        dst_gap=policies[0],
        dst_fold=policies[1],
        start_at=start_at,
        end_at=end_at,
        calendars=[calendar],
        calendar_mode=mode,
    )
    start, end = change - 5 * DAY, change + 5 * DAY
    within = [at for at in expected_at if start < at <= end]
    assert [o.nominal for o in timetable.between(start, end, 100_000)] == within
    assert timetable.count_between(start, end, 100_000) == (len(within), True)
    base = change + timedelta(seconds=offset)
    near = sorted(within, key=lambda at: abs(at - base))[:3]
    for one in (
        base,
        *near,
        *(at + MICROSECOND for at in near),
        *(at - MICROSECOND for at in near),
    ):
        assert timetable.matches(one) == (one in expected_at)
        following, preceding = timetable.next_after(one), timetable.previous_before(one)
        later = [at for at in expected_at if one < at <= end]
        earlier = [at for at in expected_at if start < at < one]
        if later:
            assert following is not None
            assert following.nominal == later[0]
        if earlier:
            assert preceding is not None
            assert preceding.nominal == earlier[-1]
