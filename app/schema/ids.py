"""Ids as the schema takes and gives them."""

from uuid import UUID

import strawberry

from app.core.errors import NotFound
from app.core.ids import Kind, public_id, split_id


def to_id(kind: Kind, value: UUID) -> strawberry.ID:
    """Return the public id."""
    return strawberry.ID(public_id(kind, value))


def from_id(kind: Kind, text: str, *path: str) -> UUID:
    """Return the UUID of an id of that kind, or raise `NotFound`."""
    found = split_id(text)
    if found is None or found[0] is not kind:
        raise NotFound(f"{text[:80]!r} is not the id of a {kind}.", id=text[:200], path=path)
    return found[1]
