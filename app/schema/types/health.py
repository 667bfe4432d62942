"""Health: what is wrong with the instance or a schedule."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from sqlalchemy import Select

from app.core.ids import Kind
from app.core.vocabulary import FindingCode, Severity
from app.models import HealthFinding as HealthFindingRow
from app.schema.connections import Window, page_info
from app.schema.context import Context, Info
from app.schema.ids import to_id
from app.schema.types.common import Actor, Count, Node, PageInfo
from app.schema.types.schedules import Schedule
from app.store.findings import count_findings, page_findings, select_findings
from app.store.pages import SortKey


@strawberry.type(
    description="Something that is, or was, wrong with a schedule or with the whole instance. One "
    "is open for each code and schedule, whoever notices it first; it resolves by itself."
)
class HealthFinding(Node):
    """A finding."""

    code: FindingCode = strawberry.field(description="What is wrong.")
    severity: Severity = strawberry.field(description="How much it matters; grows with its age.")
    message: str = strawberry.field(description="What is wrong, in words.")
    since: datetime = strawberry.field(description="When it truly began, as far as is known.")
    opened_at: datetime = strawberry.field(description="When it was noticed.")
    resolved_at: datetime | None = strawberry.field(description="When it was over.")
    acknowledged_by: Actor | None = strawberry.field(description="Who has taken notice.")
    acknowledged_at: datetime | None = strawberry.field(description="When that was.")
    note: str | None = strawberry.field(description="What they said.")
    revision: int = strawberry.field(description="Counts any change.")
    row: strawberry.Private[HealthFindingRow]

    @strawberry.field(description="The schedule; null: it concerns the whole instance.")
    async def schedule(self, info: Info) -> Schedule | None:
        """Load the schedule."""
        if self.row.schedule_id is None:
            return None
        record = await info.context.loaders.schedules.load(self.row.schedule_id)
        return None if record is None else Schedule.of(record, info.context.principal)

    @classmethod
    def of(cls, row: HealthFindingRow) -> "HealthFinding":
        """Return the public form."""
        return cls(
            id=to_id(Kind.FINDING, row.id),
            code=row.code,
            severity=row.severity,
            message=row.message,
            since=row.since,
            opened_at=row.opened_at,
            resolved_at=row.resolved_at,
            acknowledged_by=Actor.of(row.acknowledged_by),
            acknowledged_at=row.acknowledged_at,
            note=row.note,
            revision=row.revision,
            row=row,
        )


@strawberry.type(description="A finding in a list.")
class FindingEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: HealthFinding = strawberry.field(description="The finding.")


@strawberry.type(description="One page of findings.")
class FindingConnection:
    """A connection."""

    edges: list[FindingEdge] = strawberry.field(description="The findings with their positions.")
    nodes: list[HealthFinding] = strawberry.field(description="The findings.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    query: strawberry.Private[Select[Any]]

    @strawberry.field(description="How many there are.")
    async def total_count(
        self,
        info: Info,
        cap: Annotated[int | None, strawberry.argument(description="Count no further.")] = 10_000,
    ) -> Count:
        """Count up to the cap."""
        async with info.context.reading() as connection:
            value, exact = await count_findings(connection, self.query, Count.bounded(cap))
        return Count(value=value, exact=exact)

    @classmethod
    async def read(
        cls, context: Context, window: Window, *, is_open: bool | None, min_severity: Severity
    ) -> "FindingConnection":
        """Return one page, the newest first."""
        query = select_findings(
            context.principal.project_id, is_open=is_open, min_severity=min_severity
        )
        async with context.reading() as connection:
            page = await page_findings(connection, query, window.request("findings"))
        cursors, info = page_info(page, "findings", lambda row: SortKey(None, row.id))
        nodes = [HealthFinding.of(row) for row in page.items]
        edges = [
            FindingEdge(cursor=cursor, node=node)
            for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info, query=query)
