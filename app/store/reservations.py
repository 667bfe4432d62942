"""Reserved runs: read before they are due, started the moment they are."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import RowMapping

from app.store.database import ReadConnection, Transaction


async def read_reservable_runs(
    connection: ReadConnection, run_ids: Sequence[UUID]
) -> Sequence[RowMapping]:
    """Return those of the runs that may be reserved, with all that their attempts need."""
    result = await connection.run_file("read_reservable_runs", {"ids": run_ids})
    return result.mappings().all()


async def hold_reserved_runs(transaction: Transaction, run_ids: Sequence[UUID]) -> set[UUID]:
    """Hold those of the runs that are due and still in the queue."""
    result = await transaction.run_file("hold_reserved_runs", {"ids": run_ids})
    return set(result.scalars())


async def start_reserved_runs(
    transaction: Transaction,
    held: Sequence[RowMapping],
    *,
    takes_all_slots: bool,
    worker_id: UUID,
    lease_seconds: float,
) -> dict[UUID, RowMapping]:
    """Start what is held, as far as its reservation still stands.

    `takes_all_slots`: whoever stands ahead would have to wait for these to end.
    """
    result = await transaction.run_file(
        "start_reserved_runs",
        {
            "id": [row["id"] for row in held],
            "project_version": [row["project_version"] for row in held],
            "job_revision": [row["job_revision"] for row in held],
            "schedule_version": [row["schedule_version"] for row in held],
            "takes_all_slots": takes_all_slots,
            "worker_id": worker_id,
            "lease_seconds": lease_seconds,
        },
    )
    return {row["id"]: row for row in result.mappings()}
