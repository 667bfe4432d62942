"""Remove what is kept for a time only: events, keys of past requests, findings that are over."""

from datetime import timedelta

from app.runtime import Runtime
from app.store.findings import prune_findings
from app.store.pruning import prune_events, prune_idempotency

IDEMPOTENCY_LIFETIME = timedelta(hours=24)
"""How long a repeated request gets its first result."""

FINDINGS_LIFETIME = timedelta(days=30)
"""How long a finding is kept after its end."""

_AT_ONCE = 5_000


async def prune(runtime: Runtime) -> int:
    """Remove one bite of each; return how many rows went."""
    async with runtime.database.transaction() as transaction:
        events = await prune_events(transaction, older_than=runtime.event_retention, limit=_AT_ONCE)
        keys = await prune_idempotency(transaction, older_than=IDEMPOTENCY_LIFETIME, limit=_AT_ONCE)
        findings = await prune_findings(transaction, older_than=FINDINGS_LIFETIME, limit=_AT_ONCE)
    return events + keys + findings
