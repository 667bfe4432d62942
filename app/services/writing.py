"""What every accepted mutation has in common: an audit entry and an event with its rows.

`Accepted` is what a use case returns: the result, and whether it is that of an earlier, identical
request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from app.core.changes import Change
from app.core.errors import Invalid, VersionConflict
from app.services.access import Principal
from app.store.audit import audit_entry, record_audit
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.idempotency import claim_idempotency_key

Result = TypeVar("Result")


class Subject(StrEnum):
    """What an event is about."""

    RUN = "RUN"
    SCHEDULE = "SCHEDULE"
    JOB = "JOB"
    CALENDAR = "CALENDAR"
    ENDPOINT = "ENDPOINT"
    SECRET = "SECRET"  # noqa: S105 - a kind of thing
    SCHEDULER = "SCHEDULER"
    QUEUE = "QUEUE"
    WORKER = "WORKER"
    PROJECT = "PROJECT"
    TOKEN = "TOKEN"  # noqa: S105 - a kind of subject
    BACKFILL = "BACKFILL"
    FINDING = "FINDING"
    TEMPLATE = "TEMPLATE"
    CHAIN = "CHAIN"
    RULE = "RULE"


@dataclass(frozen=True, slots=True)
class Accepted(Generic[Result]):
    """The result of a mutation. `replayed`: of an earlier one with the same idempotency key."""

    result: Result
    replayed: bool = False


@dataclass(slots=True)
class Written:
    """What a transaction changed; announced when it has committed."""

    changes: list[Change] = field(default_factory=list)
    rings: bool = False


async def note_change(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    subject: Subject,
    change: str,
    revisions: dict[UUID, int],
    *,
    parent_ids: Sequence[UUID | None] | None = None,
) -> None:
    """Write the event of a change, and remember to announce it."""
    if not revisions:
        return
    noted = Change(
        principal.project_id,
        subject.value,
        change,
        ids=tuple(revisions),
        revisions=tuple(revisions.values()),
        parent_ids=tuple(parent_ids or ()),
    )
    await record_changes(transaction, [noted])
    written.changes.append(noted)


async def note_audit(
    transaction: Transaction,
    principal: Principal,
    action: str,
    subject: Subject,
    summaries: Iterable[tuple[UUID | None, str]],
    *,
    changes: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the audit entries of an accepted mutation."""
    await record_audit(
        transaction,
        [
            audit_entry(
                project_id=principal.project_id,
                actor=principal.actor,
                action=action,
                subject_kind=subject.value,
                subject_id=subject_id,
                summary=summary,
                changes=changes,
                request_id=principal.request_id,
                address=principal.address,
            )
            for subject_id, summary in summaries
        ],
    )


async def claim_key(
    transaction: Transaction,
    principal: Principal,
    *,
    operation: str,
    key: str | None,
    content: Any,
    result_id: UUID,
) -> UUID | None:
    """Return the id of an earlier result of the same request, or None: this is the first."""
    if key is None:
        return None
    if not 1 <= len(key) <= 200:
        raise Invalid(
            "An idempotency key has between 1 and 200 characters.", path=("idempotencyKey",)
        )
    return await claim_idempotency_key(
        transaction,
        project_id=principal.project_id,
        key=key,
        operation=operation,
        content_hash=content_hash(content),
        result_id=result_id,
    )


def content_hash(content: Any) -> str:
    """Return the SHA-256 of a value: equal content, equal hash."""
    encoded = orjson.dumps(
        content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str
    )
    return sha256(encoded).hexdigest()


def check_version(expected: int | None, current: int) -> None:
    """Raise `VersionConflict` when the caller changed what it no longer sees."""
    if expected is not None and expected != current:
        raise VersionConflict(expected=expected, current=current, path=("expectedVersion",))


def field_changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return which fields differ, as the audit keeps them."""
    return [
        {"path": name, "before": plain(before[name]), "after": plain(value)}
        for name, value in after.items()
        if before[name] != value
    ]


def plain(value: Any) -> Any:
    """Return a column's value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, (UUID, StrEnum)) else value
