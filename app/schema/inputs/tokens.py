"""Inputs about API tokens."""

from datetime import datetime

import strawberry

from app.core.vocabulary import Role
from app.services.tokens import TokenRequest


@strawberry.input(description="A token to be made.")
class ApiTokenCreateInput:
    """A request."""

    name: str = strawberry.field(description="For people; what it does is recorded under it.")
    role: Role = strawberry.field(description="What it may do.")
    expires_at: datetime | None = strawberry.field(
        default=None, description="Refused from then on; without it, it never expires."
    )
    instance: bool = strawberry.field(
        default=False,
        description="Bound to no project: an administrator of the whole instance. Only such a one "
        "may make another.",
    )

    def read(self) -> TokenRequest:
        """Return the service's form."""
        return TokenRequest(
            name=self.name,
            role=self.role,
            expires_at=self.expires_at,
            for_instance=self.instance,
        )
