"""Claim queued runs for a worker.

One transaction locks runs that are due, judges which of them may start, and writes the verdicts:
started (with a lease and a fencing token), skipped with the reason, or set aside to wait. What the
transaction does not start, nobody executes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping

from app.core.changes import Change
from app.core.retry import RetryPolicy
from app.core.starting import (
    MOST_WAITING,
    SUSPECT_CRASHES,
    Allowance,
    Candidate,
    Judgement,
    Verdict,
    judge_starts,
)
from app.core.vocabulary import (
    ChangeKind,
    JobKind,
    OnWorkerLost,
    OverlapPolicy,
    RunCause,
    RunReason,
    RunState,
)
from app.handlers.execution import Execution, Outcome
from app.runtime import Runtime
from app.services.pausing import SYSTEM
from app.services.preparing import Supplies, prepare, read_supplies
from app.store import queue
from app.store.control import share_control
from app.store.counters import OutcomeCounts, count_outcomes
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.versions import record_versions

_SCHEDULED_CAUSES = (RunCause.SCHEDULE.value, RunCause.CATCH_UP.value)


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker has just been given."""

    id: UUID
    project_id: UUID
    job_id: UUID
    schedule_id: UUID | None
    execution: Execution
    retry: RetryPolicy
    fencing_token: int
    attempt: int
    # How many of its attempts count against nothing: lost with their worker, or given back by it.
    free_attempts: int
    due_at: datetime
    started_at: datetime
    # Lines in its log so far, from earlier attempts.
    log_lines: int
    queue: str
    # Its queue, if that has a limit: another run of it may start when this one ends.
    limited_queue: str | None
    # It must not go on once its lease may have passed to another worker.
    at_most_once: bool
    # Chains lead on from its job: its end may start other runs.
    has_chains: bool
    # The JSON Schema of its job's parameters, as text.
    parameters_schema: str | None = None
    # How the attempt ends at once, if what it needs cannot be had.
    refusal: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim gave, and how many runs it settled: started, skipped or set aside.

    `exhausted`: nothing else was due at that moment.
    """

    runs: tuple[ClaimedRun, ...]
    settled: int
    exhausted: bool


async def claim_runs(runtime: Runtime, worker_id: UUID, *, limit: int) -> Claim:
    """Give up to `limit` due runs to a worker."""
    async with runtime.database.transaction() as transaction:
        await share_control(transaction)
        locked = await queue.lock_startable_runs(transaction, worker_id=worker_id, limit=limit)
        if not locked:
            return Claim((), settled=0, exhausted=True)
        judgement, changes = await _judge(transaction, locked, worker_id=worker_id)
        verdicts = judgement.verdicts
        starting = _with_verdict(locked, verdicts, Verdict.START)
        started = await queue.start_runs(
            transaction,
            {row["id"]: row["previous_success_for"] for row in starting},
            worker_id=worker_id,
            lease_seconds=runtime.intervals.lease_seconds,
        )
        await queue.block_runs(
            transaction, [row["id"] for row in _with_verdict(locked, verdicts, Verdict.WAIT)]
        )
        held = _with_verdict(locked, verdicts, Verdict.HOLD)
        await queue.block_runs(transaction, [row["id"] for row in held], on_queue=True)
        beginning = [row for row in starting if row["id"] in started]
        supplies = await read_supplies(transaction, beginning)
        runs = [claimed_run(row, started[row["id"]]) for row in beginning]
        changes += started_changes(runs, started)
        # Before the counters: whoever finishes a run locks the run first and then the counters.
        changes += await _replace(transaction, judgement.cancelled)
        changes += await _skip(
            transaction, _with_verdict(locked, verdicts, Verdict.SKIP), judgement.reasons
        )
        await record_changes(transaction, changes)
    runtime.announce_soon(changes)
    runtime.metrics.note_not_run(Counter(reason.value for reason in judgement.reasons.values()))
    runs = [made_ready(runtime, run, supplies) for run in runs]
    left = sum(verdict is Verdict.LEAVE for verdict in verdicts.values())
    return Claim(
        tuple(runs), settled=len(locked) - left, exhausted=len(locked) < limit and not left
    )


async def _judge(
    transaction: Transaction, locked: Sequence[RowMapping], *, worker_id: UUID
) -> tuple[Judgement, list[Change]]:
    """Judge the locked runs by what else their schedules, jobs, queues and worker have under way.

    Schedules with a limit of their own are brought up to date; return what to announce of that.
    """
    candidates = [
        Candidate(
            run_id=row["id"],
            job_id=row["job_id"],
            schedule_id=row["schedule_id"],
            overlap=OverlapPolicy(row["overlap"]),
            due_at=row["next_attempt_at"],
            is_retry=row["attempt"] > 0,
            is_judge=row["is_judge"],
            queue=row["queue"],
            tier=row["tier"],
            most_waiting=row["overlap_limit"] or MOST_WAITING,
            is_scheduled=row["cause"] in _SCHEDULED_CAUSES,
            is_suspect=row["crash_count"] >= SUSPECT_CRASHES,
            is_refused=row["owner_is_powerless"],
        )
        for row in locked
    ]
    judged = {
        candidate.schedule_id
        for candidate in candidates
        if candidate.schedule_id is not None
        and candidate.overlap is not OverlapPolicy.ALLOW
        and candidate.is_judge
    }
    busy = await queue.read_busy_schedules(
        transaction, judged, [candidate.run_id for candidate in candidates]
    )
    # Everybody locks jobs before queues and those before schedules.
    free_job_slots = await queue.lock_job_slots(
        transaction, [row["job_id"] for row in locked if row["job_concurrency_limit"] is not None]
    )
    free_queue_slots = await queue.lock_queue_slots(
        transaction, [row["queue"] for row in locked if row["queue_is_controlled"]]
    )
    # A limit may have been taken away a moment ago: then it limits nothing.
    allowances = await queue.lock_allowances(
        transaction,
        [
            row["schedule_id"]
            for row in locked
            if row["is_limited"] and row["is_judge"] and row["attempt"] == 0
        ],
    )
    has_suspect = any(candidate.is_suspect for candidate in candidates) and (
        await queue.has_crashing_run(transaction, worker_id, crashes=SUSPECT_CRASHES)
    )
    judgement = judge_starts(
        candidates,
        busy=busy,
        free_job_slots=free_job_slots,
        free_queue_slots=free_queue_slots,
        allowances=allowances,
        has_suspect=has_suspect,
    )
    return judgement, await _count_started(transaction, allowances)


async def _count_started(
    transaction: Transaction, allowances: Mapping[UUID, Allowance]
) -> list[Change]:
    """Note what starts in schedules with a limit; one that has made its last run is completed."""
    used = {id_: allowance for id_, allowance in allowances.items() if allowance.is_used}
    counted = await queue.count_started(transaction, used)
    completed = [row["id"] for row in counted if row["completes"]]
    await record_versions(transaction, completed, ChangeKind.COMPLETED, by=SYSTEM)
    return [
        Change(
            row["project_id"],
            "SCHEDULE",
            (ChangeKind.COMPLETED if row["completes"] else ChangeKind.UPDATED).value,
            (row["id"],),
            (row["revision"],),
        )
        for row in counted
    ]


async def _replace(transaction: Transaction, run_ids: Sequence[UUID]) -> list[Change]:
    """End what `CANCEL_RUNNING` replaces: at once where no worker holds it."""
    replaced = await queue.replace_runs(transaction, run_ids)
    ended = [row for row in replaced if row["state"] == RunState.CANCELLED]
    asked = [row for row in replaced if row["state"] == RunState.RUNNING]
    counts = Counter(row["schedule_id"] for row in ended)
    await count_outcomes(
        transaction, [OutcomeCounts(schedule_id, runs=runs) for schedule_id, runs in counts.items()]
    )
    return [*run_changes(asked, "CANCEL_REQUESTED"), *run_changes(ended, "FINISHED")]


async def _skip(
    transaction: Transaction, skipped: Sequence[RowMapping], reasons: Mapping[UUID, RunReason]
) -> list[Change]:
    """Record why runs do not start."""
    closed = await queue.close_queued_runs(
        transaction,
        [
            queue.ClosedRun(row["id"], RunState.SKIPPED.value, reasons[row["id"]].value)
            for row in skipped
        ],
    )
    counts = Counter(row["schedule_id"] for row in closed if row["schedule_id"] is not None)
    await count_outcomes(
        transaction,
        [OutcomeCounts(schedule_id, skips=skips) for schedule_id, skips in counts.items()],
    )
    return list(run_changes(closed, "SKIPPED"))


def run_changes(rows: Iterable[RowMapping], change: str) -> Iterable[Change]:
    """Return what to announce of changed runs, one change a project."""
    by_project: defaultdict[UUID, list[RowMapping]] = defaultdict(list)
    for row in rows:
        by_project[row["project_id"]].append(row)
    for project_id, members in by_project.items():
        yield Change(
            project_id,
            "RUN",
            change,
            ids=tuple(row["id"] for row in members),
            revisions=tuple(row["revision"] for row in members),
            parent_ids=tuple(row["schedule_id"] for row in members),
        )


def started_changes(
    runs: Sequence[ClaimedRun], started: Mapping[UUID, RowMapping]
) -> Iterable[Change]:
    """Return what to announce of runs that have started, one change a project."""
    by_project: defaultdict[UUID, list[ClaimedRun]] = defaultdict(list)
    for run in runs:
        by_project[run.project_id].append(run)
    for project_id, members in by_project.items():
        yield Change(
            project_id,
            "RUN",
            "STARTED",
            ids=tuple(run.id for run in members),
            revisions=tuple(started[run.id]["revision"] for run in members),
            parent_ids=tuple(run.schedule_id for run in members),
        )


def _with_verdict(
    locked: Sequence[RowMapping], verdicts: Mapping[UUID, Verdict], verdict: Verdict
) -> list[RowMapping]:
    return [row for row in locked if verdicts[row["id"]] is verdict]


def claimed_run(row: RowMapping, started: RowMapping) -> ClaimedRun:
    """Return a run as its worker needs it, from what was read of it and from its start."""
    return ClaimedRun(
        id=row["id"],
        project_id=row["project_id"],
        job_id=row["job_id"],
        schedule_id=row["schedule_id"],
        execution=_execution(row, started),
        retry=_retry_policy(row["job_retry"]),
        fencing_token=started["fencing_token"],
        attempt=row["attempt"] + 1,
        free_attempts=row["crash_count"] + row["given_back_count"],
        due_at=row["due_at"],
        started_at=started["started_at"],
        log_lines=row["log_lines"],
        queue=row["queue"],
        limited_queue=row["queue"] if row["queue_is_controlled"] else None,
        at_most_once=row["job_on_worker_lost"] == OnWorkerLost.FAIL,
        has_chains=row["job_has_chains"],
        parameters_schema=row["job_parameters_schema"],
    )


def made_ready(runtime: Runtime, run: ClaimedRun, supplies: Supplies) -> ClaimedRun:
    """Return a run with what it needs, or with the outcome of one that cannot begin."""
    ready = prepare(runtime.keyring, run.project_id, run.execution, run.parameters_schema, supplies)
    if isinstance(ready, Outcome):
        return replace(run, refusal=ready)
    return run if ready is run.execution else replace(run, execution=ready)


def _execution(row: RowMapping, started: RowMapping) -> Execution:
    return Execution(
        run_id=row["id"],
        attempt=row["attempt"] + 1,
        max_attempts=row["max_attempts"],
        job_key=row["job_key"],
        schedule_key=row["schedule_key"],
        project_key=row["project_key"],
        kind=JobKind(row["job_kind"]),
        config=_config(row["job_config"]),
        parameters=row["parameters"],
        scheduled_for=row["scheduled_for"],
        previous_success_at=started["previous_success_for"],
        timeout_seconds=row["job_timeout_seconds"],
        lease_token=started["fencing_token"],
        shell_allowed=row["shell_allowed"],
    )


# Most runs of a herd share their job's texts, so each is read once.
@lru_cache(maxsize=4096)
def _config(text: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = orjson.loads(text)
    return config


@lru_cache(maxsize=4096)
def _retry_policy(text: str) -> RetryPolicy:
    return RetryPolicy.from_json(orjson.loads(text))
