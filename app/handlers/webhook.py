"""Post signed messages to addresses that people have named: guarded like HTTP jobs.

Redirects are not followed: the Standard Webhooks scheme takes them for a failure.
"""

from datetime import datetime

import aiohttp
from yarl import URL

from app.handlers.http_job import network_guard, open_session
from app.handlers.http_signing import signature_headers
from app.handlers.network_guard import NetworkGuard, Resolve, system_resolve
from app.handlers.options import HandlerOptions

_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=10)


class WebhookRefused(Exception):
    """The receiver answered with something other than success."""


class WebhookSender:
    """The client of one process."""

    def __init__(self, session: aiohttp.ClientSession, guard: NetworkGuard) -> None:
        self._session = session
        self._guard = guard

    @classmethod
    def open(cls, options: HandlerOptions, resolve: Resolve = system_resolve) -> "WebhookSender":
        """Open the client; close it at the end."""
        guard = network_guard(options)
        return cls(open_session(options, guard, resolve), guard)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def post(
        self, url: str, body: bytes, *, secret: str, message_id: str, at: datetime
    ) -> None:
        """Deliver a JSON body, or raise.

        Raises WebhookRefused, KeyUnusable, AddressRefused, aiohttp's errors, OSError, TimeoutError.
        """
        signed = signature_headers(secret, message_id=message_id, at=at, body=body)
        async with self._session.post(
            self._guard.checked_url(URL(url)),
            data=body,
            headers={"Content-Type": "application/json", **signed},
            allow_redirects=False,
            timeout=_TIMEOUT,
        ) as response:
            if not 200 <= response.status < 300:
                raise WebhookRefused(f"The receiver answered {response.status}.")
