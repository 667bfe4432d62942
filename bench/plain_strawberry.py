"""A plain Strawberry app with its caches on the rows of an instance: what `lists` is held against.

    python -m bench.plain_strawberry DATABASE_URL PORT

It reads the same columns of the same rows, through data loaders, and asks nobody who they are.
"""

import gc
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
import uvicorn
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types import Info

from app.core.vocabulary import CatchUpPolicy, OverlapPolicy, RunState, ScheduleState
from app.models import Schedule as ScheduleRow
from app.models import ScheduleCounters
from app.store.database import Database, ReadConnection
from app.store.jobs import read_jobs
from app.store.runs import read_runs
from app.store.schedules import select_records
from bench.seeding import PROJECT

for words in (CatchUpPolicy, OverlapPolicy, RunState, ScheduleState):
    strawberry.enum(words)


@strawberry.type
class Job:
    """A job."""

    id: strawberry.ID
    key: str
    name: str


@strawberry.type
class Run:
    """A run."""

    id: strawberry.ID
    state: RunState
    finished_at: datetime | None


@strawberry.type
class Schedule:
    """A schedule."""

    id: strawberry.ID
    key: str
    name: str
    description: str | None
    version: int
    state: ScheduleState
    created_at: datetime
    updated_at: datetime
    timezone: str
    overlap: OverlapPolicy
    catch_up: CatchUpPolicy
    run_count: int
    success_count: int
    failure_count: int
    next_run_at: datetime | None
    job_id: strawberry.Private[UUID]
    last_run_id: strawberry.Private[UUID | None]

    @strawberry.field
    async def job(self, info: Info[dict[str, Any], None]) -> Job:
        """Load the job."""
        row = await info.context["jobs"].load(self.job_id)
        return Job(id=strawberry.ID(str(row.id)), key=row.key, name=row.name)

    @strawberry.field
    async def last_run(self, info: Info[dict[str, Any], None]) -> Run | None:
        """Load the run."""
        if self.last_run_id is None:
            return None
        row = await info.context["runs"].load(self.last_run_id)
        return Run(id=strawberry.ID(str(row.id)), state=row.state, finished_at=row.finished_at)


@strawberry.type
class Schedules:
    """A list."""

    nodes: list[Schedule]


@strawberry.type
class Query:
    """The reads."""

    @strawberry.field
    async def schedules(self, info: Info[dict[str, Any], None], first: int) -> Schedules:
        """Read one page."""
        query = select_records(PROJECT).order_by(col(ScheduleRow.id).desc()).limit(first + 1)
        async with info.context["database"].reading(PROJECT) as connection:
            rows = (await connection.execute(query)).all()
        return Schedules(nodes=[_schedule(*row) for row in rows[:first]])


def _schedule(row: ScheduleRow, counters: ScheduleCounters) -> Schedule:
    return Schedule(
        id=strawberry.ID(str(row.id)),
        key=row.key,
        name=row.name,
        description=row.description,
        version=row.version,
        state=row.state,
        created_at=row.created_at,
        updated_at=row.updated_at,
        timezone=row.timezone,
        overlap=row.overlap,
        catch_up=row.catch_up,
        run_count=counters.run_count,
        success_count=counters.success_count,
        failure_count=counters.failure_count,
        next_run_at=row.next_run_at,
        job_id=row.job_id,
        last_run_id=counters.last_run_id,
    )


class View(GraphQL[dict[str, Any], None]):
    """The endpoint."""

    database: Database

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        """Return fresh loaders."""
        return {
            "database": self.database,
            "jobs": self._loader(lambda connection, ids: read_jobs(connection, PROJECT, ids)),
            "runs": self._loader(lambda connection, ids: read_runs(connection, PROJECT, ids)),
        }

    def _loader(
        self, read: Callable[[ReadConnection, list[UUID]], Awaitable[dict[UUID, Any]]]
    ) -> DataLoader[UUID, Any]:
        async def load(ids: list[UUID]) -> list[Any]:
            async with self.database.reading(PROJECT) as connection:
                found = await read(connection, ids)
            return [found.get(id_) for id_ in ids]

        return DataLoader(load_fn=load)


def main() -> None:
    """Serve until the process is told to end."""
    schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])
    view: View = View(schema, graphql_ide=None)
    url = make_url(sys.argv[1]).set(drivername="postgresql+asyncpg")
    view.database = Database(create_async_engine(url, pool_size=10))
    application = Starlette(
        routes=[
            Route("/livez", lambda _: PlainTextResponse("alive")),
            Route("/graphql", view, methods=["POST"]),
        ]
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    uvicorn.run(
        application, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
