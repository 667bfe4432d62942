"""Look up anything by its id, as Relay clients do."""

import asyncio
from typing import Annotated

import strawberry

from app.core.errors import LimitExceeded
from app.core.ids import Kind, split_id
from app.schema.connections import MOST
from app.schema.context import Info
from app.schema.types.common import Node
from app.schema.types.jobs import Job
from app.schema.types.projects import Project
from app.schema.types.runs import Run
from app.schema.types.schedules import Schedule


@strawberry.type
class NodeQueries:
    """Reads."""

    @strawberry.field(description="Anything of the project by its id; null when there is none.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")],
    ) -> Node | None:
        """Load one."""
        return await _load(info, id)

    @strawberry.field(description="Up to 100 things of the project by their ids, in their order.")
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="Their ids.")],
    ) -> list[Node | None]:
        """Load some."""
        if len(ids) > MOST:
            raise LimitExceeded(f"Ask for at most {MOST} at once.", path=("ids",))
        return list(await asyncio.gather(*(_load(info, id_) for id_ in ids)))


async def _load(info: Info, id_: str) -> Node | None:
    found = split_id(id_)
    if found is None:
        return None
    kind, key = found
    loaders, principal = info.context.loaders, info.context.principal
    match kind:
        case Kind.JOB:
            job = await loaders.jobs.load(key)
            return None if job is None else Job.of(job)
        case Kind.SCHEDULE:
            record = await loaders.schedules.load(key)
            return None if record is None else Schedule.of(record, principal)
        case Kind.RUN:
            run = await loaders.runs.load(key)
            return None if run is None else Run.of(run)
        case Kind.PROJECT if key == principal.project_id:
            project = await loaders.projects.load(key)
            return None if project is None else Project.of(project)
    return None
