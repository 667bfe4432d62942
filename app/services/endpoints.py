"""Put and delete endpoints; a job that goes to one is refused what the endpoint has not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.errors import LimitExceeded, NotFound, StateConflict
from app.core.vocabulary import JobKind, Role
from app.handlers.http_endpoint import EndpointConfig, read_endpoint
from app.handlers.http_job import network_guard
from app.handlers.needs import needs_of, secret_names
from app.models import Endpoint
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.http_names import check_variables
from app.services.rules import check_key, check_object
from app.services.secret_references import check_references, share_referenced, unknown_secret
from app.services.writing import Accepted, Subject, field_changes, note_audit
from app.store.database import Transaction
from app.store.endpoints import (
    count_endpoints,
    delete_endpoint,
    insert_endpoint,
    lock_endpoint,
    update_endpoint,
)
from app.store.instants import read_now
from app.store.references import read_possible_users

MOST_ENDPOINTS = 1_000
"""How many endpoints a project has at most."""

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What an endpoint is to be; the key says which one."""

    key: str
    base_url: str
    headers: Any = field(default_factory=dict)
    variables: Any = field(default_factory=dict)
    auth: Any = field(default_factory=dict)


async def put_endpoint(
    runtime: Runtime, principal: Principal, request: EndpointRequest
) -> Accepted[Endpoint]:
    """Create the endpoint of that key, or make it what the request says.

    A change that would take a variable from a job that uses it is refused.
    """
    principal.require(Role.EDITOR)
    columns, config = _read(runtime, request)
    async with runtime.database.transaction(principal.project_id) as transaction:
        await _check_secrets(transaction, principal, columns, config)
        before = await lock_endpoint(transaction, principal.project_id, request.key)
        if before is None:
            after = await _create(transaction, principal, request.key, columns)
            await _note(transaction, principal, after, "endpointPut", "Created")
            return Accepted(after)
        changes = field_changes(before.model_dump(), columns)
        if not changes:
            return Accepted(before)
        await _check_users(transaction, before, config.variables)
        after = await update_endpoint(
            transaction, before.id, {**columns, "updated_by": principal.actor}
        )
        await _note(transaction, principal, after, "endpointPut", "Changed", changes=changes)
    return Accepted(after)


async def remove_endpoint(runtime: Runtime, principal: Principal, key: str) -> Accepted[Endpoint]:
    """Delete an endpoint that no job goes to; its key may be used again."""
    principal.require(Role.EDITOR)
    async with runtime.database.transaction(principal.project_id) as transaction:
        endpoint = await lock_endpoint(transaction, principal.project_id, key)
        if endpoint is None:
            raise NotFound(f"There is no endpoint with the key {key[:200]!r}.", path=("key",))
        users = [name for name, _ in await _users(transaction, endpoint)]
        if users:
            raise StateConflict(
                f"Jobs still go to this endpoint ({_named(users)}): change them first.",
                current="USED",
                allowed=["an endpoint that no job goes to"],
                path=("key",),
            )
        await delete_endpoint(transaction, endpoint.id)
        await _note(transaction, principal, endpoint, "endpointDelete", "Deleted")
    return Accepted(endpoint)


def _read(runtime: Runtime, request: EndpointRequest) -> tuple[dict[str, Any], EndpointConfig]:
    """Return the columns of a request, or raise everything that is wrong with it."""
    complaints = Complaints()
    with complaints.under():
        check_key(request.key)
    objects: dict[str, dict[str, Any]] = {}
    for name in ("headers", "variables", "auth"):
        value = getattr(request, name)
        objects[name] = {}
        with complaints.under():
            objects[name] = check_object({} if value is None else value, name)
    config: EndpointConfig | None = None
    with complaints.under():
        guard = network_guard(runtime.handler_options)
        config = read_endpoint(request.base_url, guard=guard, **objects)
    complaints.raise_if_any()
    assert config is not None, "what cannot be read was found"
    return {"base_url": request.base_url, **objects}, config


async def _check_secrets(
    transaction: Transaction,
    principal: Principal,
    columns: Mapping[str, Any],
    config: EndpointConfig,
) -> None:
    """Raise which secrets the endpoint refers to that the project has not."""
    complaints = Complaints()
    named = secret_names(config.names)
    values = [columns[name] for name in ("variables", "auth")]
    existing = await share_referenced(transaction, principal.project_id, values, more=named)
    for name, value in zip(("variables", "auth"), values, strict=True):
        check_references(value, existing, complaints, name)
    for at in config.names:
        if at.name.root == "secrets" and at.name.member not in existing:
            complaints.add(unknown_secret(str(at.name.member), *at.path))
    complaints.raise_if_any()


async def _check_users(
    transaction: Transaction, endpoint: Endpoint, variables: Mapping[str, Any]
) -> None:
    """Refuse to take away a variable that jobs use."""
    for name, names in await _users(transaction, endpoint):
        complaints = Complaints()
        check_variables(names, variables, complaints)
        if complaints.errors:
            raise StateConflict(
                f"The {name} would miss something: {complaints.errors[0].message}",
                current="USED",
                allowed=["variables that no job uses"],
                path=("variables",),
            )


async def _users(transaction: Transaction, endpoint: Endpoint) -> list[tuple[str, Any]]:
    """Return the jobs that go to an endpoint, with the names their templates use."""
    possible = await read_possible_users(transaction, endpoint.project_id, endpoint.key)
    needs = [
        (user.name, needs_of(user.kind, user.config))
        for user in possible
        if user.kind is JobKind.HTTP
    ]
    return [(name, need.names) for name, need in needs if need.endpoint == endpoint.key]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


async def _create(
    transaction: Transaction, principal: Principal, key: str, columns: Mapping[str, Any]
) -> Endpoint:
    if await count_endpoints(transaction, principal.project_id) >= MOST_ENDPOINTS:
        raise LimitExceeded(f"A project has at most {MOST_ENDPOINTS:,} endpoints.", path=("key",))
    now = await read_now(transaction)
    endpoint = Endpoint(
        **columns,
        id=new_id(),
        project_id=principal.project_id,
        key=key,
        created_at=now,
        updated_at=now,
        created_by=principal.actor,
        updated_by=principal.actor,
    )
    await insert_endpoint(transaction, endpoint)
    return endpoint


async def _note(
    transaction: Transaction,
    principal: Principal,
    endpoint: Endpoint,
    action: str,
    words: str,
    *,
    changes: Sequence[dict[str, Any]] = (),
) -> None:
    summary = f"{words} endpoint {endpoint.key}."
    await note_audit(
        transaction,
        principal,
        action,
        Subject.ENDPOINT,
        [(endpoint.id, summary)],
        changes=changes,
    )
