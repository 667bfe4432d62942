"""Rules, and real receivers of notifications on loopback: an HTTP server and a mail server."""

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.models import NotificationRule, Secret
from app.models.columns import new_id
from app.sealing import Keyring
from tests.engine import Engine

KEYS = "test:" + "A" * 43 + "="
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
    # While it is clear, requests are taken and not answered.
    answers: asyncio.Event = field(default_factory=asyncio.Event)
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
        await self.answers.wait()
        return web.Response(status=self.status)

    async def until(self, event: str, *, times: int = 1, messages: int = 1) -> dict[str, Any]:
        """Wait until told of an event so often, in so many messages; return that time's."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self.came.clear()
                told = [
                    (received.id, each)
                    for received in self.received
                    for each in received.body["data"]["notifications"]
                    if each["event"] == event
                ]
                if len(told) >= times and len({id_ for id_, _ in told}) >= messages:
                    return dict(told[times - 1][1])
                await self.came.wait()


@asynccontextmanager
async def a_hook(secret: str, *, port: int = 0) -> AsyncIterator[Hook]:
    """Serve a webhook on a free port, or on one that is known to be free."""
    hook = Hook(secret)
    hook.answers.set()
    application = web.Application()
    application.router.add_post("/hook", hook.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
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
    """What a mail server has taken. `account` is whom it takes mail of, if not of everybody."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    account: LoginPassword | None = None
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.account is not None and not session.authenticated:
            return "530 log in first"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"

    def knows(self, *given: Any) -> AuthResult:
        """Let in whoever has the account."""
        return AuthResult(success=given[-1] == self.account, handled=False)


@asynccontextmanager
async def a_mail_server(
    *,
    host: str = "127.0.0.1",
    account: LoginPassword | None = None,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Mailbox]:
    """Serve SMTP on a free port: in the clear, encrypted after a greeting or from the beginning."""
    mailbox = Mailbox(account=account)

    def serve() -> SMTP:
        return SMTP(
            mailbox,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=mailbox.knows,
            # It does not know of a connection that was encrypted before it.
            auth_require_tls=tls is None,
        )

    server = await asyncio.get_running_loop().create_server(serve, host, 0, ssl=tls)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()


async def add_secret(engine: Engine, key: str, value: str) -> None:
    """Insert a secret of the engine's project."""
    now = await engine.now()
    sealed = Keyring.read(KEYS, None).seal(value, belongs_to=f"secret/{engine.project_id}/{key}")
    await engine.add(
        Secret(
            project_id=engine.project_id,
            key=key,
            created_at=now,
            updated_at=now,
            key_id=sealed.key_id,
            sealed=sealed.content,
        )
    )


async def add_rule(
    engine: Engine,
    url: str,
    *events: str,
    target: dict[str, Any] | None = None,
    filter: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Insert a rule; without another target it tells a webhook, signed with the secret `hook`."""
    now = await engine.now()
    await engine.add(
        NotificationRule(
            project_id=engine.project_id,
            key=key or f"rule-{new_id().hex}",
            created_at=now,
            updated_at=now,
            events=list(events),
            target=target or {"type": "webhook", "url": url, "sign": "hook"},
            filter=filter,
            next_message_at=now,
        )
    )
