"""Remove what is kept for a time only: events, and the idempotency keys of past requests."""

from datetime import timedelta

from app.runtime import Runtime
from app.store.pruning import prune_events, prune_idempotency

IDEMPOTENCY_LIFETIME = timedelta(hours=24)
"""How long a repeated request gets its first result."""

_AT_ONCE = 5_000


async def prune(runtime: Runtime) -> int:
    """Remove one bite of each; return how many rows went."""
    async with runtime.database.transaction() as transaction:
        events = await prune_events(transaction, older_than=runtime.event_retention, limit=_AT_ONCE)
        keys = await prune_idempotency(transaction, older_than=IDEMPOTENCY_LIFETIME, limit=_AT_ONCE)
    return events + keys
