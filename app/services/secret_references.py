"""Check the references to secrets that a definition makes, before it is saved.

The secrets are held until the transaction ends, so that none is deleted while somebody begins to
refer to it.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from app.core.errors import NotFound
from app.core.secret_references import references_in
from app.core.vocabulary import Role
from app.services.access import Principal
from app.services.complaints import Complaints
from app.store.database import Transaction
from app.store.secrets import share_secrets


async def share_referenced(
    transaction: Transaction, project_id: UUID, values: Iterable[Any], *, more: Iterable[str] = ()
) -> frozenset[str]:
    """Return which of the secrets that JSON values refer to, or `more`, exist, and hold those."""
    keys = {key for value in values for _, key in references_in(value)}.union(more)
    return await share_secrets(transaction, project_id, keys)


def check_references(
    value: Any, existing: frozenset[str], complaints: Complaints, *path: str
) -> None:
    """Note each reference in a JSON value to a secret that does not exist."""
    for where, key in references_in(value, *path):
        if key not in existing:
            complaints.add(unknown_secret(key, *where))


async def check_given_parameters(
    transaction: Transaction, principal: Principal, parameters: Mapping[str, Any]
) -> None:
    """Check parameters that somebody gives to a single run.

    Who may only trigger may not choose which secrets a job is sent.
    """
    if not any(True for _ in references_in(parameters)):
        return
    principal.require(Role.EDITOR)
    complaints = Complaints()
    existing = await share_referenced(transaction, principal.project_id, [parameters])
    check_references(parameters, existing, complaints, "parameters")
    complaints.raise_if_any()


def unknown_secret(key: str, *path: str) -> NotFound:
    """Return the failure of a reference."""
    message = f"There is no secret with the key {key[:200]!r} in this project."
    return NotFound(message, id=key[:200], path=path)
