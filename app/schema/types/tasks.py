"""The Python functions that jobs may run."""

from typing import Self

import strawberry
from strawberry.scalars import JSON

from tickwheel import Task as Registered


@strawberry.type(description="A registered Python function.")
class Task:
    """A function."""

    name: str = strawberry.field(description="What a job's `function` says.")
    doc: str | None = strawberry.field(description="What its docstring says.")
    parameters_schema: JSON = strawberry.field(
        description="JSON Schema of its parameters, from its signature."
    )
    isolation: str = strawberry.field(
        description="Where it runs unless a job says otherwise: inline, thread or process."
    )

    @classmethod
    def of(cls, registered: Registered) -> Self:
        """Return the public form."""
        return cls(
            name=registered.name,
            doc=registered.doc,
            parameters_schema=JSON(registered.parameters_schema),
            isolation=registered.isolation,
        )
