"""The audit: one entry for each accepted mutation, in its transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_
from sqlmodel import col, select

from app.models import AuditEntry
from app.models.columns import ActorRecord, new_id
from app.store.database import ReadConnection, Transaction
from app.store.filters import TimeRange
from app.store.many import insert_many
from app.store.pages import Order, Page, PageRequest, read_page

_NEWEST_FIRST = Order(None, descending=True)


async def record_audit(transaction: Transaction, entries: Sequence[dict[str, Any]]) -> None:
    """Append entries; each is the columns of `AuditEntry` but its id and instant."""
    await insert_many(
        transaction, AuditEntry, [{"id": new_id(), "changes": [], **entry} for entry in entries]
    )


def audit_entry(
    *,
    project_id: UUID | None,
    actor: ActorRecord,
    action: str,
    subject_kind: str,
    subject_id: UUID | None,
    summary: str,
    changes: Sequence[dict[str, Any]] = (),
    request_id: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Return the columns of one entry."""
    return {
        "project_id": project_id,
        "actor": actor,
        "action": action,
        "subject_kind": subject_kind,
        "subject_id": subject_id,
        "summary": summary,
        "changes": list(changes),
        "request_id": request_id,
        "address": address,
    }


def select_audit(
    project_id: UUID,
    *,
    with_instance: bool = False,
    subject_id: UUID | None = None,
    action: str | None = None,
    at: TimeRange | None = None,
) -> Select[Any]:
    """Return the query for a project's entries, on request with those of no project."""
    is_ours = col(AuditEntry.project_id) == project_id
    if with_instance:
        is_ours = or_(is_ours, col(AuditEntry.project_id).is_(None))
    query = select(AuditEntry).where(is_ours)
    if subject_id is not None:
        query = query.where(col(AuditEntry.subject_id) == subject_id)
    if action is not None:
        query = query.where(col(AuditEntry.action) == action)
    if at is not None:
        query = query.where(at.holds(col(AuditEntry.at)))
    return query


async def page_audit(
    connection: ReadConnection, query: Select[Any], page: PageRequest
) -> Page[AuditEntry]:
    """Return one page of entries, the newest first."""
    found = await read_page(
        connection, query, id_column=col(AuditEntry.id), order=_NEWEST_FIRST, page=page
    )
    return Page([row[0] for row in found.items], found.has_previous, found.has_next)
