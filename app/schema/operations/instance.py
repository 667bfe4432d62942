"""Queries about the instance."""

import strawberry

from app.schema.context import Info
from app.schema.status import read_scheduler_status
from app.schema.types.scheduler import SchedulerStatus


@strawberry.type
class InstanceQueries:
    """Reads."""

    @strawberry.field(description="The state of the whole instance.")
    async def scheduler(self, info: Info) -> SchedulerStatus:
        """Read the status."""
        return await read_scheduler_status(info.context.runtime)
