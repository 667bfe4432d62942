"""The counters of schedules."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from app.core.vocabulary import RunState
from app.store.database import Transaction
from app.store.firing import RunRow, as_columns


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


def count_recorded(rows: Iterable[RunRow]) -> list[OutcomeCounts]:
    """Count what was recorded without a run: skips and misses, each range with its size.

    A range that was too long to be counted at once counts for nothing until the sweep has counted
    it: what the counters say is exact, if not always complete.
    """
    counts: dict[UUID, OutcomeCounts] = {}
    for row in rows:
        size = 1 if row.range_end is None else row.range_count or 0
        count_record(counts, row.schedule_id, row.state, size)
    return list(counts.values())


def count_record(
    counts: dict[UUID, OutcomeCounts], schedule_id: UUID, state: str, size: int
) -> None:
    """Add one record, of so many occurrences, to the counts of its schedule."""
    if size and state in (RunState.SKIPPED, RunState.MISSED):
        count = counts.setdefault(schedule_id, OutcomeCounts(schedule_id))
        count.skips += size if state == RunState.SKIPPED else 0
        count.misses += size if state == RunState.MISSED else 0


async def count_outcomes(
    transaction: Transaction, counts: Iterable[OutcomeCounts]
) -> Sequence[Row[tuple[UUID, int, int]]]:
    """Add to the counters; return schedule id, new revision and consecutive failures."""
    given = list(counts)
    if not given:
        return []
    result = await transaction.run_file("count_outcomes", as_columns(given, OutcomeCounts))
    return result.all()
