"""The event table: what each transaction changed, kept for those who were away."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import insert

from app.models import Event
from app.store.database import Transaction


async def record_event(
    transaction: Transaction,
    *,
    project_id: UUID,
    subject: str,
    change: str,
    ids: Sequence[UUID],
    revisions: Sequence[int],
    parent_ids: Sequence[UUID | None] | None = None,
) -> None:
    """Write one event row in the transaction that makes the change."""
    await transaction.execute(
        insert(Event).values(
            project_id=project_id,
            subject=subject,
            change=change,
            entity_ids=list(ids),
            revisions=list(revisions),
            parent_ids=None if parent_ids is None else list(parent_ids),
        )
    )
