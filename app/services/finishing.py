"""Write what came of attempts.

Many attempts end in one transaction: their runs, their records, the counters of their schedules,
the runs that follow by chains and the events. Everything hangs on the fencing token: what another
worker has taken over in the meantime is not touched, not counted and not announced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from app.core.changes import Change
from app.core.ids import Kind, public_id
from app.core.retry import next_attempt_delay
from app.core.run_states import FAILURES
from app.core.vocabulary import ChangeKind, FailureReason, RunReason, RunState
from app.handlers.execution import Failure, Outcome
from app.handlers.output_text import clean
from app.runtime import Runtime
from app.services.chaining import start_chained
from app.services.claiming import run_changes
from app.services.finished_attempts import FinishedAttempt
from app.services.measuring import measure_ends
from app.services.pausing import pause_failing_schedules
from app.store import queue
from app.store.firing import to_json
from app.store.run_logs import append_run_logs

_REASONS = {
    RunState.FAILED: RunReason.ERROR,
    RunState.TIMED_OUT: RunReason.TIMEOUT,
    RunState.CANCELLED: RunReason.CANCEL_REQUESTED,
    RunState.LOST: RunReason.WORKER_LOST,
}
# A target may ask for any wait; nobody means years.
_LONGEST_WAIT_SECONDS = 7 * 86_400.0
_LONGEST_TEXT = 16 * 1024
_FINISHED = "FINISHED"

_log = structlog.get_logger(__name__)


async def finish_attempts(
    runtime: Runtime, finished: Sequence[FinishedAttempt], *, worker: str
) -> int:
    """Write the ends of attempts and return how many were still this worker's to write."""
    by_run = {attempt.run.id: attempt for attempt in finished}
    async with runtime.database.transaction() as transaction:
        rows, counters = await queue.finish_runs(
            transaction, [_ended(attempt) for attempt in finished], change=_FINISHED, worker=worker
        )
        await append_run_logs(transaction, [chunk for attempt in finished for chunk in attempt.log])
        unblocked = await queue.unblock_runs(transaction, rows)
        limited = [by_run[row["id"]].run.limited_queue for row in rows]
        unblocked += await queue.release_held_runs(transaction, filter(None, limited))
        leading_on = [row["id"] for row in rows if by_run[row["id"]].run.has_chains]
        chained = await start_chained(transaction, leading_on)
    changes = [*run_changes(rows, _FINISHED), *schedule_changes(rows, counters), *chained]
    # A run that waited or was chained may start at once, a retry later: somebody must know.
    queued = bool(chained) or any(row["state"] == RunState.QUEUED for row in rows)
    runtime.announce_soon(changes, ring=queued or unblocked > 0)
    for row in rows:
        _log_end(row, by_run[row["id"]])
    for run_id in by_run.keys() - {row["id"] for row in rows}:
        _log.warning("run.fenced", run_id=public_id(Kind.RUN, run_id))
    measure_ends(runtime.metrics, rows, by_run)
    await _pause_failing(runtime, counters)
    return len(rows)


def _log_end(row: RowMapping, attempt: FinishedAttempt) -> None:
    """Log what did not succeed; the rest is in the run table, and a herd would drown the log."""
    outcome = attempt.outcome
    if outcome.state is RunState.SUCCEEDED:
        return
    schedule_id = row["schedule_id"]
    _log.info(
        "run.tried" if row["state"] == RunState.QUEUED else "run.ended",
        run_id=public_id(Kind.RUN, row["id"]),
        schedule_id=None if schedule_id is None else public_id(Kind.SCHEDULE, schedule_id),
        job=attempt.run.execution.job_key,
        attempt=attempt.run.attempt,
        state=outcome.state.value,
        # What a job says may be long, and may hold what only its own log should.
        error=None if outcome.error is None else outcome.error.type,
    )


async def _pause_failing(runtime: Runtime, counters: Iterable[Any]) -> None:
    """Pause what fails too often. The ends are written, whatever comes of this."""
    failing = [row.schedule_id for row in counters if row.consecutive_failures > 0]
    try:
        await pause_failing_schedules(runtime, failing)
    except (SQLAlchemyError, OSError) as error:
        _log.warning("schedule.pause_put_off", error=str(error))


def _ended(attempt: FinishedAttempt) -> queue.EndedAttempt:
    """Decide what becomes of the run: its final state, or the queue again."""
    run, outcome = attempt.run, attempt.outcome
    state, reason = outcome.state, _reason_of(outcome)
    delay = timedelta(0) if attempt.given_back else _retry_delay(attempt)
    if attempt.given_back and run.at_most_once:
        # It has begun, and may not begin again.
        state, reason = RunState.LOST, RunReason.WORKER_LOST
    elif delay is not None:
        state, reason = RunState.QUEUED, None if attempt.given_back else reason
    return queue.EndedAttempt(
        id=run.id,
        fencing_token=run.fencing_token,
        state=state.value,
        entry_seconds=attempt.entry_seconds,
        duration_seconds=attempt.duration_seconds,
        details=_details(attempt, reason, delay),
    )


def _details(
    attempt: FinishedAttempt, reason: RunReason | None, delay: timedelta | None
) -> str | None:
    """Return what there is to say of an end beyond that it succeeded."""
    outcome, error = attempt.outcome, attempt.outcome.error
    said = {
        "result": outcome.result,
        "progress": attempt.progress,
        "progress_message": attempt.progress_message and _storable(attempt.progress_message),
        "exit_code": outcome.exit_code,
        "http_status": outcome.http_status,
    }
    if outcome.state is not RunState.SUCCEEDED:
        said |= {
            "outcome": outcome.state.value,
            "reason": None if reason is None else reason.value,
            "message": None if error is None else _storable(error.message),
            "error": None if error is None else error_record(error),
            "given_back": 1 if attempt.given_back else None,
            "delay_seconds": None if delay is None else delay.total_seconds(),
        }
    kept = {name: value for name, value in said.items() if value is not None}
    return to_json(kept) if kept else None


def _reason_of(outcome: Outcome) -> RunReason | None:
    if outcome.error is not None and outcome.error.reason is FailureReason.REJECTED:
        return RunReason.REJECTED
    return _REASONS.get(outcome.state)


def _retry_delay(attempt: FinishedAttempt) -> timedelta | None:
    """Return how long to wait before the next attempt, or None when there is none."""
    run, error = attempt.run, attempt.outcome.error
    if attempt.outcome.state not in FAILURES or error is None or error.is_final:
        return None
    if attempt.outcome.state is RunState.LOST and run.at_most_once:
        return None
    retry_after = error.retry_after_seconds
    return next_attempt_delay(
        # The run's own number: an edit of the job meanwhile does not change it.
        replace(run.retry, max_attempts=run.execution.max_attempts),
        run_id=run.id,
        failed_attempts=run.attempt - run.free_attempts,
        reason=error.reason,
        due_at=run.due_at,
        as_of=run.started_at + timedelta(seconds=attempt.entry_seconds + attempt.duration_seconds),
        retry_after=None
        if retry_after is None
        else timedelta(seconds=min(retry_after, _LONGEST_WAIT_SECONDS)),
    )


def error_record(error: Failure) -> dict[str, Any]:
    """Return the stored form of an error."""
    return {
        "type": _storable(error.type),
        "message": _storable(error.message),
        # A traceback says most at its end.
        "detail": error.detail and _storable(error.detail, from_end=True),
        "reason": error.reason.value,
    }


def _storable(text: str, *, from_end: bool = False) -> str:
    """Cut what is too long; secrets have been struck out of it before."""
    if from_end and len(text) > _LONGEST_TEXT:
        return clean(f"…{text[-_LONGEST_TEXT:]}")
    return clean(text[:_LONGEST_TEXT])


def schedule_changes(rows: Sequence[RowMapping], counters: Iterable[Any]) -> Iterable[Change]:
    """Return what to announce of the schedules whose counters changed."""
    project_of: Mapping[UUID, UUID] = {row["schedule_id"]: row["project_id"] for row in rows}
    by_project: dict[UUID, list[Any]] = {}
    for row in counters:
        by_project.setdefault(project_of[row.schedule_id], []).append(row)
    for project_id, members in by_project.items():
        yield Change(
            project_id,
            "SCHEDULE",
            ChangeKind.RUN_FINISHED.value,
            ids=tuple(row.schedule_id for row in members),
            revisions=tuple(row.revision for row in members),
        )
