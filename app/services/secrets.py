"""Put, delete, open and rotate secrets.

A value comes in once, is sealed before it reaches a table, and is opened only in a worker, for a
run that refers to it. No answer, audit entry or error ever carries one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.errors import Invalid, LimitExceeded, NotFound, StateConflict
from app.core.redaction import SHORTEST
from app.core.secret_references import references_in
from app.core.vocabulary import Role
from app.handlers.needs import endpoint_secrets, needs_of
from app.logs import strike_out
from app.models import Secret
from app.models.columns import new_id
from app.runtime import Runtime
from app.sealing import Keyring, Sealed
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.rules import check_key
from app.services.writing import Accepted, Subject, note_audit
from app.store.database import ReadConnection, Transaction
from app.store.endpoints import forget_tokens_sealed_otherwise
from app.store.instants import read_now
from app.store.references import PossibleUser, read_possible_users
from app.store.secrets import (
    count_secrets,
    delete_secret,
    insert_secret,
    lock_secret,
    lock_secrets_sealed_otherwise,
    read_secret,
    read_secrets_of_project,
    reseal_secret,
    update_secret,
)

MOST_SECRETS = 1_000
"""How many secrets a project has at most."""

_LONGEST_BYTES = 32 * 1024
_BATCH = 100
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: how many values it sealed anew, and under which key they all are."""

    key_id: str
    resealed: int


async def list_secrets(connection: ReadConnection, principal: Principal) -> Sequence[Secret]:
    """Return the project's secrets, for those who may change them."""
    principal.require(Role.ADMIN)
    return await read_secrets_of_project(connection, principal.project_id, limit=MOST_SECRETS)


async def find_secret(
    connection: ReadConnection, principal: Principal, secret_id: UUID
) -> Secret | None:
    """Return one secret, to those who may see that it exists."""
    if not principal.may(Role.ADMIN):
        return None
    return await read_secret(connection, principal.project_id, secret_id)


async def put_secret(
    runtime: Runtime, principal: Principal, key: str, value: str
) -> Accepted[Secret]:
    """Create the secret of that key, or replace its value for the runs that start later."""
    principal.require(Role.ADMIN)
    complaints = Complaints()
    with complaints.under():
        check_key(key)
    with complaints.under():
        _check_value(value)
    complaints.raise_if_any()
    strike_out(value)
    async with runtime.database.transaction(principal.project_id) as transaction:
        before = await lock_secret(transaction, principal.project_id, key)
        sealed = _seal(runtime.keyring, principal.project_id, key, value)
        if before is None:
            after = await _create(transaction, principal, key, sealed)
        else:
            after = await update_secret(
                transaction,
                before.id,
                {
                    "key_id": sealed.key_id,
                    "sealed": sealed.content,
                    "updated_by": principal.actor,
                },
            )
        await _note(transaction, principal, after, "secretPut", "Put")
    return Accepted(after)


async def remove_secret(runtime: Runtime, principal: Principal, key: str) -> Accepted[Secret]:
    """Delete a secret that nothing refers to; its key may be used again."""
    principal.require(Role.ADMIN)
    async with runtime.database.transaction(principal.project_id) as transaction:
        secret = await lock_secret(transaction, principal.project_id, key)
        if secret is None:
            raise NotFound(f"There is no secret with the key {key[:200]!r}.", path=("key",))
        await _refuse_used(transaction, secret)
        await delete_secret(transaction, secret.id)
        await _note(transaction, principal, secret, "secretDelete", "Deleted")
    return Accepted(secret)


def open_secret(keyring: Keyring, secret: Secret) -> str:
    """Return the value of a stored secret; this process's log will not show it.

    Raises `DependencyUnavailable` without the key.
    """
    belongs_to = _belonging(secret.project_id, secret.key)
    value = keyring.open(Sealed(secret.key_id, secret.sealed), belongs_to=belongs_to)
    strike_out(value)
    return value


async def rotate_secrets(runtime: Runtime) -> Rotation:
    """Seal every value with the first key, in batches; safe to stop and to repeat.

    The shared tokens of endpoints that another key sealed are forgotten: a new one is asked for.

    Raises `DependencyUnavailable` when a value needs a key that is not here; what was sealed anew
    until then stays so.
    """
    key_id, reached, resealed = runtime.keyring.current_id, None, 0
    while True:
        async with runtime.database.transaction() as transaction:
            batch = await lock_secrets_sealed_otherwise(
                transaction, key_id, after=reached, limit=_BATCH
            )
            if not batch:
                await forget_tokens_sealed_otherwise(transaction, key_id)
                return Rotation(key_id, resealed)
            await _reseal(transaction, runtime.keyring, batch)
        reached, resealed = batch[-1].id, resealed + len(batch)


async def _reseal(transaction: Transaction, keyring: Keyring, batch: Iterable[Secret]) -> None:
    for row in batch:
        value = open_secret(keyring, row)
        sealed = keyring.seal(value, belongs_to=_belonging(row.project_id, row.key))
        await reseal_secret(transaction, row.id, key_id=sealed.key_id, sealed=sealed.content)


def _check_value(value: str) -> None:
    size = len(value.encode("utf-8", "replace"))
    if len(value.strip()) < SHORTEST or size > _LONGEST_BYTES:
        raise Invalid(
            f"A secret has at least {SHORTEST} characters that are not blank, so that it can be "
            f"struck out of logs, and at most {_LONGEST_BYTES // 1024} kB.",
            path=("value",),
        )
    if "\0" in value or value != value.encode("utf-8", "replace").decode():
        raise Invalid("A secret is text, without NUL; encode bytes as base64.", path=("value",))


def _seal(keyring: Keyring, project_id: UUID, key: str, value: str) -> Sealed:
    return keyring.seal(value, belongs_to=_belonging(project_id, key))


def _belonging(project_id: UUID, key: str) -> str:
    return f"secret/{project_id}/{key}"


async def _create(
    transaction: Transaction, principal: Principal, key: str, sealed: Sealed
) -> Secret:
    if await count_secrets(transaction, principal.project_id) >= MOST_SECRETS:
        raise LimitExceeded(f"A project has at most {MOST_SECRETS:,} secrets.", path=("key",))
    now = await read_now(transaction)
    secret = Secret(
        id=new_id(),
        project_id=principal.project_id,
        key=key,
        created_at=now,
        updated_at=now,
        created_by=principal.actor,
        updated_by=principal.actor,
        key_id=sealed.key_id,
        sealed=sealed.content,
    )
    await insert_secret(transaction, secret)
    return secret


async def _refuse_used(transaction: Transaction, secret: Secret) -> None:
    possible = await read_possible_users(transaction, secret.project_id, secret.key)
    users = [user.name for user in possible if secret.key in _keys_used_by(user)]
    if users:
        named = ", ".join(users[:_MOST_NAMED]) + (", ..." if len(users) > _MOST_NAMED else "")
        raise StateConflict(
            f"This secret is still referred to ({named}): change them first.",
            current="USED",
            allowed=["a secret that nothing refers to"],
            path=("key",),
        )


def _keys_used_by(user: PossibleUser) -> set[str]:
    keys = {key for _, key in references_in(user.parameters)}
    if user.kind is not None:
        keys |= needs_of(user.kind, user.config).secrets
    if user.endpoint is not None:
        row = user.endpoint
        keys |= endpoint_secrets(row.headers, row.variables, row.auth)
    if user.target.get("type") == "webhook":
        keys.add(user.target["sign"])
    return keys


async def _note(
    transaction: Transaction, principal: Principal, secret: Secret, action: str, words: str
) -> None:
    summary = f"{words} secret {secret.key}, version {secret.version}."
    await note_audit(transaction, principal, action, Subject.SECRET, [(secret.id, summary)])
