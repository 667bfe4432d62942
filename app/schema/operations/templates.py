"""Queries and mutations about templates."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.templates import TemplateInput, check_defaults
from app.schema.types.templates import Template, TemplatePayload
from app.services import templates as service


@strawberry.type
class TemplateQueries:
    """Reads."""

    @strawberry.field(description="The built-in templates, and then the project's own, by key.")
    async def templates(self, info: Info) -> list[Template]:
        """Read them all."""
        async with info.context.reading() as connection:
            found = await service.list_templates(connection, info.context.principal)
        return [Template.of(template) for template in found]


@strawberry.type
class TemplateMutations:
    """Writes."""

    @strawberry.mutation(
        description="Create a template, or replace one; what was made from it stays as it is."
    )
    async def template_put(
        self,
        info: Info,
        input: Annotated[TemplateInput, strawberry.argument(description="The template.")],
    ) -> TemplatePayload:
        """Put."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            wanted = service.read_template(input.read())
            check_defaults(info, wanted)
            context = info.context
            accepted = await service.put_template(context.runtime, context.principal, wanted)
            return TemplatePayload(template=Template.of(accepted.result))
        return TemplatePayload(errors=errors)

    @strawberry.mutation(description="Delete a template; what was made from it stays.")
    async def template_delete(
        self,
        info: Info,
        key: Annotated[str, strawberry.argument(description="Which template.")],
    ) -> TemplatePayload:
        """Delete."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            accepted = await service.remove_template(context.runtime, context.principal, key)
            return TemplatePayload(template=Template.of(accepted.result))
        return TemplatePayload(errors=errors)
