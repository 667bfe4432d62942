"""Mutations that start, repeat and cancel runs."""

from typing import Annotated

import strawberry

from app.core.vocabulary import Role
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.inputs.runs import (
    JobTriggerInput,
    RunCancelInput,
    RunRerunInput,
    run_id,
)
from app.schema.types.payloads import RunPayload
from app.schema.types.runs import Run
from app.services.cancelling import cancel_run
from app.services.rerunning import rerun_run
from app.services.triggering_jobs import trigger_job


@strawberry.type
class RunMutations:
    """Writes."""

    @strawberry.mutation(description="Run a job now, or at an instant, without a schedule.")
    async def job_trigger(
        self,
        info: Info,
        input: Annotated[JobTriggerInput, strawberry.argument(description="The trigger.")],
    ) -> RunPayload:
        """Trigger."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.OPERATOR)
            accepted = await trigger_job(context.runtime, context.principal, input.read())
            return RunPayload(run=Run.of(accepted.result), replayed=accepted.replayed)
        return RunPayload(errors=errors)

    @strawberry.mutation(
        description="Cancel a run: at once while it is queued; a running one is CANCELLED when its "
        "worker has confirmed that nothing of it is alive."
    )
    async def run_cancel(
        self,
        info: Info,
        input: Annotated[RunCancelInput, strawberry.argument(description="The cancel.")],
    ) -> RunPayload:
        """Cancel."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await cancel_run(
                info.context.runtime,
                info.context.principal,
                run_id(input.id),
                reason=input.reason,
                force=bool(input.force),
            )
            return RunPayload(run=Run.of(accepted.result))
        return RunPayload(errors=errors)

    @strawberry.mutation(description="Do once more what a run did that is over.")
    async def run_rerun(
        self,
        info: Info,
        input: Annotated[RunRerunInput, strawberry.argument(description="The rerun.")],
    ) -> RunPayload:
        """Run again."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.OPERATOR)
            accepted = await rerun_run(
                info.context.runtime,
                info.context.principal,
                run_id(input.id),
                parameters=input.read_parameters(),
                idempotency_key=input.idempotency_key,
            )
            return RunPayload(run=Run.of(accepted.result), replayed=accepted.replayed)
        return RunPayload(errors=errors)
