"""What counts as unhealthy, from facts alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.core.health import (
    EndedRun,
    InstanceFacts,
    Observation,
    judge_clock,
    judge_instance,
    judge_runs,
    judge_silence,
    usual_at_most,
)
from app.core.vocabulary import FindingCode, RunState, SchedulerState, Severity

NOW = datetime(2027, 3, 28, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86400))
SCHEDULE = UUID("01900000-0000-7000-8000-000000000001")
WELL = InstanceFacts(
    as_of=NOW,
    postgres_started_at=NOW - DAY,
    state=SchedulerState.RUNNING,
    state_changed_at=NOW - DAY,
    workers_online=1,
    last_heartbeat_at=NOW - SECOND,
    last_tick_at=NOW - SECOND,
    overdue=0,
    overdue_is_exact=True,
    earliest_due_at=None,
    unswept_leases=0,
    earliest_unswept_at=None,
)
OK, FAILED, CANCELLED = RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED


def codes(facts: InstanceFacts) -> list[FindingCode]:
    return [observation.code for observation in judge_instance(facts)]


def test_instance_that_ticks_is_well() -> None:
    assert judge_instance(WELL) == []


def test_ticker_is_silent_after_ten_seconds_and_critical_after_thirty() -> None:
    assert codes(replace(WELL, last_tick_at=NOW - 10 * SECOND)) == []
    (found,) = judge_instance(replace(WELL, last_tick_at=NOW - 11 * SECOND))
    assert (found.code, found.severity) == (FindingCode.TICKER_SILENT, Severity.WARNING)
    assert found.since == NOW - 11 * SECOND
    (later,) = judge_instance(replace(WELL, last_tick_at=NOW - 31 * SECOND))
    assert later.severity is Severity.CRITICAL
    assert later.message == found.message


def test_instance_without_workers_says_both_what_is_missing_and_what_does_not_happen() -> None:
    gone = NOW - 40 * SECOND
    facts = replace(WELL, workers_online=0, last_heartbeat_at=gone, last_tick_at=gone)
    assert codes(facts) == [FindingCode.NO_WORKER, FindingCode.TICKER_SILENT]


def test_new_instance_has_ten_seconds_to_get_its_first_worker() -> None:
    facts = replace(WELL, workers_online=0, last_heartbeat_at=None, last_tick_at=None)
    assert codes(replace(facts, state_changed_at=NOW - 9 * SECOND)) == []
    assert FindingCode.NO_WORKER in codes(replace(facts, state_changed_at=NOW - 11 * SECOND))


def test_nothing_is_held_against_anybody_while_postgresql_was_away() -> None:
    facts = replace(WELL, workers_online=0, last_tick_at=NOW - HOUR, last_heartbeat_at=NOW - HOUR)
    assert codes(replace(facts, postgres_started_at=NOW - 5 * SECOND)) == []


def test_halted_instance_is_not_overdue_and_neither_is_one_that_has_just_started() -> None:
    facts = replace(WELL, overdue=3, earliest_due_at=NOW - HOUR)
    assert codes(facts) == [FindingCode.OVERDUE]
    assert codes(replace(facts, state=SchedulerState.PAUSED)) == []
    assert codes(replace(facts, state_changed_at=NOW - 5 * SECOND)) == []


def test_overdue_grows_critical_with_its_true_age() -> None:
    (found,) = judge_instance(replace(WELL, overdue=1, earliest_due_at=NOW - MINUTE))
    assert (found.severity, found.message[:22]) == (Severity.WARNING, "1 schedule is overdue ")
    (found,) = judge_instance(
        replace(WELL, overdue=10_000, overdue_is_exact=False, earliest_due_at=NOW - 5 * MINUTE)
    )
    assert (found.severity, found.message[:15]) == (Severity.CRITICAL, "More than 10000")


def test_leases_are_somebodys_to_sweep_only_while_there_are_workers() -> None:
    facts = replace(WELL, unswept_leases=1, earliest_unswept_at=NOW - MINUTE)
    assert codes(facts) == [FindingCode.LEASES_NOT_SWEPT]
    assert FindingCode.LEASES_NOT_SWEPT not in codes(replace(facts, workers_online=0))


@pytest.mark.parametrize(
    ("offset", "uncertainty", "expected"),
    [
        (1.0, 0.0, None),
        (-1.2, 0.3, None),
        (-1.2, 0.1, (Severity.WARNING, "1 s behind")),
        (3600, 0.1, (Severity.CRITICAL, "3600 s ahead of")),
    ],
)
def test_clock_is_wrong_only_beyond_what_the_round_trip_explains(
    offset: float, uncertainty: float, expected: tuple[Severity, str] | None
) -> None:
    found = judge_clock(offset * SECOND, uncertainty * SECOND, host="here", as_of=NOW)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.severity is expected[0]
        assert expected[1] in found.message


def ended(states: Sequence[RunState | None], seconds: Sequence[float] = ()) -> list[EndedRun]:
    """Runs a minute apart, the newest first; each took a second unless said."""
    durations = [*seconds, *[1.0] * (len(states) - len(seconds))]
    return [
        EndedRun(state, NOW - index * MINUTE, took * SECOND)
        for index, (state, took) in enumerate(zip(states, durations, strict=True))
    ]


def judged(newest: list[EndedRun], *, in_a_row: int = 0, open_: str = "") -> list[Observation]:
    is_open = [FindingCode(open_)] if open_ else []
    return judge_runs(SCHEDULE, newest, consecutive_failures=in_a_row, is_open=is_open, as_of=NOW)


def test_three_failures_in_a_row_are_a_finding_since_the_first_of_them() -> None:
    assert judged(ended([FAILED, FAILED, OK]), in_a_row=2) == []
    (found,) = judged(ended([FAILED, FAILED, FAILED, OK]), in_a_row=3)
    assert found.code is FindingCode.CONSECUTIVE_FAILURES
    assert (found.since, found.schedule_id) == (NOW - 2 * MINUTE, SCHEDULE)
    assert found.severity is Severity.WARNING
    (found, _) = judged(ended([FAILED] * 10), in_a_row=10)
    assert found.severity is Severity.CRITICAL


def test_rate_means_nothing_before_ten_runs() -> None:
    assert judged(ended([FAILED, OK, FAILED] * 3)) == []
    # A cancelled run says nothing about its job.
    assert judged(ended([FAILED, OK, FAILED] * 3 + [CANCELLED])) == []
    (found,) = judged(ended([FAILED, OK, FAILED] * 3 + [FAILED]))
    assert (found.code, found.severity) == (FindingCode.HIGH_FAILURE_RATE, Severity.CRITICAL)
    assert "30%" in found.message


def test_rate_that_has_been_bad_must_become_good_and_not_only_less_bad() -> None:
    half = ended([OK, FAILED] * 5)
    assert judged(half) == []
    assert [each.severity for each in judged(half, open_="HIGH_FAILURE_RATE")] == [
        Severity.CRITICAL
    ]
    nearly = ended([OK] * 8 + [FAILED] + [OK] * 9)
    assert [each.severity for each in judged(nearly, open_="HIGH_FAILURE_RATE")] == [
        Severity.WARNING
    ]
    assert judged(ended([OK] * 10 + [FAILED] * 10), open_="HIGH_FAILURE_RATE") == []


def test_one_slow_run_is_no_trend_and_three_are() -> None:
    assert judged(ended([OK] * 20, [60])) == []
    (found,) = judged(ended([OK] * 20, [60, 1, 70]))
    assert found.code is FindingCode.SLOWER_THAN_USUAL
    assert "PT2S" in found.message
    assert "PT1S" in found.message
    assert judged(ended([OK] * 12, [60, 60, 60])) == []


def test_run_that_is_still_under_way_counts_with_what_it_has_taken_so_far() -> None:
    assert judged(ended([None, *[OK] * 20], [60, 1, 1])) == []
    (found,) = judged(ended([None, *[OK] * 20], [60, 60, 1]))
    assert found.code is FindingCode.SLOWER_THAN_USUAL


def test_usual_range_follows_how_much_durations_scatter() -> None:
    steady = [timedelta(seconds=10)] * 20
    scattered = [timedelta(seconds=5 + index) for index in range(20)]
    assert usual_at_most(steady) == timedelta(seconds=15)
    assert usual_at_most(scattered) > timedelta(seconds=40)
    # One run out of all bounds does not widen the range.
    assert usual_at_most([*steady, timedelta(hours=5)]) == timedelta(seconds=15)


@pytest.mark.parametrize(
    ("silent_for", "third_period_after", "is_stale"),
    [
        (6.9 * DAY, 3 * HOUR, False),
        (7.1 * DAY, 3 * HOUR, True),
        (8 * DAY, 21 * DAY, False),
        (22 * DAY, 21 * DAY, True),
        (999 * DAY, None, False),
    ],
)
def test_stale_is_a_week_or_three_periods_and_never_a_one_off(
    silent_for: timedelta, third_period_after: timedelta | None, is_stale: bool
) -> None:
    since = NOW - silent_for
    third = None if third_period_after is None else since + third_period_after
    found = judge_silence(SCHEDULE, since=since, third_period_at=third, as_of=NOW)
    assert (found is not None) == is_stale
