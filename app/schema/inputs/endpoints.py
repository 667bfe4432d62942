"""Inputs about endpoints."""

from typing import Any, cast

import strawberry
from strawberry.scalars import JSON

from app.services.endpoints import EndpointRequest


@strawberry.input(description="What an endpoint is to be; it is replaced whole.")
class EndpointInput:
    """An endpoint."""

    key: str = strawberry.field(description="Which one; it is created if there is none.")
    base_url: str = strawberry.field(description="https://host/path, without query.")
    headers: JSON | None = strawberry.field(
        default=None, description="An object of texts, templates or references to secrets."
    )
    variables: JSON | None = strawberry.field(
        default=None, description="An object of texts, numbers, flags or references to secrets."
    )
    auth: JSON | None = strawberry.field(
        default=None,
        description='`{type: "bearer", token}`, `{type: "basic", username, password}`, '
        '`{type: "apiKey", header, value}` or `{type: "oauth2", tokenUrl, clientId, clientSecret, '
        'scopes, audience, sendAs}`; credentials as `{secret: "key"}`.',
    )

    def read(self) -> EndpointRequest:
        """Return the service's form; the service checks it."""
        return EndpointRequest(
            self.key,
            self.base_url,
            cast(Any, self.headers),
            cast(Any, self.variables),
            cast(Any, self.auth),
        )
