"""Trigger jobs by hand: a run without a schedule, now or at an instant to come."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core.errors import Invalid, StateConflict
from app.core.retry import RetryPolicy
from app.core.vocabulary import Role, RunCause, RunState
from app.models import Job, Run
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.http_names import check_parameters_given
from app.services.jobs import unknown_job
from app.services.rules import check_object, check_parameters, check_priority, parameters_schema_of
from app.services.secret_references import check_given_parameters
from app.services.triggering import earlier_run
from app.services.writing import Accepted, Subject, Written, claim_key, note_audit, note_change
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job

# Clocks differ: an instant just past is now.
_JUST_PAST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class JobTrigger:
    """A run to queue. `at`: not before this instant; `priority`: instead of the job's."""

    job_id: UUID
    parameters: dict[str, Any] | None = None
    at: datetime | None = None
    priority: int | None = None
    idempotency_key: str | None = None


async def trigger_job(runtime: Runtime, principal: Principal, trigger: JobTrigger) -> Accepted[Run]:
    """Queue a run of a job, with `parameters` over the job's."""
    principal.require(Role.OPERATOR)
    written, run_id = Written(), new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="jobTrigger",
            key=trigger.idempotency_key,
            content={
                "id": trigger.job_id,
                "parameters": trigger.parameters,
                "at": trigger.at,
                "priority": trigger.priority,
            },
            result_id=run_id,
        )
        if earlier is not None:
            return Accepted(await earlier_run(transaction, principal, earlier), replayed=True)
        job = await read_job(transaction, principal.project_id, trigger.job_id)
        run = await _queue_run(
            transaction, principal, _active(job, trigger.job_id), trigger, run_id
        )
        await note_change(
            transaction, written, principal, Subject.RUN, "CREATED", {run.id: run.revision}
        )
        await note_audit(
            transaction,
            principal,
            "jobTrigger",
            Subject.RUN,
            [(run.id, f"Triggered a run of job {trigger.job_id}.")],
        )
    await runtime.announce(written.changes, ring=True)
    return Accepted(run)


def _active(job: Job | None, job_id: UUID) -> Job:
    if job is None:
        raise unknown_job(job_id).under("id")
    if job.archived_at is not None:
        raise StateConflict(
            "An archived job cannot be triggered.",
            current="ARCHIVED",
            allowed=["ACTIVE"],
            path=("id",),
        )
    return job


async def _queue_run(
    transaction: Transaction, principal: Principal, job: Job, trigger: JobTrigger, run_id: UUID
) -> Run:
    given = check_object(trigger.parameters or {}, "parameters")
    await check_given_parameters(transaction, principal, given)
    parameters = {**job.parameters, **given}
    check_parameters(parameters, parameters_schema_of(job))
    check_parameters_given(job, parameters)
    priority = check_priority(trigger.priority)
    now = await read_now(transaction)
    due_at = _due_at(trigger.at, now)
    run = Run(
        id=run_id,
        project_id=principal.project_id,
        job_id=job.id,
        state=RunState.QUEUED,
        cause=RunCause.MANUAL,
        triggered_by=principal.actor,
        idempotency_key=trigger.idempotency_key,
        scheduled_for=due_at,
        due_at=due_at,
        next_attempt_at=due_at,
        created_at=now,
        parameters=parameters,
        tags=job.tags,
        queue=job.queue,
        priority=job.priority if priority is None else priority,
        max_attempts=RetryPolicy.from_json(job.retry).max_attempts,
    )
    transaction.add(run)
    await transaction.flush()
    return run


def _due_at(at: datetime | None, now: datetime) -> datetime:
    if at is None:
        return now
    if at < now - _JUST_PAST:
        raise Invalid("The instant has passed; leave it out to run now.", path=("at",))
    return max(at, now)
