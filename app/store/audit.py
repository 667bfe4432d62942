"""The audit: one entry for each accepted mutation, in its transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.models import AuditEntry
from app.models.columns import ActorRecord, new_id
from app.store.database import Transaction


async def record_audit(transaction: Transaction, entries: Sequence[dict[str, Any]]) -> None:
    """Append entries; each is the columns of `AuditEntry` but its id and instant."""
    if entries:
        await transaction.execute(
            insert(AuditEntry), [{"id": new_id(), "changes": [], **entry} for entry in entries]
        )


def audit_entry(
    *,
    project_id: UUID,
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
