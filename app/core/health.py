"""What counts as unhealthy: the instance, a process's clock, a schedule. Pure: facts in, findings
out.

An observation names a code and a subject; the same pair is one finding for as long as it stands.
`since` is when the condition truly began, which may be long before anybody looked, and severity
follows from that age. Texts do not hold what changes by itself, so that a finding which stays the
same is not written again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

from app.core.durations import format_duration
from app.core.vocabulary import FindingCode, RunState, SchedulerState, Severity

SILENCE = timedelta(seconds=10)
"""Longer than this nobody may be without a tick, and no schedule overdue."""

MOST_SKEW = timedelta(seconds=1)
"""By how much a process's clock may differ from PostgreSQL's."""

LEAST_RUNS = 10
"""So many runs must have ended before a rate, or a usual duration, means anything."""

JUDGED_RUNS = 50
"""The newest runs of a schedule that are looked at."""

HEALTHY_RATE, CRITICAL_RATE, FAILING_RATE = 0.95, 0.80, 0.50
"""Success: above the first all is well, below the second it is critical; a finding opens below
the third and stands until all is well again."""

FAILURES_IN_A_ROW = 3
STALE_AFTER = timedelta(days=7)
STALE_PERIODS = 3

_RATED_RUNS = 20
_LATEST_RUNS = 3
_SLOW_LEAST = timedelta(seconds=2)
_SLOW_DEVIATIONS = 6.0
_SLOW_FACTOR = 1.5
# A normal distribution's standard deviation by its median absolute deviation.
_NORMAL = 1.4826
_CRITICAL_SKEW = timedelta(seconds=10)
_CRITICAL_FAILURES = 10
_CRITICAL_AFTER = {
    FindingCode.TICKER_SILENT: timedelta(seconds=30),
    FindingCode.OVERDUE: timedelta(minutes=5),
    FindingCode.LEASES_NOT_SWEPT: timedelta(minutes=2),
    FindingCode.CONSECUTIVE_FAILURES: timedelta(hours=6),
}
_CRITICAL_AT_ONCE = {
    FindingCode.NO_WORKER,
    FindingCode.QUARANTINED,
    FindingCode.NO_NEXT_RUN,
    FindingCode.OWNER_POWERLESS,
}
_FAILED = {RunState.FAILED, RunState.TIMED_OUT, RunState.LOST}


@dataclass(frozen=True, slots=True)
class Observation:
    """Something that is wrong at this instant. `subject` tells it from others of its code."""

    code: FindingCode
    severity: Severity
    since: datetime
    message: str
    subject: str = ""
    schedule_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """The instance as PostgreSQL shows it, at one instant of PostgreSQL's clock."""

    as_of: datetime
    postgres_started_at: datetime
    state: SchedulerState
    state_changed_at: datetime
    workers_online: int
    last_heartbeat_at: datetime | None
    last_tick_at: datetime | None
    # Counted no further than a bound: then `overdue_is_exact` is false.
    overdue: int
    overdue_is_exact: bool
    earliest_due_at: datetime | None
    unswept_leases: int
    earliest_unswept_at: datetime | None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that was executed: how it ended, when, and how long its last attempt took.

    One that is still under way counts as ended now, without a state.
    """

    state: RunState | None
    ended_at: datetime
    duration: timedelta


def judge_instance(facts: InstanceFacts) -> list[Observation]:
    """Return what is wrong with the instance."""
    found = [_no_worker(facts), _ticker_silent(facts), _overdue(facts), _leases_not_swept(facts)]
    return [observation for observation in found if observation is not None]


def _no_worker(facts: InstanceFacts) -> Observation | None:
    since = facts.last_heartbeat_at or facts.state_changed_at
    if facts.workers_online or not _lasts(facts, since):
        return None
    return _observe(
        FindingCode.NO_WORKER,
        facts.as_of,
        since,
        "No worker is online: nothing fires, nothing runs.",
    )


def _ticker_silent(facts: InstanceFacts) -> Observation | None:
    since = facts.last_tick_at or facts.state_changed_at
    if not _lasts(facts, since):
        return None
    return _observe(
        FindingCode.TICKER_SILENT,
        facts.as_of,
        since,
        "No worker has ticked for more than 10 seconds: nothing fires.",
    )


def _overdue(facts: InstanceFacts) -> Observation | None:
    # While the instance is halted, schedules are overdue because somebody wants it so.
    if facts.state is not SchedulerState.RUNNING or facts.earliest_due_at is None:
        return None
    if not _lasts(facts, max(facts.earliest_due_at, facts.state_changed_at)):
        return None
    number = f"{facts.overdue}" if facts.overdue_is_exact else f"More than {facts.overdue}"
    are = "schedule is" if facts.overdue == 1 else "schedules are"
    return _observe(
        FindingCode.OVERDUE,
        facts.as_of,
        facts.earliest_due_at,
        f"{number} {are} overdue by more than 10 seconds.",
    )


def _leases_not_swept(facts: InstanceFacts) -> Observation | None:
    # Without a worker there is nobody to sweep, and another finding says so.
    since = facts.earliest_unswept_at
    if since is None or not facts.workers_online or not _lasts(facts, since):
        return None
    return _observe(
        FindingCode.LEASES_NOT_SWEPT,
        facts.as_of,
        since,
        "Runs whose worker was lost are not taken up again, though other workers are online.",
    )


def _lasts(facts: InstanceFacts, since: datetime) -> bool:
    """Return whether a condition has lasted too long; while PostgreSQL was away none counts."""
    return facts.as_of - max(since, facts.postgres_started_at) > SILENCE


def judge_clock(
    offset: timedelta, uncertainty: timedelta, *, host: str, as_of: datetime
) -> Observation | None:
    """Return whether a machine's clock is wrong.

    `offset` is its clock less PostgreSQL's, half of the round trip allowed for; the truth lies
    within `uncertainty` of it.
    """
    least = abs(offset) - uncertainty
    if least <= MOST_SKEW:
        return None
    severity = Severity.CRITICAL if least > _CRITICAL_SKEW else Severity.WARNING
    direction = "ahead of" if offset > timedelta(0) else "behind"
    # Whole seconds: the rest wanders from one look to the next.
    size = round(abs(offset).total_seconds())
    return Observation(
        FindingCode.CLOCK_SKEW,
        severity,
        as_of,
        f"The clock of {host} is {size} s {direction} PostgreSQL's.",
        subject=host,
    )


def judge_runs(
    schedule_id: UUID,
    newest: Sequence[EndedRun],
    *,
    consecutive_failures: int,
    is_open: Iterable[FindingCode],
    as_of: datetime,
) -> list[Observation]:
    """Return what is wrong with how a schedule's runs end; `newest` comes newest first.

    `is_open` holds the codes of its findings that stand: a rate has to become good, not only
    less bad, before its finding goes.
    """
    ended = [run for run in newest if run.state is not None]
    found = [
        _failures_in_a_row(ended, consecutive_failures, as_of),
        _failure_rate(ended, FindingCode.HIGH_FAILURE_RATE in set(is_open)),
        _slower_than_usual(newest),
    ]
    return [_of_schedule(each, schedule_id) for each in found if each is not None]


def _failures_in_a_row(
    ended: Sequence[EndedRun], consecutive_failures: int, as_of: datetime
) -> Observation | None:
    if consecutive_failures < FAILURES_IN_A_ROW:
        return None
    failed = [run for run in ended[:consecutive_failures] if run.state in _FAILED]
    since = failed[-1].ended_at if failed else as_of
    observation = _observe(
        FindingCode.CONSECUTIVE_FAILURES,
        as_of,
        since,
        f"Its last {FAILURES_IN_A_ROW} runs failed, or more; see consecutiveFailures.",
    )
    is_critical = consecutive_failures >= _CRITICAL_FAILURES
    return _critical(observation) if is_critical else observation


def _failure_rate(ended: Sequence[EndedRun], is_open: bool) -> Observation | None:
    rated = [run for run in ended if run.state is not RunState.CANCELLED][:_RATED_RUNS]
    if len(rated) < LEAST_RUNS:
        return None
    rate = success_rate(rated)
    is_well = success_rate(rated[:LEAST_RUNS]) > HEALTHY_RATE
    if is_well if is_open else rate >= FAILING_RATE:
        return None
    return Observation(
        FindingCode.HIGH_FAILURE_RATE,
        severity_of_rate(rate) or Severity.WARNING,
        min(run.ended_at for run in rated if run.state is not RunState.SUCCEEDED),
        f"Only {rate:.0%} of its last {len(rated)} runs succeeded.",
    )


def success_rate(ended: Sequence[EndedRun]) -> float:
    """Return which part of some runs succeeded."""
    return sum(run.state is RunState.SUCCEEDED for run in ended) / len(ended)


def severity_of_rate(rate: float) -> Severity | None:
    """Return how bad a success rate is; None: it is healthy."""
    if rate > HEALTHY_RATE:
        return None
    return Severity.WARNING if rate >= CRITICAL_RATE else Severity.CRITICAL


def _slower_than_usual(newest: Sequence[EndedRun]) -> Observation | None:
    """Compare the median of the latest runs with the usual range of those before.

    Medians, so that one slow run is no trend, and one slow run among the usual ones does not hide
    it. What has become slow for good becomes the usual, and the finding goes.
    """
    timed = [run for run in newest if run.state in (None, RunState.SUCCEEDED, RunState.TIMED_OUT)]
    latest, before = timed[:_LATEST_RUNS], timed[_LATEST_RUNS:]
    if len(before) < LEAST_RUNS:
        return None
    most = usual_at_most([run.duration for run in before])
    slow = [run for run in latest if run.duration > most]
    if len(slow) * 2 <= len(latest):
        return None
    usual = median(run.duration.total_seconds() for run in before)
    return Observation(
        FindingCode.SLOWER_THAN_USUAL,
        Severity.WARNING,
        slow[-1].ended_at,
        f"Its last runs took longer than {format_duration(_whole_seconds(most))}; "
        f"usual is about {format_duration(_whole_seconds(timedelta(seconds=usual)))}.",
    )


def usual_at_most(durations: Sequence[timedelta]) -> timedelta:
    """Return what runs that took so long usually stay below: median and median deviation."""
    seconds = [duration.total_seconds() for duration in durations]
    middle = median(seconds)
    deviation = _NORMAL * median(abs(each - middle) for each in seconds)
    most = max(middle + _SLOW_DEVIATIONS * deviation, middle * _SLOW_FACTOR)
    return max(timedelta(seconds=most), _SLOW_LEAST)


def judge_silence(
    schedule_id: UUID, *, since: datetime, third_period_at: datetime | None, as_of: datetime
) -> Observation | None:
    """Return whether a schedule has been without a run for too long.

    `since` is its last run, or whatever it counts from. `third_period_at` is its third occurrence
    after that; None: it has no third one, so it is no schedule that recurs.
    """
    if third_period_at is None or as_of < max(since + STALE_AFTER, third_period_at):
        return None
    message = "It is active, but nothing of it has run for a week, or for three of its periods."
    return _of_schedule(
        Observation(FindingCode.STALE, Severity.WARNING, since, message), schedule_id
    )


def observe_schedule(
    code: FindingCode, schedule_id: UUID, *, since: datetime, as_of: datetime, message: str
) -> Observation:
    """Return an observation about a schedule whose severity follows from its age."""
    return _of_schedule(_observe(code, as_of, since, message), schedule_id)


def observe_quarantine(
    schedule_id: UUID, last_error: Mapping[str, Any] | None, *, since: datetime, as_of: datetime
) -> Observation:
    """Return the observation about a schedule that is quarantined, and why."""
    error = str((last_error or {}).get("message", "see lastError"))
    message = f"It could not be planned and does not fire: {error[:200]}"
    code = FindingCode.QUARANTINED
    return observe_schedule(code, schedule_id, since=since, as_of=as_of, message=message)


def _observe(code: FindingCode, as_of: datetime, since: datetime, message: str) -> Observation:
    return Observation(code, severity_of_age(code, as_of - since), since, message)


def severity_of_age(code: FindingCode, age: timedelta) -> Severity:
    """Return how much it matters that something has lasted so long."""
    limit = _CRITICAL_AFTER.get(code)
    is_critical = code in _CRITICAL_AT_ONCE or (limit is not None and age >= limit)
    return Severity.CRITICAL if is_critical else Severity.WARNING


def _critical(observation: Observation) -> Observation:
    return Observation(observation.code, Severity.CRITICAL, observation.since, observation.message)


def _of_schedule(observation: Observation, schedule_id: UUID) -> Observation:
    return Observation(
        observation.code,
        observation.severity,
        observation.since,
        observation.message,
        subject=schedule_id.hex,
        schedule_id=schedule_id,
    )


def _whole_seconds(duration: timedelta) -> timedelta:
    return timedelta(seconds=max(1, round(duration.total_seconds())))
