"""The rows of worker processes; each worker writes its own."""

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import insert, text, update
from sqlmodel import col

from app.core.vocabulary import WorkerState
from app.models import Worker
from app.store.database import Transaction


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker process says of itself when it starts."""

    id: UUID
    host: str
    pid: int
    version: str
    slots: int

    @property
    def name(self) -> str:
        """Return what people call it: host and process."""
        return f"{self.host}:{self.pid}"


async def register_worker(transaction: Transaction, worker: WorkerIdentity) -> None:
    """Announce a worker process that has just started."""
    await transaction.execute(insert(Worker).values(**asdict(worker), queues=[]))


async def beat_worker(transaction: Transaction, worker_id: UUID, *, busy: int) -> WorkerState:
    """Renew a worker's sign of life and return the state others want it in."""
    result = await transaction.run_file("beat_worker", {"worker_id": worker_id, "busy": busy})
    return WorkerState(result.scalar_one())


async def note_tick(transaction: Transaction, worker_id: UUID) -> None:
    """Note that this worker has just ticked."""
    await transaction.execute(
        text("UPDATE worker SET last_tick_at = now() WHERE id = :id"), {"id": worker_id}
    )


async def mark_worker(transaction: Transaction, worker_id: UUID, state: WorkerState) -> None:
    """Set a worker's state."""
    await transaction.execute(update(Worker).where(col(Worker.id) == worker_id).values(state=state))


async def mark_lost_workers(transaction: Transaction, *, lease_seconds: float) -> None:
    """Mark workers that have given no sign of life for two leases."""
    await transaction.execute(
        text(
            "UPDATE worker SET state = 'LOST'"
            " WHERE state IN ('ONLINE', 'DRAINING')"
            " AND heartbeat_at < now() - make_interval(secs => :seconds)"
        ),
        {"seconds": 2 * lease_seconds},
    )
