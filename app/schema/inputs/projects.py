"""Inputs about projects."""

from datetime import timedelta

import strawberry
from strawberry.scalars import JSON

from app.schema.inputs.given import given, optional
from app.services.projects import ProjectRequest


@strawberry.input(
    description="A project to create or to change: the key says which one. In a change, absent = "
    "unchanged, null = cleared."
)
class ProjectInput:
    """A project."""

    key: str = strawberry.field(description="Unique in the instance.")
    name: str = strawberry.field(description="For people.")
    defaults: JSON | None = optional(
        "Replaces the whole: `timezone`, `timeout`, `retry`, `catchUpWindow`, `concurrencyLimit`, "
        "each as in jobs and schedules. What is left out is the instance's."
    )
    retention: timedelta | None = optional("How long finished runs are kept; P90D.")
    shell_allowed: bool | None = optional(
        "Whether its commands may be shell lines; the instance's administrator decides. Null: not."
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse a change when it has another version."
    )

    def read(self) -> ProjectRequest:
        """Return the service's form."""
        return ProjectRequest(
            key=self.key,
            name=self.name,
            defaults=given(self.defaults),
            retention=given(self.retention),
            shell_allowed=given(self.shell_allowed),
            expected_version=self.expected_version,
        )
