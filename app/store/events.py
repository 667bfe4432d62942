"""The event table: what each transaction changed, kept for those who were away."""

from collections.abc import Sequence

from sqlalchemy import insert

from app.core.changes import Change
from app.models import Event
from app.store.database import Transaction


async def record_changes(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Write one event row a change, in the transaction that makes it."""
    if changes:
        await transaction.execute(
            insert(Event),
            [
                {
                    "project_id": change.project_id,
                    "subject": change.subject,
                    "change": change.change,
                    "entity_ids": list(change.ids),
                    "revisions": list(change.revisions),
                    "parent_ids": list(change.parent_ids) or None,
                }
                for change in changes
            ],
        )
