"""Relay connections on keyset cursors.

A cursor holds the sort key of its item and the order it belongs to, so that one from another
order is noticed. `first` is 20 unless said otherwise, and at most 100.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson

from app.core.errors import Invalid, LimitExceeded
from app.schema.types.common import PageInfo
from app.store.pages import Page, PageRequest, SortKey, SortValue

DEFAULT_SIZE = 20
MOST = 100
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Window:
    """The four arguments of a connection."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def request(self, order: str) -> PageRequest:
        """Return which page of that order is asked for."""
        if self.last is not None and self.first not in (None, DEFAULT_SIZE):
            raise Invalid("Give first or last, not both.", path=("last",))
        from_end = self.last is not None
        size = self.last if self.last is not None else self.first
        name = "last" if from_end else "first"
        size = DEFAULT_SIZE if size is None else size
        if size < 0:
            raise Invalid(f"{name} must not be negative.", path=(name,))
        if size > MOST:
            raise LimitExceeded(f"{name} is at most {MOST}.", path=(name,))
        return PageRequest(
            size,
            from_end,
            after=read_cursor(order, self.after, "after"),
            before=read_cursor(order, self.before, "before"),
        )


def write_cursor(order: str, key: SortKey) -> str:
    """Return the opaque position of an item."""
    value: Any = key.value
    if isinstance(value, datetime):
        value = {"at": value.isoformat()}
    encoded = orjson.dumps([order, value, str(key.id)])
    return urlsafe_b64encode(encoded).decode().rstrip("=")


def read_cursor(order: str, cursor: str | None, argument: str) -> SortKey | None:
    """Return the sort key of a position, or raise `Invalid`."""
    if cursor is None:
        return None
    try:
        given, value, id_ = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if given != order:
            raise Invalid(
                "This cursor belongs to a list in another order: begin anew.", path=(argument,)
            )
        return SortKey(_sort_value(value), UUID(id_))
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid("This is not a cursor of ours.", path=(argument,)) from error


def _sort_value(value: Any) -> SortValue:
    if isinstance(value, dict):
        instant = datetime.fromisoformat(value["at"])
        if instant.tzinfo is None:
            raise ValueError("not an instant")
        return instant
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise ValueError("not a sort value")


def page_info(
    page: Page[Item], order: str, key_of: Callable[[Item], SortKey]
) -> tuple[list[str], PageInfo]:
    """Return the cursor of each item, and where the page lies."""
    cursors = [write_cursor(order, key_of(item)) for item in page.items]
    return cursors, PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
