"""Workers: a row each, from their start to their end."""

from uuid import UUID

from app.core.vocabulary import WorkerState
from app.runtime import Runtime
from app.store import workers


async def register_worker(runtime: Runtime, worker: workers.WorkerIdentity) -> None:
    """Announce a worker process that has just started."""
    async with runtime.database.transaction() as transaction:
        await workers.register_worker(transaction, worker)


async def mark_worker(runtime: Runtime, worker_id: UUID, state: WorkerState) -> None:
    """Say that a worker is draining or has stopped."""
    async with runtime.database.transaction() as transaction:
        await workers.mark_worker(transaction, worker_id, state)


async def note_tick(runtime: Runtime, worker_id: UUID) -> None:
    """Note that a worker has just ticked."""
    async with runtime.database.transaction() as transaction:
        await workers.note_tick(transaction, worker_id)
