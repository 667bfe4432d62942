"""Backfills: their rows, the runs they make and what is known of their occurrences."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, update
from sqlmodel import col, select

from app.core.vocabulary import BackfillState, RunState
from app.models import Backfill, Run
from app.store.database import ReadConnection, Transaction


@dataclass(frozen=True, slots=True)
class BackfillRecord:
    """A backfill, how many of its runs have ended, and how many of those failed."""

    backfill: Backfill
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Up to where all runs have ended, how many failed since the last look, how many are left."""

    settled_at: datetime
    failed: int
    unfinished: int


async def read_backfills(
    connection: ReadConnection, project_id: UUID, backfill_ids: Iterable[UUID]
) -> dict[UUID, BackfillRecord]:
    """Return backfills by id."""
    query = select(Backfill).where(
        col(Backfill.project_id) == project_id, col(Backfill.id).in_(set(backfill_ids))
    )
    records = await _with_progress(connection, (await connection.exec(query)).all())
    return {record.backfill.id: record for record in records}


async def read_newest_backfills(
    connection: ReadConnection, project_id: UUID, *, schedule_id: UUID | None, limit: int
) -> list[BackfillRecord]:
    """Return the newest backfills of a project, or of one of its schedules."""
    query = select(Backfill).where(col(Backfill.project_id) == project_id)
    if schedule_id is not None:
        query = query.where(col(Backfill.schedule_id) == schedule_id)
    query = query.order_by(col(Backfill.id).desc()).limit(limit)
    return await _with_progress(connection, (await connection.exec(query)).all())


async def _with_progress(
    connection: ReadConnection, backfills: Sequence[Backfill]
) -> list[BackfillRecord]:
    if not backfills:
        return []
    found = await connection.run_file(
        "read_backfill_progress", {"ids": [backfill.id for backfill in backfills]}
    )
    progress = {row.id: row for row in found}
    return [
        BackfillRecord(
            backfill,
            done=backfill.made - progress[backfill.id].unfinished,
            failed=backfill.failed + progress[backfill.id].failed,
        )
        for backfill in backfills
    ]


async def count_unfinished_backfills(connection: ReadConnection, schedule_id: UUID) -> int:
    """Count the backfills of a schedule that are not over."""
    query = select(func.count()).where(
        col(Backfill.schedule_id) == schedule_id,
        col(Backfill.state).in_([BackfillState.RUNNING, BackfillState.PAUSED]),
    )
    return (await connection.exec(query)).one()


async def lock_backfill(
    transaction: Transaction, project_id: UUID, backfill_id: UUID
) -> Backfill | None:
    """Hold one backfill: nobody carries it on meanwhile."""
    query = (
        select(Backfill)
        .where(col(Backfill.project_id) == project_id, col(Backfill.id) == backfill_id)
        .with_for_update(key_share=True)
    )
    return (await transaction.exec(query)).first()


async def cancel_all_backfills(transaction: Transaction, message: str) -> None:
    """Ask every running backfill of the instance to end; workers see to it."""
    await transaction.execute(
        update(Backfill)
        .where(
            col(Backfill.state) == BackfillState.RUNNING,
            col(Backfill.cancel_requested_at).is_(None),
        )
        .values(
            cancel_requested_at=func.now(),
            message=message,
            step_at=func.now(),
            revision=col(Backfill.revision) + 1,
        )
    )


async def lock_backfill_to_step(
    transaction: Transaction, backfill_id: UUID | None
) -> tuple[Backfill, RowMapping] | None:
    """Hold this backfill, or the one to be carried on next, with what the instance does."""
    result = await transaction.run_file("lock_backfill_to_step", {"id": backfill_id})
    found = result.mappings().first()
    if found is None:
        return None
    backfill = await transaction.get(Backfill, found["id"])
    assert backfill is not None, "its row is held"
    return backfill, found


async def has_backfills_to_step(connection: ReadConnection) -> bool:
    """Return whether workers have backfills to carry on, now or later."""
    query = select(Backfill.id).where(col(Backfill.step_at).is_not(None)).limit(1)
    return (await connection.exec(query)).first() is not None


async def read_done_occurrences(
    connection: ReadConnection, schedule_id: UUID, instants: Sequence[datetime]
) -> set[datetime]:
    """Return those that have a run that succeeded or is under way, whatever its cause."""
    if not instants:
        return set()
    result = await connection.run_file(
        "read_done_occurrences", {"schedule_id": schedule_id, "instants": list(instants)}
    )
    return set(result.scalars())


async def insert_backfill_runs(
    transaction: Transaction, shared: dict[str, Any], runs: dict[str, list[Any]]
) -> set[UUID]:
    """Queue runs; `shared` is what they have in common, `runs` one list a column.

    Return the ids of those whose occurrence had none of this backfill yet.
    """
    if not runs["id"]:
        return set()
    result = await transaction.run_file("insert_backfill_runs", {**shared, **runs})
    return set(result.scalars())


async def settle_backfill(
    transaction: Transaction, backfill: Backfill, cursor_at: datetime
) -> Settled:
    """Look how far the runs are; see the statement."""
    row = (
        await transaction.run_file(
            "settle_backfill",
            {
                "backfill_id": backfill.id,
                "settled_at": backfill.settled_at,
                "cursor_at": cursor_at,
            },
        )
    ).one()
    return Settled(row.settled_at, row.failed, row.unfinished)


async def withdraw_backfill_runs(
    transaction: Transaction, backfill_id: UUID
) -> Sequence[RowMapping]:
    """Remove the runs that have not begun."""
    result = await transaction.run_file("withdraw_backfill_runs", {"backfill_id": backfill_id})
    return result.mappings().all()


async def read_runs_to_cancel(
    connection: ReadConnection, backfill_id: UUID, states: Collection[RunState]
) -> list[UUID]:
    """Return the runs in these states that nobody has asked to end."""
    query = select(Run.id).where(
        col(Run.backfill_id) == backfill_id,
        col(Run.state).in_(states),
        col(Run.cancel_requested_at).is_(None),
    )
    return list((await connection.exec(query)).all())
