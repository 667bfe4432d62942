"""Write what running runs say."""

from collections.abc import Sequence

from app.runtime import Runtime
from app.services.claiming import run_changes
from app.store.events import record_changes
from app.store.run_logs import LogChunk, Progress, append_run_logs, note_progress


async def write_logs(
    runtime: Runtime, chunks: Sequence[LogChunk], progress: Sequence[Progress]
) -> None:
    """Add lines to logs, and note how far runs are."""
    async with runtime.database.transaction() as transaction:
        await append_run_logs(transaction, chunks)
        changed = await note_progress(transaction, progress)
        changes = list(run_changes(changed, "PROGRESSED"))
        await record_changes(transaction, changes)
    runtime.announce_soon(changes)
    runtime.announce_logs_soon(list({chunk.run_id for chunk in chunks}))
