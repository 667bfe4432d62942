"""Look up anything by its id, as Relay clients do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import strawberry

from app.core.errors import LimitExceeded
from app.core.ids import Kind, split_id
from app.schema.connections import MOST
from app.schema.context import Info
from app.schema.types.backfills import Backfill
from app.schema.types.calendars import Calendar
from app.schema.types.chains import Chain
from app.schema.types.common import Node
from app.schema.types.endpoints import Endpoint
from app.schema.types.health import HealthFinding
from app.schema.types.jobs import Job
from app.schema.types.notifications import NotificationRule
from app.schema.types.projects import Project
from app.schema.types.runs import Run
from app.schema.types.schedules import Schedule
from app.schema.types.secrets import Secret
from app.schema.types.templates import Template
from app.services.secrets import find_secret
from app.services.templates import find_template
from app.store.chains import read_chain
from app.store.endpoints import read_endpoint_by_id
from app.store.notification_rules import read_rule


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
    load = None if found is None else _LOADED.get(found[0])
    return None if found is None or load is None else await load(info, found[1])


async def _job(info: Info, id_: UUID) -> Node | None:
    row = await info.context.loaders.jobs.load(id_)
    return None if row is None else Job.of(row)


async def _schedule(info: Info, id_: UUID) -> Node | None:
    record = await info.context.loaders.schedules.load(id_)
    return None if record is None else Schedule.of(record, info.context.principal)


async def _run(info: Info, id_: UUID) -> Node | None:
    row = await info.context.loaders.runs.load(id_)
    return None if row is None else Run.of(row)


async def _backfill(info: Info, id_: UUID) -> Node | None:
    record = await info.context.loaders.backfills.load(id_)
    return None if record is None else Backfill.of(record)


async def _calendar(info: Info, id_: UUID) -> Node | None:
    row = await info.context.loaders.calendars.load(id_)
    is_ours = row is not None and row.project_id == info.context.principal.project_id
    return Calendar.of(row) if row is not None and is_ours else None


async def _project(info: Info, id_: UUID) -> Node | None:
    is_ours = id_ == info.context.principal.project_id
    row = await info.context.loaders.projects.load(id_) if is_ours else None
    return None if row is None else Project.of(row)


async def _secret(info: Info, id_: UUID) -> Node | None:
    async with info.context.reading() as connection:
        row = await find_secret(connection, info.context.principal, id_)
    return None if row is None else Secret.of(row)


async def _finding(info: Info, id_: UUID) -> Node | None:
    row = await info.context.loaders.findings.load(id_)
    return None if row is None else HealthFinding.of(row)


async def _endpoint(info: Info, id_: UUID) -> Node | None:
    async with info.context.reading() as connection:
        row = await read_endpoint_by_id(connection, info.context.principal.project_id, id_)
    return None if row is None else Endpoint.of(row)


async def _template(info: Info, id_: UUID) -> Node | None:
    async with info.context.reading() as connection:
        found = await find_template(connection, info.context.principal, id_)
    return None if found is None else Template.of(found)


async def _chain(info: Info, id_: UUID) -> Node | None:
    async with info.context.reading() as connection:
        row = await read_chain(connection, info.context.principal.project_id, id_)
    return None if row is None else Chain.of(row)


async def _rule(info: Info, id_: UUID) -> Node | None:
    async with info.context.reading() as connection:
        row = await read_rule(connection, info.context.principal.project_id, id_)
    return None if row is None else NotificationRule.of(row)


_LOADED: dict[Kind, Callable[[Info, UUID], Awaitable[Node | None]]] = {
    Kind.JOB: _job,
    Kind.SCHEDULE: _schedule,
    Kind.RUN: _run,
    Kind.BACKFILL: _backfill,
    Kind.CALENDAR: _calendar,
    Kind.PROJECT: _project,
    Kind.SECRET: _secret,
    Kind.FINDING: _finding,
    Kind.ENDPOINT: _endpoint,
    Kind.TEMPLATE: _template,
    Kind.CHAIN: _chain,
    Kind.RULE: _rule,
}
