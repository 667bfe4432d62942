"""Queries and mutations about backfills."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role
from app.runtime import Runtime
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.backfills import BackfillStartInput
from app.schema.types.backfills import Backfill
from app.schema.types.payloads import BackfillPayload
from app.schema.types.timings import Occurrence
from app.services.access import Principal
from app.services.backfills import (
    BackfillPlan,
    cancel_backfill,
    pause_backfill,
    plan_backfill,
    resume_backfill,
    start_backfill,
)
from app.services.writing import Accepted
from app.store.backfills import BackfillRecord, read_newest_backfills

MOST_LISTED = 100

Id = Annotated[strawberry.ID, strawberry.argument(description="Which backfill.")]


@strawberry.type
class BackfillQueries:
    """Reads."""

    @strawberry.field(description="One backfill; null when there is none.")
    async def backfill(self, info: Info, id: Id) -> Backfill | None:
        """Read one."""
        record = await info.context.loaders.backfills.load(from_id(Kind.BACKFILL, id, "id"))
        return None if record is None else Backfill.of(record)

    @strawberry.field(
        description="The project's backfills, or a schedule's: the newest 100, the newest first."
    )
    async def backfills(
        self,
        info: Info,
        schedule_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only of this schedule.")
        ] = None,
    ) -> list[Backfill]:
        """List them."""
        wanted = None if schedule_id is None else from_id(Kind.SCHEDULE, schedule_id, "scheduleId")
        async with info.context.reading() as connection:
            records = await read_newest_backfills(
                connection,
                info.context.principal.project_id,
                schedule_id=wanted,
                limit=MOST_LISTED,
            )
        return [Backfill.of(record) for record in records]


@strawberry.type
class BackfillMutations:
    """Writes."""

    @strawberry.mutation(
        description="Run what a past range of a schedule should have run, or say what that is."
    )
    async def backfill_start(
        self,
        info: Info,
        input: Annotated[BackfillStartInput, strawberry.argument(description="The backfill.")],
    ) -> BackfillPayload:
        """Start."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            context, request = info.context, input.read()
            if input.dry_run:
                plan = await plan_backfill(context.runtime, context.principal, request)
                return _payload(plan)
            accepted = await start_backfill(context.runtime, context.principal, request)
            started = accepted.result
            payload = _payload(started.plan)
            payload.backfill = Backfill.of(started.record)
            payload.replayed = accepted.replayed
            if accepted.replayed:
                payload.count = payload.backfill.total
                payload.count_is_exact = payload.backfill.total_is_exact
            return payload
        return BackfillPayload(errors=errors)

    @strawberry.mutation(
        description="Stop a backfill for now: what has begun goes on, what is queued is taken back."
    )
    async def backfill_pause(self, info: Info, id: Id) -> BackfillPayload:
        """Pause."""
        return await _steer(info, id, pause_backfill)

    @strawberry.mutation(description="Let a paused backfill go on where it stood.")
    async def backfill_resume(self, info: Info, id: Id) -> BackfillPayload:
        """Resume."""
        return await _steer(info, id, resume_backfill)

    @strawberry.mutation(
        description="End a backfill: queued runs at once, running ones are asked to end. It is "
        "CANCELLED when none of them is alive."
    )
    async def backfill_cancel(self, info: Info, id: Id) -> BackfillPayload:
        """Cancel."""
        return await _steer(info, id, cancel_backfill)


async def _steer(
    info: Info,
    id_: strawberry.ID,
    act: Callable[[Runtime, Principal, UUID], Awaitable[Accepted[BackfillRecord]]],
) -> BackfillPayload:
    async with collected_errors() as errors:
        context = info.context
        context.principal.require(Role.OPERATOR)
        accepted = await act(context.runtime, context.principal, from_id(Kind.BACKFILL, id_, "id"))
        return BackfillPayload(backfill=Backfill.of(accepted.result))
    return BackfillPayload(errors=errors)


def _payload(plan: BackfillPlan | None) -> BackfillPayload:
    if plan is None:
        return BackfillPayload()
    return BackfillPayload(
        planned=[Occurrence.of(occurrence) for occurrence in plan.planned],
        count=plan.count,
        count_is_exact=plan.is_exact,
    )
