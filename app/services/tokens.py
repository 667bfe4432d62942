"""Hand out bearer tokens, and take them back.

A token's text is shown once, when it is made; only the SHA-256 of its secret is kept. A revoked one
is refused from the next request on, and its open connections are closed.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.changes import INSTANCE, Change
from app.core.errors import Invalid, LimitExceeded, NotFound, StateConflict
from app.core.ids import Kind, public_id
from app.core.vocabulary import Role
from app.models import ApiToken
from app.runtime import Runtime
from app.services.access import Principal, issue_token
from app.services.complaints import Complaints
from app.services.rules import check_name
from app.services.writing import Subject, note_audit
from app.store.database import ReadConnection
from app.store.events import record_changes
from app.store.instants import read_now
from app.store.tokens import count_standing_tokens, lock_token, read_tokens, revoke_token

MOST_TOKENS = 1_000
"""How many tokens of a project stand at a time, and how many are shown."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token to be made. `for_instance`: bound to no project, an administrator of them all."""

    name: str
    role: Role
    expires_at: datetime | None = None
    for_instance: bool = False


async def create_token(
    runtime: Runtime, principal: Principal, request: TokenRequest
) -> tuple[ApiToken, str]:
    """Make a token, and return its row and its text."""
    _require(principal, for_instance=request.for_instance)
    project_id = None if request.for_instance else principal.project_id
    async with runtime.database.transaction(principal.project_id) as transaction:
        as_of = await read_now(transaction)
        _check(request, as_of)
        if await count_standing_tokens(transaction, project_id) >= MOST_TOKENS:
            raise LimitExceeded(f"At most {MOST_TOKENS:,} tokens stand at a time: revoke some.")
        token, text = issue_token(
            name=request.name,
            role=request.role,
            project_id=project_id,
            created_at=as_of,
            expires_at=request.expires_at,
        )
        transaction.add(token)
        await transaction.flush()
        summary = f"Created the token {token.name!r} with the role {token.role}"
        await note_audit(
            transaction, principal, "apiTokenCreate", Subject.TOKEN, [(token.id, summary)]
        )
    return token, text


async def revoke(runtime: Runtime, principal: Principal, token_id: UUID) -> ApiToken:
    """Take a token back, for good."""
    principal.require(Role.ADMIN)
    async with runtime.database.transaction(principal.project_id) as transaction:
        token = await lock_token(transaction, token_id)
        if token is None or not _may_see(principal, token):
            id_ = public_id(Kind.TOKEN, token_id)
            raise NotFound(f"There is no token {id_}.", id=id_, path=("id",))
        _require(principal, for_instance=token.project_id is None)
        if token.revoked_at is not None:
            raise StateConflict(
                "The token is revoked already.",
                current="REVOKED",
                allowed=("STANDING",),
                path=("id",),
            )
        token = await revoke_token(transaction, token_id)
        change = token_revoked(token)
        await record_changes(transaction, [change])
        summary = f"Revoked the token {token.name!r}"
        await note_audit(
            transaction, principal, "apiTokenRevoke", Subject.TOKEN, [(token.id, summary)]
        )
    runtime.revocations.note()
    runtime.announce_soon([change])
    return token


def token_revoked(token: ApiToken) -> Change:
    """Return the event that ends the connections of a token."""
    project_id = token.project_id or INSTANCE
    return Change(project_id, Subject.TOKEN.value, "REVOKED", (token.id,), (1,))


async def list_tokens(connection: ReadConnection, principal: Principal) -> list[ApiToken]:
    """Return the project's tokens, and for the instance's administrator those of the instance."""
    principal.require(Role.ADMIN)
    return await read_tokens(
        connection,
        principal.project_id,
        with_instance=principal.governs,
        limit=MOST_TOKENS,
    )


def _require(principal: Principal, *, for_instance: bool) -> None:
    if for_instance:
        principal.require_instance()
    else:
        principal.require(Role.ADMIN)


def _may_see(principal: Principal, token: ApiToken) -> bool:
    if token.project_id is None:
        return principal.governs
    return token.project_id == principal.project_id


def _check(request: TokenRequest, as_of: datetime) -> None:
    complaints = Complaints()
    with complaints.under():
        check_name(request.name)
    with complaints.under():
        if request.expires_at is not None and request.expires_at <= as_of:
            raise Invalid(
                f"A token cannot expire in the past; it is {as_of:%Y-%m-%d %H:%M:%S} UTC.",
                path=("expiresAt",),
            )
    with complaints.under():
        if request.for_instance and request.role is not Role.ADMIN:
            raise Invalid(
                "A token of the instance has the role ADMIN; for less, bind it to a project.",
                path=("role",),
            )
    complaints.raise_if_any()
