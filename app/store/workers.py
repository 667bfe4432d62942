"""The rows of worker processes; each worker writes its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text, update
from sqlmodel import col, select

from app.core.vocabulary import WorkerRequest, WorkerState
from app.models import Worker
from app.store.database import ReadConnection, Transaction


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker process says of itself when it starts."""

    id: UUID
    host: str
    pid: int
    version: str
    slots: int
    confinement: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Return what people call it: host and process."""
        return f"{self.host}:{self.pid}"


async def register_worker(transaction: Transaction, worker: WorkerIdentity) -> None:
    """Announce a worker process that has just started."""
    await transaction.execute(insert(Worker).values(**asdict(worker), queues=[]))


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """What others ask of a worker. `gives_back`: also the runs it has in hand."""

    state: WorkerState
    asked_to: WorkerRequest | None = None
    drain_seconds: float | None = None
    gives_back: bool = False

    @property
    def drains(self) -> bool:
        """Return whether it is to end."""
        return self.state is WorkerState.DRAINING


async def beat_worker(transaction: Transaction, worker_id: UUID, *, busy: int) -> WorkerOrders:
    """Renew a worker's sign of life and return what others ask of it."""
    result = await transaction.run_file("beat_worker", {"worker_id": worker_id, "busy": busy})
    row = result.one()
    return WorkerOrders(
        state=WorkerState(row.state),
        asked_to=None if row.asked_to is None else WorkerRequest(row.asked_to),
        drain_seconds=row.drain_seconds,
        gives_back=row.gives_back,
    )


async def ask_workers(
    transaction: Transaction,
    worker_id: UUID | None,
    asked_to: WorkerRequest,
    *,
    drain_seconds: float | None,
) -> list[UUID]:
    """Ask one worker, or all of them, to drain; return the ids of those that were there."""
    result = await transaction.run_file(
        "ask_worker",
        {"worker_id": worker_id, "asked_to": asked_to.value, "drain_seconds": drain_seconds},
    )
    return list(result.scalars())


async def read_worker(connection: ReadConnection, worker_id: UUID) -> Worker | None:
    """Return one worker."""
    query = select(Worker).where(col(Worker.id) == worker_id)
    return (await connection.exec(query)).first()


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
