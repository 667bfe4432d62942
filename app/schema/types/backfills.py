"""Backfills."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import BackfillState, OverlapPolicy
from app.schema.connections import DEFAULT_SIZE, Window
from app.schema.context import Info
from app.schema.ids import to_id
from app.schema.inputs.arguments import After, First
from app.schema.inputs.filters import RunFilter
from app.schema.types.common import Actor, Node
from app.schema.types.runs import RunConnection
from app.store.backfills import BackfillRecord

if TYPE_CHECKING:
    from app.schema.types.schedules import Schedule


@strawberry.type(description="A past range of a schedule's occurrences, run after all.")
class Backfill(Node):
    """A backfill."""

    revision: int = strawberry.field(description="Counts any change.")
    schedule_version: int = strawberry.field(
        description="The schedule's version whose occurrences these are."
    )
    from_: datetime = strawberry.field(name="from", description="Where it begins, inclusive.")
    until: datetime = strawberry.field(description="Where it ends, inclusive.")
    only_missing: bool = strawberry.field(
        description="Whether it leaves out what has succeeded or is under way."
    )
    overlap: OverlapPolicy = strawberry.field(
        description="What becomes of a run while another of the schedule is under way."
    )
    rate_per_minute: int | None = strawberry.field(
        description="How many of its runs are due in a minute at most."
    )
    state: BackfillState = strawberry.field(description="Whether it goes on.")
    message: str | None = strawberry.field(description="Why it stands, or ended before its end.")
    total: int = strawberry.field(
        description="How many runs it makes: counted beforehand, and exact when all are made."
    )
    total_is_exact: bool = strawberry.field(
        description="Whether all are counted; until then `total` grows."
    )
    done: int = strawberry.field(description="How many of its runs have ended, however.")
    failed: int = strawberry.field(description="How many of those FAILED, TIMED_OUT or were LOST.")
    started_by: Actor | None = strawberry.field(description="Who started it.")
    created_at: datetime = strawberry.field(description="When it was started.")
    cancel_requested_at: datetime | None = strawberry.field(
        description="When it was cancelled; it is CANCELLED when none of its runs is alive."
    )
    finished_at: datetime | None = strawberry.field(description="When it was over.")
    record: strawberry.Private[BackfillRecord]

    @strawberry.field(description="The schedule whose occurrences these are.")
    async def schedule(
        self, info: Info
    ) -> Annotated["Schedule", strawberry.lazy("app.schema.types.schedules")]:
        """Load the schedule."""
        from app.schema.types.schedules import Schedule

        context = info.context
        record = await context.loaders.schedules.load(self.record.backfill.schedule_id)
        assert record is not None, "a schedule takes its backfills with it"
        return Schedule.of(record, context.principal)

    @strawberry.field(description="Its runs so far, the newest first.")
    async def runs(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        filter: Annotated[RunFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> RunConnection:
        """Read one page."""
        return await RunConnection.read(
            info.context,
            Window(first, after),
            narrowed=filter,
            backfill_id=self.record.backfill.id,
        )

    @classmethod
    def of(cls, record: BackfillRecord) -> "Backfill":
        """Return the public form."""
        row = record.backfill
        return cls(
            id=to_id(Kind.BACKFILL, row.id),
            revision=row.revision,
            schedule_version=row.schedule_version,
            from_=row.from_at,
            until=row.until_at,
            only_missing=row.only_missing,
            overlap=row.overlap,
            rate_per_minute=row.rate_per_minute,
            state=row.state,
            message=row.message,
            total=row.total,
            total_is_exact=row.counted_at >= row.until_at,
            done=record.done,
            failed=record.failed,
            started_by=Actor.of(row.started_by),
            created_at=row.created_at,
            cancel_requested_at=row.cancel_requested_at,
            finished_at=row.finished_at,
            record=record,
        )
