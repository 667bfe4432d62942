"""Reserve runs before they are due, so that at their instant there is little left to do.

A reservation is what one worker knows: everything an attempt needs, read in the seconds between the
tick that prepared a run and its instant. PostgreSQL holds no trace of it, so there is nothing to
expire, to sweep or to give back; whoever claims the run before is right. It starts only if nothing
has changed: the run is due and in the queue, its job and schedule are as they were read, nothing
else holds it up and nobody stands ahead of it. Whatever does not start is left to the claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping

from app.runtime import Runtime
from app.services.claiming import Claim, claimed_run, made_ready, started_changes
from app.services.preparing import Supplies, read_supplies
from app.store.control import share_control
from app.store.reservations import (
    hold_reserved_runs,
    read_reservable_runs,
    start_reserved_runs,
)


@dataclass(frozen=True, slots=True)
class ReservedRun:
    """A run that is going to be due, and what its attempt needs."""

    id: UUID
    starts_at: datetime
    row: RowMapping

    @property
    def order(self) -> tuple[datetime, int, UUID]:
        """Return where it stands among the reserved ones: by instant, then as in the queue."""
        return (self.starts_at, -self.row["priority"], self.id)


async def reserve_runs(runtime: Runtime, run_ids: Sequence[UUID]) -> list[ReservedRun]:
    """Reserve those of the runs that nothing but the clock holds back.

    Runs that need a secret or an endpoint are left to the claim: it reads those as they are then.
    """
    async with runtime.database.reading(None) as connection:
        rows = await read_reservable_runs(connection, run_ids)
        supplies = await read_supplies(connection, rows)
    return [
        ReservedRun(row["id"], row["next_attempt_at"], row)
        for row in rows
        if row["id"] not in supplies.needs
    ]


async def rehearse(runtime: Runtime, worker_id: UUID) -> None:
    """Start nothing, so that PostgreSQL knows the statements when there is no time to lose."""
    async with runtime.database.transaction() as transaction:
        await hold_reserved_runs(transaction, [])
        await start_reserved_runs(
            transaction,
            [],
            takes_all_slots=True,
            worker_id=worker_id,
            lease_seconds=runtime.intervals.lease_seconds,
        )


async def start_reserved(
    runtime: Runtime, worker_id: UUID, reserved: Sequence[ReservedRun], *, limit: int
) -> Claim:
    """Give a worker the runs that it has reserved, as far as the reservations still stand.

    `limit` is how many it has slots for. While some are left over, whoever stands ahead in the
    queue is claimed next and loses nothing.
    """
    async with runtime.database.transaction() as transaction:
        await share_control(transaction)
        held = await hold_reserved_runs(transaction, [run.id for run in reserved])
        starting = [run.row for run in reserved if run.id in held]
        if not starting:
            return Claim((), settled=0, exhausted=False)
        started = await start_reserved_runs(
            transaction,
            starting,
            takes_all_slots=len(starting) >= limit,
            worker_id=worker_id,
            lease_seconds=runtime.intervals.lease_seconds,
        )
        # Before the commit: what this worker cannot read it must not have started.
        runs = [claimed_run(row, started[row["id"]]) for row in starting if row["id"] in started]
    runtime.announce_soon(list(started_changes(runs, started)))
    ready = tuple(made_ready(runtime, run, Supplies()) for run in runs)
    return Claim(ready, settled=len(ready), exhausted=False)
