"""Whom the runs of a schedule act as: its owner, who is its creator unless another one is named.

What fires by itself is refused when the owner may no longer trigger the job; the claim sees to that
(`store/sql/lock_startable_runs.sql`). Only tokens are known well enough for it: what a person may
do is in the token of their identity provider, and nowhere here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from app.core.errors import Forbidden, Invalid, NotFound
from app.core.vocabulary import ActorKind, Role
from app.models import ApiToken
from app.models.columns import ActorRecord
from app.services.absent import ABSENT
from app.services.access import Principal
from app.services.schedules.definition import ScheduleFields
from app.store.database import ReadConnection
from app.store.tokens import read_tokens_by_id

_PATH = ("ownerId",)


class Owners:
    """Who may be named as an owner by one caller."""

    def __init__(
        self, principal: Principal, tokens: Mapping[UUID, ApiToken], as_of: datetime
    ) -> None:
        self._principal = principal
        self._tokens = tokens
        self._as_of = as_of

    @classmethod
    async def load(
        cls,
        connection: ReadConnection,
        principal: Principal,
        requests: Iterable[ScheduleFields],
        *,
        as_of: datetime,
    ) -> "Owners":
        """Read the tokens that the requests name."""
        named = {_token_id(fields.owner_id) for fields in requests} - {None}
        tokens = await read_tokens_by_id(connection, [id_ for id_ in named if id_ is not None])
        return cls(principal, tokens, as_of)

    def choose(
        self, fields: ScheduleFields, *, created_by: ActorRecord | None, so_far: ActorRecord | None
    ) -> ActorRecord | None:
        """Return the owner of a schedule, or raise why it cannot be the one that is named.

        Everybody may name themselves. To let a schedule act as somebody else takes an
        administrator.
        """
        owner_id = fields.owner_id
        if owner_id is ABSENT:
            return so_far
        if owner_id is None:
            return created_by
        if owner_id == self._principal.actor["id"]:
            return self._principal.actor
        if not self._principal.may(Role.ADMIN):
            message = "Only an administrator lets a schedule act as somebody else: name yourself."
            raise Forbidden(message, path=_PATH)
        token = self._find(owner_id)
        why = why_powerless(token, self._as_of)
        if why is not None:
            raise Invalid(f"The token {token.name!r} {why}: name another owner.", path=_PATH)
        return ActorRecord(kind=ActorKind.TOKEN.value, id=str(token.id), name=token.name)

    def _find(self, owner_id: str) -> ApiToken:
        id_ = _token_id(owner_id)
        token = None if id_ is None else self._tokens.get(id_)
        opens = {self._principal.project_id} | ({None} if self._principal.governs else set())
        if token is None or token.project_id not in opens:
            raise NotFound(
                "There is no such API token in this project; people can only name themselves.",
                id=owner_id[:200],
                path=_PATH,
            )
        return token


def why_powerless(token: ApiToken, at: datetime) -> str | None:
    """Return why the holder of a token may not trigger anything at an instant, or None."""
    if token.revoked_at is not None:
        return "was revoked"
    if token.expires_at is not None and token.expires_at <= at:
        return "has expired"
    if token.role is Role.VIEWER:
        return "may only read"
    return None


async def read_owners(
    connection: ReadConnection, owners: Iterable[ActorRecord | None]
) -> dict[str, ApiToken]:
    """Return the tokens that schedules act as, by the id that stands in the owner."""
    named = {owner["id"] for owner in owners if owner and owner["kind"] == ActorKind.TOKEN.value}
    ids = [id_ for each in named if (id_ := _token_id(each)) is not None]
    return {str(id_): token for id_, token in (await read_tokens_by_id(connection, ids)).items()}


def _token_id(text: object) -> UUID | None:
    if not isinstance(text, str):
        return None
    try:
        return UUID(text)
    except ValueError:
        return None
