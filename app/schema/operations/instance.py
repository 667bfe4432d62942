"""Queries about the instance and the caller."""

import strawberry

from app.schema.context import Info
from app.schema.status import read_scheduler_status
from app.schema.types.projects import Viewer
from app.schema.types.scheduler import SchedulerStatus


@strawberry.type
class InstanceQueries:
    """Reads."""

    @strawberry.field(description="Who is asking, and where.")
    def viewer(self, info: Info) -> Viewer:
        """Return the caller."""
        return Viewer.of(info.context.principal, info.context.runtime.defaults.timezone)

    @strawberry.field(description="The state of the whole instance.")
    async def scheduler(self, info: Info) -> SchedulerStatus:
        """Read the status."""
        return await read_scheduler_status(info.context.runtime)
