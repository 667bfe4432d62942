"""What mutations answer: a result or the reasons why not."""

import strawberry

from app.schema.errors import UserError
from app.schema.types.backfills import Backfill
from app.schema.types.health import HealthFinding
from app.schema.types.jobs import Job
from app.schema.types.runs import Run
from app.schema.types.scheduler import Queue, SchedulerStatus, Worker
from app.schema.types.schedules import Schedule
from app.schema.types.timings import Occurrence

_REPLAYED = "Whether this is the result of an earlier request with the same idempotency key."
_ERRORS = "Why it was not done; empty when it was."


@strawberry.type(description="The result of changing a job.")
class JobPayload:
    """A payload."""

    job: Job | None = strawberry.field(default=None, description="The job.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of changing a schedule.")
class SchedulePayload:
    """A payload."""

    schedule: Schedule | None = strawberry.field(default=None, description="The schedule.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of asking for a run.")
class RunPayload:
    """A payload."""

    run: Run | None = strawberry.field(default=None, description="The run.")
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of starting or steering a backfill.")
class BackfillPayload:
    """A payload."""

    backfill: Backfill | None = strawberry.field(
        default=None, description="The backfill; null for a dry run."
    )
    planned: list[Occurrence] = strawberry.field(
        default_factory=list,
        description="Of a start or a dry run: the occurrences that run, the first 500. None of a "
        "request that is answered again: look at the backfill's runs.",
    )
    count: int = strawberry.field(
        default=0,
        description="How many run; of a long range only the beginning is counted here.",
    )
    count_is_exact: bool = strawberry.field(
        default=True, description="Whether the whole range is counted."
    )
    replayed: bool = strawberry.field(default=False, description=_REPLAYED)
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of controlling the instance.")
class SchedulerPayload:
    """A payload."""

    status: SchedulerStatus | None = strawberry.field(
        default=None, description="The state of the instance afterwards."
    )
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of controlling a queue.")
class QueuePayload:
    """A payload."""

    queue: Queue | None = strawberry.field(default=None, description="The queue.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of asking something of a worker.")
class WorkerPayload:
    """A payload."""

    worker: Worker | None = strawberry.field(default=None, description="The worker.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The result of changing a finding.")
class FindingPayload:
    """A payload."""

    finding: HealthFinding | None = strawberry.field(default=None, description="The finding.")
    errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="What became of one of many.")
class BulkItemResult:
    """An item."""

    index: int = strawberry.field(description="Its place in the input, from 0.")
    id: strawberry.ID | None = strawberry.field(description="Its id, if it has one.")
    key: str | None = strawberry.field(description="Its key.")
    ok: bool = strawberry.field(description="Whether it was done.")
    errors: list[UserError] = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="What became of many.")
class BulkPayload:
    """A payload."""

    matched: int = strawberry.field(description="How many were meant.")
    results: list[BulkItemResult] = strawberry.field(description="One for each, in their order.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was done; empty when it was."
    )
