"""Chains: which job runs after which."""

from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.vocabulary import ChainOn
from app.models import Chain as ChainRow
from app.schema.context import Info
from app.schema.errors import UserError
from app.schema.ids import to_id
from app.schema.types.common import Node
from app.schema.types.jobs import Job


@strawberry.type(
    description="When a run of `job` ends so, run `target`; `fanOut` names a list in the result, "
    "one run each."
)
class Chain(Node):
    """A chain."""

    on: ChainOn = strawberry.field(description="After which end.")
    parameters: JSON = strawberry.field(
        description="Of the runs it starts, over the target's. Texts are templates over "
        "`result`, `parameters` and `run` of the run that has ended, and `item` of a fan-out."
    )
    fan_out: str | None = strawberry.field(description="Where the list lies in the result.")
    fan_out_limit: int | None = strawberry.field(
        description="How many of its items run; the rest is recorded as refused."
    )
    row: strawberry.Private[ChainRow]

    @strawberry.field(description="Whose runs it follows.")
    async def job(self, info: Info) -> Job:
        """Load the job."""
        return await _job(info, self.row.job_id)

    @strawberry.field(description="What it starts.")
    async def target(self, info: Info) -> Job:
        """Load the job."""
        return await _job(info, self.row.target_id)

    @classmethod
    def of(cls, row: ChainRow) -> "Chain":
        """Return the public form."""
        return cls(
            id=to_id(Kind.CHAIN, row.id),
            on=row.after,
            parameters=JSON(row.parameters),
            fan_out=row.fan_out,
            fan_out_limit=row.fan_out_limit,
            row=row,
        )


async def _job(info: Info, job_id: UUID) -> Job:
    row = await info.context.loaders.jobs.load(job_id)
    assert row is not None, "a chain's jobs cannot be removed"
    return Job.of(row)


@strawberry.type(description="The result of changing a chain.")
class ChainPayload:
    """A payload."""

    chain: Chain | None = strawberry.field(default=None, description="The chain.")
    errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why it was not done; empty when it was."
    )
