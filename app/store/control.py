"""The state of the instance, its halts and its queues, as those who change them write it.

Everything here that changes the state runs under `hold_control`: ticks and claims wait, and none
is under way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from app.core.vocabulary import ResumeChoice, SchedulerState
from app.models import Halt, QueueControl, Run, SchedulerControl
from app.models.columns import ActorRecord
from app.store.database import ReadConnection, Transaction


async def share_control(transaction: Transaction) -> None:
    """Keep the state of the instance as it is until this transaction commits."""
    await transaction.run_file("share_control", {})


async def hold_control(transaction: Transaction) -> SchedulerControl:
    """Wait for ticks and claims under way, keep new ones waiting, and return the state."""
    await transaction.run_file("hold_control", {})
    return (await transaction.exec(select(SchedulerControl).with_for_update())).one()


async def write_control(
    transaction: Transaction,
    *,
    state: SchedulerState,
    reason: str,
    actor: ActorRecord,
    drain_until: datetime | None = None,
    is_emergency: bool = False,
) -> None:
    """Set the state of the instance."""
    await transaction.execute(
        update(SchedulerControl).values(
            state=state,
            reason=reason,
            changed_by=actor,
            changed_at=func.now(),
            version=col(SchedulerControl.version) + 1,
            drain_until=drain_until,
            is_emergency=is_emergency,
        )
    )


async def begin_halt(transaction: Transaction, state: SchedulerState, as_of: datetime) -> None:
    """Note that from now on nothing fires; a halt of the other kind ends here."""
    opened = col(Halt.ended_at).is_(None)
    present = (await transaction.exec(select(Halt).where(opened))).first()
    if present is not None and present.state is state:
        return
    await transaction.execute(update(Halt).where(opened).values(ended_at=as_of))
    transaction.add(Halt(state=state, began_at=as_of))
    await transaction.flush()


async def end_halt(transaction: Transaction, as_of: datetime, missed: ResumeChoice | None) -> None:
    """End the halt under way. `missed` holds for those that came just before it, too."""
    await transaction.execute(
        update(Halt).where(col(Halt.ended_at).is_(None)).values(ended_at=as_of, missed=missed)
    )


async def withdraw_all_prepared_runs(transaction: Transaction) -> Sequence[RowMapping]:
    """Take back every prepared run; return those runs and their schedules."""
    result = await transaction.run_file("withdraw_all_prepared_runs", {})
    return result.mappings().all()


async def settle_drain(transaction: Transaction) -> bool:
    """Turn DRAINING into STOPPED when nothing runs any more or the time is up."""
    return (await transaction.run_file("settle_drain", {})).first() is not None


async def find_emergency_runs(
    connection: ReadConnection, *, limit: int
) -> tuple[list[UUID], str, str]:
    """Return runs an emergency stop has still to cancel, its reason and who asked for it."""
    rows = (await connection.run_file("find_emergency_runs", {"limit": limit})).all()
    if not rows:
        return [], "", ""
    return [row.id for row in rows], rows[0].reason or "", rows[0].actor or ""


async def cancel_runs(
    transaction: Transaction,
    run_ids: Sequence[UUID],
    *,
    project_id: UUID | None,
    message: str,
    force: bool = False,
) -> Sequence[RowMapping]:
    """End queued runs and ask running ones to end; return those that were free to be locked."""
    result = await transaction.run_file(
        "cancel_runs",
        {"ids": list(run_ids), "project_id": project_id, "message": message, "force": force},
    )
    return result.mappings().all()


async def read_forced_cancels(connection: ReadConnection, run_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the runs that are to be ended without grace."""
    query = select(Run.id).where(col(Run.id).in_(list(run_ids)), col(Run.cancel_is_forced))
    return set((await connection.exec(query)).all())


async def lock_queue(transaction: Transaction, name: str) -> QueueControl:
    """Hold what was said about a queue, from the first word on."""
    await transaction.execute(
        insert(QueueControl).values(name=name, paused=False, version=0).on_conflict_do_nothing()
    )
    query = (
        select(QueueControl).where(col(QueueControl.name) == name).with_for_update(key_share=True)
    )
    return (await transaction.exec(query)).one()


async def update_queue(transaction: Transaction, name: str, changes: Mapping[str, Any]) -> None:
    """Write columns of a queue the caller holds."""
    await transaction.execute(
        update(QueueControl)
        .where(col(QueueControl.name) == name)
        .values(**changes, changed_at=func.now(), version=col(QueueControl.version) + 1)
    )
