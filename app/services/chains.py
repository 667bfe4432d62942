"""Put and delete chains: which job runs after which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.core.chaining import (
    MOST_CHAINED,
    MOST_FANNED_OUT,
    USUAL_FAN_OUT,
    longest_way,
    path_back,
)
from app.core.errors import Invalid, LimitExceeded, NotFound, StateConflict
from app.core.vocabulary import ChainOn, Role
from app.handlers.chain_parameters import check_fan_out, is_filled_in, read_mapping
from app.models import Chain, Job
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.http_names import check_parameters_given
from app.services.jobs import unknown_job
from app.services.rules import check_object, check_parameters, parameters_schema_of
from app.services.secret_references import check_references, share_referenced
from app.services.writing import (
    Accepted,
    Subject,
    Written,
    field_changes,
    note_audit,
    note_change,
)
from app.store import chains as store
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import lock_job, read_jobs, update_job

MOST_CHAINS = 1_000
"""How many chains a project has at most."""


@dataclass(frozen=True, slots=True)
class ChainRequest:
    """What a chain is to be; the two jobs say which one."""

    job_id: UUID
    target_id: UUID
    after: ChainOn
    parameters: Any = None
    fan_out: str | None = None
    fan_out_limit: int | None = None


async def put_chain(
    runtime: Runtime, principal: Principal, request: ChainRequest
) -> Accepted[Chain]:
    """Create the chain between two jobs, or make it what the request says.

    It follows the runs that start from then on.
    """
    principal.require(Role.EDITOR)
    columns, is_open = _read(request)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        links = await store.hold_chains(transaction, principal.project_id)
        job, target = await _lock_jobs(transaction, principal, request)
        await _check_links(transaction, principal, links, job, target)
        await _check_parameters(transaction, principal, target, columns, is_open=is_open)
        before = await store.read_chain_between(transaction, job.id, target.id)
        if before is None:
            after = await _create(transaction, principal, request, columns)
            words, changes = "Created", list[dict[str, Any]]()
        else:
            words, changes = "Changed", field_changes(before.model_dump(), columns)
            if not changes:
                return Accepted(before)
            after = await store.update_chain(
                transaction, before.id, {**columns, "updated_by": principal.actor}
            )
        summary = f"{words} the chain from {job.key} to {target.key}."
        await _note(transaction, principal, after, "chainPut", summary, changes=changes)
        await _note_job(transaction, written, principal, job.id, has_chains=True)
    await runtime.announce(written.changes)
    return Accepted(after)


async def remove_chain(runtime: Runtime, principal: Principal, chain_id: UUID) -> Accepted[Chain]:
    """Delete a chain; the runs it has made stay."""
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        links = await store.hold_chains(transaction, principal.project_id)
        chain = await store.read_chain(transaction, principal.project_id, chain_id)
        if chain is None:
            raise NotFound(
                "There is no such chain in this project.", id=str(chain_id), path=("id",)
            )
        jobs = await read_jobs(transaction, principal.project_id, (chain.job_id, chain.target_id))
        await store.delete_chain(transaction, chain.id)
        job, target = jobs[chain.job_id], jobs[chain.target_id]
        summary = f"Deleted the chain from {job.key} to {target.key}."
        await _note(transaction, principal, chain, "chainDelete", summary)
        left = any(
            job_id == chain.job_id and target_id != chain.target_id for job_id, target_id in links
        )
        await _note_job(transaction, written, principal, chain.job_id, has_chains=left)
    await runtime.announce(written.changes)
    return Accepted(chain)


def _read(request: ChainRequest) -> tuple[dict[str, Any], bool]:
    """Return the columns of a request, and whether a run has still to give some parameters."""
    complaints = Complaints()
    if request.job_id == request.target_id:
        complaints.add(Invalid("A job cannot follow itself.", path=("targetId",)))
    if request.fan_out is not None:
        with complaints.under():
            check_fan_out(request.fan_out)
    elif request.fan_out_limit is not None:
        complaints.add(Invalid("There is no fanOut that it could limit.", path=("fanOutLimit",)))
    limit = USUAL_FAN_OUT if request.fan_out_limit is None else request.fan_out_limit
    if not 1 <= limit <= MOST_FANNED_OUT:
        message = f"A fan-out starts between 1 and {MOST_FANNED_OUT:,} runs."
        complaints.add(Invalid(message, path=("fanOutLimit",)))
    parameters: dict[str, Any] = {}
    fans_out, is_open = request.fan_out is not None, False
    with complaints.under():
        given = {} if request.parameters is None else request.parameters
        parameters = check_object(given, "parameters")
        is_open = is_filled_in(read_mapping(parameters, fans_out=fans_out))
    complaints.raise_if_any()
    columns = {
        "after": request.after,
        "parameters": parameters,
        "fan_out": request.fan_out,
        "fan_out_limit": limit if fans_out else None,
    }
    return columns, is_open


async def _lock_jobs(
    transaction: Transaction, principal: Principal, request: ChainRequest
) -> tuple[Job, Job]:
    """Hold both jobs, in the order of their ids, so that none is archived meanwhile."""
    fields = {request.job_id: "jobId", request.target_id: "targetId"}
    jobs: dict[UUID, Job] = {}
    for job_id in sorted(fields):
        job = await lock_job(transaction, principal.project_id, job_id)
        if job is None:
            raise unknown_job(job_id).under(fields[job_id])
        if job.archived_at is not None:
            raise StateConflict(
                f"The job {job.key} is archived.",
                current="ARCHIVED",
                allowed=["ACTIVE"],
                path=(fields[job_id],),
            )
        jobs[job_id] = job
    return jobs[request.job_id], jobs[request.target_id]


async def _check_links(
    transaction: Transaction,
    principal: Principal,
    links: list[tuple[UUID, UUID]],
    job: Job,
    target: Job,
) -> None:
    """Raise what a chain between the two would make of the others: a circle, or too long a way."""
    back = path_back(links, job.id, target.id)
    if back is not None:
        jobs = await read_jobs(transaction, principal.project_id, back)
        way = " → ".join([job.key, *(jobs[each].key for each in back)])
        raise Invalid(f"Chains would lead in a circle: {way}.", path=("targetId",))
    if longest_way(links, job.id, target.id) > MOST_CHAINED:
        raise LimitExceeded(
            f"At most {MOST_CHAINED} runs may follow one another by chains.", path=("targetId",)
        )
    if (job.id, target.id) not in links and len(links) >= MOST_CHAINS:
        raise LimitExceeded(f"A project has at most {MOST_CHAINS:,} chains.", path=("jobId",))


async def _check_parameters(
    transaction: Transaction,
    principal: Principal,
    target: Job,
    columns: Mapping[str, Any],
    *,
    is_open: bool,
) -> None:
    """Raise what the target will certainly refuse; values that a run gives are not known yet."""
    given = columns["parameters"]
    complaints = Complaints()
    existing = await share_referenced(transaction, principal.project_id, [given])
    check_references(given, existing, complaints, "parameters")
    complaints.raise_if_any()
    if columns["fan_out"] is not None and not given:
        return
    parameters, schema = {**target.parameters, **given}, parameters_schema_of(target)
    check_parameters_given(target, parameters)
    if not is_open:
        check_parameters(parameters, schema)
        return
    for name in (schema or {}).get("required", ()):
        if name not in parameters:
            complaints.add(
                Invalid(f"The target needs the parameter {name!r}.", path=("parameters",))
            )
    is_closed = (schema or {}).get("additionalProperties") is False
    if schema is not None and is_closed and "patternProperties" not in schema:
        for name in sorted(given.keys() - schema.get("properties", {}).keys()):
            message = f"The target knows no parameter {name!r}."
            complaints.add(Invalid(message, path=("parameters", name)))
    complaints.raise_if_any()


async def _create(
    transaction: Transaction,
    principal: Principal,
    request: ChainRequest,
    columns: Mapping[str, Any],
) -> Chain:
    now = await read_now(transaction)
    chain = Chain(
        **columns,
        id=new_id(),
        project_id=principal.project_id,
        job_id=request.job_id,
        target_id=request.target_id,
        created_at=now,
        updated_at=now,
        created_by=principal.actor,
        updated_by=principal.actor,
    )
    await store.insert_chain(transaction, chain)
    return chain


async def _note(
    transaction: Transaction,
    principal: Principal,
    chain: Chain,
    action: str,
    summary: str,
    *,
    changes: Sequence[dict[str, Any]] = (),
) -> None:
    await note_audit(
        transaction, principal, action, Subject.CHAIN, [(chain.id, summary)], changes=changes
    )


async def _note_job(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    job_id: UUID,
    *,
    has_chains: bool,
) -> None:
    """Note on a job whether chains lead on from it; what was reserved of it is claimed anew."""
    job = await update_job(transaction, job_id, {"has_chains": has_chains})
    await note_change(
        transaction, written, principal, Subject.JOB, "UPDATED", {job.id: job.revision}
    )
