"""The invariants, against an oracle that looks at every minute of the local calendar."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.time import CronTiming, Timetable
from app.core.time.timetable import _core, _next, _shared_core
from app.core.vocabulary import DayMatch, DstFoldPolicy, DstGapPolicy, TimeMode
from tests.core.time.oracle import CHANGES, STEADY, Expected, due, expressions, scan

SECOND = timedelta(seconds=1)
places = st.sampled_from(CHANGES) | st.tuples(st.sampled_from(STEADY), st.just(CHANGES[0][1]))
gaps, folds = st.sampled_from(DstGapPolicy), st.sampled_from(DstFoldPolicy)
modes = st.sampled_from(TimeMode)


def timetable_of(
    expected: Expected,
    zone: str,
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    mode: TimeMode = TimeMode.AUTO,
    day_match: DayMatch = DayMatch.ANY,
) -> Timetable | None:
    """The timetable under test; None for an expression that never comes up, rightly refused."""
    timing = CronTiming(expected.text, day_match, mode)
    try:
        return Timetable.of([timing], timezone=zone, dst_gap=gap, dst_fold=fold)
    except Invalid as error:
        if "never fires" not in error.message:
            raise
        return None


@given(expressions(), places, gaps, folds, modes)
def test_between_is_complete_and_exact_around_every_change_of_the_clocks(
    expected: Expected,
    place: tuple[str, datetime],
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    mode: TimeMode,
) -> None:
    zone, change = place
    start, end = change - timedelta(hours=40), change + timedelta(hours=40)
    timetable = timetable_of(expected, zone, gap, fold, mode)
    truth = due(expected, scan(zone, start, end), gap, fold, mode)
    if timetable is None:
        assert not truth
        return
    found = timetable.between(start - SECOND, end - SECOND, 10_000)
    assert [occurrence.nominal for occurrence in found] == list(truth)
    assert [o.nominal_locals for o in found] == [walls[:100] for walls in truth.values()]
    assert all(a.nominal < b.nominal for a, b in pairwise(found))


@given(expressions(seconds=True), places, gaps, folds, modes)
def test_seconds_are_complete_and_exact_around_every_change_of_the_clocks(
    expected: Expected,
    place: tuple[str, datetime],
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    mode: TimeMode,
) -> None:
    zone, change = place
    start, end = change - timedelta(hours=1), change + timedelta(hours=1)
    timetable = timetable_of(expected, zone, gap, fold, mode)
    # A fold is only seen whole when both of its passes are looked at.
    seen = scan(zone, start - timedelta(hours=3), end + timedelta(hours=3), SECOND)
    truth = [at for at in due(expected, seen, gap, fold, mode) if start <= at < end]
    if timetable is None:
        assert not truth
        return
    found = timetable.between(start - SECOND, end - SECOND, 10_000)
    assert [occurrence.nominal for occurrence in found] == truth


@given(expressions(day_match=DayMatch.ALL), st.integers(2024, 2031), st.integers(0, 365))
def test_both_day_fields_must_match_when_asked_to(expected: Expected, year: int, day: int) -> None:
    start = datetime.fromisoformat(f"{year}-01-01T00:00Z") + timedelta(days=day)
    timetable = timetable_of(
        expected,
        "UTC",
        DstGapPolicy.RUN_AT_GAP_END,
        DstFoldPolicy.FIRST,
        day_match=DayMatch.ALL,
    )
    end = start + timedelta(days=60)
    days = [start + timedelta(days=n) for n in range(60)]
    truth = [d.date() for d in days if expected.day_matches(d.date())]
    if timetable is None:
        assert not truth
        return
    found: list[datetime] = []
    occurrence = timetable.next_after(start - SECOND)
    while occurrence is not None and occurrence.nominal < end:
        found.append(occurrence.nominal)
        midnight = occurrence.nominal.replace(hour=23, minute=59, second=59)
        occurrence = timetable.next_after(midnight)
    assert [at.date() for at in found] == truth


@given(expressions(), places, gaps, folds, st.integers(-40 * 3600, 40 * 3600))
def test_next_previous_matches_and_between_agree_from_any_instant(
    expected: Expected,
    place: tuple[str, datetime],
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    offset: int,
) -> None:
    zone, change = place
    base = change + timedelta(seconds=offset)
    timetable = timetable_of(expected, zone, gap, fold)
    if timetable is None:
        return
    following, preceding = timetable.next_after(base), timetable.previous_before(base)
    if following is not None:
        assert following.nominal > base
        assert timetable.matches(following.nominal)
        assert timetable.between(base, following.nominal, 5) == [following]
        # From anywhere between the base and the next one, the next one is the same.
        middle = base + (following.nominal - base) / 2
        assert timetable.next_after(middle) == following
        again = timetable.previous_before(following.nominal + timedelta(microseconds=1))
        assert again == following
    if preceding is not None:
        assert preceding.nominal < base
        assert timetable.matches(preceding.nominal)
        assert timetable.next_after(preceding.nominal - timedelta(microseconds=1)) == preceding
    is_due = timetable.matches(base)
    if preceding is not None and following is not None:
        between = timetable.between(preceding.nominal, following.nominal, 5)
        assert len(between) == 1 + is_due
        assert timetable.count_between(preceding.nominal, following.nominal, 5) == (
            1 + is_due,
            True,
        )


@given(expressions(), places, gaps, folds, st.integers(-40 * 3600, 40 * 3600))
def test_the_caches_change_nothing(
    expected: Expected,
    place: tuple[str, datetime],
    gap: DstGapPolicy,
    fold: DstFoldPolicy,
    offset: int,
) -> None:
    zone, change = place
    base = change + timedelta(seconds=offset)
    timetable = timetable_of(expected, zone, gap, fold)
    if timetable is None:
        return
    first = timetable.next_after(base)
    assert timetable.next_after(base) == first
    _core.cache_clear()
    _shared_core.cache_clear()
    _next.cache_clear()
    fresh = timetable_of(expected, zone, gap, fold)
    assert fresh is not None
    assert fresh.next_after(base) == first
