"""The history of a schedule."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.durations import format_duration
from app.core.ids import Kind
from app.core.vocabulary import ChangeKind
from app.models import ScheduleVersion as VersionRow
from app.schema.connections import Window, page_info
from app.schema.context import Context
from app.schema.ids import to_id
from app.schema.types.common import Actor, Node, PageInfo
from app.store.pages import SortKey
from app.store.versions import page_versions, select_versions

_ORDER = "SEQUENCE"


@strawberry.type(description="A field that differs.")
class FieldChange:
    """A changed field."""

    path: str = strawberry.field(description="The field.")
    before: JSON | None = strawberry.field(description="What it was; null also when it was not.")
    after: JSON | None = strawberry.field(description="What it became.")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "FieldChange":
        """Return the public form of a stored change."""
        name = stored["path"]
        path, before = _public(name, stored["before"])
        _, after = _public(name, stored["after"])
        return cls(path=path, before=before, after=after)


@strawberry.type(
    description="A schedule as one change left it. `version` counts definitions: a pause, for "
    "instance, is recorded with the version it found."
)
class ScheduleVersion(Node):
    """A version."""

    version: int = strawberry.field(description="The version of the definition.")
    at: datetime = strawberry.field(description="Since when it is, or was, in force.")
    by: Actor | None = strawberry.field(description="Who made the change.")
    change: ChangeKind = strawberry.field(description="What kind of change it was.")
    comment: str | None = strawberry.field(description="Why, in words.")
    diff: list[FieldChange] = strawberry.field(description="What differs from the one before.")
    snapshot: JSON = strawberry.field(description="The whole of it: definition and state.")

    @classmethod
    def of(cls, row: VersionRow) -> "ScheduleVersion":
        """Return the public form."""
        return cls(
            id=to_id(Kind.VERSION, row.id),
            version=row.version,
            at=row.at,
            by=Actor.of(row.by),
            change=row.change,
            comment=row.comment,
            diff=[FieldChange.of(change) for change in row.diff],
            snapshot=JSON(dict(_public(*item) for item in row.snapshot.items())),
        )


def _public(column: str, value: Any) -> tuple[str, Any]:
    """Return a column as the API names and writes it."""
    if column.endswith("_seconds"):
        column = column.removesuffix("_seconds")
        value = None if value is None else format_duration(timedelta(seconds=value))
    first, *others = column.split("_")
    return first + "".join(other.capitalize() for other in others), value


@strawberry.type(description="A version in a list.")
class ScheduleVersionEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: ScheduleVersion = strawberry.field(description="The version.")


@strawberry.type(description="One page of a schedule's versions.")
class ScheduleVersionConnection:
    """A connection."""

    edges: list[ScheduleVersionEdge] = strawberry.field(
        description="The versions with their positions."
    )
    nodes: list[ScheduleVersion] = strawberry.field(description="The versions.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    async def read(
        cls, context: Context, window: Window, *, schedule_id: UUID
    ) -> "ScheduleVersionConnection":
        """Return one page, the newest first."""
        async with context.reading() as connection:
            page = await page_versions(
                connection, select_versions(schedule_id), window.request(_ORDER)
            )
        cursors, info = page_info(page, _ORDER, lambda row: SortKey(row.sequence, row.id))
        nodes = [ScheduleVersion.of(row) for row in page.items]
        edges = [
            ScheduleVersionEdge(cursor=cursor, node=node)
            for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info)
