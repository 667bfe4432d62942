"""Notification rules."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.vocabulary import NotificationEvent
from app.models import NotificationRule as RuleRow
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node


@strawberry.type(description="Who is told of what happens in the project.")
class NotificationRule(Node):
    """A rule."""

    key: str = strawberry.field(description="Its name for people and mutations.")
    events: list[NotificationEvent] = strawberry.field(description="What it tells of.")
    target: JSON = strawberry.field(description="Whom it tells: a webhook or e-mail addresses.")
    filter: JSON | None = strawberry.field(description="What narrows it; null: nothing does.")
    version: int = strawberry.field(description="Counts its changes.")
    last_delivered_at: datetime | None = strawberry.field(
        description="When a message last arrived; null: never."
    )
    last_error: str | None = strawberry.field(
        description="Why the last attempt at a message failed; null: it did not."
    )

    @classmethod
    def of(cls, row: RuleRow) -> "NotificationRule":
        """Return the public form."""
        return cls(
            id=to_id(Kind.RULE, row.id),
            key=row.key,
            events=[NotificationEvent(event) for event in row.events],
            target=JSON(row.target),
            filter=None if row.filter is None else JSON(row.filter),
            version=row.version,
            last_delivered_at=row.last_delivered_at,
            last_error=row.last_error,
        )


@strawberry.type(description="The result of changing a notification rule.")
class NotificationRulePayload:
    """A payload."""

    rule: NotificationRule | None = strawberry.field(default=None, description="The rule.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
