"""Endpoints."""

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.models import Endpoint as EndpointRow
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node


@strawberry.type(
    description="A reusable target of HTTP jobs: base URL, headers, variables, credentials."
)
class Endpoint(Node):
    """An endpoint."""

    key: str = strawberry.field(description="What a job's `connection` names.")
    base_url: str = strawberry.field(
        description="What the paths of jobs lie below; `{{ endpoint.x }}` is a variable."
    )
    headers: JSON = strawberry.field(description="Sent with every request, below the job's own.")
    variables: JSON = strawberry.field(
        description="Account, instance, entity: `{{ endpoint.account }}` in templates."
    )
    auth: JSON = strawberry.field(description="Credentials, by reference to secrets.")
    version: int = strawberry.field(description="Counts its changes.")

    @classmethod
    def of(cls, row: EndpointRow) -> "Endpoint":
        """Return the public form."""
        return cls(
            id=to_id(Kind.ENDPOINT, row.id),
            key=row.key,
            base_url=row.base_url,
            headers=JSON(row.headers),
            variables=JSON(row.variables),
            auth=JSON(row.auth),
            version=row.version,
        )


@strawberry.type(description="The result of changing an endpoint.")
class EndpointPayload:
    """A payload."""

    endpoint: Endpoint | None = strawberry.field(default=None, description="The endpoint.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
