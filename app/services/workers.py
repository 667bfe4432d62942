"""Workers: a row each, from their start to their end."""

from uuid import UUID

from app.core.errors import NotFound, StateConflict
from app.core.vocabulary import WorkerRequest, WorkerState
from app.models import Worker
from app.runtime import Runtime
from app.services.access import Principal
from app.services.writing import Subject, Written, note_audit, note_change
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


async def drain_worker(runtime: Runtime, principal: Principal, worker_id: UUID) -> Worker:
    """Let a worker finish what it has and end. From now on it is given nothing more."""
    principal.require_instance()
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        asked = await workers.ask_workers(
            transaction, worker_id, WorkerRequest.DRAIN, drain_seconds=None
        )
        worker = await workers.read_worker(transaction, worker_id)
        if worker is None:
            raise NotFound("There is no such worker.", id=str(worker_id), path=("id",))
        if not asked:
            raise StateConflict(
                "The worker has ended.",
                current=worker.state.value,
                allowed=[WorkerState.ONLINE.value, WorkerState.DRAINING.value],
                path=("id",),
            )
        summary = f"Drained worker {worker.host}:{worker.pid}."
        await note_audit(
            transaction, principal, "workerDrain", Subject.WORKER, [(worker_id, summary)]
        )
        await note_change(
            transaction, written, principal, Subject.WORKER, "DRAINING", {worker_id: 1}
        )
    await runtime.worker_channel.hint()
    await runtime.announce(written.changes)
    return worker
