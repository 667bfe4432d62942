"""Create, change and archive jobs.

A definition is checked whole before anything is written, and every failure found is reported
with its path into the input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.defaults import (
    LONGEST_DELAY,
    LONGEST_TIMEOUT,
    MOST_ATTEMPTS,
    MOST_CONCURRENT,
    SHORTEST_TIMEOUT,
    Defaults,
)
from app.core.errors import Invalid, NotFound, StateConflict
from app.core.retry import RetryPolicy
from app.core.vocabulary import JobKind, OnWorkerLost, Role
from app.handlers.needs import needs_of
from app.handlers.options import HandlerOptions
from app.handlers.registry import validate_config
from app.models import Job
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.absent import ABSENT, Given, is_given
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.http_names import (
    check_no_variables,
    check_parameters_named,
    check_variables,
)
from app.services.projects import defaults_of, rights_of
from app.services.rules import (
    check_description,
    check_key,
    check_name,
    check_object,
    check_parameters_schema,
    check_priority,
    check_queue,
    check_tags,
)
from app.services.secret_references import check_references, share_referenced, unknown_secret
from app.services.writing import (
    Accepted,
    Subject,
    Written,
    check_version,
    claim_key,
    field_changes,
    note_audit,
    note_change,
)
from app.store.chains import read_chained_job_keys
from app.store.database import Transaction
from app.store.endpoints import share_endpoint
from app.store.instants import read_now
from app.store.jobs import insert_job, lock_job, read_job, read_schedule_keys_of_job, update_job


@dataclass(frozen=True, slots=True)
class JobFields:
    """What a job may be given; absent fields keep their value or take their default."""

    name: Given[str] = ABSENT
    description: Given[str] = ABSENT
    config: Given[Any] = ABSENT
    parameters_schema: Given[Any] = ABSENT
    parameters: Given[Any] = ABSENT
    queue: Given[str] = ABSENT
    priority: Given[int] = ABSENT
    timeout: Given[timedelta] = ABSENT
    concurrency_limit: Given[int] = ABSENT
    retry: Given[RetryPolicy] = ABSENT
    on_worker_lost: Given[OnWorkerLost] = ABSENT
    tags: Given[dict[str, str]] = ABSENT


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to create."""

    key: str
    kind: JobKind
    fields: JobFields
    idempotency_key: str | None = None


async def create_job(runtime: Runtime, principal: Principal, request: JobRequest) -> Accepted[Job]:
    """Create a job."""
    principal.require(Role.EDITOR)
    complaints = Complaints()
    with complaints.under():
        check_key(request.key)
    async with runtime.database.reading(principal.project_id) as connection:
        defaults = await defaults_of(runtime, connection, principal.project_id)
        rights = await rights_of(runtime, connection, principal.project_id)
    columns = {**_default_columns(defaults, request.key), **_columns(request.fields, complaints)}
    _check_definition(rights, request.kind, columns, complaints)
    complaints.raise_if_any()
    written, job_id = Written(), new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="jobCreate",
            key=request.idempotency_key,
            content={"key": request.key, "kind": request.kind, "job": columns},
            result_id=job_id,
        )
        if earlier is not None:
            return Accepted(await _find(transaction, principal, earlier), replayed=True)
        await _check_references(transaction, principal, request.kind, columns)
        now = await read_now(transaction)
        job = Job(
            id=job_id,
            project_id=principal.project_id,
            key=request.key,
            kind=request.kind,
            created_at=now,
            updated_at=now,
            created_by=principal.actor,
            updated_by=principal.actor,
            **columns,
        )
        await insert_job(transaction, job)
        await _record(transaction, written, principal, job, "jobCreate", "CREATED")
    await runtime.announce(written.changes)
    return Accepted(job)


async def update_job_definition(
    runtime: Runtime,
    principal: Principal,
    job_id: UUID,
    fields: JobFields,
    *,
    expected_version: int | None,
) -> Accepted[Job]:
    """Change a job; its next runs use the new definition."""
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        job = await _lock(transaction, principal, job_id)
        check_version(expected_version, job.version)
        complaints = Complaints()
        defaults = await defaults_of(runtime, transaction, principal.project_id)
        given = _columns(fields, complaints, cleared=_default_columns(defaults, job.key))
        rights = await rights_of(runtime, transaction, principal.project_id)
        _check_definition(rights, job.kind, {**job.model_dump(), **given}, complaints)
        complaints.raise_if_any()
        await _check_references(transaction, principal, job.kind, {**job.model_dump(), **given})
        changes = field_changes(job.model_dump(), given)
        if changes:
            job = await update_job(
                transaction,
                job_id,
                {**given, "version": job.version + 1, "updated_by": principal.actor},
            )
            await _record(
                transaction, written, principal, job, "jobUpdate", "UPDATED", changes=changes
            )
    await runtime.announce(written.changes)
    return Accepted(job)


async def archive_job(runtime: Runtime, principal: Principal, job_id: UUID) -> Accepted[Job]:
    """Archive a job that no schedule or chain uses any more; archiving twice changes nothing."""
    principal.require(Role.EDITOR)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        job = await _lock(transaction, principal, job_id, archived=True)
        if job.archived_at is None:
            await _check_unused(transaction, job)
            now = await read_now(transaction)
            job = await update_job(
                transaction,
                job_id,
                {"archived_at": now, "version": job.version + 1, "updated_by": principal.actor},
            )
            await _record(transaction, written, principal, job, "jobArchive", "ARCHIVED")
    await runtime.announce(written.changes)
    return Accepted(job)


def unknown_job(job_id: UUID | str) -> NotFound:
    """Return the failure of a look-up."""
    return NotFound("There is no such job in this project.", id=str(job_id))


async def _find(transaction: Transaction, principal: Principal, job_id: UUID) -> Job:
    job = await read_job(transaction, principal.project_id, job_id)
    if job is None:
        raise unknown_job(job_id)
    return job


async def _lock(
    transaction: Transaction, principal: Principal, job_id: UUID, *, archived: bool = False
) -> Job:
    job = await lock_job(transaction, principal.project_id, job_id)
    if job is None:
        raise unknown_job(job_id).under("id")
    if job.archived_at is not None and not archived:
        raise StateConflict(
            "The job is archived; its key may be used for a new one.",
            current="ARCHIVED",
            allowed=["ACTIVE"],
            path=("id",),
        )
    return job


async def _check_unused(transaction: Transaction, job: Job) -> None:
    keys = await read_schedule_keys_of_job(transaction, job.id, limit=4)
    if keys:
        named = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
        raise StateConflict(
            f"Schedules still use this job ({named}): archive them first.",
            current="ACTIVE",
            allowed=["a job without schedules"],
            path=("id",),
        )
    keys = await read_chained_job_keys(transaction, job.id, limit=4)
    if keys:
        named = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
        raise StateConflict(
            f"Chains still connect this job with others ({named}): delete them first.",
            current="ACTIVE",
            allowed=["a job without chains"],
            path=("id",),
        )


def _default_columns(defaults: Defaults, key: str) -> dict[str, Any]:
    """Return what a job has where nothing is said."""
    return {
        "name": key,
        "description": None,
        "config": {},
        "parameters_schema": None,
        "parameters": {},
        "queue": "default",
        "priority": 0,
        "timeout_seconds": defaults.timeout.total_seconds(),
        "concurrency_limit": defaults.concurrency_limit,
        "retry": defaults.retry.to_json(),
        "on_worker_lost": OnWorkerLost.RETRY,
        "tags": {},
    }


def _columns(
    fields: JobFields, complaints: Complaints, *, cleared: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the columns of the fields that are given; cleared ones take their default."""
    columns: dict[str, Any] = {}
    for name, column, read in _READERS:
        value = getattr(fields, name)
        if value is None and cleared is not None:
            columns[column] = cleared[column]
        elif is_given(value) and value is not None:
            with complaints.under():
                columns[column] = read(value)
    return columns


def _read_timeout(timeout: timedelta) -> float:
    if not SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT:
        raise Invalid("A time-out lasts between 1 second and 30 days.", path=("timeout",))
    return timeout.total_seconds()


def _read_concurrency_limit(limit: int) -> int:
    if not 1 <= limit <= MOST_CONCURRENT:
        raise Invalid(
            f"A concurrency limit lies between 1 and {MOST_CONCURRENT:,}.",
            path=("concurrencyLimit",),
        )
    return limit


def _read_retry(policy: RetryPolicy) -> dict[str, Any]:
    complaints = Complaints()
    bounds = {
        "maxAttempts": (1 <= policy.max_attempts <= MOST_ATTEMPTS, "between 1 and 100"),
        "multiplier": (1 <= policy.multiplier <= 100, "between 1 and 100"),
        "initialDelay": (policy.initial_delay <= LONGEST_DELAY, "at most 7 days"),
        "maxDelay": (
            policy.initial_delay <= policy.max_delay <= LONGEST_DELAY,
            "between initialDelay and 7 days",
        ),
    }
    for name, (holds, allowed) in bounds.items():
        if not holds:
            complaints.add(Invalid(f"{name} must be {allowed}.", path=("retry", name)))
    complaints.raise_if_any()
    return policy.to_json()


_READERS = (
    ("name", "name", check_name),
    ("description", "description", check_description),
    ("config", "config", lambda value: check_object(value, "config")),
    (
        "parameters_schema",
        "parameters_schema",
        lambda value: check_object(value, "parametersSchema"),
    ),
    ("parameters", "parameters", lambda value: check_object(value, "parameters")),
    ("queue", "queue", check_queue),
    ("priority", "priority", check_priority),
    ("timeout", "timeout_seconds", _read_timeout),
    ("concurrency_limit", "concurrency_limit", _read_concurrency_limit),
    ("retry", "retry", _read_retry),
    ("on_worker_lost", "on_worker_lost", OnWorkerLost),
    ("tags", "tags", check_tags),
)


def _check_definition(
    rights: HandlerOptions, kind: JobKind, columns: Mapping[str, Any], complaints: Complaints
) -> None:
    """Note what is wrong with the definition as a whole."""
    with complaints.under():
        validate_config(kind, columns["config"], options=rights)
    schema = columns["parameters_schema"]
    if schema is not None:
        with complaints.under():
            check_parameters_schema(schema)


async def _check_references(
    transaction: Transaction, principal: Principal, kind: JobKind, columns: Mapping[str, Any]
) -> None:
    """Raise what the definition refers to and will not find when it runs."""
    complaints = Complaints()
    config, parameters = columns["config"], columns["parameters"]
    needs = needs_of(kind, config)
    existing = await share_referenced(
        transaction, principal.project_id, [parameters], more=needs.secrets
    )
    check_references(parameters, existing, complaints, "parameters")
    check_references(config, existing, complaints, "config")
    named = {error.id for error in complaints.errors if isinstance(error, NotFound)}
    for key in sorted(needs.secrets - existing - named):
        complaints.add(unknown_secret(key, "config"))
    if needs.endpoint is None:
        check_no_variables(needs.names, complaints)
    else:
        endpoint = await share_endpoint(transaction, principal.project_id, needs.endpoint)
        if endpoint is None:
            complaints.add(unknown_endpoint(needs.endpoint))
        else:
            check_variables(needs.names, endpoint.variables, complaints)
    check_parameters_named(needs.names, parameters, columns["parameters_schema"], complaints)
    complaints.raise_if_any()


def unknown_endpoint(key: str) -> NotFound:
    """Return the failure of a connection."""
    message = f"There is no endpoint with the key {key[:200]!r} in this project."
    return NotFound(message, id=key[:200], path=("config", "connection"))


async def _record(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    job: Job,
    action: str,
    change: str,
    *,
    changes: list[dict[str, Any]] | None = None,
) -> None:
    summary = f"{change.capitalize()} job {job.key}."
    await note_audit(
        transaction, principal, action, Subject.JOB, [(job.id, summary)], changes=changes or []
    )
    await note_change(transaction, written, principal, Subject.JOB, change, {job.id: job.revision})
