"""The outbox of notifications: filled from the events, emptied by whoever delivers."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, exists, text
from sqlmodel import col, delete, func, select, update

from app.core.vocabulary import MessageState, Severity
from app.models import Notification, NotificationFeed, NotificationMessage, NotificationRule
from app.store.database import ReadConnection, Transaction


class Message(NamedTuple):
    """A message that the caller is to send: to whom, and what."""

    id: UUID
    attempts: int
    created_at: datetime
    rule_id: UUID
    rule_key: str
    target: dict[str, Any]
    project_id: UUID
    project_key: str
    notifications: list[dict[str, Any]]


async def hold_feed(transaction: Transaction) -> str | None:
    """Return the position up to which events were read, and hold it; None: somebody else does.

    A position ahead of the database, which was restored, is replaced by the present one.
    """
    query = select(NotificationFeed.position).with_for_update(skip_locked=True)
    position = (await transaction.exec(query)).first()
    if position is None:
        return None
    result = await transaction.execute(
        text(
            "SELECT cast(CASE WHEN pg_snapshot_xmin(cast(cast(:position AS text) AS pg_snapshot))"
            " > pg_snapshot_xmax(pg_current_snapshot()) THEN cast(pg_current_snapshot() AS text)"
            " ELSE :position END AS text)"
        ),
        {"position": position},
    )
    return str(result.scalar_one())


async def gather_notifications(
    transaction: Transaction, position: str, may_be_told: Iterable[tuple[str, str]]
) -> int:
    """Write what the rules have to tell of the events since, and move the position on.

    Only events of these subjects and changes are looked at. Return how many were written.
    """
    result = await transaction.run_file(
        "gather_notifications",
        {
            "previous": position,
            "may_be_told": [f"{subject}/{change}" for subject, change in may_be_told],
            "severities": [severity.value for severity in Severity],
        },
    )
    return int(result.rowcount)


async def compose_messages(transaction: Transaction, *, pause_seconds: float, most: int) -> int:
    """Give each rule that has something to tell, and whose time has come, its next message.

    Return how many notifications are in one now.
    """
    result = await transaction.run_file(
        "compose_messages", {"pause_seconds": pause_seconds, "most": most}
    )
    return int(result.rowcount)


async def seconds_until_next_message(connection: ReadConnection) -> float | None:
    """Return when the next message can be made of what is still untold; None: there is nothing."""
    is_untold = exists().where(
        col(Notification.rule_id) == col(NotificationRule.id),
        col(Notification.message_id).is_(None),
    )
    query = select(_seconds_until(func.min(NotificationRule.next_message_at))).where(is_untold)
    return _from_now((await connection.exec(query)).one())


async def seconds_until_due(connection: ReadConnection) -> float | None:
    """Return when the next message is to be sent, or its lease lapses; None: none waits."""
    query = select(_seconds_until(func.min(NotificationMessage.next_attempt_at))).where(
        col(NotificationMessage.state) == MessageState.WAITING
    )
    return _from_now((await connection.exec(query)).one())


def _seconds_until(instant: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.extract("epoch", instant - func.now())


def _from_now(seconds: Any) -> float | None:
    return None if seconds is None else max(float(seconds), 0.0)


async def claim_messages(
    transaction: Transaction, *, lease_seconds: float, limit: int
) -> list[Message]:
    """Take messages that are due; the caller has so many seconds to send them."""
    result = await transaction.run_file(
        "claim_messages", {"lease_seconds": lease_seconds, "limit": limit}
    )
    return [Message(**row) for row in result.mappings()]


async def note_delivered(transaction: Transaction, message: Message) -> None:
    """Write that a message arrived."""
    await transaction.execute(
        update(NotificationMessage)
        .where(col(NotificationMessage.id) == message.id)
        .values(state=MessageState.DELIVERED, error=None)
    )
    await transaction.execute(
        update(NotificationRule)
        .where(col(NotificationRule.id) == message.rule_id)
        .values(last_delivered_at=func.now(), last_error=None)
    )


async def note_not_delivered(
    transaction: Transaction, message: Message, *, error: str, again_after: timedelta | None
) -> None:
    """Write why a message did not arrive, and when to try again; None: never.

    Nothing is written by somebody whose lease has lapsed and whose message another has taken.
    """
    changes: dict[str, Any] = {"error": error}
    if again_after is None:
        changes["state"] = MessageState.GIVEN_UP
    else:
        changes["next_attempt_at"] = func.now() + again_after
    await transaction.execute(
        update(NotificationMessage)
        .where(
            col(NotificationMessage.id) == message.id,
            col(NotificationMessage.attempts) == message.attempts,
            col(NotificationMessage.state) == MessageState.WAITING,
        )
        .values(**changes)
    )
    await transaction.execute(
        update(NotificationRule)
        .where(col(NotificationRule.id) == message.rule_id)
        .values(last_error=error)
    )


async def prune_messages(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Forget up to `limit` old messages that are no longer waiting, and what they told."""
    old: Sequence[UUID] = (
        await transaction.exec(
            select(NotificationMessage.id)
            .where(
                col(NotificationMessage.state) != MessageState.WAITING,
                col(NotificationMessage.created_at) < func.now() - older_than,
            )
            .order_by(col(NotificationMessage.created_at))
            .limit(limit)
        )
    ).all()
    if old:
        await transaction.execute(
            delete(NotificationMessage).where(col(NotificationMessage.id).in_(old))
        )
    return len(old)
