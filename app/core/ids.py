"""Public ids: a UUID that says what it is the id of, so that one for another kind is noticed.

The same text everywhere outside the tables: in the API, in the headers and the environment that a
job is given, in logs.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID


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
    ENDPOINT = "endpoint"
    SECRET = "secret"  # noqa: S105 - a kind of thing
    FINDING = "finding"
    TEMPLATE = "template"
    CHAIN = "chain"
    RULE = "rule"
    TOKEN = "token"  # noqa: S105 - a kind of thing
    AUDIT = "audit"


def public_id(kind: Kind, value: UUID) -> str:
    """Return the public id."""
    return f"{kind}_{value.hex}"


def first_id_at(instant: datetime) -> UUID:
    """Return the lowest version 7 UUID of an instant: ids made earlier are lower."""
    return UUID(int=int(instant.timestamp() * 1_000) << 80)


def split_id(text: str) -> tuple[Kind, UUID] | None:
    """Return what an id names; None for what is no id of ours."""
    kind, _, digits = text.partition("_")
    if kind not in set(Kind) or len(digits) != 32:
        return None
    try:
        return Kind(kind), UUID(hex=digits)
    except ValueError:
        return None
