"""Who did what, and whether the record of it is whole."""

from datetime import datetime

import strawberry
from sqlalchemy import Select

from app.core.ids import Kind
from app.models import AuditEntry as AuditRow
from app.schema.connections import Window, page_info
from app.schema.context import Context
from app.schema.ids import to_id
from app.schema.types.common import Actor, Node, PageInfo
from app.schema.types.versions import FieldChange
from app.services import auditing as service
from app.store.audit import page_audit
from app.store.pages import SortKey

_ORDER = "AUDIT"


@strawberry.type(description="One accepted mutation, or one automatic change.")
class AuditEntry(Node):
    """An entry."""

    at: datetime = strawberry.field(description="When.")
    actor: Actor = strawberry.field(description="Who.")
    action: str = strawberry.field(description="The mutation, or the name of the automatic change.")
    subject_id: strawberry.ID | None = strawberry.field(
        description="What was changed; null for the instance and for what has no id."
    )
    subject_kind: str = strawberry.field(description="What kind of thing was changed.")
    summary: str = strawberry.field(description="What was done, in words.")
    changes: list[FieldChange] = strawberry.field(description="Which fields, before and after.")
    request_id: str | None = strawberry.field(
        description="The request that did it; logs and answers carry the same id."
    )

    @classmethod
    def of(cls, row: AuditRow) -> "AuditEntry":
        """Return the public form."""
        kind, subject = Kind.__members__.get(row.subject_kind), row.subject_id
        assert row.actor is not None, "every entry names who did it"
        return cls(
            id=to_id(Kind.AUDIT, row.id),
            at=row.at,
            actor=Actor.known(row.actor),
            action=row.action,
            subject_id=None if kind is None or subject is None else to_id(kind, subject),
            subject_kind=row.subject_kind,
            summary=row.summary,
            changes=[FieldChange.of(change) for change in row.changes],
            request_id=row.request_id,
        )


@strawberry.type(description="An entry in a list.")
class AuditEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: AuditEntry = strawberry.field(description="The entry.")


@strawberry.type(description="One page of the audit.")
class AuditConnection:
    """A connection."""

    edges: list[AuditEdge] = strawberry.field(description="The entries with their positions.")
    nodes: list[AuditEntry] = strawberry.field(description="The entries.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    async def read(
        cls, context: Context, window: Window, query: "Select[tuple[AuditRow]]"
    ) -> "AuditConnection":
        """Return one page, the newest first."""
        async with context.reading() as connection:
            page = await page_audit(connection, query, window.request(_ORDER))
        cursors, info = page_info(page, _ORDER, lambda row: SortKey(None, row.id))
        nodes = [AuditEntry.of(row) for row in page.items]
        edges = [
            AuditEdge(cursor=cursor, node=node) for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info)


@strawberry.type(
    description="Whether the audit is what was once sealed. Entries are sealed a moment after "
    "they were committed."
)
class AuditVerification:
    """A verification."""

    ok: bool = strawberry.field(description="Whether every entry is as it was sealed.")
    entries: int = strawberry.field(description="How many entries the chain holds.")
    unsealed: int = strawberry.field(description="How many are not sealed yet.")
    first_bad_id: strawberry.ID | None = strawberry.field(
        description="The first entry that was changed, removed or slipped in."
    )
    head: str = strawberry.field(
        description="The last seal, in hexadecimal. Note it elsewhere: a later chain must hold it."
    )

    @classmethod
    def of(cls, found: service.AuditVerification) -> "AuditVerification":
        """Return the public form."""
        bad = found.first_bad_id
        return cls(
            ok=found.ok,
            entries=found.entries,
            unsealed=found.unsealed,
            first_bad_id=None if bad is None else to_id(Kind.AUDIT, bad),
            head=found.head.hex(),
        )
