"""Queries and mutations about schedules."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from app.core.clock import utc_now
from app.core.errors import Invalid, LimitExceeded, TickwheelError
from app.core.ids import Kind
from app.core.vocabulary import DayMatch, DstFoldPolicy, DstGapPolicy, ResumeChoice, Role, TimeMode
from app.schema.connections import DEFAULT_SIZE, Window
from app.schema.context import Info
from app.schema.errors import collected_errors, to_user_errors
from app.schema.ids import from_id, to_id
from app.schema.inputs.arguments import After, Before, First, Last, Search
from app.schema.inputs.filters import ScheduleFilter, ScheduleOrder
from app.schema.inputs.schedules import (
    OccurrenceOverrideInput,
    ScheduleArchiveInput,
    ScheduleCreateInput,
    SchedulePauseInput,
    ScheduleResumeInput,
    ScheduleRollbackInput,
    ScheduleTriggerInput,
    ScheduleUpdateInput,
    schedule_id,
)
from app.schema.inputs.templates import schedule_request
from app.schema.operations.jobs import one_of
from app.schema.scalars import TimeZone
from app.schema.types.cron import CronExplanation
from app.schema.types.payloads import BulkItemResult, BulkPayload, RunPayload, SchedulePayload
from app.schema.types.runs import Run
from app.schema.types.schedules import Schedule, ScheduleConnection
from app.services import schedules as service
from app.services.explaining import CronQuestion, explain
from app.services.schedules.creating import MOST_AT_ONCE, BulkRefused
from app.services.triggering import trigger_schedule
from app.services.writing import Accepted
from app.store.schedules import ScheduleRecord, read_schedule, read_schedule_by_key

_BULK_HINT = "Nothing was created, because some of the schedules are not right: see the results."

_UTC = TimeZone("UTC")


@strawberry.type
class ScheduleQueries:
    """Reads."""

    @strawberry.field(description="One schedule, by id or by key; null when there is none.")
    async def schedule(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, strawberry.argument(description="Its id.")] = None,
        key: Annotated[str | None, strawberry.argument(description="Its key.")] = None,
    ) -> Schedule | None:
        """Read one schedule."""
        one_of(id, key)
        principal = info.context.principal
        async with info.context.reading() as connection:
            if id is not None:
                wanted = from_id(Kind.SCHEDULE, id, "id")
                record = await read_schedule(connection, principal.project_id, wanted)
            else:
                record = await read_schedule_by_key(connection, principal.project_id, key or "")
        return None if record is None else Schedule.of(record, principal)

    @strawberry.field(description="The project's schedules, the newest first unless ordered.")
    async def schedules(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        last: Last = None,
        before: Before = None,
        search: Search = None,
        filter: Annotated[
            ScheduleFilter | None, strawberry.argument(description="Which ones.")
        ] = None,
        order_by: Annotated[
            ScheduleOrder | None, strawberry.argument(description="In which order.")
        ] = None,
    ) -> ScheduleConnection:
        """Read one page."""
        return await ScheduleConnection.read(
            info.context,
            Window(first, after, last, before),
            narrowed=filter,
            order=order_by,
            search=search,
        )

    @strawberry.field(description="What a cron expression means, and when it is due next.")
    def cron_explain(
        self,
        expression: Annotated[str, strawberry.argument(description="5 or 6 fields.")],
        timezone: Annotated[
            TimeZone, strawberry.argument(description="The zone its local times are in.")
        ] = _UTC,
        from_: Annotated[
            datetime | None, strawberry.argument(name="from", description="Later than this; now.")
        ] = None,
        count: Annotated[int | None, strawberry.argument(description="How many instants.")] = 5,
        day_match: Annotated[
            DayMatch | None, strawberry.argument(description="How the two day fields combine.")
        ] = DayMatch.ANY,
        time_mode: Annotated[
            TimeMode | None,
            strawberry.argument(description="How it behaves when clocks change."),
        ] = TimeMode.AUTO,
        dst_gap: Annotated[
            DstGapPolicy | None,
            strawberry.argument(description="At local times that do not exist."),
        ] = None,
        dst_fold: Annotated[
            DstFoldPolicy | None,
            strawberry.argument(description="At local times that come twice."),
        ] = None,
        key: Annotated[str | None, strawberry.argument(description="Schedule key, for H.")] = None,
        locale: Annotated[
            str | None, strawberry.argument(description="The language of the words.")
        ] = "en",
    ) -> CronExplanation:
        """Explain."""
        question = CronQuestion(
            expression=expression,
            timezone=timezone,
            after=from_ or utc_now(),
            count=5 if count is None else count,
            day_match=day_match or DayMatch.ANY,
            time_mode=time_mode or TimeMode.AUTO,
            dst_gap=dst_gap or DstGapPolicy.RUN_AT_GAP_END,
            dst_fold=dst_fold or DstFoldPolicy.FIRST,
            hash_key=key or "",
            locale=locale or "en",
        )
        return CronExplanation.of(explain(question))


@strawberry.type
class ScheduleMutations:
    """Writes."""

    @strawberry.mutation(description="Create a schedule.")
    async def schedule_create(
        self,
        info: Info,
        input: Annotated[ScheduleCreateInput, strawberry.argument(description="The schedule.")],
    ) -> SchedulePayload:
        """Create."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            request = await schedule_request(info, input)
            accepted = await service.create_schedule(context.runtime, context.principal, request)
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="Create up to 1,000 schedules; all or nothing.")
    async def schedules_create(
        self,
        info: Info,
        inputs: Annotated[
            list[ScheduleCreateInput], strawberry.argument(description="The schedules.")
        ],
    ) -> BulkPayload:
        """Create many."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            return await _create_many(info, inputs)
        return BulkPayload(matched=len(inputs), results=[], errors=errors)

    @strawberry.mutation(description="Change a schedule, from now on.")
    async def schedule_update(
        self,
        info: Info,
        input: Annotated[ScheduleUpdateInput, strawberry.argument(description="The change.")],
    ) -> SchedulePayload:
        """Change."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            accepted = await service.update_schedule_definition(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                input.fields.read(),
                expected_version=input.expected_version,
                comment=input.comment,
                effective_from=input.effective_from,
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="Stop a schedule from firing; what is due still runs.")
    async def schedule_pause(
        self,
        info: Info,
        input: Annotated[SchedulePauseInput, strawberry.argument(description="The pause.")],
    ) -> SchedulePayload:
        """Pause."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await service.pause_schedule(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                reason=input.reason,
                until=input.until,
                resume_with=input.resume_with or ResumeChoice.SKIP,
                expected_version=input.expected_version,
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="Let a schedule fire again, from now on.")
    async def schedule_resume(
        self,
        info: Info,
        input: Annotated[ScheduleResumeInput, strawberry.argument(description="The resumption.")],
    ) -> SchedulePayload:
        """Resume."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await service.resume_schedule(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                service.ResumeRequest(input.missed or ResumeChoice.SKIP, input.drip_per_minute),
                expected_version=input.expected_version,
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="End a schedule for good; its queued runs are cancelled.")
    async def schedule_archive(
        self,
        info: Info,
        input: Annotated[ScheduleArchiveInput, strawberry.argument(description="The end.")],
    ) -> SchedulePayload:
        """Archive."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            accepted = await service.archive_schedule(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                reason=input.reason,
                expected_version=input.expected_version,
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(
        description="Give a schedule an earlier definition again, from now on: a new version."
    )
    async def schedule_rollback(
        self,
        info: Info,
        input: Annotated[ScheduleRollbackInput, strawberry.argument(description="The return.")],
    ) -> SchedulePayload:
        """Roll back."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            accepted = await service.roll_back_schedule(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                to_version=input.to_version,
                expected_version=input.expected_version,
                comment=input.comment,
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="Skip, move or add a single occurrence, or undo that.")
    async def occurrence_override(
        self,
        info: Info,
        input: Annotated[OccurrenceOverrideInput, strawberry.argument(description="The decision.")],
    ) -> SchedulePayload:
        """Override."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await service.override_occurrence(
                info.context.runtime,
                info.context.principal,
                from_id(Kind.SCHEDULE, input.schedule_id, "scheduleId"),
                input.read(),
            )
            return _payload(info, accepted)
        return SchedulePayload(errors=errors)

    @strawberry.mutation(description="Run a schedule's job now.")
    async def schedule_trigger(
        self,
        info: Info,
        input: Annotated[ScheduleTriggerInput, strawberry.argument(description="The trigger.")],
    ) -> RunPayload:
        """Trigger."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await trigger_schedule(
                info.context.runtime,
                info.context.principal,
                schedule_id(input.id),
                parameters=input.read_parameters(),
                force=bool(input.force),
                overlap=input.overlap,
                idempotency_key=input.idempotency_key,
            )
            return RunPayload(run=Run.of(accepted.result), replayed=accepted.replayed)
        return RunPayload(errors=errors)


def _payload(info: Info, accepted: Accepted[ScheduleRecord]) -> SchedulePayload:
    schedule = Schedule.of(accepted.result, info.context.principal)
    return SchedulePayload(schedule=schedule, replayed=accepted.replayed)


async def _create_many(info: Info, inputs: Sequence[ScheduleCreateInput]) -> BulkPayload:
    if len(inputs) > MOST_AT_ONCE:
        raise LimitExceeded(f"Give 1 to {MOST_AT_ONCE:,} schedules at once.", path=("inputs",))
    context = info.context
    refused: dict[int, list[TickwheelError]] = {}
    requests = []
    for index, each in enumerate(inputs):
        try:
            requests.append(await schedule_request(info, each))
        except TickwheelError as error:
            refused[index] = [error]
    if refused:
        return _refused(inputs, refused)
    try:
        schedules = await service.create_schedules(context.runtime, context.principal, requests)
    except BulkRefused as error:
        return _refused(inputs, error.errors)
    results = [
        BulkItemResult(
            index=index,
            id=to_id(Kind.SCHEDULE, schedule.id),
            key=schedule.key,
            ok=True,
            errors=[],
        )
        for index, schedule in enumerate(schedules)
    ]
    return BulkPayload(matched=len(results), results=results)


def _refused(
    inputs: Sequence[ScheduleCreateInput], refused: Mapping[int, Sequence[TickwheelError]]
) -> BulkPayload:
    results = [
        BulkItemResult(
            index=index,
            id=None,
            key=each.key,
            ok=False,
            errors=[
                public
                for error in refused.get(index, ())
                for public in to_user_errors(error.under("inputs", str(index)))
            ],
        )
        for index, each in enumerate(inputs)
    ]
    errors = to_user_errors(Invalid(_BULK_HINT, path=("inputs",)))
    return BulkPayload(matched=len(inputs), results=results, errors=errors)
