"""Templates."""

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node
from app.services.templates import AnyTemplate


@strawberry.type(description="Defaults of a schedule, and of its job, with some values left open.")
class Template(Node):
    """A template."""

    key: str = strawberry.field(description="Unique among the project's templates.")
    name: str = strawberry.field(description="For people.")
    description: str | None = strawberry.field(description="What it is for.")
    version: int = strawberry.field(description="Counts its changes.")
    built_in: bool = strawberry.field(description="Whether every project has it.")
    parameters_schema: JSON | None = strawberry.field(
        description="JSON Schema of what is left open."
    )
    defaults: JSON = strawberry.field(
        description="The fields of a schedule, and under `job` those of a job. What is left open "
        'says `{"parameter": "name"}`, or `{{ name }}` inside a text.'
    )

    @classmethod
    def of(cls, template: AnyTemplate) -> "Template":
        """Return the public form."""
        schema = template.parameters_schema
        return cls(
            id=to_id(Kind.TEMPLATE, template.id),
            key=template.key,
            name=template.name,
            description=template.description,
            version=template.version,
            built_in=template.built_in,
            parameters_schema=None if schema is None else JSON(schema),
            defaults=JSON(template.defaults),
        )


@strawberry.type(description="The result of changing a template.")
class TemplatePayload:
    """A payload."""

    template: Template | None = strawberry.field(default=None, description="The template.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
