"""Pause, resume and cancel backfills."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from app.core.backfilling import check_change
from app.core.errors import NotFound, StateConflict
from app.core.vocabulary import BackfillState, Role
from app.models import Backfill, Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.backfills.producing import advance_backfill
from app.services.cancelling import cancel_message
from app.services.schedules.editing import refuse_archived
from app.services.writing import Accepted, Subject, Written, note_audit, note_change
from app.store.backfills import (
    BackfillRecord,
    lock_backfill,
    read_backfills,
    withdraw_backfill_runs,
)
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.projects import read_project

_TICK = timedelta(microseconds=1)


async def pause_backfill(
    runtime: Runtime, principal: Principal, backfill_id: UUID
) -> Accepted[BackfillRecord]:
    """Stop a backfill for now: what has begun goes on, what is queued is taken back."""
    written = Written()
    async with _changing(runtime, principal, backfill_id, "backfillPause") as (tx, backfill):
        _refuse_ending(backfill)
        check_change(backfill.state, BackfillState.PAUSED)
        backfill.state = BackfillState.PAUSED
        backfill.message = f"Paused by {principal.actor['name']}."
        backfill.step_at = None
        await _withdraw(tx, written, principal, backfill)
    await runtime.announce(written.changes)
    return Accepted(await _read(runtime, principal, backfill_id))


async def resume_backfill(
    runtime: Runtime, principal: Principal, backfill_id: UUID
) -> Accepted[BackfillRecord]:
    """Let a paused backfill go on where it stood."""
    async with _changing(runtime, principal, backfill_id, "backfillResume") as (tx, backfill):
        _refuse_ending(backfill)
        check_change(backfill.state, BackfillState.RUNNING)
        refuse_archived(await tx.get_one(Schedule, backfill.schedule_id))
        await _check_horizon(tx, backfill)
        backfill.state = BackfillState.RUNNING
        backfill.message = None
        backfill.step_at = await read_now(tx)
    await advance_backfill(runtime, backfill_id)
    return Accepted(await _read(runtime, principal, backfill_id))


async def cancel_backfill(
    runtime: Runtime, principal: Principal, backfill_id: UUID
) -> Accepted[BackfillRecord]:
    """End a backfill: queued runs at once, running ones are asked to end.

    It is CANCELLED when none of its runs is alive. Cancelling it again changes nothing.
    """
    async with _changing(runtime, principal, backfill_id, "backfillCancel") as (tx, backfill):
        check_change(backfill.state, BackfillState.CANCELLED)
        if backfill.cancel_requested_at is None:
            as_of = await read_now(tx)
            backfill.cancel_requested_at = as_of
            backfill.message = cancel_message(principal.actor["name"], None)
            backfill.step_at = as_of
    await advance_backfill(runtime, backfill_id)
    return Accepted(await _read(runtime, principal, backfill_id))


@asynccontextmanager
async def _changing(
    runtime: Runtime, principal: Principal, backfill_id: UUID, action: str
) -> AsyncIterator[tuple[Transaction, Backfill]]:
    """Hold a backfill of the caller's project; at the end, write it and who changed it."""
    principal.require(Role.OPERATOR)
    async with runtime.database.transaction(principal.project_id) as transaction:
        backfill = await lock_backfill(transaction, principal.project_id, backfill_id)
        if backfill is None:
            raise NotFound(
                "There is no such backfill in this project.", id=str(backfill_id), path=("id",)
            )
        yield transaction, backfill
        backfill.revision += 1
        await transaction.flush()
        verb = action.removeprefix("backfill")
        summary = f"{verb} of the backfill {backfill_id}: it is {backfill.state.lower()}."
        await note_audit(transaction, principal, action, Subject.BACKFILL, [(backfill_id, summary)])


def _refuse_ending(backfill: Backfill) -> None:
    if backfill.cancel_requested_at is not None and backfill.finished_at is None:
        raise StateConflict(
            "The backfill is being cancelled.",
            current=backfill.state.value,
            allowed=["a backfill that nobody has cancelled"],
            path=("id",),
        )


async def _withdraw(
    transaction: Transaction, written: Written, principal: Principal, backfill: Backfill
) -> None:
    """Take back the runs that have not begun: it stands where it stood before the first of them."""
    withdrawn = await withdraw_backfill_runs(transaction, backfill.id)
    if not withdrawn:
        return
    backfill.made -= len(withdrawn)
    first = min(row["scheduled_for"] for row in withdrawn)
    backfill.cursor_at = min(backfill.cursor_at, first - _TICK)
    backfill.next_due_at = min(row["due_at"] for row in withdrawn)
    await note_change(
        transaction,
        written,
        principal,
        Subject.RUN,
        "WITHDRAWN",
        {row["id"]: row["revision"] + 1 for row in withdrawn},
        parent_ids=[backfill.schedule_id] * len(withdrawn),
    )


async def _check_horizon(transaction: Transaction, backfill: Backfill) -> None:
    """Refuse to go on where it is no longer known what is missing."""
    project = await read_project(transaction, backfill.project_id)
    assert project is not None, "a backfill has its project"
    kept_since = await read_now(transaction) - timedelta(seconds=project.retention_seconds)
    if backfill.only_missing and backfill.cursor_at < kept_since:
        raise StateConflict(
            "Retention has removed runs of the occurrences it stopped at, so what is missing can "
            "no longer be known: cancel it, and start another.",
            current=backfill.state.value,
            allowed=["a backfill of what ended since " + kept_since.isoformat(timespec="seconds")],
            path=("id",),
        )


async def _read(runtime: Runtime, principal: Principal, backfill_id: UUID) -> BackfillRecord:
    async with runtime.database.reading(principal.project_id) as connection:
        records = await read_backfills(connection, principal.project_id, [backfill_id])
    return records[backfill_id]
