"""API tokens."""

from datetime import datetime
from uuid import UUID

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.models import ApiToken as TokenRow
from app.schema.context import Info
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node
from app.schema.types.projects import Project


@strawberry.type(
    description="A bearer token. Bound to one project; without one: an administrator of the "
    "instance."
)
class ApiToken(Node):
    """A token."""

    name: str = strawberry.field(description="For people; what it does is recorded under it.")
    role: Role = strawberry.field(description="What it may do.")
    prefix: str = strawberry.field(description="How its text begins, to tell tokens apart.")
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(description="Refused from then on.")
    last_used_at: datetime | None = strawberry.field(
        description="When it was last used, to within a minute."
    )
    revoked_at: datetime | None = strawberry.field(description="When it was taken back.")
    project_id: strawberry.Private[UUID | None]

    @strawberry.field(description="The project it opens; null: every one.")
    async def project(self, info: Info) -> Project | None:
        """Load the project."""
        if self.project_id is None:
            return None
        row = await info.context.loaders.projects.load(self.project_id)
        return None if row is None else Project.of(row)

    @classmethod
    def of(cls, row: TokenRow) -> "ApiToken":
        """Return the public form."""
        return cls(
            id=to_id(Kind.TOKEN, row.id),
            name=row.name,
            role=row.role,
            prefix=f"tw_{row.id.hex}",
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
            project_id=row.project_id,
        )


@strawberry.type(description="The result of making or revoking a token.")
class ApiTokenPayload:
    """A payload."""

    token: ApiToken | None = strawberry.field(default=None, description="The token.")
    secret: str | None = strawberry.field(
        default=None, description="Its text, to be sent as `Authorization: Bearer …`. Shown once."
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
