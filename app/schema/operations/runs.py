"""Queries about runs."""

from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.schema.connections import DEFAULT_SIZE, Window
from app.schema.context import Info
from app.schema.ids import from_id
from app.schema.inputs.arguments import After, Before, First, Last
from app.schema.inputs.filters import RunFilter, RunOrder
from app.schema.types.runs import Run, RunConnection
from app.store.runs import read_run


@strawberry.type
class RunQueries:
    """Reads."""

    @strawberry.field(description="One run; null when there is none.")
    async def run(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")],
    ) -> Run | None:
        """Read one run."""
        run_id = from_id(Kind.RUN, id, "id")
        async with info.context.reading() as connection:
            row = await read_run(connection, info.context.principal.project_id, run_id)
        return None if row is None else Run.of(row)

    @strawberry.field(description="The project's runs, the newest first unless ordered.")
    async def runs(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Annotated[RunFilter | None, strawberry.argument(description="Which ones.")] = None,
        order_by: Annotated[
            RunOrder | None, strawberry.argument(description="In which order.")
        ] = None,
    ) -> RunConnection:
        """Read one page."""
        return await RunConnection.read(
            info.context, Window(first, after, last, before), narrowed=filter, order=order_by
        )
