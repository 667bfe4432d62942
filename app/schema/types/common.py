"""What many types share: nodes, actors, tags, counts, permissions."""

from collections.abc import Mapping

import strawberry

from app.core.vocabulary import ActorKind, Role
from app.models.columns import ActorRecord
from app.services.access import Principal


@strawberry.interface(description="Anything that has an id of its own.")
class Node:
    """Has an id."""

    id: strawberry.ID = strawberry.field(description="Opaque, and unique among everything.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    """Relay's page information."""

    has_next_page: bool = strawberry.field(description="Whether there is more behind it.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before it.")
    start_cursor: str | None = strawberry.field(description="The position of its first item.")
    end_cursor: str | None = strawberry.field(description="The position of its last item.")


@strawberry.type(description="How many there are. Counting stops at a cap on big tables.")
class Count:
    """A capped count."""

    value: int = strawberry.field(description="The number counted.")
    exact: bool = strawberry.field(description="False when there are more than were counted.")

    @staticmethod
    def bounded(cap: int | None) -> int:
        """Return a cap that is not absurd."""
        return max(0, min(10_000 if cap is None else cap, 1_000_000))


@strawberry.type(description="Who did something.")
class Actor:
    """An actor."""

    kind: ActorKind = strawberry.field(description="A token, a person, or Tickwheel itself.")
    id: strawberry.ID | None = strawberry.field(description="Which one, if it has an id.")
    name: str = strawberry.field(description="Its name at that time.")

    @classmethod
    def of(cls, record: ActorRecord | None) -> "Actor | None":
        """Return the actor of a stored record."""
        return None if record is None else cls.known(record)

    @classmethod
    def known(cls, record: ActorRecord) -> "Actor":
        """Return the actor of a record that is there."""
        id_ = record["id"]
        return cls(
            kind=ActorKind(record["kind"]),
            id=None if id_ is None else strawberry.ID(id_),
            name=record["name"],
        )


@strawberry.type(description="A label.")
class Tag:
    """A tag."""

    key: str = strawberry.field(description="What it is about.")
    value: str = strawberry.field(description="What it says.")

    @classmethod
    def list_of(cls, tags: Mapping[str, str]) -> "list[Tag]":
        """Return tags in the order of their keys."""
        return [cls(key=key, value=tags[key]) for key in sorted(tags)]


@strawberry.type(description="What the caller may do, with the reason when not.")
class Permission:
    """A permission."""

    allowed: bool = strawberry.field(description="Whether it would be accepted now.")
    code: str | None = strawberry.field(description="The error it would end in.")
    message: str | None = strawberry.field(description="Why not, in words.")

    @classmethod
    def of(cls, principal: Principal, role: Role, *, obstacle: str | None = None) -> "Permission":
        """Return whether the caller's role, and the state of things, allow something."""
        if not principal.may(role):
            message = f"Your role {principal.role} does not allow it: it takes {role}."
            return cls(allowed=False, code="FORBIDDEN", message=message)
        if obstacle is not None:
            return cls(allowed=False, code="STATE_CONFLICT", message=obstacle)
        return cls(allowed=True, code=None, message=None)
