"""Queries and mutations about projects, and about the caller itself."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.projects import ProjectInput
from app.schema.scalars import TimeZone
from app.schema.types.projects import Project, ProjectPayload, Viewer, ViewerPayload
from app.services import projects as service
from app.services.viewers import choose_timezone


@strawberry.type
class ProjectQueries:
    """Reads."""

    @strawberry.field(description="Who is asking, and where.")
    def viewer(self, info: Info) -> Viewer:
        """Return the caller."""
        return Viewer.of(info.context.principal)

    @strawberry.field(
        description="The projects you can open, by key: your own, or for the instance's "
        "administrator all of them."
    )
    async def projects(self, info: Info) -> list[Project]:
        """Read them."""
        async with info.context.reading() as connection:
            rows = await service.list_projects(connection, info.context.principal)
        return [Project.of(row) for row in rows]


@strawberry.type
class ProjectMutations:
    """Writes."""

    @strawberry.mutation(description="Create a project. Takes the instance's administrator.")
    async def project_create(
        self,
        info: Info,
        input: Annotated[ProjectInput, strawberry.argument(description="The project.")],
    ) -> ProjectPayload:
        """Create."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require_instance()
            row = await service.create_project(context.runtime, context.principal, input.read())
            return ProjectPayload(project=Project.of(row))
        return ProjectPayload(errors=errors)

    @strawberry.mutation(
        description="Change a project's name, defaults or retention. Its jobs and schedules keep "
        "what they have. Takes the role ADMIN."
    )
    async def project_update(
        self,
        info: Info,
        input: Annotated[ProjectInput, strawberry.argument(description="The change.")],
    ) -> ProjectPayload:
        """Change."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.ADMIN)
            row = await service.change_project(context.runtime, context.principal, input.read())
            return ProjectPayload(project=Project.of(row))
        return ProjectPayload(errors=errors)

    @strawberry.mutation(description="Choose the zone in which you want to see instants.")
    async def viewer_update(
        self,
        info: Info,
        timezone: Annotated[TimeZone, strawberry.argument(description="The zone.")],
    ) -> ViewerPayload:
        """Choose."""
        async with collected_errors() as errors:
            context = info.context
            await choose_timezone(context.runtime, context.principal, timezone)
            return ViewerPayload(viewer=Viewer.of(context.principal))
        return ViewerPayload(errors=errors)
