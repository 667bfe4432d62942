"""The counters of schedules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from app.store.database import Transaction
from app.store.firing import as_columns


@dataclass(slots=True)
class OutcomeCounts:
    """What a batch adds to the counters of one schedule."""

    schedule_id: UUID
    runs: int = 0
    successes: int = 0
    failures: int = 0
    skips: int = 0
    misses: int = 0
    # Failures after the batch's last success, in the order in which the runs ended.
    failures_since_success: int = 0
    last_run_at: datetime | None = None
    last_run_id: UUID | None = None
    last_success_for: datetime | None = None


async def count_outcomes(
    transaction: Transaction, counts: Iterable[OutcomeCounts]
) -> Sequence[Row[tuple[UUID, int, int]]]:
    """Add to the counters; return schedule id, new revision and consecutive failures."""
    given = list(counts)
    if not given:
        return []
    result = await transaction.run_file("count_outcomes", as_columns(given, OutcomeCounts))
    return result.all()
