"""Trigger runs by hand.

A triggered run has an occurrence of its own, the instant at which it was asked for, so it never
collides with a scheduled one. It follows its schedule's overlap policy unless it says otherwise.
"""

from typing import Any
from uuid import UUID

from app.core.errors import NotFound, StateConflict
from app.core.retry import RetryPolicy
from app.core.vocabulary import OverlapPolicy, Role, RunCause, RunState, ScheduleState
from app.models import Job, Run, Schedule
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.http_names import check_parameters_given
from app.services.rules import check_object, check_parameters, parameters_schema_of
from app.services.secret_references import check_given_parameters
from app.services.writing import Accepted, Subject, Written, claim_key, note_audit, note_change
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.runs import read_run
from app.store.schedules import lock_schedule


async def trigger_schedule(
    runtime: Runtime,
    principal: Principal,
    schedule_id: UUID,
    *,
    parameters: dict[str, Any] | None = None,
    force: bool = False,
    overlap: OverlapPolicy | None = None,
    idempotency_key: str | None = None,
) -> Accepted[Run]:
    """Queue a run of a schedule now, with `parameters` over the schedule's and the job's.

    A schedule that does not fire (paused, completed, expired, quarantined) needs `force`; an
    archived one cannot be triggered.
    """
    principal.require(Role.OPERATOR)
    written, run_id = Written(rings=True), new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="scheduleTrigger",
            key=idempotency_key,
            content={"id": schedule_id, "parameters": parameters, "overlap": overlap},
            result_id=run_id,
        )
        if earlier is not None:
            return Accepted(await earlier_run(transaction, principal, earlier), replayed=True)
        schedule = await lock_schedule(transaction, principal.project_id, schedule_id)
        _check_may_run(schedule, schedule_id, force=force)
        assert schedule is not None
        job = await read_job(transaction, principal.project_id, schedule.job_id)
        assert job is not None, "a schedule's job is never removed"
        run = await _queue_run(
            transaction,
            principal,
            job,
            schedule,
            run_id=run_id,
            parameters=parameters or {},
            overlap=overlap,
            idempotency_key=idempotency_key,
        )
        await note_change(
            transaction,
            written,
            principal,
            Subject.RUN,
            "CREATED",
            {run.id: run.revision},
            parent_ids=[schedule.id],
        )
        summary = f"Triggered {schedule.key}."
        await note_audit(
            transaction, principal, "scheduleTrigger", Subject.SCHEDULE, [(schedule.id, summary)]
        )
    await runtime.announce(written.changes, ring=True)
    return Accepted(run)


def _check_may_run(schedule: Schedule | None, schedule_id: UUID, *, force: bool) -> None:
    if schedule is None:
        raise NotFound(f"There is no schedule {schedule_id}.", id=str(schedule_id), path=("id",))
    if schedule.state is ScheduleState.ARCHIVED:
        raise StateConflict(
            "An archived schedule cannot be triggered.",
            current=schedule.state,
            allowed=[ScheduleState.ACTIVE],
            path=("id",),
        )
    if schedule.state is not ScheduleState.ACTIVE and not force:
        raise StateConflict(
            f"The schedule is {schedule.state.lower()}: set force to trigger it all the same.",
            current=schedule.state,
            allowed=[ScheduleState.ACTIVE],
            path=("force",),
        )


async def _queue_run(
    transaction: Transaction,
    principal: Principal,
    job: Job,
    schedule: Schedule,
    *,
    run_id: UUID,
    parameters: dict[str, Any],
    overlap: OverlapPolicy | None,
    idempotency_key: str | None,
) -> Run:
    given = check_object(parameters, "parameters")
    await check_given_parameters(transaction, principal, given)
    merged = {**job.parameters, **schedule.parameters, **given}
    check_parameters(merged, parameters_schema_of(job))
    check_parameters_given(job, merged)
    now = await read_now(transaction)
    run = Run(
        id=run_id,
        project_id=principal.project_id,
        job_id=job.id,
        schedule_id=schedule.id,
        schedule_version=schedule.version,
        state=RunState.QUEUED,
        cause=RunCause.MANUAL,
        triggered_by=principal.actor,
        idempotency_key=idempotency_key,
        overlap=overlap or schedule.overlap,
        scheduled_for=now,
        due_at=now,
        next_attempt_at=now,
        created_at=now,
        parameters=merged,
        tags={**job.tags, **schedule.tags},
        queue=job.queue,
        priority=job.priority if schedule.priority is None else schedule.priority,
        max_attempts=RetryPolicy.from_json(job.retry).max_attempts,
    )
    transaction.add(run)
    await transaction.flush()
    return run


async def earlier_run(transaction: Transaction, principal: Principal, run_id: UUID) -> Run:
    """Return the run that the first request with an idempotency key made."""
    run = await read_run(transaction, principal.project_id, run_id)
    if run is None:
        raise NotFound(
            "The run of that idempotency key has been removed by retention.", id=str(run_id)
        )
    return run
