"""The event table: what each transaction changed, kept for those who were away."""

from collections.abc import Sequence

from app.core.changes import Change
from app.store.database import Transaction


async def record_changes(transaction: Transaction, changes: Sequence[Change]) -> None:
    """Write one event row a change, in the transaction that makes it."""
    for change in changes:
        await transaction.run_file(
            "insert_event",
            {
                "project_id": change.project_id,
                "subject": change.subject,
                "change": change.change,
                "entity_ids": change.ids,
                "revisions": change.revisions,
                "parent_ids": change.parent_ids or None,
            },
        )
