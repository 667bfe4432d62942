"""Queries and mutations about secrets."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.secrets import SecretPutInput
from app.schema.types.secrets import Secret, SecretPayload
from app.services import secrets as service


@strawberry.type
class SecretQueries:
    """Reads."""

    @strawberry.field(description="The project's secrets by key, without values. For `ADMIN`.")
    async def secrets(self, info: Info) -> list[Secret]:
        """Read them all."""
        async with info.context.reading() as connection:
            rows = await service.list_secrets(connection, info.context.principal)
        return [Secret.of(row) for row in rows]


@strawberry.type
class SecretMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create a secret, or replace its value: runs that start later get the new one."
    )
    async def secret_put(
        self,
        info: Info,
        input: Annotated[SecretPutInput, strawberry.argument(description="The secret.")],
    ) -> SecretPayload:
        """Put."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            accepted = await service.put_secret(
                context.runtime, context.principal, input.key, input.value
            )
            return SecretPayload(secret=Secret.of(accepted.result))
        return SecretPayload(errors=errors)

    @strawberry.mutation(description="Delete a secret that nothing refers to.")
    async def secret_delete(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which secret.")],
    ) -> SecretPayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            accepted = await service.remove_secret(context.runtime, context.principal, key)
            return SecretPayload(secret=Secret.of(accepted.result))
        return SecretPayload(errors=errors)
