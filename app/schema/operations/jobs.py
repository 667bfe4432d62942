"""Queries and mutations about jobs."""

from typing import Annotated

import strawberry

from app.core.errors import Invalid
from app.core.ids import Kind
from app.core.vocabulary import Role
from app.schema.connections import DEFAULT_SIZE, Window
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.arguments import After, First, Search
from app.schema.inputs.filters import TagInput, read_tag_pairs
from app.schema.inputs.jobs import JobCreateInput, JobUpdateInput
from app.schema.inputs.templates import job_request
from app.schema.types.jobs import Job, JobConnection
from app.schema.types.payloads import JobPayload
from app.schema.types.tasks import Task
from app.services import jobs as service
from app.store.jobs import read_job, read_job_by_key
from tickwheel import registered_tasks


@strawberry.type
class JobQueries:
    """Reads."""

    @strawberry.field(description="One job, by id or by key; null when there is none.")
    async def job(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, strawberry.argument(description="Its id.")] = None,
        key: Annotated[str | None, strawberry.argument(description="Its key.")] = None,
    ) -> Job | None:
        """Read one job."""
        one_of(id, key)
        project_id = info.context.principal.project_id
        async with info.context.reading() as connection:
            if id is not None:
                row = await read_job(connection, project_id, from_id(Kind.JOB, id, "id"))
            else:
                row = await read_job_by_key(connection, project_id, key or "")
        return None if row is None else Job.of(row)

    @strawberry.field(description="The project's jobs, the newest first.")
    async def jobs(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        search: Search = None,
        tags: Annotated[
            list[TagInput] | None, strawberry.argument(description="With all these tags.")
        ] = None,
    ) -> JobConnection:
        """Read one page."""
        return await JobConnection.read(
            info.context, Window(first, after), search=search, tags=read_tag_pairs(tags)
        )

    @strawberry.field(
        description="The Python functions that jobs may run: built-in ones, and those of the "
        "modules in `TICKWHEEL_TASKS`."
    )
    def tasks(self) -> list[Task]:
        """List what is registered."""
        return [Task.of(registered) for registered in registered_tasks()]


@strawberry.type
class JobMutations:
    """Writes."""

    @strawberry.mutation(description="Create a job.")
    async def job_create(
        self,
        info: Info,
        input: Annotated[JobCreateInput, strawberry.argument(description="The job.")],
    ) -> JobPayload:
        """Create."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.EDITOR)
            request = await job_request(info, input)
            accepted = await service.create_job(context.runtime, context.principal, request)
            return JobPayload(job=Job.of(accepted.result), replayed=accepted.replayed)
        return JobPayload(errors=errors)

    @strawberry.mutation(description="Change a job; its next runs use the new definition.")
    async def job_update(
        self,
        info: Info,
        input: Annotated[JobUpdateInput, strawberry.argument(description="The change.")],
    ) -> JobPayload:
        """Change."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            accepted = await service.update_job_definition(
                info.context.runtime,
                info.context.principal,
                input.read_id(),
                input.read(),
                expected_version=input.expected_version,
            )
            return JobPayload(job=Job.of(accepted.result))
        return JobPayload(errors=errors)

    @strawberry.mutation(description="Archive a job that no schedule uses any more.")
    async def job_archive(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which job.")],
    ) -> JobPayload:
        """Archive."""
        async with collected_errors() as errors:
            info.context.principal.require(Role.EDITOR)
            job_id = from_id(Kind.JOB, id, "id")
            accepted = await service.archive_job(
                info.context.runtime, info.context.principal, job_id
            )
            return JobPayload(job=Job.of(accepted.result))
        return JobPayload(errors=errors)


def one_of(id_: str | None, key: str | None) -> None:
    """Raise `Invalid` unless exactly one of the two is given."""
    if (id_ is None) == (key is None):
        raise Invalid("Give id or key.", path=("id",))
