"""Queries and mutations about endpoints."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.endpoints import EndpointInput
from app.schema.types.endpoints import Endpoint, EndpointPayload
from app.services import endpoints as service
from app.store.endpoints import read_endpoints_of_project


@strawberry.type
class EndpointQueries:
    """Reads."""

    @strawberry.field(description="The project's endpoints, by key.")
    async def endpoints(self, info: Info) -> list[Endpoint]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await read_endpoints_of_project(
                connection, info.context.principal.project_id, limit=service.MOST_ENDPOINTS
            )
        return [Endpoint.of(row) for row in rows]


@strawberry.type
class EndpointMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create an endpoint, or replace one; runs that start later go to the new one."
    )
    async def endpoint_put(
        self,
        info: Info,
        input: Annotated[EndpointInput, strawberry.argument(description="The endpoint.")],
    ) -> EndpointPayload:
        """Put."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.put_endpoint(context.runtime, context.principal, input.read())
            return EndpointPayload(endpoint=Endpoint.of(accepted.result))
        return EndpointPayload(errors=errors)

    @strawberry.mutation(description="Delete an endpoint that no job goes to.")
    async def endpoint_delete(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which endpoint.")],
    ) -> EndpointPayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.remove_endpoint(context.runtime, context.principal, key)
            return EndpointPayload(endpoint=Endpoint.of(accepted.result))
        return EndpointPayload(errors=errors)
