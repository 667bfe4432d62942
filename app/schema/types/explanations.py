"""The answer to "why not?"."""

from datetime import datetime

import strawberry

from app.core.vocabulary import Outcome, RunReason
from app.schema.types.runs import Run
from app.schema.types.timings import Occurrence
from app.services.schedules import why_not


@strawberry.type(description="What happened, or will happen, to a schedule at an instant, and why.")
class Explanation:
    """An explanation."""

    at: datetime = strawberry.field(description="The instant that was asked about.")
    is_occurrence: bool = strawberry.field(description="Whether the schedule is, or was, due then.")
    outcome: Outcome = strawberry.field(description="What became, or will become, of it.")
    reason: RunReason | None = strawberry.field(description="Why it did not, or will not, run.")
    message: str = strawberry.field(description="The answer in words, and what can be done.")
    nearest: list[Occurrence] = strawberry.field(
        description="The occurrences before and after an instant that is none."
    )
    run: Run | None = strawberry.field(
        description="The run or record; of a range, the one in which it lies."
    )

    @classmethod
    def of(cls, explanation: why_not.Explanation) -> "Explanation":
        """Return the public form."""
        return cls(
            at=explanation.at,
            is_occurrence=explanation.is_occurrence,
            outcome=explanation.outcome,
            reason=explanation.reason,
            message=explanation.message,
            nearest=[Occurrence.of(one) for one in explanation.nearest],
            run=None if explanation.run is None else Run.of(explanation.run),
        )
