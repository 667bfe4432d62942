"""Notification rules, and what is to be told by them: the outbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Text,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from app.core.vocabulary import MessageState, NotificationEvent
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class NotificationRule(SQLModel, table=True):
    """Who is told of what. `next_message_at` paces its messages; the last ones' fate is kept."""

    __tablename__ = "notification_rule"
    __table_args__ = (Index("notification_rule_key", "project_id", "key", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    events: list[str] = Field(sa_type=ARRAY(Text))
    # As core.notifying reads them.
    target: dict[str, Any] = Field(sa_type=Json)
    filter: dict[str, Any] | None = Field(default=None, sa_type=Json)
    next_message_at: datetime = Field(sa_type=Instant)
    last_delivered_at: datetime | None = Field(default=None, sa_type=Instant)
    last_error: str | None = Field(default=None, sa_type=Text)


class NotificationMessage(SQLModel, table=True):
    """One message to a rule's target. While it is being sent, `next_attempt_at` is its lease."""

    __tablename__ = "notification_message"
    __table_args__ = (
        Index(
            "notification_message_due",
            "next_attempt_at",
            postgresql_where=text("state = 'WAITING'"),
        ),
        Index("notification_message_of_rule", "rule_id"),
        Index(
            "notification_message_old", "created_at", postgresql_where=text("state <> 'WAITING'")
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    rule_id: UUID = Field(
        sa_type=Uuid, sa_column_args=(ForeignKey("notification_rule.id", ondelete="CASCADE"),)
    )
    state: MessageState = Field(
        default=MessageState.WAITING, sa_type=word_type(MessageState, "notification_message_state")
    )
    attempts: int = 0
    next_attempt_at: datetime = Field(sa_type=Instant)
    error: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=Instant)


class Notification(SQLModel, table=True):
    """One thing to tell by one rule; without a message until the rule's next one is made.

    `occurrence` names what happened: the index keeps a rule from telling of it twice.
    """

    __tablename__ = "notification"
    __table_args__ = (
        Index("notification_occurrence", "rule_id", "occurrence", unique=True),
        Index(
            "notification_untold",
            "rule_id",
            "id",
            postgresql_where=text("message_id IS NULL"),
        ),
        Index("notification_of_message", "message_id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    rule_id: UUID = Field(
        sa_type=Uuid, sa_column_args=(ForeignKey("notification_rule.id", ondelete="CASCADE"),)
    )
    message_id: UUID | None = Field(
        default=None,
        sa_type=Uuid,
        sa_column_args=(ForeignKey("notification_message.id", ondelete="CASCADE"),),
    )
    event: NotificationEvent = Field(sa_type=word_type(NotificationEvent, "notification_event"))
    occurrence: str = Field(sa_type=Text)
    facts: dict[str, Any] = Field(sa_type=Json)


class NotificationFeed(SQLModel, table=True):
    """Up to which position the events have been read; one row, locked by whoever reads on."""

    __tablename__ = "notification_feed"
    __table_args__ = (CheckConstraint("id = 1", name="notification_feed_is_one_row"),)

    id: int = Field(default=1, primary_key=True)
    # A pg_snapshot, as docs/decisions/0002 says.
    position: str = Field(sa_type=Text)
