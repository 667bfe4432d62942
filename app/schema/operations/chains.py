"""Queries and mutations about chains."""

from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.chains import ChainInput
from app.schema.types.chains import Chain, ChainPayload
from app.services import chains as service
from app.store.chains import read_chains_of_project


@strawberry.type
class ChainQueries:
    """Reads."""

    @strawberry.field(description="The project's chains, the oldest first.")
    async def chains(self, info: Info) -> list[Chain]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await read_chains_of_project(
                connection, info.context.principal.project_id, limit=service.MOST_CHAINS
            )
        return [Chain.of(row) for row in rows]


@strawberry.type
class ChainMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create the chain between two jobs, or replace it; it follows the runs that "
        "start from then on. One that would close a circle is refused."
    )
    async def chain_put(
        self,
        info: Info,
        input: Annotated[ChainInput, strawberry.argument(description="The chain.")],
    ) -> ChainPayload:
        """Put."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.put_chain(context.runtime, context.principal, input.read())
            return ChainPayload(chain=Chain.of(accepted.result))
        return ChainPayload(errors=errors)

    @strawberry.mutation(description="Delete a chain; the runs that it has started stay.")
    async def chain_delete(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which chain.")],
    ) -> ChainPayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            id_ = from_id(Kind.CHAIN, id, "id")
            accepted = await service.remove_chain(context.runtime, context.principal, id_)
            return ChainPayload(chain=Chain.of(accepted.result))
        return ChainPayload(errors=errors)
