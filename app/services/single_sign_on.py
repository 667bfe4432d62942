"""Who a person is, by a JSON Web Token that an OpenID Connect provider has signed.

Signature, issuer, audience and time are checked, with an allow-list of algorithms that has no
symmetric ones: whoever knows a shared secret could sign as anybody. The provider's keys are fetched
when first needed and again for a key that is not known yet, at most once in a while, so that a
stranger cannot make us ask for every token. A provider that is away keeps out only those whose
key we have never seen.

What a person may do comes from one claim, a list of groups or roles, by a table of the settings.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import jwt
import orjson
import structlog

from app.core.clock import elapsed_seconds
from app.core.vocabulary import Role

EVERY_PROJECT: Final = "*"
"""The project of a grant that administers the instance."""

_LEEWAY_SECONDS = 10
_FETCH_SECONDS = 5.0
_MOST_KEY_BYTES = 512 * 1024
# Keys are taken anew after an hour, and not more often than this for one that is unknown.
_KEYS_LAST_SECONDS, _ASK_AGAIN_SECONDS = 3_600.0, 10.0
_UNAVAILABLE = (aiohttp.ClientError, OSError, TimeoutError)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """What members of a group may do in a project; `*` is every project, and the instance."""

    group: str
    project_key: str
    role: Role

    @classmethod
    def parse(cls, text: str) -> "Grant":
        """Read `group=project:ROLE`; a group may have an equals sign in its name."""
        group, _, rest = text.rpartition("=")
        project_key, _, role = rest.rpartition(":")
        return cls(group, project_key, Role(role))


@dataclass(frozen=True, slots=True)
class Provider:
    """The identity provider, as the settings name it. `groups_claim` is a dotted path."""

    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: tuple[str, ...]
    groups_claim: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """Who a token speaks for, until when, and the highest role in each project."""

    subject: str
    name: str
    expires_at: datetime
    roles: Mapping[str, Role]


class NotAccepted(Exception):
    """The token is not a valid one of the provider."""


class Expired(NotAccepted):
    """It was one."""


class SingleSignOn:
    """Checks the tokens of one provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def identify(self, token: str) -> Person:
        """Return who the token speaks for, or raise `NotAccepted`."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise NotAccepted(str(error)) from error
        key = await self._key(header)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._provider.algorithms),
                issuer=self._provider.issuer,
                audience=self._provider.audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise Expired(str(error)) from error
        except jwt.InvalidTokenError as error:
            raise NotAccepted(str(error)) from error
        return self._person(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        subject = str(claims["sub"])
        name = claims.get("name") or claims.get("preferred_username") or claims.get("email")
        return Person(
            subject=subject,
            name=str(name or subject)[:200],
            expires_at=datetime.fromtimestamp(claims["exp"] + _LEEWAY_SECONDS, UTC),
            roles=highest_roles(_groups(claims, self._provider.groups_claim), self._provider),
        )

    async def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        if header.get("alg") not in self._provider.algorithms:
            raise NotAccepted(f"the algorithm {str(header.get('alg'))[:20]!r} is not allowed")
        kid = header.get("kid")
        if kid not in self._keys or self._is_older_than(_KEYS_LAST_SECONDS):
            await self._ask(kid)
        key = self._keys.get(kid)
        if key is None:
            raise NotAccepted("its key is not one of the provider's")
        return key

    def _is_older_than(self, seconds: float) -> bool:
        return self._asked_at is None or elapsed_seconds() - self._asked_at > seconds

    async def _ask(self, kid: str | None) -> None:
        """Fetch the keys; what we have is kept if the provider does not answer."""
        async with self._asking:
            is_known = kid in self._keys and not self._is_older_than(_KEYS_LAST_SECONDS)
            if is_known or not self._is_older_than(_ASK_AGAIN_SECONDS):
                return
            self._asked_at = elapsed_seconds()
            try:
                self._keys = await _fetch_keys(self._provider)
            except (*_UNAVAILABLE, ValueError, LookupError, jwt.PyJWTError) as error:
                _log.warning("sign_on.keys_unavailable", error=str(error) or repr(error))


def highest_roles(groups: Sequence[str], provider: Provider) -> dict[str, Role]:
    """Return the highest role in each project that membership in the groups gives."""
    rank = list(Role).index
    roles: dict[str, Role] = {}
    for grant in provider.grants:
        held = roles.get(grant.project_key)
        if grant.group in groups and (held is None or rank(held) < rank(grant.role)):
            roles[grant.project_key] = grant.role
    return roles


def _groups(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the texts at a dotted path of the claims; a single text is a list of one."""
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, str):
        return [found]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


async def _fetch_keys(provider: Provider) -> dict[str | None, jwt.PyJWK]:
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        url = provider.jwks_url or await _discover(http, provider.issuer)
        keys = jwt.PyJWKSet.from_dict(await _fetch(http, url)).keys
    return {key.key_id: key for key in keys}


async def _discover(http: aiohttp.ClientSession, issuer: str) -> str:
    document = await _fetch(http, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise ValueError("the discovery document is of another issuer")
    return str(document["jwks_uri"])


async def _fetch(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with http.get(url, allow_redirects=False) as response:
        response.raise_for_status()
        body = await response.content.read(_MOST_KEY_BYTES)
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the provider's answer is not an object")
    return document
