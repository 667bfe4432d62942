"""Every occurrence of a halt has one record, whatever was decided at its end.

Breaks that were tried, and which the property below caught: nothing is recorded between two that
run; the account ends with the first of several halts.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.firing import CatchUp, PlannedRecord
from app.core.halting import Halt, plan_halted
from app.core.time import IntervalTiming, Timetable
from app.core.vocabulary import CatchUpPolicy, ResumeChoice, RunReason, RunState

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = Timetable.of(
    [IntervalTiming(MINUTE, NOON)],
    timezone="UTC",
)
PAUSED, STOPPED = RunReason.PAUSED, RunReason.STOPPED


def halts(*lengths: tuple[RunReason, int], missed: ResumeChoice | None = None) -> tuple[Halt, ...]:
    """Halts of so many minutes, one after the other, from noon on; `missed` is said at the end."""
    made: list[Halt] = []
    began_at = NOON
    for reason, minutes in lengths:
        ended_at = began_at + minutes * MINUTE
        made.append(Halt(reason, began_at, ended_at, missed))
        began_at = ended_at
    return tuple(made)


def covered(records: Sequence[PlannedRecord]) -> Counter[datetime]:
    """Return every minute that the records account for, and how often."""
    found: Counter[datetime] = Counter()
    for record in records:
        at = record.occurrence.nominal
        while at <= (record.range_end or record.occurrence.nominal):
            found[at] += 1
            at += MINUTE
    return found


def ran(records: Sequence[PlannedRecord]) -> list[datetime]:
    return [each.occurrence.nominal for each in records if each.state is RunState.QUEUED]


def test_skip_makes_one_range_with_the_reason_of_the_halt() -> None:
    plan = plan_halted(
        EVERY_MINUTE,
        after=NOON,
        halts=halts((STOPPED, 600), missed=ResumeChoice.SKIP),
        as_of=NOON + 600 * MINUTE,
        catch_up=CatchUp(),
    )
    (record,) = plan.records
    assert (record.state, record.reason) == (RunState.MISSED, STOPPED)
    assert (record.occurrence.nominal, record.range_end) == (NOON + MINUTE, plan.cursor_at)
    assert record.range_count == 600


def test_pause_that_became_a_stop_makes_a_range_of_each() -> None:
    plan = plan_halted(
        EVERY_MINUTE,
        after=NOON,
        halts=halts((PAUSED, 5), (STOPPED, 5), missed=ResumeChoice.SKIP),
        as_of=NOON + 10 * MINUTE,
        catch_up=CatchUp(),
    )
    assert [(each.reason, each.range_count) for each in plan.records] == [(PAUSED, 5), (STOPPED, 5)]


@pytest.mark.parametrize(
    ("policy", "minutes_ago"), [("NONE", []), ("LATEST", [0]), ("ALL", [2, 1, 0])]
)
def test_without_a_choice_each_schedule_catches_up_as_it_says(
    policy: str, minutes_ago: list[int]
) -> None:
    end = NOON + 10 * MINUTE
    catch_up = CatchUp(CatchUpPolicy(policy), window=timedelta(minutes=2), limit=100)
    plan = plan_halted(
        EVERY_MINUTE, after=NOON, halts=halts((STOPPED, 10)), as_of=end, catch_up=catch_up
    )
    assert ran(plan.records) == [end - ago * MINUTE for ago in minutes_ago]
    assert covered(plan.records) == Counter(NOON + n * MINUTE for n in range(1, 11))


@pytest.mark.parametrize(
    ("missed", "policy", "in_turn"),
    [
        (None, CatchUpPolicy.ALL, True),
        (None, CatchUpPolicy.LATEST, False),
        (ResumeChoice.ALL, CatchUpPolicy.NONE, True),
        (ResumeChoice.LATEST, CatchUpPolicy.ALL, False),
    ],
)
def test_all_that_run_after_a_halt_wait_for_one_another(
    missed: ResumeChoice | None, policy: CatchUpPolicy, in_turn: bool
) -> None:
    plan = plan_halted(
        EVERY_MINUTE,
        after=NOON,
        halts=halts((STOPPED, 5), missed=missed),
        as_of=NOON + 5 * MINUTE,
        catch_up=CatchUp(policy),
    )
    running = [record for record in plan.records if record.state is RunState.QUEUED]
    assert {record.in_turn for record in running} == {in_turn}


def test_latest_runs_one_occurrence_of_several_halts() -> None:
    plan = plan_halted(
        EVERY_MINUTE,
        after=NOON,
        halts=halts((PAUSED, 5), (STOPPED, 5), missed=ResumeChoice.LATEST),
        as_of=NOON + 10 * MINUTE,
        catch_up=CatchUp(CatchUpPolicy.NONE),
    )
    assert ran(plan.records) == [NOON + 10 * MINUTE]


def test_ten_years_cost_no_more_than_a_day() -> None:
    plan = plan_halted(
        EVERY_MINUTE,
        after=NOON,
        halts=halts((STOPPED, 10 * 365 * 1440), missed=ResumeChoice.ALL),
        as_of=NOON + 10 * 365 * 1440 * MINUTE,
        catch_up=CatchUp(limit=3),
    )
    assert [each.state for each in plan.records] == [RunState.MISSED] + [RunState.QUEUED] * 3
    assert plan.records[0].range_count is None


def test_halt_that_is_settled_is_not_settled_again() -> None:
    end = NOON + 10 * MINUTE
    plan = plan_halted(
        EVERY_MINUTE, after=end, halts=halts((STOPPED, 10)), as_of=end, catch_up=CatchUp()
    )
    assert (plan.records, plan.cursor_at) == ((), end)


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.lists(
        st.tuples(st.sampled_from([PAUSED, STOPPED]), st.integers(0, 20)), min_size=1, max_size=4
    ),
    missed=st.sampled_from([None, ResumeChoice.SKIP, ResumeChoice.LATEST, ResumeChoice.ALL]),
    policy=st.sampled_from(CatchUpPolicy),
    limit=st.integers(1, 8),
    before_seconds=st.integers(0, 300),
    after_seconds=st.integers(0, 300),
)
def test_every_occurrence_has_one_record(
    lengths: list[tuple[RunReason, int]],
    missed: ResumeChoice | None,
    policy: CatchUpPolicy,
    limit: int,
    before_seconds: int,
    after_seconds: int,
) -> None:
    made = halts(*lengths, missed=missed)
    after = NOON - timedelta(seconds=before_seconds)
    end = made[-1].ended_at
    plan = plan_halted(
        EVERY_MINUTE,
        after=after,
        halts=made,
        as_of=end + timedelta(seconds=after_seconds),
        catch_up=CatchUp(policy, window=timedelta(minutes=7), limit=limit),
    )
    expected = Counter(
        NOON + n * MINUTE for n in range(-10, 100) if after < NOON + n * MINUTE <= end
    )
    assert covered(plan.records) == expected
    assert plan.cursor_at == max(after, end)
    nominal = [each.occurrence.nominal for each in plan.records]
    assert nominal == sorted(set(nominal))
