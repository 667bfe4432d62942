"""What somebody decided about single occurrences."""

from datetime import datetime

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import OccurrenceAction
from app.models import OccurrenceOverride as OverrideRow
from app.schema.ids import to_id
from app.schema.types.common import Actor, Node


@strawberry.type(description="One occurrence that somebody skipped, moved or added.")
class OccurrenceOverride(Node):
    """An override."""

    at: datetime = strawberry.field(
        description="Its nominal instant, which stays its key wherever it is moved."
    )
    action: OccurrenceAction = strawberry.field(description="What becomes of it.")
    move_to: datetime | None = strawberry.field(description="When it runs instead.")
    reason: str = strawberry.field(description="Why.")
    by: Actor | None = strawberry.field(description="Who decided it.")
    orphaned: bool = strawberry.field(
        description="Whether the schedule was changed and has no such occurrence any more."
    )

    @classmethod
    def of(cls, row: OverrideRow) -> "OccurrenceOverride":
        """Return the public form."""
        return cls(
            id=to_id(Kind.OVERRIDE, row.id),
            at=row.at,
            action=row.action,
            move_to=row.move_to,
            reason=row.reason,
            by=Actor.of(row.by),
            orphaned=row.orphaned,
        )
