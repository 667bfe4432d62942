"""Queries about the instance."""

import strawberry

from app.schema.context import Info
from app.schema.types.scheduler import SchedulerStatus


@strawberry.type
class InstanceQueries:
    """Reads."""

    @strawberry.field(description="The state of the whole instance.")
    async def scheduler(self, info: Info) -> SchedulerStatus:
        """Read the status."""
        return SchedulerStatus.of(await info.context.status.read())
