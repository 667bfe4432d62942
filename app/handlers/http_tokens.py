"""OAuth 2 access tokens for endpoints, by the client credentials grant.

A token is asked for once and used until shortly before it expires, by every run of every worker:
whoever gets one puts it into a store that all workers share (`TokenStore`, sealed in PostgreSQL).
A worker keeps what it has used in memory, and asks for one token at a time. When a server refuses a
token before its time, that very token is given up, and whatever another worker has got since is
tried before a new one is asked for.
"""

import asyncio
import base64
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote
from uuid import UUID

from app.core.clock import utc_now
from app.handlers.http_endpoint import Access, ClientCredentials

# Renewed this long before the end, or in the last tenth of a short life.
_MARGIN = timedelta(seconds=60)
_SHARE_OF_LIFE = 10
# Where the server does not say how long its token holds.
_LIFE_UNSAID = timedelta(minutes=5)
_LONGEST_LIFE = timedelta(days=30)
_LONGEST_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and the instants between which it is used."""

    text: str = field(repr=False)
    obtained_at: datetime
    expires_at: datetime

    def is_fresh(self, as_of: datetime) -> bool:
        """Whether it holds for a while yet."""
        margin = min(_MARGIN, (self.expires_at - self.obtained_at) / _SHARE_OF_LIFE)
        return as_of < self.expires_at - margin


class TokenStore(Protocol):
    """Where the workers of an instance share tokens. Neither method raises."""

    async def read(self, endpoint_id: UUID, generation: str) -> AccessToken | None:
        """Return the token last written for this generation of an endpoint."""

    async def write(self, endpoint_id: UUID, generation: str, token: AccessToken) -> None:
        """Keep a token for all workers."""


class NoTokenStore:
    """Shares nothing: each worker has its own tokens."""

    async def read(self, endpoint_id: UUID, generation: str) -> AccessToken | None:
        """Return nothing."""
        return None

    async def write(self, endpoint_id: UUID, generation: str, token: AccessToken) -> None:
        """Keep nothing."""


class TokenRefused(Exception):
    """The authorization server gives no token. `is_final`: asking again will not help."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


Fetch = Callable[[ClientCredentials], Awaitable[AccessToken]]


class AccessTokens:
    """The tokens of one worker."""

    def __init__(self, store: TokenStore, fetch: Fetch) -> None:
        self._store = store
        self._fetch = fetch
        self._held: dict[UUID, tuple[str, AccessToken]] = {}
        self._asking: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def token(self, access: Access, *, refused: str | None = None) -> str:
        """Return a token for an endpoint, other than one that was refused.

        Raises TokenRefused, or what the client raises when the server cannot be reached.
        """
        assert access.oauth is not None, "only OAuth 2 endpoints have tokens"
        held = self._usable(self._held.get(access.id), access, refused)
        if held is not None:
            return held.text
        async with self._asking[access.id]:
            # Another run may have got one while this one waited.
            held = self._usable(self._held.get(access.id), access, refused)
            if held is None:
                held = await self._shared_or_new(access, access.oauth, refused)
                self._held[access.id] = (access.generation, held)
        return held.text

    async def _shared_or_new(
        self, access: Access, oauth: ClientCredentials, refused: str | None
    ) -> AccessToken:
        shared = await self._store.read(access.id, access.generation)
        if shared is not None and shared.text != refused and shared.is_fresh(utc_now()):
            return shared
        token = await self._fetch(oauth)
        await self._store.write(access.id, access.generation, token)
        return token

    @staticmethod
    def _usable(
        held: tuple[str, AccessToken] | None, access: Access, refused: str | None
    ) -> AccessToken | None:
        if held is None or held[0] != access.generation or held[1].text == refused:
            return None
        return held[1] if held[1].is_fresh(utc_now()) else None


def token_request(oauth: ClientCredentials) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the form fields of a request for a token (RFC 6749, 4.4 and 2.3.1)."""
    headers = {"Accept": "application/json"}
    if oauth.in_body:
        who = {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
        return headers, {**oauth.fields, **who}
    pair = f"{quote(oauth.client_id, safe='')}:{quote(oauth.client_secret, safe='')}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers, dict(oauth.fields)


def read_token(status: int, answer: object, *, as_of: datetime) -> AccessToken:
    """Return the token of an answer, which is hostile input. Raises TokenRefused."""
    fields = answer if isinstance(answer, dict) else {}
    text, kind = fields.get("access_token"), str(fields.get("token_type", "bearer"))
    if status != 200 or not isinstance(text, str) or not text:
        code = fields.get("error")
        why = f" ({code})" if isinstance(code, str) else ""
        raise TokenRefused(
            f"The authorization server answered {status}{why} and gave no token.",
            is_final=400 <= status < 500 and status not in (408, 425, 429),
        )
    if len(text) > _LONGEST_TOKEN or not text.isascii() or any(c <= " " for c in text):
        raise TokenRefused("The authorization server's token is no token.", is_final=True)
    if kind.lower() != "bearer":
        raise TokenRefused(f"Tokens of the type {kind} are not known here.", is_final=True)
    seconds = fields.get("expires_in")
    try:
        life = _LIFE_UNSAID if seconds is None else timedelta(seconds=float(seconds))
    except (TypeError, ValueError, OverflowError):
        life = _LIFE_UNSAID
    life = min(max(life, timedelta(0)), _LONGEST_LIFE)
    return AccessToken(text, obtained_at=as_of, expires_at=as_of + life)
