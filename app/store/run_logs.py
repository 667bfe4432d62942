"""Write the logs of runs, in chunks of lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping

from app.store.database import Transaction
from app.store.firing import as_columns


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Some lines of one run's log; `lines` is the stored form, as JSON text."""

    run_id: UUID
    fencing_token: int
    sequence: int
    line_count: int
    attempt: int
    dropped: int
    lines: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, between 0 and 1."""

    run_id: UUID
    fencing_token: int
    progress: float
    message: str | None


async def append_run_logs(transaction: Transaction, chunks: Sequence[LogChunk]) -> None:
    """Add chunks to the logs of runs that are still their writer's."""
    if chunks:
        await transaction.run_file("append_run_logs", as_columns(chunks, LogChunk))


async def note_progress(
    transaction: Transaction, noted: Sequence[Progress]
) -> Sequence[RowMapping]:
    """Write how far runs are; return the rows that changed."""
    if not noted:
        return []
    result = await transaction.run_file("note_progress", as_columns(noted, Progress))
    return result.mappings().all()
