"""Skipped, moved and added occurrences: each fires once, and nothing else changes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.firing import CatchUp, FiringPlan, PlannedRecord, plan_firing
from app.core.halting import Halt, plan_halted
from app.core.overrides import Overridden, Override
from app.core.time import IntervalTiming, Timetable
from app.core.vocabulary import (
    CatchUpPolicy,
    OccurrenceAction,
    ResumeChoice,
    RunCause,
    RunReason,
    RunState,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EACH_MINUTE = Timetable.of([IntervalTiming(MINUTE, NOON)], timezone="UTC")


def override(
    action: OccurrenceAction, at: datetime, fires_at: datetime | None = None, **more: Any
) -> Override:
    """Decide about one occurrence."""
    id_ = UUID(int=int(at.timestamp() * 1_000_000))
    return Override(id_, at, action, fires_at or at, reason="Because", **more)


def plan(
    *overrides: Override, after: datetime = NOON, as_of: datetime, **options: Any
) -> FiringPlan:
    """Plan with the look-ahead of production."""
    catch_up = options.pop("catch_up", CatchUp())
    return plan_firing(
        EACH_MINUTE,
        after=after,
        as_of=as_of,
        catch_up=catch_up,
        look_ahead=2 * SECOND,
        overrides=overrides,
    )


def shown(record: PlannedRecord) -> tuple[Any, ...]:
    """Key and due instant relative to noon, and what becomes of it."""
    at = record.occurrence
    return (at.nominal - NOON, at.at - NOON, record.state, record.reason or record.cause)


def test_a_skipped_occurrence_is_recorded_with_its_reason() -> None:
    skip = override(OccurrenceAction.SKIP, NOON + MINUTE)
    found = plan(skip, as_of=NOON + MINUTE)
    (record,) = found.records
    assert shown(record) == (MINUTE, MINUTE, RunState.SKIPPED, RunReason.OVERRIDDEN)
    assert record.message == "Because"
    assert found.settled == (skip.id,)
    assert found.next_run_at == NOON + 2 * MINUTE


def test_an_occurrence_moved_earlier_fires_early_and_not_again() -> None:
    moved = override(OccurrenceAction.MOVE, NOON + 10 * MINUTE, NOON + 90 * SECOND)
    early = plan(moved, after=NOON + MINUTE, as_of=NOON + 90 * SECOND)
    assert [shown(record) for record in early.records] == [
        (10 * MINUTE, 90 * SECOND, RunState.QUEUED, RunCause.SCHEDULE)
    ]
    assert early.next_run_at == NOON + 2 * MINUTE
    settled = override(OccurrenceAction.MOVE, moved.at, moved.fires_at, is_settled=True)
    later = plan(settled, after=NOON + 9 * MINUTE, as_of=NOON + 10 * MINUTE)
    assert later.records == ()
    assert later.next_run_at == NOON + 11 * MINUTE


def test_an_occurrence_moved_later_leaves_its_own_instant_alone() -> None:
    moved = override(OccurrenceAction.MOVE, NOON + MINUTE, NOON + 150 * SECOND)
    at_its_own = plan(moved, as_of=NOON + MINUTE)
    assert at_its_own.records == ()
    assert at_its_own.next_run_at == NOON + 2 * MINUTE
    between = plan(moved, after=NOON + 2 * MINUTE, as_of=NOON + 130 * SECOND)
    assert between.next_run_at == NOON + 150 * SECOND
    due = plan(moved, after=NOON + 2 * MINUTE, as_of=NOON + 150 * SECOND)
    assert [shown(record) for record in due.records] == [
        (MINUTE, 150 * SECOND, RunState.QUEUED, RunCause.SCHEDULE)
    ]


def test_an_added_instant_fires_between_nominal_ones() -> None:
    added = override(OccurrenceAction.ADD, NOON + 90 * SECOND, timezone="Asia/Kolkata")
    waiting = plan(added, as_of=NOON + MINUTE)
    assert waiting.next_run_at == NOON + 90 * SECOND
    due = plan(added, after=NOON + MINUTE, as_of=NOON + 90 * SECOND)
    (record,) = due.records
    assert shown(record)[:3] == (90 * SECOND, 90 * SECOND, RunState.QUEUED)
    assert record.occurrence.local == datetime(2030, 1, 1, 17, 31, 30)  # noqa: DTZ001 - local
    assert record.occurrence.offset == "+05:30"


def test_an_override_keeps_a_schedule_alive_that_has_nothing_else() -> None:
    once = Timetable.of([IntervalTiming(MINUTE, NOON)], timezone="UTC", end_at=NOON)
    added = override(OccurrenceAction.ADD, NOON + HOUR)
    found = plan_firing(
        once, after=NOON - SECOND, as_of=NOON, catch_up=CatchUp(), overrides=[added]
    )
    assert found.next_run_at == NOON + HOUR


def test_an_override_without_its_occurrence_is_orphaned_and_fires_nothing() -> None:
    nothing_there = NOON + 90 * SECOND
    moved = override(OccurrenceAction.MOVE, nothing_there, NOON + 100 * SECOND)
    found = plan(moved, after=NOON + MINUTE, as_of=NOON + 100 * SECOND)
    assert (found.records, found.orphaned, found.settled) == ((), (moved.id,), ())


def test_what_comes_too_late_follows_the_catch_up_policy_but_is_never_coalesced() -> None:
    added = override(OccurrenceAction.ADD, NOON + 90 * SECOND)
    moved = override(OccurrenceAction.MOVE, NOON + 2 * MINUTE, NOON + 95 * SECOND)
    as_of = NOON + 5 * MINUTE
    latest = plan(added, moved, as_of=as_of)
    by_hand = {record.state for record in latest.records if record.occurrence.nominal <= moved.at}
    assert RunState.QUEUED in by_hand
    assert [
        record.cause
        for record in latest.records
        if record.occurrence.nominal in (added.at, moved.at)
    ] == [RunCause.CATCH_UP] * 2
    none = plan(added, as_of=as_of, catch_up=CatchUp(CatchUpPolicy.NONE))
    assert none.records[-1].reason is RunReason.CATCH_UP_NONE
    too_late = plan(added, as_of=as_of, catch_up=CatchUp(window=MINUTE))
    assert too_late.records[-1].reason is RunReason.TOO_LATE


def test_a_missed_stretch_is_divided_where_an_override_has_a_record_of_its_own() -> None:
    skip = override(OccurrenceAction.SKIP, NOON + 30 * MINUTE)
    found = plan(
        skip, as_of=NOON + HOUR + 30 * SECOND, catch_up=CatchUp(CatchUpPolicy.NONE, window=2 * HOUR)
    )
    ranges = [
        (record.occurrence.nominal, record.range_end, record.range_count)
        for record in found.records
        if record.state is RunState.MISSED
    ]
    assert ranges == [
        (NOON + MINUTE, NOON + 29 * MINUTE, 29),
        (NOON + 31 * MINUTE, NOON + 60 * MINUTE, 30),
    ]


_SLOTS = 60


@st.composite
def decisions(draw: st.DrawFn) -> list[Override]:
    """Any decisions about the first hour, at most one for each instant."""
    found: dict[datetime, Override] = {}
    for slot in draw(st.lists(st.integers(1, _SLOTS), max_size=12, unique=True)):
        action = draw(
            st.sampled_from([OccurrenceAction.SKIP, OccurrenceAction.MOVE, OccurrenceAction.ADD])
        )
        at = NOON + slot * MINUTE
        fires_at = at
        if action is OccurrenceAction.ADD:
            at = fires_at = at + draw(st.integers(1, 59)) * SECOND
        elif action is OccurrenceAction.MOVE:
            fires_at = NOON + draw(st.integers(1, _SLOTS * 60)) * SECOND
        found[at] = override(action, at, fires_at)
    return list(found.values())


@settings(max_examples=300, deadline=None)
@given(
    decisions(),
    st.lists(st.integers(1, 1_800), min_size=1, max_size=60),
    st.sampled_from(list(CatchUpPolicy)),
    st.integers(0, 40),
)
def test_with_any_overrides_every_instant_is_accounted_for_exactly_once(
    overrides: list[Override], steps: list[int], policy: CatchUpPolicy, window: int
) -> None:
    """Tick at any instants, with any outages between; an orphan or a double would show here.

    It fails when `Overridden` hides nothing (doubles), when a stretch is not divided (doubles), or
    when the next instant leaves the overrides out (what was moved or added fires late).
    """
    end = NOON + 2 * HOUR
    covered: Counter[datetime] = Counter()
    settled: set[UUID] = set()
    cursor, next_run_at, as_of = NOON, NOON, NOON
    for step in [*steps, 10_000]:
        as_of = min(as_of + step * SECOND, end)
        assert next_run_at is not None
        if next_run_at > as_of + 2 * SECOND:
            continue
        standing = [
            override(one.action, one.at, one.fires_at, is_settled=one.id in settled)
            for one in overrides
            if one.id not in settled or one.at > cursor
        ]
        found = plan_firing(
            EACH_MINUTE,
            after=cursor,
            as_of=as_of,
            catch_up=CatchUp(policy, window=window * MINUTE),
            look_ahead=2 * SECOND,
            overrides=standing,
        )
        assert not settled & set(found.settled)
        assert found.orphaned == ()
        settled |= set(found.settled)
        for record in found.records:
            covered.update(_instants(record))
        assert found.cursor_at >= cursor
        assert found.next_run_at is not None
        assert found.next_run_at > found.cursor_at
        still_to_fire = [one.fires_at for one in overrides if one.id not in settled]
        assert found.next_run_at <= min(still_to_fire, default=end + HOUR)
        cursor, next_run_at = found.cursor_at, found.next_run_at
    expected = {NOON + slot * MINUTE for slot in range(1, 121)} | {one.at for one in overrides}
    assert {instant for instant in covered if instant <= end} == expected
    assert set(covered.values()) <= {1}
    assert settled == {one.id for one in overrides}


def _instants(record: PlannedRecord) -> list[datetime]:
    """Return every instant a record stands for, between both its ends."""
    first = record.occurrence.nominal
    last = record.range_end or first
    size = (last - first) // MINUTE + 1
    assert record.range_count in (None, size)
    return [first + number * MINUTE for number in range(size)]


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 60)), st.integers(-30, 3_700), st.integers(0, 3_700))
def test_a_timetable_without_overridden_instants_agrees_with_itself(
    slots: set[int], start: int, length: int
) -> None:
    hidden = Overridden(EACH_MINUTE, [NOON + slot * MINUTE for slot in slots])
    after = NOON + start * SECOND
    until = after + length * SECOND
    wanted = [
        NOON + slot * MINUTE
        for slot in range(-10, 200)
        if slot not in slots and after < NOON + slot * MINUTE <= until
    ]
    assert [one.nominal for one in hidden.between(after, until, 1_000)] == wanted
    assert hidden.count_between(after, until, 1_000) == (len(wanted), True)
    assert hidden.count_between(after, until, 3) == (min(3, len(wanted)), len(wanted) <= 3)
    following = hidden.next_after(after)
    assert following is not None
    assert hidden.matches(following.nominal)
    if wanted:
        assert following.nominal == wanted[0]
        last = hidden.previous_before(until + timedelta(microseconds=1))
        assert last is not None
        assert last.nominal == wanted[-1]


def test_a_halt_leaves_what_was_decided_by_hand_a_record_of_its_own() -> None:
    """An hour without a tick: one is skipped, one was moved into it, one added."""
    decided = [
        override(OccurrenceAction.SKIP, NOON + 10 * MINUTE),
        override(OccurrenceAction.MOVE, NOON + 2 * HOUR, NOON + 20 * MINUTE),
        override(OccurrenceAction.ADD, NOON + 90 * SECOND),
    ]
    for choice, by_hand in (
        (ResumeChoice.SKIP, RunState.MISSED),
        (ResumeChoice.ALL, RunState.QUEUED),
    ):
        halt = Halt(RunReason.STOPPED, NOON + SECOND, NOON + HOUR, choice)
        found = plan_halted(
            EACH_MINUTE,
            after=NOON,
            halts=[halt],
            as_of=NOON + HOUR,
            catch_up=CatchUp(limit=3),
            overrides=decided,
        )
        covered = Counter(instant for record in found.records for instant in _instants(record))
        assert set(covered.values()) == {1}
        regular = {NOON + slot * MINUTE for slot in range(1, 61)}
        assert set(covered) == regular | {one.at for one in decided}
        states = {record.occurrence.nominal: record.state for record in found.records}
        assert states[NOON + 10 * MINUTE] is RunState.SKIPPED
        assert states[NOON + 2 * HOUR] is states[NOON + 90 * SECOND] is by_hand
        assert set(found.settled) == {one.id for one in decided}


def test_what_was_decided_by_hand_is_not_skipped_because_others_are_caught_up() -> None:
    """After a halt it comes due with the newest; on time, overlap judges it as any other."""
    added = override(OccurrenceAction.ADD, NOON + 90 * SECOND)
    late = plan_halted(
        EACH_MINUTE,
        after=NOON,
        halts=[Halt(RunReason.STOPPED, NOON, NOON + 5 * MINUTE, ResumeChoice.LATEST)],
        as_of=NOON + 5 * MINUTE,
        catch_up=CatchUp(),
        overrides=[added],
    )
    running = [one for one in late.records if one.state is RunState.QUEUED]
    assert [one.in_turn for one in running] == [False, True]
    on_time = plan(added, after=NOON + 80 * SECOND, as_of=added.at)
    assert [one.in_turn for one in on_time.records] == [False]
