"""Remove what is kept for a time only."""

from datetime import timedelta

from app.store.database import Transaction


async def prune_events(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Remove up to `limit` old events, the oldest first; return how many."""
    result = await transaction.run_file(
        "prune_events", {"older_than_seconds": older_than.total_seconds(), "limit": limit}
    )
    return result.rowcount


async def prune_idempotency(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Forget up to `limit` old idempotency keys, the oldest first; return how many."""
    result = await transaction.run_file(
        "prune_idempotency", {"older_than_seconds": older_than.total_seconds(), "limit": limit}
    )
    return result.rowcount
