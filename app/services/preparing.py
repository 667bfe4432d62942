"""Make an attempt ready: its secrets where it refers to them, and the endpoint that it goes to.

What is needed is read in the claim's own transaction, for all its runs at once, so that a run that
was started never waits for PostgreSQL. A run whose needs cannot be met ends at once, with words
that say why; so does one whose parameters do not satisfy its job's schema as it is now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping

from app.core.errors import DependencyUnavailable, NotFound, TickwheelError
from app.core.redaction import Redaction
from app.core.secret_references import references_in, with_secrets
from app.core.vocabulary import JobKind
from app.handlers.execution import EndpointDefinition, Execution, Outcome, failed, rejected
from app.handlers.needs import Needs, endpoint_secrets, needs_of
from app.models import Endpoint, Secret
from app.sealing import Keyring
from app.services.rules import check_parameters
from app.services.secrets import open_secret
from app.store.database import ReadConnection
from app.store.endpoints import read_endpoints
from app.store.secrets import read_secrets


@dataclass(frozen=True, slots=True)
class Supplies:
    """What the runs of a claim need, by run, and that as it is stored, by project and key."""

    needs: Mapping[UUID, "RunNeeds"] = field(default_factory=dict)
    secrets: Mapping[tuple[UUID, str], Secret] = field(default_factory=dict)
    endpoints: Mapping[tuple[UUID, str], Endpoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunNeeds:
    """What one run needs: secrets, and an endpoint with secrets of its own."""

    secrets: frozenset[str]
    endpoint: str | None


async def read_supplies(connection: ReadConnection, rows: Iterable[RowMapping]) -> Supplies:
    """Read what runs need; without a query when they need nothing."""
    needs: dict[UUID, RunNeeds] = {}
    projects: dict[UUID, UUID] = {}
    for row in rows:
        configured = _needs(row["job_kind"], row["job_config"])
        keys = configured.secrets | {key for _, key in references_in(row["parameters"])}
        if keys or configured.endpoint is not None:
            needs[row["id"]] = RunNeeds(keys, configured.endpoint)
            projects[row["id"]] = row["project_id"]
    if not needs:
        return _NOTHING
    wanted = {(projects[run_id], need.endpoint) for run_id, need in needs.items() if need.endpoint}
    endpoints = await read_endpoints(connection, wanted) if wanted else {}
    keys_of_endpoints = {
        (row.project_id, key)
        for row in endpoints.values()
        for key in endpoint_secrets(row.headers, row.variables, row.auth)
    }
    keys_of_runs = {
        (projects[run_id], key) for run_id, need in needs.items() for key in need.secrets
    }
    secrets = keys_of_endpoints | keys_of_runs
    return Supplies(needs, await read_secrets(connection, secrets) if secrets else {}, endpoints)


def prepare(
    keyring: Keyring,
    project_id: UUID,
    execution: Execution,
    parameters_schema: str | None,
    supplies: Supplies,
) -> Execution | Outcome:
    """Return the execution with all it needs, or the outcome of one that cannot begin."""
    needs = supplies.needs.get(execution.run_id)
    if needs is not None:
        try:
            execution = _supplied(keyring, project_id, execution, needs, supplies)
        except NotFound as error:
            return rejected("ReferenceMissing", error.message)
        except DependencyUnavailable as error:
            return failed("SecretSealed", f"A secret of this job cannot be opened. {error.message}")
    if parameters_schema is None:
        return execution
    try:
        check_parameters(execution.parameters, _object(parameters_schema))
    except TickwheelError as error:
        message = f"The parameters do not satisfy the job's schema: {error}"
        redaction = execution.redaction or Redaction()
        return rejected("InvalidParameters", redaction.text(message))
    return execution


def _supplied(
    keyring: Keyring,
    project_id: UUID,
    execution: Execution,
    needs: RunNeeds,
    supplies: Supplies,
) -> Execution:
    """Put everything in its place. Raises `NotFound` or `DependencyUnavailable`."""
    keys, endpoint = needs.secrets, None
    if needs.endpoint is not None:
        endpoint = supplies.endpoints.get((project_id, needs.endpoint))
        if endpoint is None:
            raise NotFound(f"There is no endpoint with the key {needs.endpoint!r}.")
        keys |= endpoint_secrets(endpoint.headers, endpoint.variables, endpoint.auth)
    stored = {key: supplies.secrets.get((project_id, key)) for key in sorted(keys)}
    secrets: dict[str, str] = {}
    for key, secret in stored.items():
        if secret is None:
            raise NotFound(f"There is no secret with the key {key!r}.")
        secrets[key] = open_secret(keyring, secret)
    # An HTTP job fills its references in itself: they are templates there, and a value is not.
    is_http = execution.kind is JobKind.HTTP
    return replace(
        execution,
        config=execution.config if is_http else with_secrets(execution.config, secrets),
        parameters=with_secrets(execution.parameters, secrets),
        secrets=secrets,
        redaction=Redaction(secrets.values()),
        endpoint=None if endpoint is None else _definition(endpoint, filter(None, stored.values())),
    )


def _definition(endpoint: Endpoint, secrets: Iterable[Secret]) -> EndpointDefinition:
    versions = (f"{secret.id.hex}.{secret.version}" for secret in secrets)
    text = "/".join((str(endpoint.version), *versions))
    return EndpointDefinition(
        id=endpoint.id,
        key=endpoint.key,
        generation=blake2b(text.encode(), digest_size=16).hexdigest(),
        base_url=endpoint.base_url,
        headers=endpoint.headers,
        variables=endpoint.variables,
        auth=endpoint.auth,
    )


_NOTHING = Supplies()


# Most runs of a herd share their job's texts, so each is read once.
@lru_cache(maxsize=4096)
def _needs(kind: str, config: str) -> Needs:
    return needs_of(JobKind(kind), _object(config))


@lru_cache(maxsize=4096)
def _object(text: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = orjson.loads(text)
    return value
