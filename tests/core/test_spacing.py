"""What a spacing lets start, told ahead."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.spacing import TOO_SOON, mark_too_soon, spaced_after
from app.core.time import IntervalTiming, Timetable

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
NONE = timedelta(0)


def every(step: timedelta, jitter: timedelta = NONE) -> Timetable:
    """Due at NOON and every `step` before and after it."""
    return Timetable.of(
        [IntervalTiming(step, NOON)], timezone="UTC", jitter=jitter, hash_key="spaced"
    )


def test_what_comes_too_soon_is_passed_over() -> None:
    found = spaced_after(every(MINUTE), NOON - SECOND, 150 * SECOND, jitter=NONE)
    assert [(one.at - NOON) / MINUTE for one in islice(found, 3)] == [0, 3, 6]


def test_the_last_start_counts_as_well() -> None:
    found = spaced_after(
        every(MINUTE), NOON, 2 * MINUTE, jitter=NONE, last_start_at=NOON + 30 * SECOND
    )
    assert next(found).at == NOON + 3 * MINUTE


def test_a_spacing_as_long_as_the_interval_passes_nothing_over() -> None:
    found = spaced_after(every(MINUTE), NOON, MINUTE, jitter=NONE, last_start_at=NOON)
    assert [(one.at - NOON) / MINUTE for one in islice(found, 3)] == [1, 2, 3]


def test_a_preview_marks_what_does_not_start() -> None:
    five = every(MINUTE).between(NOON - SECOND, NOON + 4 * MINUTE, 5)
    marked = list(mark_too_soon(five, 2 * MINUTE))
    assert [one.will_run for one in marked] == [True, False, True, False, True]
    assert marked[1].note == TOO_SOON
    assert list(mark_too_soon(five, None)) == five


@given(
    st.integers(1, 90), st.integers(0, 200), st.integers(1, 400), st.none() | st.integers(-300, 300)
)
@settings(deadline=None)
def test_passing_over_finds_what_looking_at_each_finds(
    step: int, jitter: int, spacing: int, last: int | None
) -> None:
    timetable = every(step * SECOND, jitter * SECOND)
    last_start_at = None if last is None else NOON + last * SECOND
    expected, earliest_at = [], last_start_at and last_start_at + spacing * SECOND
    for one in timetable.between(NOON, NOON + 3600 * SECOND, 10_000):
        if earliest_at is None or one.at >= earliest_at:
            expected.append(one.nominal)
            earliest_at = one.at + spacing * SECOND
    found = spaced_after(
        timetable,
        NOON,
        spacing * SECOND,
        jitter=jitter * SECOND,
        last_start_at=last_start_at,
    )
    assert [one.nominal for one in islice(found, len(expected))] == expected
