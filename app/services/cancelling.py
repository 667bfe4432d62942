"""Cancel runs.

A queued run is cancelled at once. A running one is asked to end: its worker is hinted at, reads the
request with its next heartbeat, and the run becomes CANCELLED when that worker confirms that
nothing of it is alive. Many runs are cancelled in rounds, each a transaction that takes what
nobody else holds at that moment, so that cancelling never waits in a circle with finishing.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import RowMapping

from app.core.changes import Change
from app.core.errors import NotFound, StateConflict
from app.core.vocabulary import Role, RunState
from app.models import Run
from app.runtime import Runtime
from app.services.access import Principal
from app.services.claiming import run_changes
from app.services.finishing import schedule_changes
from app.services.rules import check_reason
from app.services.writing import Accepted, Subject, note_audit
from app.store import queue
from app.store.control import cancel_runs, find_emergency_runs
from app.store.counters import OutcomeCounts, count_outcomes
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.runs import lock_run, read_run

CANCELLABLE = (RunState.QUEUED, RunState.RUNNING)
_AT_ONCE = 1_000
_MOST_ROUNDS = 50
_PAUSE_SECONDS = 0.1


async def cancel_run(
    runtime: Runtime,
    principal: Principal,
    run_id: UUID,
    *,
    reason: str | None = None,
    force: bool = False,
) -> Accepted[Run]:
    """Cancel one run. `force` gives a running one no time to end by itself.

    Cancelling a run that is being cancelled changes nothing, unless it adds the force.
    """
    principal.require(Role.OPERATOR)
    reason = check_reason(reason)
    async with runtime.database.transaction(principal.project_id) as transaction:
        run = await lock_run(transaction, principal.project_id, run_id)
        _check_cancellable(run, run_id)
        assert run is not None
        if run.cancel_requested_at is not None and (run.cancel_is_forced or not force):
            return Accepted(run)
        rows = await cancel_runs(
            transaction,
            [run_id],
            project_id=principal.project_id,
            message=cancel_message(principal.actor["name"], reason),
            force=force,
        )
        changes = await settle_cancelled(transaction, rows)
        await note_cancels(transaction, principal, "runCancel", rows, reason)
        await transaction.refresh(run)
    await announce_cancels(runtime, changes, rows)
    return Accepted(run)


async def cancel_many(
    runtime: Runtime, principal: Principal, run_ids: Sequence[UUID], *, reason: str | None
) -> set[UUID]:
    """Cancel runs of the caller's project; return those that were cancelled, or are being."""
    message = cancel_message(principal.actor["name"], reason)
    cancelled: set[UUID] = set()
    for _ in range(_MOST_ROUNDS):
        async with runtime.database.transaction(principal.project_id) as transaction:
            left = await queue.read_unfinished(transaction, set(run_ids) - cancelled)
            rows = await cancel_runs(
                transaction, left, project_id=principal.project_id, message=message
            )
            changes = await settle_cancelled(transaction, rows)
            await note_cancels(transaction, principal, "runsBulk", rows, reason)
        await announce_cancels(runtime, changes, rows)
        cancelled |= {row["id"] for row in rows}
        if len(rows) == len(left):
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    return cancelled


async def cancel_for_emergency(runtime: Runtime) -> int:
    """Cancel what an emergency stop has still to cancel, in all projects.

    The stop itself calls this, and so does each sweep while it stands: should the process that
    stopped everything die half-way, the rest is cancelled all the same.
    """
    total = 0
    for _ in range(_MOST_ROUNDS):
        async with runtime.database.transaction() as transaction:
            ids, reason, actor = await find_emergency_runs(transaction, limit=_AT_ONCE)
            if not ids:
                break
            message = cancel_message(actor, f"emergency stop: {reason}")
            rows = await cancel_runs(transaction, ids, project_id=None, message=message)
            changes = await settle_cancelled(transaction, rows)
        await announce_cancels(runtime, changes, rows)
        total += len(rows)
        if len(rows) < len(ids):
            await asyncio.sleep(_PAUSE_SECONDS)
    return total


def cancel_message(actor: str, reason: str | None) -> str:
    """Return what a cancelled run says of itself."""
    return f"Cancelled by {actor}" + (f": {reason}" if reason else ".")


async def settle_cancelled(transaction: Transaction, rows: Sequence[RowMapping]) -> list[Change]:
    """Count what had begun, wake what waited for it, and write the events."""
    ended = [row for row in rows if row["state"] == RunState.CANCELLED]
    begun = [row for row in ended if row["attempt"] > 0]
    counts = Counter(row["schedule_id"] for row in begun if row["schedule_id"] is not None)
    counters = await count_outcomes(
        transaction, [OutcomeCounts(schedule_id, runs=runs) for schedule_id, runs in counts.items()]
    )
    await queue.unblock_runs(transaction, ended)
    asked = [row for row in rows if row["state"] == RunState.RUNNING]
    changes = [
        *run_changes(ended, "CANCELLED"),
        *run_changes(asked, "CANCEL_REQUESTED"),
        *schedule_changes(begun, counters),
    ]
    await record_changes(transaction, changes)
    return changes


async def note_cancels(
    transaction: Transaction,
    principal: Principal,
    action: str,
    rows: Iterable[RowMapping],
    reason: str | None,
) -> None:
    """Write the audit entry of each run."""
    because = f": {reason}" if reason else "."
    summaries = [
        (
            row["id"],
            ("Cancelled" if row["state"] == RunState.CANCELLED else "Asked to end")
            + f" run {row['id']}{because}",
        )
        for row in rows
    ]
    await note_audit(transaction, principal, action, Subject.RUN, summaries)


async def announce_cancels(
    runtime: Runtime, changes: list[Change], rows: Sequence[RowMapping]
) -> None:
    """Tell who watches, and the workers that have something to end."""
    if any(row["state"] == RunState.RUNNING for row in rows):
        await runtime.worker_channel.hint()
    await runtime.announce(changes, ring=bool(rows))


async def find_run(transaction: Transaction, principal: Principal, run_id: UUID) -> Run:
    """Return a run of the caller's project."""
    run = await read_run(transaction, principal.project_id, run_id)
    if run is None:
        raise unknown_run(run_id)
    return run


def unknown_run(run_id: UUID) -> NotFound:
    """Return the failure of a look-up."""
    return NotFound("There is no such run in this project.", id=str(run_id), path=("id",))


def not_cancellable(state: RunState) -> StateConflict:
    """Return the failure of cancelling what is over."""
    return StateConflict(
        f"The run is over ({state.lower()}): there is nothing to cancel.",
        current=state.value,
        allowed=[allowed.value for allowed in CANCELLABLE],
        path=("id",),
    )


def _check_cancellable(run: Run | None, run_id: UUID) -> None:
    if run is None:
        raise unknown_run(run_id)
    if run.state not in CANCELLABLE:
        raise not_cancellable(run.state)
