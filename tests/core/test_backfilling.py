"""Which runs a backfill makes next, and what may become of it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.backfilling import (
    LOOK_AHEAD,
    TRANSITIONS,
    Stretch,
    check_change,
    is_over,
    most_unfinished,
    next_stretch,
    overlap_of,
    plan_step,
)
from app.core.errors import StateConflict
from app.core.overrides import Override
from app.core.starting import MOST_WAITING
from app.core.time import Calendar, CronTiming, IntervalTiming, Timetable
from app.core.vocabulary import BackfillState, OccurrenceAction, OverlapPolicy

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NOW = datetime(2031, 1, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
EACH_MINUTE = Timetable.of([IntervalTiming(MINUTE, NOON)], timezone="UTC")


def override(action: OccurrenceAction, at: datetime, fires_at: datetime | None = None) -> Override:
    """Decide about one occurrence."""
    id_ = UUID(int=int(at.timestamp() * 1_000_000))
    return Override(id_, at, action, fires_at or at, reason="Because")


def stretch_of(minutes: int, limit: int = 1_000, *overrides: Override) -> Stretch:
    """Return the occurrences of the minutes after noon."""
    return next_stretch(
        EACH_MINUTE, overrides, after=NOON, until=NOON + minutes * MINUTE, limit=limit
    )


def minutes_of(stretch: Stretch) -> list[float]:
    """Return the occurrences in minutes after noon."""
    return [(slot.nominal - NOON) / MINUTE for slot in stretch.slots]


def test_a_stretch_ends_at_its_limit_or_at_the_end_of_the_range() -> None:
    assert minutes_of(stretch_of(5)) == [1, 2, 3, 4, 5]
    assert stretch_of(5).reached_at == NOON + 5 * MINUTE
    assert minutes_of(stretch_of(5, 3)) == [1, 2, 3]
    assert stretch_of(5, 3).reached_at == NOON + 3 * MINUTE


def test_each_occurrence_covers_the_interval_since_the_one_before() -> None:
    assert [slot.previous_at for slot in stretch_of(3).slots] == [
        NOON,
        NOON + MINUTE,
        NOON + 2 * MINUTE,
    ]


def test_what_somebody_skipped_stays_skipped_and_what_was_added_or_moved_runs() -> None:
    decided = (
        override(OccurrenceAction.SKIP, NOON + MINUTE),
        override(OccurrenceAction.MOVE, NOON + 3 * MINUTE, NOON + 30 * MINUTE),
        override(OccurrenceAction.ADD, NOON + 90 * SECOND),
        # There is no such occurrence to be moved.
        override(OccurrenceAction.MOVE, NOON + 100 * SECOND, NOON + 31 * MINUTE),
    )
    assert minutes_of(stretch_of(4, 1_000, *decided)) == [1.5, 2, 3, 4]


def test_daylight_saving_and_calendars_hold_for_the_past_as_for_the_future() -> None:
    # 30 March 2025: no 02:30 in Berlin. 26 October 2025: two of them. A Sunday, both.
    daily = Timetable.of([CronTiming("30 2 * * *")], timezone="Europe/Berlin")
    found = next_stretch(
        daily,
        (),
        after=datetime(2025, 3, 29, 12, tzinfo=UTC),
        until=datetime(2025, 3, 30, 12, tzinfo=UTC),
        limit=9,
    )
    assert [slot.nominal for slot in found.slots] == [datetime(2025, 3, 30, 1, tzinfo=UTC)]
    found = next_stretch(
        daily,
        (),
        after=datetime(2025, 10, 25, 12, tzinfo=UTC),
        until=datetime(2025, 10, 26, 12, tzinfo=UTC),
        limit=9,
    )
    assert [slot.nominal for slot in found.slots] == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]
    weekend = Calendar("weekend", "Weekend", weekdays=frozenset({5, 6}))
    weekdays = Timetable.of([CronTiming("0 9 * * *")], timezone="UTC", calendars=[weekend])
    found = next_stretch(
        weekdays,
        (),
        after=datetime(2025, 3, 28, tzinfo=UTC),
        until=datetime(2025, 3, 31, 12, tzinfo=UTC),
        limit=9,
    )
    assert [slot.nominal.day for slot in found.slots] == [28, 31]


def test_without_a_rate_all_that_there_is_room_for_is_due_at_once() -> None:
    step = plan_step(
        stretch_of(5),
        cursor_at=NOON,
        room=3,
        rate_per_minute=None,
        next_due_at=NOON,
        as_of=NOW,
    )
    assert [run.due_at for run in step.runs] == [NOW] * 3
    assert step.cursor_at == NOON + 3 * MINUTE


def test_without_room_it_stays_where_it_is() -> None:
    step = plan_step(
        stretch_of(5), cursor_at=NOON, room=0, rate_per_minute=None, next_due_at=NOON, as_of=NOW
    )
    assert (step.runs, step.cursor_at) == ((), NOON)


def test_what_is_known_is_passed_over() -> None:
    whole = stretch_of(5)
    step = plan_step(
        whole.without({slot.nominal for slot in whole.slots}),
        cursor_at=NOON,
        room=1,
        rate_per_minute=None,
        next_due_at=NOON,
        as_of=NOW,
    )
    assert (step.runs, step.cursor_at) == ((), NOON + 5 * MINUTE)


def test_time_that_was_lost_is_not_made_up_for() -> None:
    step = plan_step(
        stretch_of(50),
        cursor_at=NOON,
        room=100,
        rate_per_minute=60,
        next_due_at=NOW - 10 * MINUTE,
        as_of=NOW,
    )
    assert [run.due_at - NOW for run in step.runs] == [second * SECOND for second in range(6)]
    assert step.next_due_at == NOW + 6 * SECOND


@given(
    rate=st.integers(1, 60_000),
    size=st.integers(1, 400),
    room=st.integers(1, 50),
    limit=st.integers(1, 60),
    waits=st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=20),
    has_rate=st.booleans(),
)
def test_steps_of_any_size_make_each_run_once_and_in_order_and_keep_the_rate(
    rate: int, size: int, room: int, limit: int, waits: list[float], has_rate: bool
) -> None:
    """Fails if the cursor moves past what was not made, or the pace begins anew with each step."""
    cursor, due, now, until = NOON, NOON, NOW, NOON + size * MINUTE
    made: list[datetime] = []
    due_at: list[datetime] = []
    for index in range(100_000):
        if cursor >= until:
            break
        stretch = next_stretch(EACH_MINUTE, (), after=cursor, until=until, limit=limit)
        step = plan_step(
            stretch,
            cursor_at=cursor,
            room=room,
            rate_per_minute=rate if has_rate else None,
            next_due_at=due,
            as_of=now,
        )
        assert step.cursor_at >= cursor
        assert len(step.runs) <= room
        assert all(now <= run.due_at <= now + LOOK_AHEAD for run in step.runs)
        made += [run.slot.nominal for run in step.runs]
        due_at += [run.due_at for run in step.runs]
        cursor, due = step.cursor_at, step.next_due_at
        now += timedelta(seconds=1 + waits[index % len(waits)])
    assert made == [NOON + minute * MINUTE for minute in range(1, size + 1)]
    if has_rate:
        gaps = [later - earlier for earlier, later in pairwise(due_at)]
        assert all(gap >= MINUTE / rate - timedelta(microseconds=1) for gap in gaps)


def test_runs_in_turn_never_fill_what_may_wait() -> None:
    assert most_unfinished(OverlapPolicy.QUEUE_ALL) < MOST_WAITING
    assert most_unfinished(OverlapPolicy.ALLOW) > most_unfinished(OverlapPolicy.QUEUE_ALL)


def test_runs_wait_for_their_turn_unless_the_schedule_lets_them_run_together() -> None:
    assert overlap_of(OverlapPolicy.ALLOW) is OverlapPolicy.ALLOW
    assert overlap_of(OverlapPolicy.SKIP) is OverlapPolicy.QUEUE_ALL
    assert overlap_of(OverlapPolicy.CANCEL_RUNNING) is OverlapPolicy.QUEUE_ALL


@pytest.mark.parametrize("state", BackfillState)
@pytest.mark.parametrize("wanted", BackfillState)
def test_only_legal_changes_pass(state: BackfillState, wanted: BackfillState) -> None:
    legal = {
        ("RUNNING", "PAUSED"),
        ("RUNNING", "COMPLETED"),
        ("RUNNING", "CANCELLED"),
        ("PAUSED", "RUNNING"),
        ("PAUSED", "CANCELLED"),
    }
    if (state.value, wanted.value) in legal:
        check_change(state, wanted)
        return
    with pytest.raises(StateConflict) as refused:
        check_change(state, wanted)
    assert refused.value.current == state.value
    assert set(refused.value.allowed) == {before for before, after in legal if after == wanted}


def test_what_is_over_stays_over() -> None:
    assert {state for state in BackfillState if is_over(state)} == {
        BackfillState.COMPLETED,
        BackfillState.CANCELLED,
    }
    assert not any(is_over(state) for state in TRANSITIONS)
