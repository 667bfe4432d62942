"""Keyset pages: a page begins after the sort key of a row, never at an offset.

A page costs the same wherever it lies, and neither repeats nor skips a row while others come and
go. Values that may be null sort last, in either direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
)

from app.store.database import ReadConnection

Item = TypeVar("Item")
SortValue = str | int | datetime | None


@dataclass(frozen=True, slots=True)
class SortKey:
    """Where a row stands in an order; the id makes it unique."""

    value: SortValue
    id: UUID


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which slice of a list: `size` rows from its front, or from its end."""

    size: int
    from_end: bool = False
    after: SortKey | None = None
    before: SortKey | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A slice of a list, in its order, and whether there is more on either side."""

    items: Sequence[Item]
    has_previous: bool
    has_next: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a list: by a column and then the id, or by the id alone."""

    column: Any
    descending: bool
    # What stands for null in comparisons, as SQL: beyond every real value of the column.
    null_as: str | None = None

    def columns(self, id_column: Any) -> list[ColumnElement[Any]]:
        """Return the sort columns, the id last."""
        if self.column is None:
            return [id_column]
        if self.null_as is None:
            return [self.column, id_column]
        return [func.coalesce(self.column, literal_column(self.null_as)), id_column]

    def bound(self, key: SortKey) -> list[ColumnElement[Any]]:
        """Return the values of `key` for the columns."""
        if self.column is None:
            return [literal(key.id)]
        if key.value is None and self.null_as is not None:
            return [literal_column(self.null_as), literal(key.id)]
        return [literal(key.value, self.column.type), literal(key.id)]


async def read_page(
    connection: ReadConnection,
    query: Select[Any],
    *,
    id_column: Any,
    order: Order,
    page: PageRequest,
    sorts: bool = False,
) -> Page[Any]:
    """Return one page of the query's rows.

    `sorts`: they are found first and then sorted. PostgreSQL would rather walk along the order
    until it has found enough, which it believes to be soon.
    """
    await plan_for_values(connection)
    columns = order.columns(id_column)
    for key, is_after in ((page.after, True), (page.before, False)):
        if key is not None:
            row, bound = tuple_(*columns), tuple_(*order.bound(key))
            query = query.where(row > bound if is_after != order.descending else row < bound)
    backwards = order.descending != page.from_end
    if sorts:
        columns = [*columns[:-1], in_no_index(columns[-1])]
    query = query.order_by(*(column.desc() if backwards else column.asc() for column in columns))
    rows = (await connection.execute(query.limit(page.size + 1))).all()
    more, rows = len(rows) > page.size, rows[: page.size]
    if page.from_end:
        return Page(rows[::-1], has_previous=more, has_next=page.before is not None)
    return Page(rows, has_previous=page.after is not None, has_next=more)


def in_no_index(id_column: Any) -> ColumnElement[Any]:
    """Return what sorts as the id does, in an order that no index has."""
    return cast(id_column, Text).collate("C")


async def plan_for_values(connection: ReadConnection) -> None:
    """Let PostgreSQL plan what follows in this transaction for the values it is executed with.

    A statement that is often executed may come to be planned for any values of its parameters; and
    a plan that serves any state, or any stretch of time, reads millions of runs for the rare ones.
    """
    await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def count_up_to(
    connection: ReadConnection, query: Select[Any], *, id_column: Any, cap: int
) -> tuple[int, bool]:
    """Return how many rows a query has and whether that is exact: counting stops at `cap`."""
    await plan_for_values(connection)
    limited = query.with_only_columns(id_column).order_by(None).limit(cap + 1).subquery()
    counted = (await connection.execute(select(func.count()).select_from(limited))).scalar_one()
    return min(counted, cap), counted <= cap
