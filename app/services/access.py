"""Who is asking, and what they may do.

Nothing is answered without a principal. A bearer token `tw_<id>.<secret>` is bound to one project,
or belongs to an instance administrator, who names a project or gets the default one; the
administrator's token of the settings is accepted as it stands. A person comes with a token that an
identity provider has signed (`single_sign_on`). Secrets are compared by their
SHA-256, in constant time. Every service asks `Principal.require` before it does anything.
"""

import hmac
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import Enum
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from app.core.clock import elapsed_seconds, utc_now
from app.core.errors import Forbidden, NotFound
from app.core.vocabulary import ActorKind, Role
from app.models import ApiToken, Project
from app.models.columns import ActorRecord, new_id
from app.runtime import Runtime
from app.services.single_sign_on import (
    EVERY_PROJECT,
    Expired,
    NotAccepted,
    Person,
    SingleSignOn,
)
from app.store.database import ReadConnection
from app.store.projects import read_project, read_project_by_key
from app.store.tokens import note_token_used, read_token

DEFAULT_PROJECT = "default"
_DOTS_OF_A_JWT = 2
KNOWN_SECONDS = 1.0
"""How long a caller is remembered, whatever another process may have revoked."""

_MOST_KNOWN = 10_000
_RANK = {role: rank for rank, role in enumerate(Role)}
_MAY = {
    Role.VIEWER: "read",
    Role.OPERATOR: "trigger, pause and cancel",
    Role.EDITOR: "create and change",
    Role.ADMIN: "administer",
}
# What of a principal tells who it is, and not what it may do; with what stands there for nobody.
_PERSONAL: dict[str, Any] = {
    "actor": ActorRecord(kind=ActorKind.SYSTEM.value, id=None, name="subscribers"),
    "expires_at": None,
    "request_id": None,
    "address": None,
}
_log = structlog.get_logger(__name__)


class Refusal(Enum):
    """Why a caller is not known to us."""

    MISSING = "Send an API token: `Authorization: Bearer tw_...`."
    UNKNOWN = "The API token is not valid."
    EXPIRED = "The API token has expired."
    NOT_ACCEPTED = "The token of the identity provider is not valid here."
    SIGNED_OUT = "The token of the identity provider has expired."
    USED_LINK = "This link was used before, or its time is over: ask for another one."
    WITHOUT_GRANT = "You are known, but no group of yours may do anything here."


class Unauthenticated(Exception):
    """The caller is nobody. Deliberately no `TickwheelError`: it is answered before any input."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller sent: the `Authorization` header, and the project it names.

    `session` is the token of a browser's cookie; it counts where there is no header. Only those who
    have made sure that the browser's own page is asking may hand it on.
    """

    authorization: str | None
    project_key: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: who, in which project, with which role, and the request it is recorded under."""

    actor: ActorRecord
    role: Role
    project_id: UUID
    expires_at: datetime | None = None
    # An administrator of the instance, not only of this project.
    governs: bool = False
    request_id: str | None = None
    address: str | None = None

    @property
    def name(self) -> str:
        """Return what tells this caller from every other, in whatever project."""
        return f"{self.actor['kind']}:{self.actor['id'] or self.actor['name']}"

    def may(self, role: Role) -> bool:
        """Return whether the caller's role includes `role`."""
        return _RANK[self.role] >= _RANK[role]

    def require(self, role: Role) -> None:
        """Raise `Forbidden` unless the caller's role includes `role`."""
        if not self.may(role):
            raise Forbidden(
                f"Your role {self.role} may not {_MAY[role]} in this project: "
                f"ask for the role {role}."
            )

    def require_instance(self) -> None:
        """Raise `Forbidden` unless the caller administers the whole instance."""
        self.require(Role.ADMIN)
        if not self.governs:
            raise Forbidden(
                "This concerns every project: it takes a token of the instance's administrator, "
                "one that is bound to no project."
            )

    @property
    def caller(self) -> tuple[str, str | None]:
        """Return who it is, for counting what is theirs."""
        return self.actor["kind"], self.actor["id"]

    @property
    def rights(self) -> tuple[object, ...]:
        """Return what two callers have in common who may see and do the same."""
        names = (each.name for each in fields(self) if each.name not in _PERSONAL)
        return tuple(getattr(self, name) for name in names)

    def unnamed(self) -> "Principal":
        """Return a caller with the same rights who is nobody in particular."""
        return replace(self, **_PERSONAL)

    def requesting(self, request_id: str, address: str | None) -> "Principal":
        """Return the same caller, making a certain request."""
        # `replace` takes several times as long, for each request.
        return Principal(
            self.actor,
            self.role,
            self.project_id,
            self.expires_at,
            self.governs,
            request_id,
            address,
        )


@dataclass(frozen=True, slots=True)
class TokenText:
    """A bearer token in its parts."""

    id: UUID
    secret: str

    @classmethod
    def parse(cls, text: str) -> "TokenText | None":
        """Return the parts of `tw_<id>.<secret>`."""
        id_text, dot, secret = text.removeprefix("tw_").partition(".")
        if not text.startswith("tw_") or not dot or not secret or len(id_text) != 32:
            return None
        try:
            return cls(UUID(hex=id_text), secret)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Return the token as it is handed out, once."""
        return f"tw_{self.id.hex}.{self.secret}"

    @property
    def secret_hash(self) -> bytes:
        """Return what is stored of the secret."""
        return sha256(self.secret.encode()).digest()


def issue_token(
    *,
    name: str,
    role: Role,
    project_id: UUID | None,
    created_at: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Return a new token's row, and its text, which is shown once."""
    text = TokenText(new_id(), token_urlsafe(32))
    row = ApiToken(
        id=text.id,
        created_at=created_at,
        project_id=project_id,
        name=name,
        role=role,
        secret_hash=text.secret_hash,
        expires_at=expires_at,
    )
    return row, str(text)


class _Known(NamedTuple):
    """A caller who was looked up a moment ago."""

    principal: Principal
    until: float
    revocations: int

    def holds(self, revocations: int) -> bool:
        """Return whether nothing can have changed that this process knows of."""
        if self.until <= elapsed_seconds() or self.revocations != revocations:
            return False
        expires_at = self.principal.expires_at
        return expires_at is None or expires_at > utc_now()


class Doorkeeper:
    """Tells who a caller is."""

    def __init__(
        self, runtime: Runtime, *, admin_token: str | None, sign_on: SingleSignOn | None = None
    ) -> None:
        self._runtime = runtime
        self._sign_on = sign_on
        self._admin_hash = sha256(admin_token.encode()).digest() if admin_token else None
        self._known: dict[Credentials, _Known] = {}

    async def recognise(self, credentials: Credentials) -> Principal:
        """Return the caller as `identify` does, who may have been looked up a second ago.

        What this process revokes counts at once, what another one does within that second, with or
        without Redis.
        """
        known = self._known.get(credentials)
        if known is not None and known.holds(self._runtime.revocations.count):
            return known.principal
        revocations = self._runtime.revocations.count
        began = elapsed_seconds()
        principal = await self.identify(credentials)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[credentials] = _Known(principal, began + KNOWN_SECONDS, revocations)
        return principal

    async def identify(self, credentials: Credentials) -> Principal:
        """Return the caller, or raise `Unauthenticated`, or `NotFound` for the project."""
        text = _bearer(credentials.authorization)
        if credentials.authorization is None:
            text = credentials.session
        if text is None:
            raise Unauthenticated(Refusal.MISSING)
        if self._is_admin(text):
            async with self._runtime.database.reading(None) as connection:
                project = await _choose_project(connection, credentials.project_key)
            actor = ActorRecord(kind=ActorKind.TOKEN.value, id=None, name="admin")
            return Principal(actor, Role.ADMIN, project.id, governs=True)
        token = TokenText.parse(text)
        if token is not None:
            return await self._identify_token(token, credentials.project_key)
        if self._sign_on is not None and text.count(".") == _DOTS_OF_A_JWT:
            return await self._identify_person(self._sign_on, text, credentials.project_key)
        raise Unauthenticated(Refusal.UNKNOWN)

    def _is_admin(self, text: str) -> bool:
        if self._admin_hash is None:
            return False
        return hmac.compare_digest(sha256(text.encode()).digest(), self._admin_hash)

    async def _identify_token(self, token: TokenText, project_key: str | None) -> Principal:
        async with self._runtime.database.reading(None) as connection:
            found = await read_token(connection, token.id)
            # A token that does not exist costs the same comparison as one that does.
            stored_hash = bytes(32) if found is None else found[0].secret_hash
            if not hmac.compare_digest(token.secret_hash, stored_hash) or found is None:
                raise Unauthenticated(Refusal.UNKNOWN)
            row, now = found
            _check_standing(row, now)
            project = await _project_of_token(connection, row, project_key)
        await self._note_use(row, now)
        actor = ActorRecord(kind=ActorKind.TOKEN.value, id=str(row.id), name=row.name)
        governs = row.project_id is None
        return Principal(actor, row.role, project.id, expires_at=row.expires_at, governs=governs)

    async def _identify_person(
        self, sign_on: SingleSignOn, text: str, project_key: str | None
    ) -> Principal:
        try:
            person = await sign_on.identify(text)
        except Expired as error:
            raise Unauthenticated(Refusal.SIGNED_OUT) from error
        except NotAccepted as error:
            _log.info("sign_on.refused", reason=str(error))
            raise Unauthenticated(Refusal.NOT_ACCEPTED) from error
        if not person.roles:
            raise Unauthenticated(Refusal.WITHOUT_GRANT)
        key = project_key or _usual_project(person)
        everywhere = person.roles.get(EVERY_PROJECT)
        held = [role for role in (person.roles.get(key), everywhere) if role is not None]
        if not held:
            raise _unknown_project(key)
        async with self._runtime.database.reading(None) as connection:
            project = await _choose_project(connection, key)
        actor = ActorRecord(kind=ActorKind.USER.value, id=person.subject, name=person.name)
        return Principal(
            actor,
            max(held, key=_RANK.__getitem__),
            project.id,
            expires_at=person.expires_at,
            governs=everywhere is Role.ADMIN,
        )

    async def _note_use(self, row: ApiToken, now: datetime) -> None:
        if row.last_used_at is None or (now - row.last_used_at).total_seconds() > 60:
            async with self._runtime.database.transaction() as transaction:
                await note_token_used(transaction, row.id)


def _usual_project(person: Person) -> str:
    """Return the project of somebody who names none: the only one, or the default."""
    if EVERY_PROJECT in person.roles or len(person.roles) > 1:
        return DEFAULT_PROJECT
    return next(iter(person.roles))


def _bearer(authorization: str | None) -> str | None:
    scheme, _, text = (authorization or "").strip().partition(" ")
    return text.strip() or None if scheme.lower() == "bearer" else None


def _check_standing(row: ApiToken, now: datetime) -> None:
    if row.revoked_at is not None:
        raise Unauthenticated(Refusal.UNKNOWN)
    if row.expires_at is not None and row.expires_at <= now:
        raise Unauthenticated(Refusal.EXPIRED)


async def _project_of_token(
    connection: ReadConnection, row: ApiToken, project_key: str | None
) -> Project:
    if row.project_id is None:
        return await _choose_project(connection, project_key)
    project = await read_project(connection, row.project_id)
    assert project is not None, "a token outlives its project"
    if project_key is not None and project_key != project.key:
        raise _unknown_project(project_key)
    return project


async def _choose_project(connection: ReadConnection, key: str | None) -> Project:
    project = await read_project_by_key(connection, key or DEFAULT_PROJECT)
    if project is None:
        raise _unknown_project(key or DEFAULT_PROJECT)
    return project


def _unknown_project(key: str) -> NotFound:
    return NotFound(f"There is no project {key[:200]!r} that this token opens.")
