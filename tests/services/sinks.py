"""Receivers of notifications on loopback: an HTTP server and a mail server, both real."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

PATIENCE_SECONDS = 20.0


@dataclass
class Received:
    """One request to the webhook."""

    id: str
    body: dict[str, Any]

    @property
    def events(self) -> list[str]:
        return [each["event"] for each in self.body["data"]["notifications"]]


@dataclass
class Hook:
    """A webhook that accepts only what the secret has signed."""

    secret: str
    status: int = 204
    port: int = 0
    received: list[Received] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        id_, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = b".".join([id_.encode(), at.encode(), body])
        digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        if request.headers["webhook-signature"] != f"v1,{base64.b64encode(digest).decode()}":
            return web.Response(status=401)
        self.received.append(Received(id_, json.loads(body)))
        self.came.set()
        return web.Response(status=self.status)

    async def until(self, event: str) -> dict[str, Any]:
        """Wait until told of an event, and return the notification."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self.came.clear()
                for received in self.received:
                    for each in received.body["data"]["notifications"]:
                        if each["event"] == event:
                            return dict(each)
                await self.came.wait()


@asynccontextmanager
async def a_hook(secret: str, *, port: int = 0) -> AsyncIterator[Hook]:
    """Serve a webhook on a free port, or on one that is known to be free."""
    hook = Hook(secret)
    application = web.Application()
    application.router.add_post("/hook", hook.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    hook.port = runner.addresses[0][1]
    try:
        yield hook
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """What a mail server has taken."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"


@asynccontextmanager
async def a_mail_server() -> AsyncIterator[Mailbox]:
    """Serve SMTP on a free port."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
