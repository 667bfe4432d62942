"""Inputs about notifications."""

from typing import Any, cast

import strawberry
from strawberry.scalars import JSON

from app.core.vocabulary import NotificationEvent
from app.services.notifications.rules import RuleRequest


@strawberry.input(description="What a notification rule is to be; it is replaced whole.")
class NotificationRuleInput:
    """A rule."""

    key: str = strawberry.field(description="Which one; it is created if there is none.")
    events: list[NotificationEvent] = strawberry.field(description="What to tell of.")
    target: JSON = strawberry.field(
        description='`{type: "webhook", url, sign}`, `sign` being the key of the secret that signs '
        'it, or `{type: "email", to: ["a@example.org"]}`.'
    )
    filter: JSON | None = strawberry.field(
        default=None,
        description="`{jobs: [key], schedules: [key], tags: {key: value}, minSeverity}`; all that "
        "is given must hold.",
    )

    def read(self) -> RuleRequest:
        """Return the service's form; the service checks it."""
        return RuleRequest(self.key, self.events, cast(Any, self.target), cast(Any, self.filter))
