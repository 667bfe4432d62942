"""Run again what is over.

The new run is for the same occurrence and interval, with the parameters of the first, and those
given over them. It is made by hand, so it waits for its turn where its schedule would skip it.
"""

from typing import Any
from uuid import UUID

from app.core.errors import StateConflict
from app.core.retry import RetryPolicy
from app.core.run_states import is_final
from app.core.vocabulary import OverlapPolicy, Role, RunCause, RunState
from app.models import Job, Run
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.cancelling import find_run
from app.services.http_names import check_parameters_given
from app.services.rules import check_object, check_parameters, parameters_schema_of
from app.services.secret_references import check_given_parameters
from app.services.triggering import earlier_run
from app.services.writing import Accepted, Subject, Written, claim_key, note_audit, note_change
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_job


async def rerun_run(
    runtime: Runtime,
    principal: Principal,
    run_id: UUID,
    *,
    parameters: dict[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Accepted[Run]:
    """Queue a run that does what an earlier one did."""
    principal.require(Role.OPERATOR)
    written, new_run_id = Written(), new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="runRerun",
            key=idempotency_key,
            content={"id": run_id, "parameters": parameters},
            result_id=new_run_id,
        )
        if earlier is not None:
            return Accepted(await earlier_run(transaction, principal, earlier), replayed=True)
        original = await find_run(transaction, principal, run_id)
        run = await queue_again(
            transaction,
            written,
            principal,
            original,
            new_run_id,
            parameters,
            action="runRerun",
            idempotency_key=idempotency_key,
        )
    await runtime.announce(written.changes, ring=True)
    return Accepted(run)


async def queue_again(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    original: Run,
    run_id: UUID,
    parameters: dict[str, Any] | None,
    *,
    action: str,
    idempotency_key: str | None = None,
) -> Run:
    """Write the new run, its audit entry and its event."""
    check_repeatable(original)
    job = await read_job(transaction, principal.project_id, original.job_id)
    assert job is not None, "a job outlives its runs"
    _refuse_archived(job)
    given = {} if parameters is None else check_object(parameters, "parameters")
    await check_given_parameters(transaction, principal, given)
    merged = {**original.parameters, **given}
    check_parameters(merged, parameters_schema_of(job))
    check_parameters_given(job, merged)
    now = await read_now(transaction)
    run = Run(
        id=run_id,
        project_id=principal.project_id,
        job_id=job.id,
        schedule_id=original.schedule_id,
        schedule_version=original.schedule_version,
        rerun_of_id=original.id,
        state=RunState.QUEUED,
        cause=RunCause.RERUN,
        triggered_by=principal.actor,
        idempotency_key=idempotency_key,
        overlap=_patient(original.overlap),
        scheduled_for=original.scheduled_for,
        scheduled_local=original.scheduled_local,
        previous_success_for=original.previous_success_for,
        due_at=now,
        next_attempt_at=now,
        created_at=now,
        parameters=merged,
        tags=original.tags,
        queue=job.queue,
        priority=original.priority,
        max_attempts=RetryPolicy.from_json(job.retry).max_attempts,
    )
    transaction.add(run)
    await transaction.flush()
    await note_change(
        transaction,
        written,
        principal,
        Subject.RUN,
        "CREATED",
        {run.id: run.revision},
        parent_ids=[run.schedule_id],
    )
    summary = f"Ran run {original.id} again."
    await note_audit(transaction, principal, action, Subject.RUN, [(run.id, summary)])
    return run


def check_repeatable(run: Run) -> None:
    """Raise `StateConflict` unless the run is over, and is one."""
    if not is_final(run.state):
        raise StateConflict(
            f"The run is {run.state.lower()}: only what is over can be run again.",
            current=run.state.value,
            allowed=[state.value for state in RunState if is_final(state)],
            path=("id",),
        )
    if run.range_end is not None:
        raise StateConflict(
            "This records many occurrences that did not run: start a backfill for their range.",
            current=run.state.value,
            allowed=["the record of one occurrence"],
            path=("id",),
        )


def _refuse_archived(job: Job) -> None:
    if job.archived_at is not None:
        raise StateConflict(
            "Its job is archived and does not run any more.",
            current="ARCHIVED",
            allowed=["ACTIVE"],
            path=("id",),
        )


def _patient(overlap: OverlapPolicy) -> OverlapPolicy:
    """Return the policy of a run that somebody asked for: it waits, and is not skipped."""
    return overlap if overlap is OverlapPolicy.ALLOW else OverlapPolicy.QUEUE_ALL
