"""Send messages: at least once, each with an id that stays the same, so that receivers can tell.

A message is claimed for a time. Whoever dies while sending leaves it to the others; what cannot be
delivered is tried again, later each time, and given up with a line in the log and on the rule.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import orjson
import structlog

from app.core.clock import utc_now
from app.core.errors import DependencyUnavailable, NotFound
from app.core.notifying import (
    EmailTarget,
    WebhookTarget,
    read_target,
    retry_delay_seconds,
    text_of,
    title_of,
)
from app.handlers.mail import send_mail
from app.handlers.webhook import WebhookSender
from app.runtime import Runtime
from app.services.secrets import open_secret
from app.store import notifications as store
from app.store.notifications import (
    Message,
    claim_messages,
    note_delivered,
    note_not_delivered,
)
from app.store.secrets import read_secrets

MOST_ATTEMPTS = 15
"""After so many attempts, most of five hours after the first, a message is given up."""

_AT_ONCE = 10
_LONGEST_ERROR = 300
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a claimed message is left alone, and how soon a failed one is tried again.

    The lease is longer than any sending takes.
    """

    lease_seconds: float = 60.0
    first_retry_seconds: float = 5.0


async def deliver(runtime: Runtime, sender: WebhookSender, patience: Patience) -> int:
    """Send messages that are due, some at a time; return how many were tried."""
    async with runtime.database.transaction() as transaction:
        claimed = await claim_messages(
            transaction, lease_seconds=patience.lease_seconds, limit=_AT_ONCE
        )
    await _all(_deliver(runtime, sender, message, patience) for message in claimed)
    return len(claimed)


async def seconds_until_due(runtime: Runtime) -> float | None:
    """Return when `deliver` has something to do by what is known now; None: nothing waits."""
    async with runtime.database.reading(None) as connection:
        return await store.seconds_until_due(connection)


async def _all(deliveries: Iterable[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for delivery in deliveries:
            group.create_task(delivery)


async def _deliver(
    runtime: Runtime, sender: WebhookSender, message: Message, patience: Patience
) -> None:
    try:
        await _send(runtime, sender, message)
    except Exception as error:  # Whatever it is, the message waits and somebody is told.
        await _note_failure(runtime, message, error, patience)
        return
    async with runtime.database.transaction() as transaction:
        await note_delivered(transaction, message)
    _log.info("notification.delivered", rule=message.rule_key, message_id=message.id.hex)


async def _send(runtime: Runtime, sender: WebhookSender, message: Message) -> None:
    target = read_target(message.target)
    if isinstance(target, WebhookTarget):
        await sender.post(
            target.url,
            _body(message),
            secret=await _secret(runtime, message, target.sign),
            message_id=f"msg_{message.id.hex}",
            at=utc_now(),
        )
    else:
        await _mail(runtime, message, target)


async def _mail(runtime: Runtime, message: Message, target: EmailTarget) -> None:
    server = runtime.mail_server
    if server is None:
        raise DependencyUnavailable("The instance has no mail server: TICKWHEEL_SMTP_HOST.")
    mail = EmailMessage()
    mail["From"] = server.sender
    mail["To"] = ", ".join(target.to)
    mail["Subject"] = f"[Tickwheel] {message.project_key}: {title_of(message.notifications)}"
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = f"<{message.id.hex}@tickwheel>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        text_of(message.notifications)
        + f"\nRule {message.rule_key} of project {message.project_key}.\n"
    )
    await send_mail(server, mail)


def _body(message: Message) -> bytes:
    return orjson.dumps(
        {
            "type": "tickwheel.notifications",
            "timestamp": message.created_at,
            "data": {
                "project": message.project_key,
                "rule": message.rule_key,
                "notifications": message.notifications,
            },
        }
    )


async def _secret(runtime: Runtime, message: Message, key: str) -> str:
    at = (message.project_id, key)
    async with runtime.database.reading(message.project_id) as connection:
        secret = (await read_secrets(connection, [at])).get(at)
    if secret is None:
        raise NotFound(f"There is no secret with the key {key!r}.")
    return open_secret(runtime.keyring, secret)


async def _note_failure(
    runtime: Runtime, message: Message, error: Exception, patience: Patience
) -> None:
    said = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR].replace("\0", "")
    is_last = message.attempts >= MOST_ATTEMPTS
    delay = retry_delay_seconds(message.attempts, first_seconds=patience.first_retry_seconds)
    log = _log.error if is_last else _log.warning
    log(
        "notification.given_up" if is_last else "notification.failed",
        rule=message.rule_key,
        project=message.project_key,
        message_id=message.id.hex,
        attempt=message.attempts,
        error=said,
    )
    async with runtime.database.transaction() as transaction:
        await note_not_delivered(
            transaction,
            message,
            error=said,
            again_after=None if is_last else timedelta(seconds=delay),
        )
