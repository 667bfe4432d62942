"""Inputs about backfills."""

from datetime import datetime

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import OverlapPolicy
from app.schema.ids import from_id
from app.services.backfills import BackfillRequest


@strawberry.input(description="A past range of a schedule's occurrences that is to run.")
class BackfillStartInput:
    """A backfill."""

    schedule_id: strawberry.ID = strawberry.field(description="Whose occurrences.")
    from_: datetime = strawberry.field(name="from", description="Where it begins, inclusive.")
    until: datetime = strawberry.field(
        description="Where it ends, inclusive; not in the future, where occurrences fire by "
        "themselves."
    )
    only_missing: bool | None = strawberry.field(
        default=True,
        description="Leave out occurrences of which a run has succeeded or is under way. Not "
        "possible for what retention may have removed.",
    )
    overlap: OverlapPolicy | None = strawberry.field(
        default=None,
        description="What becomes of a run while another of the schedule is under way; not "
        "CANCEL_RUNNING. ALLOW where the schedule says so, else QUEUE_ALL: one after the other.",
    )
    rate_per_minute: int | None = strawberry.field(
        default=None,
        description="How many runs are due in a minute at most; as many as end, otherwise.",
    )
    dry_run: bool | None = strawberry.field(
        default=False, description="Only say what it would run."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeat a request with it safely, for 24 hours."
    )

    def read(self) -> BackfillRequest:
        """Return the service's form."""
        return BackfillRequest(
            schedule_id=from_id(Kind.SCHEDULE, self.schedule_id, "scheduleId"),
            from_at=self.from_,
            until_at=self.until,
            only_missing=self.only_missing is not False,
            overlap=self.overlap,
            rate_per_minute=self.rate_per_minute,
            idempotency_key=self.idempotency_key,
        )
