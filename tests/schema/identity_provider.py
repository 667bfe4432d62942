"""A small OpenID Connect provider: discovery, keys, and tokens signed with them."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "tickwheel"


class IdentityProvider:
    """Signs tokens; its newest key is the one it signs with."""

    def __init__(self) -> None:
        self.issuer = ""
        self.questions = 0
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate("first")
        self.leave: Callable[[], Awaitable[None]]

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on, and know only that one."""
        self.keys = {kid: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return what is said of somebody in the group `engineers`; None leaves a claim out."""
        now = int(time.time())
        whole = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "user-7",
            "name": "Ada",
            "groups": ["engineers"],
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def token(self, *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """Return a signed token with these claims."""
        ((kid, key),) = self.keys.items()
        given = {"kid": kid, **(headers or {})}
        return jwt.encode(self.claims(**changes), key, algorithm="RS256", headers=given)

    def public_text(self) -> bytes:
        """Return the public key, as everybody can have it."""
        (key,) = self.keys.values()
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def discovery(self, _: web.Request) -> web.Response:
        """Say where the keys are."""
        return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def jwks(self, _: web.Request) -> web.Response:
        """Give the public keys."""
        self.questions += 1
        keys = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid}
            for kid, key in self.keys.items()
        ]
        return web.json_response({"keys": keys})


@asynccontextmanager
async def running_provider() -> AsyncIterator[IdentityProvider]:
    """Run a provider on a free port of the loopback."""
    provider = IdentityProvider()
    application = web.Application()
    application.router.add_get("/.well-known/openid-configuration", provider.discovery)
    application.router.add_get("/keys", provider.jwks)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        provider.leave = site.stop
        provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
