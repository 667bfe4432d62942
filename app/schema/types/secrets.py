"""Secrets, of which only the name is ever shown."""

from datetime import datetime

import strawberry

from app.core.ids import Kind
from app.models import Secret as SecretRow
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node


@strawberry.type(
    description="A value that only workers read. Write-only: it is never returned. Refer to it as "
    '`{"secret": "key"}` in a job\'s configuration and in parameters.'
)
class Secret(Node):
    """A secret."""

    key: str = strawberry.field(description="Unique among the project's secrets.")
    updated_at: datetime = strawberry.field(description="When its value was last put.")
    version: int = strawberry.field(description="Counts how often its value was put.")

    @classmethod
    def of(cls, row: SecretRow) -> "Secret":
        """Return the public form."""
        return cls(
            id=to_id(Kind.SECRET, row.id),
            key=row.key,
            updated_at=row.updated_at,
            version=row.version,
        )


@strawberry.type(description="The result of changing a secret.")
class SecretPayload:
    """A payload."""

    secret: Secret | None = strawberry.field(default=None, description="The secret.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
