"""Jobs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from sqlalchemy import Select
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.retry import RetryPolicy as CoreRetryPolicy
from app.core.vocabulary import Backoff, FailureReason, JobKind, OnWorkerLost
from app.models import Job as JobRow
from app.schema.connections import DEFAULT_SIZE, Window, page_info
from app.schema.context import Context, Info
from app.schema.ids import to_id
from app.schema.inputs.arguments import After, First
from app.schema.inputs.filters import RunFilter, RunOrder, ScheduleFilter
from app.schema.inputs.statistics import Window as StatsWindow
from app.schema.inputs.statistics import window_of
from app.schema.relations import attributes_of, lazily
from app.schema.types.common import Actor, Count, Node, PageInfo, Tag
from app.schema.types.statistics import RunStats
from app.services.rules import parameters_schema_of
from app.store.filters import Tags
from app.store.jobs import count_jobs, page_jobs, select_jobs
from app.store.pages import SortKey
from app.store.statistics import Of

if TYPE_CHECKING:
    from app.schema.types.chains import Chain
    from app.schema.types.runs import RunConnection
    from app.schema.types.schedules import ScheduleConnection


@strawberry.type(description="How often, and with which delays, a failed run is tried again.")
class RetryPolicy:
    """A retry policy."""

    max_attempts: int = strawberry.field(description="The first attempt included.")
    backoff: Backoff = strawberry.field(description="How the delay grows.")
    initial_delay: timedelta = strawberry.field(description="The first delay.")
    max_delay: timedelta = strawberry.field(description="The longest delay.")
    multiplier: float = strawberry.field(description="What EXPONENTIAL multiplies by.")
    jitter: bool = strawberry.field(description="Whether delays are shortened by chance.")
    max_age: timedelta | None = strawberry.field(
        description="No attempt starts later than this after the run was due."
    )
    retry_on: list[FailureReason] = strawberry.field(description="After which failures.")

    @classmethod
    def of(cls, policy: CoreRetryPolicy) -> "RetryPolicy":
        """Return the public form."""
        return cls(
            max_attempts=policy.max_attempts,
            backoff=policy.backoff,
            initial_delay=policy.initial_delay,
            max_delay=policy.max_delay,
            multiplier=policy.multiplier,
            jitter=policy.jitter,
            max_age=policy.max_age,
            retry_on=list(policy.retry_on),
        )


_READS: dict[str, Callable[[Any], Any]] = {
    **attributes_of(
        "row",
        "key",
        "name",
        "description",
        "version",
        "created_at",
        "updated_at",
        "archived_at",
        "kind",
        "queue",
        "priority",
        "concurrency_limit",
        "on_worker_lost",
    ),
    "id": lambda shown: to_id(Kind.JOB, shown.row.id),
    "config": lambda shown: JSON(shown.row.config),
    "parameters_schema": lambda shown: parameters_schema_of(shown.row),
    "parameters": lambda shown: JSON(shown.row.parameters),
    "timeout": lambda shown: timedelta(seconds=shown.row.timeout_seconds),
    "retry": lambda shown: RetryPolicy.of(CoreRetryPolicy.from_json(shown.row.retry)),
    "tags": lambda shown: Tag.list_of(shown.row.tags),
    "owner": lambda shown: Actor.of(shown.row.created_by),
}


@lazily(_READS)
@strawberry.type(description="What to run: kind, configuration, parameters, limits.")
class Job(Node):
    """A job."""

    key: str = strawberry.field(description="Unique among the project's jobs.")
    name: str = strawberry.field(description="For people.")
    description: str | None = strawberry.field(description="What it is for.")
    version: int = strawberry.field(description="Counts definitions: the edit lock.")
    created_at: datetime = strawberry.field(description="When it was created.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    archived_at: datetime | None = strawberry.field(description="When it was archived.")
    kind: JobKind = strawberry.field(description="How it is executed.")
    config: JSON = strawberry.field(
        description="Validated per kind: see HttpConfig, CommandConfig, PythonConfig in the docs."
    )
    parameters_schema: JSON | None = strawberry.field(
        description="JSON Schema that parameters must satisfy."
    )
    parameters: JSON = strawberry.field(
        description="Parameters of every run, below the schedule's and the trigger's."
    )
    queue: str = strawberry.field(description="The lane its runs wait in.")
    priority: int = strawberry.field(description="Higher goes first.")
    timeout: timedelta = strawberry.field(description="How long an attempt may take.")
    concurrency_limit: int | None = strawberry.field(
        description="How many of its runs may be under way at once."
    )
    retry: RetryPolicy = strawberry.field(description="What happens after a failure.")
    on_worker_lost: OnWorkerLost = strawberry.field(
        description="What becomes of a run whose worker died."
    )
    tags: list[Tag] = strawberry.field(description="Labels; runs carry them, too.")
    owner: Actor | None = strawberry.field(
        description="Who created it. Its runs act as the owner of the schedule that fired them, or "
        "as whoever asked for them."
    )
    row: strawberry.Private[JobRow]

    @strawberry.field(description="The job's schedules, the newest first.")
    async def schedules(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        filter: Annotated[
            ScheduleFilter | None, strawberry.argument(description="Which ones.")
        ] = None,
    ) -> Annotated["ScheduleConnection", strawberry.lazy("app.schema.types.schedules")]:
        """Return one page."""
        from app.schema.types.schedules import ScheduleConnection

        return await ScheduleConnection.read(
            info.context, Window(first, after), narrowed=filter, job_id=self.row.id
        )

    @strawberry.field(description="The job's runs.")
    async def runs(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        filter: Annotated[RunFilter | None, strawberry.argument(description="Which ones.")] = None,
        order_by: Annotated[
            RunOrder | None, strawberry.argument(description="The newest first, unless given.")
        ] = None,
    ) -> Annotated["RunConnection", strawberry.lazy("app.schema.types.runs")]:
        """Return one page."""
        from app.schema.types.runs import RunConnection

        return await RunConnection.read(
            info.context, Window(first, after), narrowed=filter, order=order_by, job_id=self.row.id
        )

    @strawberry.field(description="What runs when its runs end, the oldest chain first.")
    async def chains(
        self, info: Info
    ) -> list[Annotated["Chain", strawberry.lazy("app.schema.types.chains")]]:
        """Load the chains."""
        from app.schema.types.chains import Chain

        rows = await info.context.loaders.chains_of_jobs.load(self.row.id)
        return [Chain.of(row) for row in rows or ()]

    @strawberry.field(description="What became of its runs in a window.")
    async def stats(self, info: Info, window: StatsWindow = None) -> RunStats:
        """Load them."""
        key = (Of.JOB, self.row.id, window_of(window))
        return RunStats.of(await info.context.loaders.run_statistics.load(key))

    @classmethod
    def of(cls, row: JobRow) -> "Job":
        """Return the public form."""
        shown = cls.__new__(cls)
        shown.row = row
        return shown


@strawberry.type(description="A job in a list.")
class JobEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: Job = strawberry.field(description="The job.")


@strawberry.type(description="One page of jobs.")
class JobConnection:
    """A connection."""

    edges: list[JobEdge] = strawberry.field(description="The jobs with their positions.")
    nodes: list[Job] = strawberry.field(description="The jobs.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    query: strawberry.Private[Select[Any]]

    @strawberry.field(description="How many there are.")
    async def total_count(
        self,
        info: Info,
        cap: Annotated[int | None, strawberry.argument(description="Count no further.")] = 10_000,
    ) -> Count:
        """Count up to the cap."""
        async with info.context.reading() as connection:
            value, exact = await count_jobs(connection, self.query, Count.bounded(cap))
        return Count(value=value, exact=exact)

    @classmethod
    async def read(
        cls, context: Context, window: Window, *, search: str | None, tags: Tags
    ) -> "JobConnection":
        """Return one page, the newest first."""
        query = select_jobs(context.principal.project_id, search=search, tags=tags)
        async with context.reading() as connection:
            page = await page_jobs(connection, query, window.request("jobs"))
        cursors, info = page_info(page, "jobs", lambda row: SortKey(None, row.id))
        nodes = [Job.of(row) for row in page.items]
        edges = [
            JobEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info, query=query)
