"""Projects, and who is asking."""

from datetime import timedelta

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.models import Project as ProjectRow
from app.schema.context import Info
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.scalars import TimeZone
from app.schema.types.common import Actor, Node
from app.services.access import Principal
from app.services.viewers import timezone_of


@strawberry.type(description="The tenant: owns jobs, schedules, runs and tokens.")
class Project(Node):
    """A project."""

    key: str = strawberry.field(description="Unique in the instance.")
    name: str = strawberry.field(description="For people.")
    version: int = strawberry.field(description="Counts definitions: the edit lock.")
    defaults: JSON = strawberry.field(
        description="Defaults for its jobs and schedules: timezone, timeout, retry, catch-up "
        "window, concurrency."
    )
    retention: timedelta = strawberry.field(description="How long finished runs are kept.")

    shell_allowed: bool = strawberry.field(
        description="Whether its commands may be shell lines, where the instance allows any."
    )

    @classmethod
    def of(cls, row: ProjectRow) -> "Project":
        """Return the public form."""
        return cls(
            id=to_id(Kind.PROJECT, row.id),
            key=row.key,
            name=row.name,
            version=row.version,
            defaults=JSON(row.defaults),
            retention=timedelta(seconds=row.retention_seconds),
            shell_allowed=row.shell_allowed,
        )


@strawberry.type(description="Who is asking, and where.")
class Viewer:
    """The caller."""

    actor: Actor = strawberry.field(description="Who you are.")
    role: Role = strawberry.field(description="What you may do in the project.")
    principal: strawberry.Private[Principal]

    @strawberry.field(
        description="The zone to show instants in: what you chose, or else the project's."
    )
    async def timezone(self, info: Info) -> TimeZone:
        """Read what was chosen."""
        context = info.context
        async with context.reading() as connection:
            return TimeZone(await timezone_of(context.runtime, connection, self.principal))

    @strawberry.field(description="The project that everything you ask is about.")
    async def project(self, info: Info) -> Project:
        """Load the project."""
        row = await info.context.loaders.projects.load(self.principal.project_id)
        assert row is not None, "a principal's project exists"
        return Project.of(row)

    @classmethod
    def of(cls, principal: Principal) -> "Viewer":
        """Return the public form of a caller."""
        return cls(
            actor=Actor.known(principal.actor),
            role=principal.role,
            principal=principal,
        )


_ERRORS = "Why it was not done; empty when it was."


@strawberry.type(description="The result of creating or changing a project.")
class ProjectPayload:
    """A payload."""

    project: Project | None = strawberry.field(default=None, description="The project.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of choosing something for yourself.")
class ViewerPayload:
    """A payload."""

    viewer: Viewer | None = strawberry.field(default=None, description="You.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)
