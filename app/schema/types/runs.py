"""Runs, their attempts and their logs."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from sqlalchemy import Select
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.run_states import is_final
from app.core.vocabulary import FailureReason, LogLevel, RunCause, RunReason, RunState
from app.models import Attempt as AttemptRow
from app.models import Job as JobRow
from app.models import Run as RunRow
from app.schema.connections import DEFAULT_SIZE, Window, page_info
from app.schema.context import Context, Info
from app.schema.ids import to_id
from app.schema.inputs.arguments import After, First
from app.schema.inputs.filters import RunFilter, RunOrder, run_order
from app.schema.relations import Relation, attributes_of, follows, lazily
from app.schema.scalars import Cursor
from app.schema.types.common import Actor, Count, Node, PageInfo, Tag
from app.schema.types.logs import LogConnection
from app.schema.types.scheduler import Worker
from app.store import filters as store
from app.store.pages import SortKey
from app.store.runs import count_runs, page_runs, select_runs
from app.store.schedules import ScheduleRecord

if TYPE_CHECKING:
    from app.schema.types.backfills import Backfill
    from app.schema.types.jobs import Job
    from app.schema.types.schedules import Schedule


@strawberry.type(description="Why something failed.")
class RunError:
    """An error."""

    type: str | None = strawberry.field(description="The kind of error, as its source names it.")
    message: str = strawberry.field(description="What happened.")
    detail: str | None = strawberry.field(description="More of it: a traceback, an answer's body.")
    reason: FailureReason = strawberry.field(description="Which kind of failure it is.")

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "RunError | None":
        """Return the public form of a stored error."""
        if stored is None:
            return None
        return cls(
            type=stored.get("type"),
            message=str(stored.get("message", "")),
            detail=stored.get("detail"),
            reason=FailureReason(stored.get("reason", FailureReason.ERROR)),
        )


@strawberry.type(description="One finished try at a run.")
class Attempt:
    """An attempt."""

    number: int = strawberry.field(description="Counts from 1.")
    state: RunState = strawberry.field(description="How it ended.")
    worker: str | None = strawberry.field(description="Which worker made it.")
    started_at: datetime = strawberry.field(description="Entry into the handler.")
    finished_at: datetime | None = strawberry.field(description="Its end.")
    duration: timedelta | None = strawberry.field(description="How long it took.")
    error: RunError | None = strawberry.field(description="Why it failed.")
    exit_code: int | None = strawberry.field(description="The exit code of a command.")
    http_status: int | None = strawberry.field(description="The status of an HTTP answer.")

    @classmethod
    def of(cls, row: AttemptRow) -> "Attempt":
        """Return the public form."""
        return cls(
            number=row.number,
            state=row.state,
            worker=row.worker,
            started_at=row.started_at,
            finished_at=row.finished_at,
            duration=row.finished_at - row.started_at,
            error=RunError.of(row.error),
            exit_code=row.exit_code,
            http_status=row.http_status,
        )


_READS: dict[str, Callable[[Any], Any]] = {
    **attributes_of(
        "row",
        "revision",
        "schedule_version",
        "state",
        "reason",
        "message",
        "cause",
        "scheduled_for",
        "due_at",
        "range_end",
        "range_count",
        "created_at",
        "started_at",
        "finished_at",
        "queue",
        "priority",
        "attempt",
        "max_attempts",
        "progress",
        "progress_message",
        "idempotency_key",
    ),
    "id": lambda shown: to_id(Kind.RUN, shown.row.id),
    "terminal": lambda shown: is_final(shown.row.state),
    "triggered_by": lambda shown: Actor.of(shown.row.triggered_by),
    "previous_success_at": lambda shown: shown.row.previous_success_for,
    "next_attempt_at": lambda shown: (
        shown.row.next_attempt_at if shown.row.state is RunState.QUEUED else None
    ),
    "lateness": lambda shown: _between(shown.row.due_at, shown.row.first_started_at),
    "duration": lambda shown: _between(shown.row.started_at, shown.row.finished_at),
    "parameters": lambda shown: JSON(shown.row.parameters),
    "result": lambda shown: None if shown.row.result is None else JSON(shown.row.result),
    "error": lambda shown: RunError.of(shown.row.error),
    "tags": lambda shown: Tag.list_of(shown.row.tags),
}


def _show_job(row: JobRow | None, _: Context) -> "Job":
    from app.schema.types.jobs import Job

    assert row is not None, "a job outlives its runs"
    return Job.of(row)


def _show_schedule(record: ScheduleRecord | None, context: Context) -> "Schedule | None":
    from app.schema.types.schedules import Schedule

    return None if record is None else Schedule.of(record, context.principal)


_JOB: Relation["Run", "Job"] = Relation(
    lambda loaders: loaders.jobs, lambda run: run.row.job_id, _show_job
)
_SCHEDULE: Relation["Run", "Schedule | None"] = Relation(
    lambda loaders: loaders.schedules, lambda run: run.row.schedule_id, _show_schedule
)


@lazily(_READS)
@strawberry.type(
    description="The record of one occurrence, or of one manual, backfill or chained trigger."
)
class Run(Node):
    """A run."""

    revision: int = strawberry.field(description="Counts any change.")
    schedule_version: int | None = strawberry.field(
        description="The schedule's version that made it."
    )
    state: RunState = strawberry.field(description="Where it stands.")
    reason: RunReason | None = strawberry.field(description="Why it did not simply succeed.")
    message: str | None = strawberry.field(description="The reason in words.")
    terminal: bool = strawberry.field(description="Whether nothing more will happen to it.")
    cause: RunCause = strawberry.field(description="What brought it into being.")
    triggered_by: Actor | None = strawberry.field(description="Who asked for it.")
    scheduled_for: datetime = strawberry.field(
        description="Nominal occurrence; for manual runs the instant asked for."
    )
    previous_success_at: datetime | None = strawberry.field(
        description="Previous occurrence that succeeded: the start of an incremental interval."
    )
    due_at: datetime = strawberry.field(description="With jitter.")
    range_end: datetime | None = strawberry.field(
        description="For a recorded range: its last occurrence, inclusive."
    )
    range_count: int | None = strawberry.field(
        description="For a recorded range: its size; null until a very long one has been counted."
    )
    created_at: datetime = strawberry.field(description="When it was recorded.")
    started_at: datetime | None = strawberry.field(description="Entry into the handler.")
    finished_at: datetime | None = strawberry.field(description="The end.")
    next_attempt_at: datetime | None = strawberry.field(description="When a queued run may start.")
    lateness: timedelta | None = strawberry.field(
        description="From the due instant to the start of the first attempt."
    )
    duration: timedelta | None = strawberry.field(description="Of the last attempt.")
    parameters: JSON = strawberry.field(description="What the job is given.")
    result: JSON | None = strawberry.field(description="What the job gave back.")
    error: RunError | None = strawberry.field(description="Why it failed.")
    queue: str = strawberry.field(description="The lane it waits or waited in.")
    priority: int = strawberry.field(description="Higher goes first.")
    attempt: int = strawberry.field(description="Which attempt this is; 0 before the first.")
    max_attempts: int = strawberry.field(description="How many there may be.")
    progress: float | None = strawberry.field(description="How far it is, between 0 and 1.")
    progress_message: str | None = strawberry.field(description="How far it is, in words.")
    idempotency_key: str | None = strawberry.field(
        description="Of the request that asked for it by hand, if it had one."
    )
    tags: list[Tag] = strawberry.field(description="Those of its job and its schedule.")
    row: strawberry.Private[RunRow]

    @strawberry.field(description="What is run.")
    @follows(_JOB)
    async def job(self, info: Info) -> Annotated["Job", strawberry.lazy("app.schema.types.jobs")]:
        """Load the job."""
        return await _JOB.follow(self, info)

    @strawberry.field(description="The schedule that fired, or was triggered.")
    @follows(_SCHEDULE)
    async def schedule(
        self, info: Info
    ) -> Annotated["Schedule", strawberry.lazy("app.schema.types.schedules")] | None:
        """Load the schedule."""
        return await _SCHEDULE.follow(self, info)

    @strawberry.field(description="The run that this one repeats.")
    async def rerun_of(self, info: Info) -> "Run | None":
        """Load the run."""
        if self.row.rerun_of_id is None:
            return None
        row = await info.context.loaders.runs.load(self.row.rerun_of_id)
        return None if row is None else Run.of(row)

    @strawberry.field(description="The run whose end started this one by a chain.")
    async def chained_from(self, info: Info) -> "Run | None":
        """Load the run."""
        if self.row.chained_from_id is None:
            return None
        row = await info.context.loaders.runs.load(self.row.chained_from_id)
        return None if row is None else Run.of(row)

    @strawberry.field(description="The runs that its end started by chains, the newest first.")
    async def chained(
        self, info: Info, first: First = DEFAULT_SIZE, after: After = None
    ) -> "RunConnection":
        """Return one page."""
        return await RunConnection.read(
            info.context, Window(first, after), narrowed=None, chained_from_id=self.row.id
        )

    @strawberry.field(description="The backfill that made it.")
    async def backfill(
        self, info: Info
    ) -> Annotated["Backfill", strawberry.lazy("app.schema.types.backfills")] | None:
        """Load the backfill."""
        from app.schema.types.backfills import Backfill

        if self.row.backfill_id is None:
            return None
        record = await info.context.loaders.backfills.load(self.row.backfill_id)
        return None if record is None else Backfill.of(record)

    @strawberry.field(description="The worker that has it, or had it last.")
    async def worker(self, info: Info) -> Worker | None:
        """Load the worker."""
        if self.row.worker_id is None:
            return None
        row = await info.context.loaders.workers.load(self.row.worker_id)
        return None if row is None else Worker.of(row)

    @strawberry.field(description="Its finished attempts, the first one first.")
    async def attempts(self, info: Info) -> list[Attempt]:
        """Load the attempts."""
        rows = await info.context.loaders.attempts.load(self.row.id)
        return [Attempt.of(row) for row in rows or ()]

    @strawberry.field(description="What it wrote, from the beginning on.")
    async def log(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many lines.")] = 200,
        after: Annotated[
            Cursor | None, strawberry.argument(description="Only lines behind this one.")
        ] = None,
        attempt: Annotated[
            int | None, strawberry.argument(description="Only of this attempt.")
        ] = None,
        min_level: Annotated[
            LogLevel | None, strawberry.argument(description="Only of this level or a graver one.")
        ] = None,
    ) -> LogConnection:
        """Read one page."""
        return await LogConnection.read(
            info.context,
            self.row.id,
            first=200 if first is None else first,
            after=after,
            attempt=attempt,
            min_level=min_level,
        )

    @classmethod
    def of(cls, row: RunRow) -> "Run":
        """Return the public form."""
        shown = cls.__new__(cls)
        shown.row = row
        return shown


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    return None if start is None or end is None else max(end - start, timedelta(0))


@strawberry.type(description="A run in a list.")
class RunEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: Run = strawberry.field(description="The run.")


@strawberry.type(description="One page of runs.")
class RunConnection:
    """A connection."""

    edges: list[RunEdge] = strawberry.field(description="The runs with their positions.")
    nodes: list[Run] = strawberry.field(description="The runs.")
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
            value, exact = await count_runs(connection, self.query, Count.bounded(cap))
        return Count(value=value, exact=exact)

    @classmethod
    async def read(
        cls,
        context: Context,
        window: Window,
        *,
        narrowed: RunFilter | None,
        order: RunOrder | None = None,
        job_id: UUID | None = None,
        schedule_id: UUID | None = None,
        backfill_id: UUID | None = None,
        chained_from_id: UUID | None = None,
    ) -> "RunConnection":
        """Return one page, the newest first unless ordered otherwise."""
        name, stored_order = run_order(order)
        whole = store.RunFilter(
            job_id=job_id,
            schedule_id=schedule_id,
            backfill_id=backfill_id,
            chained_from_id=chained_from_id,
            all_of=() if narrowed is None else (narrowed.read(),),
        )
        query = select_runs(context.principal.project_id, whole)
        async with context.reading() as connection:
            page = await page_runs(
                connection, query, stored_order, window.request(name), narrowed=whole
            )
        column = stored_order.column
        cursors, info = page_info(page, name, lambda row: SortKey(_value_of(row, column), row.id))
        nodes = [Run.of(row) for row in page.items]
        edges = [
            RunEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info, query=query)


def _value_of(row: RunRow, column: Any) -> Any:
    return None if column is None else getattr(row, column.key)
