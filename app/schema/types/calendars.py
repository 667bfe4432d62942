"""Calendars."""

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.models import Calendar as CalendarRow
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node


@strawberry.type(description="Named days that exclude or move occurrences.")
class Calendar(Node):
    """A calendar."""

    key: str = strawberry.field(description="Unique among the project's calendars.")
    name: str = strawberry.field(description="For people; recorded with every skip.")
    version: int = strawberry.field(description="Counts its changes.")
    dates: list[str] = strawberry.field(
        description="Days, 2026-12-25, and ranges of them, 2026-12-24/2026-12-31."
    )
    rules: JSON = strawberry.field(
        description="`weekdays` (SAT), `yearly` (12-25) and `holidays` (country, subdivision)."
    )

    @classmethod
    def of(cls, row: CalendarRow) -> "Calendar":
        """Return the public form."""
        return cls(
            id=to_id(Kind.CALENDAR, row.id),
            key=row.key,
            name=row.name,
            version=row.version,
            dates=list(row.dates),
            rules=JSON(row.rules),
        )


@strawberry.type(description="The result of changing a calendar.")
class CalendarPayload:
    """A payload."""

    calendar: Calendar | None = strawberry.field(default=None, description="The calendar.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
