"""Queries and mutations about API tokens."""

from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.tokens import ApiTokenCreateInput
from app.schema.types.tokens import ApiToken, ApiTokenPayload
from app.services import tokens as service


@strawberry.type
class TokenQueries:
    """Reads."""

    @strawberry.field(
        description="The project's tokens, the newest first; for the instance's administrator also "
        "those of the instance. Takes the role ADMIN."
    )
    async def api_tokens(self, info: Info) -> list[ApiToken]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await service.list_tokens(connection, info.context.principal)
        return [ApiToken.of(row) for row in rows]


@strawberry.type
class TokenMutations:
    """Writes. All of them take an administrator."""

    @strawberry.mutation(
        description="Make a token. Its text is in `secret`, this once. Takes the role ADMIN."
    )
    async def api_token_create(
        self,
        info: Info,
        input: Annotated[ApiTokenCreateInput, strawberry.argument(description="The token.")],
    ) -> ApiTokenPayload:
        """Create."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            row, text = await service.create_token(context.runtime, context.principal, input.read())
            return ApiTokenPayload(token=ApiToken.of(row), secret=text)
        return ApiTokenPayload(errors=errors)

    @strawberry.mutation(
        description="Take a token back, for good; its subscriptions are closed. Takes the role "
        "ADMIN."
    )
    async def api_token_revoke(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which token.")],
    ) -> ApiTokenPayload:
        """Revoke."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            token_id = from_id(Kind.TOKEN, id, "id")
            row = await service.revoke(context.runtime, context.principal, token_id)
            return ApiTokenPayload(token=ApiToken.of(row))
        return ApiTokenPayload(errors=errors)
