"""Inputs of statistics."""

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from app.services.statistics import WindowRequest


@strawberry.input(
    description="Which time is meant: `last`, or `from` and `until`; nothing: the last day. It "
    "holds at most 366 days."
)
class StatsWindowInput:
    """A window."""

    last: timedelta | None = strawberry.field(default=None, description="So much time up to now.")
    from_: datetime | None = strawberry.field(
        name="from",
        default=None,
        description="From this instant, inclusive; not given: a day before its end.",
    )
    until: datetime | None = strawberry.field(
        default=None, description="Until this instant, exclusive; not given: now."
    )

    def read(self) -> WindowRequest:
        """Return the service's form."""
        return WindowRequest(self.last, self.from_, self.until).check()


Window = Annotated[
    StatsWindowInput | None, strawberry.argument(description="Which time; the last day.")
]


def window_of(given: StatsWindowInput | None) -> WindowRequest:
    """Return what was asked for, or the usual."""
    return WindowRequest() if given is None else given.read()
