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
    # Whether the column may be null. Those rows make up a list of their own, behind the others, so
    # that an index serves either.
    is_nullable: bool = False
    # How else to say that it is null, as an index has it.
    is_null: ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a list: what sorts it, and how what lies in it is told from the other part."""

    columns: Sequence[ColumnElement[Any]]
    condition: ColumnElement[bool] | None = None

    def holds(self, key: SortKey) -> bool:
        """Return whether a row with this key lies in it."""
        is_of_nulls = len(self.columns) == 1 and self.condition is not None
        return self.condition is None or (key.value is None) == is_of_nulls

    def bound(self, key: SortKey, order: Order) -> list[ColumnElement[Any]]:
        """Return the values of `key` for the columns."""
        if len(self.columns) == 1:
            return [literal(key.id)]
        return [literal(key.value, order.column.type), literal(key.id)]


def _stretches(order: Order, id_column: Any) -> list[_Stretch]:
    if order.column is None:
        return [_Stretch([id_column])]
    if not order.is_nullable:
        return [_Stretch([order.column, id_column])]
    is_null = order.column.is_(None) if order.is_null is None else order.is_null
    return [
        _Stretch([order.column, id_column], order.column.is_not(None)),
        _Stretch([id_column], is_null),
    ]


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
    backwards = order.descending != page.from_end
    rows: list[Any] = []
    for stretch in _within(_stretches(order, id_column), page):
        part = query if stretch.condition is None else query.where(stretch.condition)
        for key, is_after in ((page.after, True), (page.before, False)):
            if key is not None and stretch.holds(key):
                row, bound = tuple_(*stretch.columns), tuple_(*stretch.bound(key, order))
                part = part.where(row > bound if is_after != order.descending else row < bound)
        columns = [*stretch.columns]
        if sorts:
            columns[-1] = in_no_index(columns[-1])
        part = part.order_by(*(each.desc() if backwards else each.asc() for each in columns))
        rows += (await connection.execute(part.limit(page.size + 1 - len(rows)))).all()
        if len(rows) > page.size:
            break
    more, rows = len(rows) > page.size, rows[: page.size]
    if page.from_end:
        return Page(rows[::-1], has_previous=more, has_next=page.before is not None)
    return Page(rows, has_previous=page.after is not None, has_next=more)


def _within(stretches: list[_Stretch], page: PageRequest) -> Sequence[_Stretch]:
    """Return the stretches a page may take rows from, in the order in which it takes them."""
    first, last = 0, len(stretches) - 1
    for index, stretch in enumerate(stretches):
        if page.after is not None and stretch.holds(page.after):
            first = index
        if page.before is not None and stretch.holds(page.before):
            last = index
    left = stretches[first : last + 1]
    return left[::-1] if page.from_end else left


def in_no_index(id_column: Any) -> ColumnElement[Any]:
    """Return what sorts as the id does, in an order that no index has."""
    return cast(id_column, Text).collate("C")


async def plan_for_values(connection: ReadConnection) -> None:
    """Let PostgreSQL plan what follows in this transaction for the values it is executed with.

    A statement that is often executed may come to be planned for any values of its parameters; and
    a plan that serves any state, or any stretch of time, reads millions of runs for the rare ones.
    And let it see what cannot be: the second half of an order, say, of a list that has no nulls.
    """
    if not connection.plans_for_values:
        await connection.execute(_PLAN_FOR_VALUES)
        connection.plans_for_values = True


_PLAN_FOR_VALUES = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('constraint_exclusion', 'on', true)"
)


async def count_up_to(
    connection: ReadConnection, query: Select[Any], *, id_column: Any, cap: int
) -> tuple[int, bool]:
    """Return how many rows a query has and whether that is exact: counting stops at `cap`."""
    await plan_for_values(connection)
    limited = query.with_only_columns(id_column).order_by(None).limit(cap + 1).subquery()
    counted = (await connection.execute(select(func.count()).select_from(limited))).scalar_one()
    return min(counted, cap), counted <= cap
