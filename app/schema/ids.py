"""Opaque ids: they say what they are the id of, so that one for another kind is noticed."""

from enum import StrEnum
from uuid import UUID

import strawberry

from app.core.errors import NotFound


class Kind(StrEnum):
    """What has an id."""

    PROJECT = "project"
    JOB = "job"
    SCHEDULE = "schedule"
    RUN = "run"
    WORKER = "worker"
    CALENDAR = "calendar"
    VERSION = "version"
    OVERRIDE = "override"
    BACKFILL = "backfill"
    TOKEN = "token"  # noqa: S105 - a kind of thing


def to_id(kind: Kind, value: UUID) -> strawberry.ID:
    """Return the public id."""
    return strawberry.ID(f"{kind}_{value.hex}")


def split_id(text: str) -> tuple[Kind, UUID] | None:
    """Return what an id names; None for what is no id of ours."""
    kind, _, digits = text.partition("_")
    if kind not in set(Kind) or len(digits) != 32:
        return None
    try:
        return Kind(kind), UUID(hex=digits)
    except ValueError:
        return None


def from_id(kind: Kind, text: str, *path: str) -> UUID:
    """Return the UUID of an id of that kind, or raise `NotFound`."""
    found = split_id(text)
    if found is None or found[0] is not kind:
        raise NotFound(f"{text[:80]!r} is not the id of a {kind}.", id=text[:200], path=path)
    return found[1]
