"""Inputs about chains."""

from typing import Any, cast

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.vocabulary import ChainOn
from app.schema.ids import from_id
from app.services.chains import ChainRequest


@strawberry.input(
    description="What a chain is to be; it is replaced whole. There is one between two jobs."
)
class ChainInput:
    """A chain."""

    job_id: strawberry.ID = strawberry.field(description="Whose runs it follows.")
    target_id: strawberry.ID = strawberry.field(description="What it starts.")
    on: ChainOn = strawberry.field(default=ChainOn.SUCCEEDED, description="After which end.")
    parameters: JSON | None = strawberry.field(
        default=None,
        description="Of the runs it starts, over the target's: an object whose texts are "
        "templates over `result`, `parameters` and `run` of the run that has ended, and `item` of "
        "a fan-out. Without any, the items of a fan-out are the parameters themselves.",
    )
    fan_out: str | None = strawberry.field(
        default=None,
        description="Where a list lies in the result, like `files` or `data.files`; `$` for the "
        "whole result. One run starts for each item.",
    )
    fan_out_limit: int | None = strawberry.field(
        default=None, description="How many items run at most: 1 to 1,000, 100 unless given."
    )

    def read(self) -> ChainRequest:
        """Return the service's form; the service checks it."""
        return ChainRequest(
            from_id(Kind.JOB, self.job_id, "jobId"),
            from_id(Kind.JOB, self.target_id, "targetId"),
            self.on,
            cast(Any, self.parameters),
            self.fan_out,
            self.fan_out_limit,
        )
