"""Mutations that do the same to many."""

from collections.abc import Iterable
from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors, to_user_errors
from app.schema.ids import to_id
from app.schema.inputs.runs import RunsBulkInput
from app.schema.inputs.schedules_bulk import ScheduleBulkInput
from app.schema.types.payloads import BulkItemResult, BulkPayload
from app.services.bulk import ItemResult
from app.services.runs_bulk import change_runs
from app.services.schedules.bulk import change_schedules


@strawberry.type
class BulkMutations:
    """Writes."""

    @strawberry.mutation(
        description="Pause, resume, archive, update or trigger many schedules, each by itself. "
        "After TRIGGER the ids are those of the new runs."
    )
    async def schedules_bulk(
        self,
        info: Info,
        input: Annotated[ScheduleBulkInput, strawberry.argument(description="Which, and what.")],
    ) -> BulkPayload:
        """Change many."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.OPERATOR)
            results = await change_schedules(context.runtime, context.principal, input.read())
            return BulkPayload(matched=len(results), results=_items(Kind.SCHEDULE, results))
        return BulkPayload(matched=0, results=[], errors=errors)

    @strawberry.mutation(
        description="Cancel many runs, or run them again. After RERUN the ids are those of the "
        "new runs."
    )
    async def runs_bulk(
        self,
        info: Info,
        input: Annotated[RunsBulkInput, strawberry.argument(description="Which, and what.")],
    ) -> BulkPayload:
        """Change many."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.OPERATOR)
            results = await change_runs(context.runtime, context.principal, input.read())
            keyless = ((result, None) for result in results)
            return BulkPayload(matched=len(results), results=_items(Kind.RUN, keyless))
        return BulkPayload(matched=0, results=[], errors=errors)


def _items(kind: Kind, results: Iterable[tuple[ItemResult, str | None]]) -> list[BulkItemResult]:
    """Return what became of each; the id is that of the run it made, where it made one."""
    return [
        BulkItemResult(
            index=index,
            id=to_id(kind, result.id) if result.made is None else to_id(Kind.RUN, result.made),
            key=key,
            ok=result.error is None,
            errors=[] if result.error is None else to_user_errors(result.error),
        )
        for index, (result, key) in enumerate(results)
    ]
