"""Mutations about the instance, its queues and its workers."""

from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.control import QueueControlInput, SchedulerControlInput
from app.schema.types.payloads import QueuePayload, SchedulerPayload, WorkerPayload
from app.schema.types.scheduler import Queue, SchedulerStatus, Worker
from app.services.controlling import control_scheduler
from app.services.queues import control_queue
from app.services.workers import drain_worker


@strawberry.type
class ControlMutations:
    """Writes. All of them take the instance's administrator."""

    @strawberry.mutation(description="Start, pause, stop or restart the whole instance.")
    async def scheduler_control(
        self,
        info: Info,
        input: Annotated[SchedulerControlInput, strawberry.argument(description="The control.")],
    ) -> SchedulerPayload:
        """Control."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require_instance()
            await control_scheduler(context.runtime, context.principal, input.read())
            return SchedulerPayload(status=SchedulerStatus.of(await context.status.read()))
        return SchedulerPayload(errors=errors)

    @strawberry.mutation(description="Pause a queue, let it go on, or limit it.")
    async def queue_control(
        self,
        info: Info,
        input: Annotated[QueueControlInput, strawberry.argument(description="The control.")],
    ) -> QueuePayload:
        """Control."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require_instance()
            status = await control_queue(context.runtime, context.principal, input.read())
            return QueuePayload(queue=Queue.of(status))
        return QueuePayload(errors=errors)

    @strawberry.mutation(description="Let a worker finish what it has, and end.")
    async def worker_drain(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which worker.")],
    ) -> WorkerPayload:
        """Drain."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require_instance()
            worker_id = from_id(Kind.WORKER, id, "id")
            row = await drain_worker(context.runtime, context.principal, worker_id)
            return WorkerPayload(worker=Worker.of(row))
        return WorkerPayload(errors=errors)
