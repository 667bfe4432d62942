"""Make an attempt ready: put secrets where its configuration and parameters refer to them.

What is needed is read in the claim's own transaction, for all its runs at once, so that a run that
was started never waits for PostgreSQL. A run whose needs cannot be met ends at once, with words
that say why; so does one whose parameters do not satisfy its job's schema as it is now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping

from app.core.errors import DependencyUnavailable, TickwheelError
from app.core.redaction import Redaction
from app.core.secret_references import references_in, with_secrets
from app.core.vocabulary import JobKind
from app.handlers.execution import Execution, Outcome, failed, rejected
from app.handlers.needs import Needs, needs_of
from app.models import Secret
from app.sealing import Keyring
from app.services.rules import check_parameters
from app.services.secrets import open_secret
from app.store.database import ReadConnection
from app.store.secrets import read_secrets


@dataclass(frozen=True, slots=True)
class Supplies:
    """What the runs of a claim need: which secrets each one, and those as they are stored."""

    keys: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    secrets: Mapping[tuple[UUID, str], Secret] = field(default_factory=dict)


async def read_supplies(connection: ReadConnection, rows: Iterable[RowMapping]) -> Supplies:
    """Read what runs need; without a query when they need nothing."""
    keys: dict[UUID, frozenset[str]] = {}
    wanted: set[tuple[UUID, str]] = set()
    for row in rows:
        needed = _needs(row["job_kind"], row["job_config"]).secrets
        needed |= {key for _, key in references_in(row["parameters"])}
        if needed:
            keys[row["id"]] = needed
            wanted.update((row["project_id"], key) for key in needed)
    return Supplies(keys, await read_secrets(connection, wanted) if wanted else {})


def prepare(
    keyring: Keyring,
    project_id: UUID,
    execution: Execution,
    parameters_schema: str | None,
    supplies: Supplies,
) -> Execution | Outcome:
    """Return the execution with all it needs, or the outcome of one that cannot begin."""
    keys = supplies.keys.get(execution.run_id)
    if keys:
        missing = sorted(key for key in keys if (project_id, key) not in supplies.secrets)
        if missing:
            return rejected("SecretMissing", f"There is no secret with the key {missing[0]!r}.")
        try:
            secrets = {key: open_secret(keyring, supplies.secrets[project_id, key]) for key in keys}
        except DependencyUnavailable as error:
            return failed("SecretSealed", f"A secret of this job cannot be opened. {error.message}")
        execution = _with_secrets(execution, secrets)
    if parameters_schema is None:
        return execution
    try:
        check_parameters(execution.parameters, _object(parameters_schema))
    except TickwheelError as error:
        message = f"The parameters do not satisfy the job's schema: {error}"
        redaction = execution.redaction or Redaction()
        return rejected("InvalidParameters", redaction.text(message))
    return execution


def _with_secrets(execution: Execution, secrets: Mapping[str, str]) -> Execution:
    return replace(
        execution,
        config=with_secrets(execution.config, secrets),
        parameters=with_secrets(execution.parameters, secrets),
        secrets=secrets,
        redaction=Redaction(secrets.values()),
    )


# Most runs of a herd share their job's texts, so each is read once.
@lru_cache(maxsize=4096)
def _needs(kind: str, config: str) -> Needs:
    return needs_of(JobKind(kind), _object(config))


@lru_cache(maxsize=4096)
def _object(text: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] = orjson.loads(text)
    return value
