"""Whether an attempt is tried again, and when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.retry import (
    RetryPolicy,
    backoff_delay,
    may_follow_a_lost_attempt,
    next_attempt_delay,
)
from app.core.vocabulary import Backoff, FailureReason

DUE = datetime(2030, 1, 1, tzinfo=UTC)
RUN = UUID(int=1)
SECOND = timedelta(seconds=1)

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    backoff=st.sampled_from(Backoff),
    initial_delay=st.timedeltas(timedelta(0), timedelta(hours=1)),
    max_delay=st.timedeltas(timedelta(0), timedelta(days=1)),
    multiplier=st.floats(1.0, 10.0),
    jitter=st.booleans(),
    max_age=st.none() | st.timedeltas(timedelta(0), timedelta(days=2)),
    retry_on=st.lists(st.sampled_from(FailureReason), unique=True).map(tuple),
)


def delay_after(
    policy: RetryPolicy,
    failed_attempts: int,
    *,
    reason: FailureReason = FailureReason.ERROR,
    as_of: datetime = DUE,
    retry_after: timedelta | None = None,
) -> timedelta | None:
    """Ask about one run that was due at DUE."""
    return next_attempt_delay(
        policy,
        run_id=RUN,
        failed_attempts=failed_attempts,
        reason=reason,
        due_at=DUE,
        as_of=as_of,
        retry_after=retry_after,
    )


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (Backoff.FIXED, [10, 10, 10, 10]),
        (Backoff.LINEAR, [10, 20, 30, 35]),
        (Backoff.EXPONENTIAL, [10, 20, 35, 35]),
    ],
)
def test_backoff_grows_as_it_says_up_to_its_cap(backoff: Backoff, seconds: list[int]) -> None:
    policy = RetryPolicy(backoff=backoff, max_delay=35 * SECOND, jitter=False)
    found = [backoff_delay(policy, run_id=RUN, failed_attempts=n) for n in (1, 2, 3, 4)]
    assert found == [timedelta(seconds=n) for n in seconds]


@given(policies, st.uuids(), st.integers(1, 10_000))
@settings(deadline=None)
def test_a_delay_is_never_negative_never_above_its_cap_and_always_the_same(
    policy: RetryPolicy, run_id: UUID, failed_attempts: int
) -> None:
    delay = backoff_delay(policy, run_id=run_id, failed_attempts=failed_attempts)
    assert timedelta(0) <= delay <= policy.max_delay
    assert delay == backoff_delay(policy, run_id=run_id, failed_attempts=failed_attempts)


@given(policies, st.sampled_from(FailureReason), st.timedeltas(timedelta(0), timedelta(days=3)))
@settings(deadline=None)
def test_attempts_end_and_only_what_the_policy_names_is_tried_again(
    policy: RetryPolicy, reason: FailureReason, age: timedelta
) -> None:
    delays = [
        delay_after(policy, n, reason=reason, as_of=DUE + age)
        for n in range(1, policy.max_attempts + 3)
    ]
    granted = [delay for delay in delays if delay is not None]
    assert len(granted) < policy.max_attempts
    if granted:
        assert reason in policy.retry_on
    if policy.max_age is not None:
        assert all(age + delay <= policy.max_age for delay in granted)


def test_runs_that_fail_together_do_not_come_back_together() -> None:
    policy = RetryPolicy(max_attempts=2)
    delays = {backoff_delay(policy, run_id=UUID(int=n), failed_attempts=1) for n in range(100)}
    assert len(delays) > 90
    assert all(5 * SECOND <= delay <= 10 * SECOND for delay in delays)


def test_a_target_that_asks_for_more_time_gets_it() -> None:
    policy = RetryPolicy(max_attempts=2, jitter=False)
    assert delay_after(policy, 1, retry_after=60 * SECOND) == 60 * SECOND
    assert delay_after(policy, 1, retry_after=SECOND) == 10 * SECOND


def test_no_attempt_starts_beyond_the_maximum_age() -> None:
    policy = RetryPolicy(max_attempts=5, jitter=False, max_age=60 * SECOND)
    assert delay_after(policy, 1, as_of=DUE + 50 * SECOND) == 10 * SECOND
    assert delay_after(policy, 1, as_of=DUE + 51 * SECOND) is None


@pytest.mark.parametrize(
    ("policy", "late", "expected"),
    [
        (RetryPolicy(), timedelta(days=400), True),
        # Attempts are not counted: it is not the job's fault.
        (RetryPolicy(max_attempts=1), timedelta(0), True),
        (RetryPolicy(retry_on=(FailureReason.ERROR,)), timedelta(0), False),
        (RetryPolicy(max_age=timedelta(minutes=5)), timedelta(minutes=5), True),
        (RetryPolicy(max_age=timedelta(minutes=5)), timedelta(minutes=5, seconds=1), False),
    ],
)
def test_a_run_whose_worker_is_gone_is_tried_again_unless_the_policy_says_otherwise(
    policy: RetryPolicy, late: timedelta, expected: bool
) -> None:
    assert may_follow_a_lost_attempt(policy, due_at=DUE, as_of=DUE + late) is expected


@given(policies)
@settings(deadline=None)
def test_a_policy_survives_being_stored(policy: RetryPolicy) -> None:
    assert RetryPolicy.from_json(policy.to_json()) == policy


def test_a_policy_that_says_nothing_is_the_default() -> None:
    assert RetryPolicy.from_json({}) == RetryPolicy()
