"""Let the instance's administrator into a browser by a one-time link.

Whoever can reach the database can make a link. Its code works once and for ten minutes; the browser
gets a token of its own, in a cookie that no script can read, and which ends by itself.
"""

from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from app.core.vocabulary import ActorKind, Role
from app.models import ApiToken
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.services.access import Refusal, TokenText, Unauthenticated, issue_token
from app.services.tokens import token_revoked
from app.services.writing import Subject
from app.store.audit import audit_entry, record_audit
from app.store.database import Database
from app.store.events import record_changes
from app.store.instants import read_now
from app.store.login_codes import insert_code, take_code
from app.store.tokens import lock_token, revoke_token

LINK_LASTS: Final = timedelta(minutes=10)
SESSION_LASTS: Final = timedelta(hours=12)


async def login_link(database_url: str, base_url: str) -> str:
    """Return a link. Its code is in the fragment, which is in no log and no referrer."""
    code = token_urlsafe(32)
    database = Database.open(database_url, pool_size=1)
    try:
        async with database.transaction() as transaction:
            expires_at = await read_now(transaction) + LINK_LASTS
            await insert_code(transaction, _hash_of(code), expires_at)
    finally:
        await database.close()
    return f"{base_url.rstrip('/')}/graphql#code={code}"


async def begin_session(runtime: Runtime, code: str) -> str:
    """Return the token of a new session; raise `Unauthenticated` for a code that is none."""
    async with runtime.database.transaction() as transaction:
        if not await take_code(transaction, _hash_of(code)):
            raise Unauthenticated(Refusal.USED_LINK)
        as_of = await read_now(transaction)
        token, text = issue_token(
            name="browser",
            role=Role.ADMIN,
            project_id=None,
            created_at=as_of,
            expires_at=as_of + SESSION_LASTS,
        )
        transaction.add(token)
        await transaction.flush()
        await record_audit(transaction, [_entry(token, "login", "Signed in by a one-time link")])
    return text


async def end_session(runtime: Runtime, text: str) -> None:
    """Take the token of a session back; one that is none changes nothing."""
    token = TokenText.parse(text)
    if token is None:
        return
    async with runtime.database.transaction() as transaction:
        row = await lock_token(transaction, token.id)
        if row is None or row.secret_hash != token.secret_hash or row.revoked_at is not None:
            return
        await revoke_token(transaction, row.id)
        change = token_revoked(row)
        await record_changes(transaction, [change])
        await record_audit(transaction, [_entry(row, "logout", "Signed out")])
    runtime.revocations.note()
    runtime.announce_soon([change])


def _hash_of(code: str) -> bytes:
    return sha256(code.encode()).digest()


def _entry(token: ApiToken, action: str, summary: str) -> dict[str, Any]:
    actor = ActorRecord(kind=ActorKind.TOKEN.value, id=str(token.id), name=token.name)
    return audit_entry(
        project_id=token.project_id,
        actor=actor,
        action=action,
        subject_kind=Subject.TOKEN.value,
        subject_id=token.id,
        summary=summary,
    )
