"""Inputs about calendars."""

from typing import Any, cast

import strawberry
from strawberry.scalars import JSON

from app.services.calendars import CalendarRequest


@strawberry.input(description="What a calendar is to be; it is replaced whole.")
class CalendarInput:
    """A calendar."""

    key: str = strawberry.field(description="Which one; it is created if there is none.")
    name: str = strawberry.field(description="For people.")
    dates: list[str] | None = strawberry.field(
        default=None,
        description="Days, 2026-12-25, and ranges of them, 2026-12-24/2026-12-31.",
    )
    rules: JSON | None = strawberry.field(
        default=None,
        description="`weekdays`: [SAT], `yearly`: [12-25], `holidays`: [{country: DE}].",
    )

    def read(self) -> CalendarRequest:
        """Return the service's form; the service checks the rules."""
        rules = cast(Any, self.rules)
        return CalendarRequest(self.key, self.name, tuple(self.dates or ()), rules)
