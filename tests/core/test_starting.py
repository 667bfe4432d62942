"""Which queued runs may start: overlap policies and job limits, in batches."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.firing import GRACE
from app.core.starting import (
    MOST_WAITING,
    Allowance,
    Busyness,
    Candidate,
    Judgement,
    Verdict,
    judge_starts,
)
from app.core.vocabulary import OverlapPolicy, RunReason

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB, SCHEDULE, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
RUNNING = UUID(int=4)
START, SKIP, WAIT, LEAVE = Verdict.START, Verdict.SKIP, Verdict.WAIT, Verdict.LEAVE
_numbers = count(100)


def due(
    overlap: OverlapPolicy,
    second: int = 0,
    *,
    schedule: UUID | None = SCHEDULE,
    job: UUID = JOB,
    is_retry: bool = False,
    is_judge: bool = True,
    **more: Any,
) -> Candidate:
    """A run that was due `second` seconds after noon."""
    return Candidate(
        run_id=UUID(int=next(_numbers)),
        job_id=job,
        schedule_id=schedule,
        overlap=overlap,
        due_at=NOON + timedelta(seconds=second),
        is_retry=is_retry,
        is_judge=is_judge,
        **more,
    )


def judge(
    *candidates: Candidate,
    running: Sequence[UUID] = (),
    waiting: Sequence[Candidate] = (),
    slots: int | None = None,
    allowance: Allowance | None = None,
    **more: Any,
) -> Judgement:
    """Judge runs of SCHEDULE beside what it has under way."""
    return judge_starts(
        candidates,
        busy={SCHEDULE: Busyness(list(running), [candidate.order for candidate in waiting])},
        free_job_slots={} if slots is None else {JOB: slots},
        allowances={} if allowance is None else {SCHEDULE: allowance},
        **more,
    )


def verdicts(judgement: Judgement) -> list[Verdict]:
    """The verdicts in the order of the candidates."""
    return list(judgement.verdicts.values())


@pytest.mark.parametrize(
    ("overlap", "idle", "busy"),
    [
        (OverlapPolicy.SKIP, [START, SKIP, SKIP], [SKIP, SKIP, SKIP]),
        (OverlapPolicy.ALLOW, [START, START, START], [START, START, START]),
        (OverlapPolicy.QUEUE_ONE, [START, WAIT, SKIP], [WAIT, SKIP, SKIP]),
        (OverlapPolicy.QUEUE_ALL, [START, WAIT, WAIT], [WAIT, WAIT, WAIT]),
        (OverlapPolicy.CANCEL_RUNNING, [START, WAIT, SKIP], [WAIT, SKIP, SKIP]),
    ],
)
def test_what_becomes_of_three_due_runs_of_one_schedule(
    overlap: OverlapPolicy, idle: list[Verdict], busy: list[Verdict]
) -> None:
    three = [due(overlap, second) for second in range(3)]
    assert verdicts(judge(*three)) == idle
    assert verdicts(judge(*three, running=[RUNNING])) == busy


def test_queue_one_keeps_the_first_that_waits_even_when_a_later_one_was_seen_first() -> None:
    later = due(OverlapPolicy.QUEUE_ONE, 5)
    first = due(OverlapPolicy.QUEUE_ONE, 1)
    assert verdicts(judge(first, running=[RUNNING], waiting=[later])) == [WAIT]
    assert verdicts(judge(later, running=[RUNNING], waiting=[first])) == [SKIP]


def test_the_first_that_waits_starts_when_it_is_woken_and_those_behind_it_stay() -> None:
    first, second = due(OverlapPolicy.QUEUE_ALL, 1), due(OverlapPolicy.QUEUE_ALL, 2)
    assert verdicts(judge(first, waiting=[second])) == [START]
    assert verdicts(judge(second, waiting=[first])) == [WAIT]


def test_a_live_run_stands_before_a_caught_up_one_that_was_due_earlier() -> None:
    """Made to fail by an order that looks at the due instant alone."""
    caught_up, live = due(OverlapPolicy.SKIP, 1, tier=1), due(OverlapPolicy.SKIP, 2)
    assert verdicts(judge(live, waiting=[caught_up])) == [START]
    assert verdicts(judge(live, caught_up)) == [START, SKIP]
    assert verdicts(judge(caught_up, waiting=[live])) == [SKIP]


def test_queue_all_is_bounded() -> None:
    waiting = [due(OverlapPolicy.QUEUE_ALL, second) for second in range(MOST_WAITING)]
    one_more = due(OverlapPolicy.QUEUE_ALL, MOST_WAITING)
    assert verdicts(judge(one_more, running=[RUNNING], waiting=waiting)) == [SKIP]
    assert verdicts(judge(one_more, running=[RUNNING], waiting=waiting[1:])) == [WAIT]


def test_a_schedule_may_let_fewer_wait() -> None:
    runs = [due(OverlapPolicy.QUEUE_ALL, second, most_waiting=2) for second in range(4)]
    assert verdicts(judge(*runs)) == [START, WAIT, WAIT, SKIP]
    assert verdicts(judge(*runs, running=[RUNNING])) == [WAIT, WAIT, SKIP, SKIP]


def test_max_runs_lets_as_many_start_as_are_left() -> None:
    allowed = Allowance(NOON + 5 * SECOND, runs_left=2)
    judgement = judge(*(due(OverlapPolicy.ALLOW, n) for n in range(3)), allowance=allowed)
    assert verdicts(judgement) == [START, START, SKIP]
    assert list(judgement.reasons.values()) == [RunReason.LIMIT]
    assert allowed.runs_used == 2


def test_max_runs_counts_only_what_starts_and_only_what_was_fired() -> None:
    allowed = Allowance(NOON + 5 * SECOND, runs_left=1)
    asked_for = due(OverlapPolicy.ALLOW, 1, is_scheduled=False)
    retry = due(OverlapPolicy.ALLOW, 2, is_retry=True)
    judgement = judge(asked_for, retry, due(OverlapPolicy.ALLOW, 3), allowance=allowed)
    assert verdicts(judgement) == [START, START, START]
    assert allowed.runs_used == 1
    waiting = Allowance(NOON + 5 * SECOND, runs_left=1)
    assert verdicts(judge(due(OverlapPolicy.ALLOW), allowance=waiting, slots=0)) == [WAIT]
    assert waiting.runs_used == 0


@pytest.mark.parametrize(
    ("last", "second", "now", "verdict"),
    [
        (None, 60, 60, START),
        # Both are as late as runs are: not the delay counts, but when they were due.
        (0, 60, 60.01, START),
        (0, 59, 59, SKIP),
        (1, 60, 60, SKIP),
        # This one waited for long: it starts now, whenever it was due.
        (0, 30, 61, START),
        (10, 30, 61, SKIP),
    ],
)
def test_spacing_keeps_starts_apart(
    last: int | None, second: int, now: float, verdict: Verdict
) -> None:
    allowed = Allowance(
        NOON + timedelta(seconds=now),
        spacing=60 * SECOND,
        last_start_at=None if last is None else NOON + last * SECOND,
    )
    judgement = judge(due(OverlapPolicy.SKIP, second), allowance=allowed)
    assert verdicts(judgement) == [verdict]
    assert list(judgement.reasons.values()) == [RunReason.SPACING] * (verdict is SKIP)


def test_what_was_asked_for_starts_at_once_and_keeps_the_next_one_at_a_distance() -> None:
    allowed = Allowance(NOON + 5 * SECOND, spacing=60 * SECOND, last_start_at=NOON)
    by_hand = due(OverlapPolicy.ALLOW, 1, is_scheduled=False)
    assert verdicts(judge(by_hand, allowance=allowed)) == [START]
    later = Allowance(NOON + 60 * SECOND, spacing=60 * SECOND, last_start_at=allowed.last_start_at)
    assert verdicts(judge(due(OverlapPolicy.ALLOW, 60), allowance=later)) == [SKIP]


def test_a_run_that_comes_too_soon_replaces_none_and_hinders_none() -> None:
    """Made to fail by judging overlap first: then the running run is cancelled for nothing."""
    allowed = Allowance(NOON + 5 * SECOND, spacing=60 * SECOND, last_start_at=NOON)
    first, second = due(OverlapPolicy.CANCEL_RUNNING, 1), due(OverlapPolicy.CANCEL_RUNNING, 2)
    judgement = judge(first, second, running=[RUNNING], allowance=allowed)
    assert verdicts(judgement) == [SKIP, SKIP]
    assert judgement.cancelled == ()
    assert set(judgement.reasons.values()) == {RunReason.SPACING}


def test_a_schedule_of_every_minute_with_a_spacing_of_a_minute_skips_nothing() -> None:
    """Made to fail by measuring from the actual starts."""
    last = None
    for minute, late in enumerate([0.3, 0.001, 5, 0.002, 9, 0]):
        due_at = NOON + minute * 60 * SECOND
        allowed = Allowance(due_at + late * SECOND, spacing=60 * SECOND, last_start_at=last)
        run = due(OverlapPolicy.SKIP, minute * 60)
        assert late * SECOND <= GRACE
        assert verdicts(judge(run, allowance=allowed)) == [START]
        last = allowed.last_start_at


def test_cancel_running_replaces_what_runs_and_waits_for_its_end() -> None:
    judgement = judge(due(OverlapPolicy.CANCEL_RUNNING), running=[RUNNING])
    assert verdicts(judgement) == [WAIT]
    assert judgement.cancelled == (RUNNING,)


def test_cancel_running_replaces_a_run_that_starts_in_the_same_batch() -> None:
    first, second = due(OverlapPolicy.CANCEL_RUNNING, 1), due(OverlapPolicy.CANCEL_RUNNING, 2)
    assert judge(first, second).cancelled == (first.run_id,)


def test_cancel_running_cancels_nothing_when_it_only_waits_for_its_job() -> None:
    retry = due(OverlapPolicy.CANCEL_RUNNING, is_retry=True)
    judgement = judge(retry, running=[RUNNING], slots=0)
    assert verdicts(judgement) == [WAIT]
    assert judgement.cancelled == ()


def test_a_retry_keeps_its_schedule_busy_although_it_stands_behind() -> None:
    """A retry's place in the order is the end of its backoff, later than the next occurrence."""
    fresh, retry = due(OverlapPolicy.SKIP, 1), due(OverlapPolicy.SKIP, 2, is_retry=True)
    assert verdicts(judge(fresh, retry)) == [SKIP, START]


def test_a_retry_is_not_judged_again() -> None:
    retry = due(OverlapPolicy.SKIP, is_retry=True)
    assert verdicts(judge(retry, running=[RUNNING])) == [START]


def test_a_schedule_that_somebody_else_judges_is_left_to_them() -> None:
    left = due(OverlapPolicy.SKIP, is_judge=False)
    mine = due(OverlapPolicy.SKIP, schedule=OTHER)
    assert verdicts(judge(left, mine, slots=1)) == [LEAVE, START]


def test_schedules_do_not_hinder_one_another_and_free_runs_nobody() -> None:
    runs = [
        due(OverlapPolicy.SKIP),
        due(OverlapPolicy.SKIP, schedule=OTHER),
        due(OverlapPolicy.SKIP, schedule=None),
        due(OverlapPolicy.SKIP, schedule=None),
    ]
    assert verdicts(judge(*runs, running=[RUNNING])) == [SKIP, START, START, START]


def test_a_job_at_its_limit_makes_runs_of_every_policy_wait() -> None:
    runs = [due(policy, schedule=UUID(int=next(_numbers))) for policy in OverlapPolicy]
    assert verdicts(judge(*runs, slots=2)) == [START, START, WAIT, WAIT, WAIT]
    assert verdicts(judge(*runs, slots=-1)) == [WAIT] * 5


def test_a_skipped_run_takes_no_slot_of_its_job() -> None:
    skipped = due(OverlapPolicy.SKIP)
    other = due(OverlapPolicy.SKIP, schedule=OTHER)
    assert verdicts(judge(skipped, other, running=[RUNNING], slots=1)) == [SKIP, START]


def test_a_worker_gets_one_at_a_time_of_the_runs_that_may_have_killed_workers() -> None:
    runs = [
        due(OverlapPolicy.ALLOW, is_retry=True, is_suspect=is_suspect)
        for is_suspect in (True, False, True)
    ]
    assert verdicts(judge(*runs)) == [START, START, WAIT]
    assert verdicts(judge(*runs, has_suspect=True)) == [WAIT, START, WAIT]


def test_judging_changes_nothing_it_was_given() -> None:
    busy = {SCHEDULE: Busyness([RUNNING], [])}
    slots = {JOB: 1}
    judge_starts([due(OverlapPolicy.ALLOW)], busy=busy, free_job_slots=slots)
    assert busy == {SCHEDULE: Busyness([RUNNING], [])}
    assert slots == {JOB: 1}


candidates = st.builds(
    due,
    st.sampled_from(OverlapPolicy),
    st.integers(0, 5),
    schedule=st.sampled_from([SCHEDULE, OTHER, None]),
    job=st.sampled_from([JOB, UUID(int=9)]),
    is_retry=st.booleans(),
    is_judge=st.booleans(),
)


@given(st.lists(candidates, max_size=12), st.booleans(), st.integers(-1, 4))
@settings(deadline=None)
def test_limits_and_overlap_hold_in_every_batch(
    batch: list[Candidate], is_busy: bool, slots: int
) -> None:
    running = [RUNNING] if is_busy else []
    judgement = judge(*batch, running=running, slots=slots)
    assert list(judgement.verdicts) == [candidate.run_id for candidate in batch]
    started = [one for one in batch if judgement.verdicts[one.run_id] is START]
    assert len([one for one in started if one.job_id == JOB]) <= max(slots, 0)
    for schedule in (SCHEDULE, OTHER):
        busy = bool(running) and schedule == SCHEDULE
        busy = busy or any(one.is_retry and one.schedule_id == schedule for one in batch)
        exclusive = [
            one
            for one in started
            if one.schedule_id == schedule
            and one.overlap is not OverlapPolicy.ALLOW
            and not one.is_retry
        ]
        assert len(exclusive) <= (0 if busy else 1)
    under_way = {RUNNING, *(one.run_id for one in batch)}
    assert set(judgement.cancelled) <= under_way
