"""Carry backfills on, a step at a time.

Any worker takes any backfill that is to be looked at. A step is one transaction that holds the
backfill: it counts and makes a batch of runs, moves the cursors, and notes how many have ended.
So a crash at any instruction leaves it where the last step put it, and the unique index on its
occurrences refuses what would be made twice. Never more than a batch is in memory, and never more
runs are queued than `most_unfinished` says, however long the range.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import RowMapping

from app.core.backfilling import LOOK_AHEAD, MadeRun, most_unfinished, plan_step
from app.core.changes import Change
from app.core.ids import Kind, public_id
from app.core.retry import RetryPolicy
from app.core.vocabulary import BackfillState, RunState
from app.handlers.output_text import clean
from app.models import Backfill, Job, Schedule
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.backfills.occurrences import Definition, load_definition, read_stretch
from app.services.cancelling import settle_cancelled
from app.store.backfills import (
    Settled,
    has_backfills_to_step,
    insert_backfill_runs,
    lock_backfill_to_step,
    read_runs_to_cancel,
    settle_backfill,
)
from app.store.control import cancel_runs, share_control
from app.store.database import Transaction, is_refused
from app.store.events import record_changes
from app.store.firing import to_json

COUNTED_AT_ONCE = 2_000
MADE_AT_ONCE = 1_000

_LOOK_AGAIN = timedelta(seconds=1)
_LONGEST_MESSAGE = 1_000
_log = structlog.get_logger(__name__)


async def advance_backfills(runtime: Runtime, *, most: int = 100) -> int:
    """Carry on what is to be carried on now; return how many steps were taken, at most `most`."""
    for taken in range(most):
        if not await advance_backfill(runtime):
            return taken
    return most


async def has_backfills(runtime: Runtime) -> bool:
    """Return whether any is to be carried on, now or a little later."""
    async with runtime.database.reading(None) as connection:
        return await has_backfills_to_step(connection)


async def advance_backfill(runtime: Runtime, backfill_id: UUID | None = None) -> bool:
    """Take one step of this backfill, or of the one that has waited longest.

    Return False if it is not to be carried on now, or somebody is at it.
    """
    step = _Step()
    try:
        async with runtime.database.transaction() as transaction:
            await share_control(transaction)
            found = await lock_backfill_to_step(transaction, backfill_id)
            if found is None:
                return False
            await step.take(transaction, *found)
            await record_changes(transaction, step.changes)
    except Exception as error:
        if step.backfill_id is None or not is_refused(error):
            raise
        await _set_aside(runtime, step.backfill_id, error)
        return True
    if step.asks_workers:
        await runtime.worker_channel.hint()
    await runtime.announce(step.changes, ring=step.rings)
    return True


class _Step:
    """One step of one backfill, and what is to be told of it afterwards."""

    def __init__(self) -> None:
        self.backfill_id: UUID | None = None
        self.changes: list[Change] = []
        self.rings = False
        self.asks_workers = False

    async def take(
        self, transaction: Transaction, backfill: Backfill, instance: RowMapping
    ) -> None:
        """Cancel, or make more runs; then see whether it is over, or when to look again."""
        self.backfill_id = backfill.id
        as_of: datetime = instance["as_of"]
        schedule = await transaction.get_one(Schedule, backfill.schedule_id)
        if schedule.archived_at is not None and backfill.cancel_requested_at is None:
            backfill.cancel_requested_at = as_of
            backfill.message = "Its schedule was archived."
        is_ending = backfill.cancel_requested_at is not None
        if is_ending:
            await self._cancel(transaction, backfill, schedule)
        settled = await _settle(transaction, backfill)
        is_urgent = False
        if instance["fires"] and not is_ending and backfill.cursor_at < backfill.until_at:
            made_before = backfill.made
            is_urgent = await self._produce(transaction, backfill, schedule, settled, as_of)
            if backfill.made == made_before:
                settled = await _settle(transaction, backfill)
        backfill.step_at = as_of if is_urgent else _look_again_at(backfill, as_of)
        if settled.unfinished == 0 and settled.settled_at >= backfill.until_at:
            _finish(backfill, as_of)
        backfill.revision += 1
        await transaction.flush()

    async def _cancel(
        self, transaction: Transaction, backfill: Backfill, schedule: Schedule
    ) -> None:
        """Cancel what is left of its runs; those of an archived schedule that run may finish.

        A run that somebody else holds at this moment is left for the next step.
        """
        is_archived = schedule.archived_at is not None
        states = [RunState.QUEUED] if is_archived else [RunState.QUEUED, RunState.RUNNING]
        rows = await cancel_runs(
            transaction,
            await read_runs_to_cancel(transaction, backfill.id, states),
            project_id=backfill.project_id,
            message=backfill.message or "Its backfill was cancelled.",
        )
        self.changes += await settle_cancelled(transaction, rows)
        self.rings = bool(rows)
        self.asks_workers = any(row["state"] == RunState.RUNNING for row in rows)

    async def _produce(
        self,
        transaction: Transaction,
        backfill: Backfill,
        schedule: Schedule,
        settled: Settled,
        as_of: datetime,
    ) -> bool:
        """Count and make a batch; return whether there is more to do at once."""
        definition = await load_definition(transaction, schedule, backfill.schedule_version)
        await _count(transaction, backfill, definition)
        room = most_unfinished(backfill.overlap) - settled.unfinished
        if room > 0 and backfill.next_due_at <= as_of + LOOK_AHEAD:
            limit = min(room, MADE_AT_ONCE)
            stretch = await read_stretch(
                transaction,
                definition,
                after=backfill.cursor_at,
                # What is made has been counted before, while it was still missing.
                until=backfill.counted_at,
                limit=limit,
                only_missing=backfill.only_missing,
            )
            step = plan_step(
                stretch,
                cursor_at=backfill.cursor_at,
                room=limit,
                rate_per_minute=backfill.rate_per_minute,
                next_due_at=backfill.next_due_at,
                as_of=as_of,
            )
            await self._make(transaction, backfill, definition, step.runs)
            backfill.cursor_at, backfill.next_due_at = step.cursor_at, step.next_due_at
            room -= len(step.runs)
        if backfill.cursor_at >= backfill.until_at:
            backfill.total = backfill.made
            return False
        may_make = room > 0 and backfill.next_due_at <= as_of + LOOK_AHEAD
        return may_make or backfill.counted_at < backfill.until_at

    async def _make(
        self,
        transaction: Transaction,
        backfill: Backfill,
        definition: Definition,
        runs: Sequence[MadeRun],
    ) -> None:
        """Queue the runs, and remember to tell of those that were not there before."""
        job = await transaction.get_one(Job, definition.schedule.job_id)
        ids = [new_id() for _ in runs]
        inserted = await insert_backfill_runs(
            transaction,
            _shared_columns(backfill, definition, job),
            {
                "id": ids,
                "scheduled_for": [run.slot.nominal for run in runs],
                "scheduled_local": [run.slot.occurrence.local.isoformat() for run in runs],
                "previous_at": [run.slot.previous_at for run in runs],
                "due_at": [run.due_at for run in runs],
            },
        )
        created = tuple(run_id for run_id in ids if run_id in inserted)
        backfill.made += len(created)
        if created:
            self.rings = True
            self.changes.append(
                Change(
                    backfill.project_id,
                    "RUN",
                    "CREATED",
                    ids=created,
                    revisions=(1,) * len(created),
                    parent_ids=(backfill.schedule_id,) * len(created),
                )
            )


def _shared_columns(backfill: Backfill, definition: Definition, job: Job) -> dict[str, object]:
    """Return what all runs of a backfill have in common."""
    columns, by = definition.columns, backfill.started_by
    priority = columns["priority"]
    return {
        "project_id": backfill.project_id,
        "job_id": job.id,
        "schedule_id": backfill.schedule_id,
        "schedule_version": backfill.schedule_version,
        "backfill_id": backfill.id,
        "triggered_by": None if by is None else to_json(by),
        "overlap": backfill.overlap.value,
        "parameters": to_json({**job.parameters, **columns["parameters"]}),
        "tags": to_json({**job.tags, **columns["tags"]}),
        "queue": job.queue,
        "priority": job.priority if priority is None else priority,
        "max_attempts": RetryPolicy.from_json(job.retry).max_attempts,
    }


async def _count(transaction: Transaction, backfill: Backfill, definition: Definition) -> None:
    """Count the next occurrences, if they are not all counted."""
    if backfill.counted_at >= backfill.until_at:
        return
    stretch = await read_stretch(
        transaction,
        definition,
        after=backfill.counted_at,
        until=backfill.until_at,
        limit=COUNTED_AT_ONCE,
        only_missing=backfill.only_missing,
    )
    backfill.total += len(stretch.slots)
    backfill.counted_at = stretch.reached_at


async def _settle(transaction: Transaction, backfill: Backfill) -> Settled:
    """Note how far the runs are; nothing follows those of a backfill that is being cancelled."""
    is_ending = backfill.cancel_requested_at is not None
    end = backfill.until_at if is_ending else backfill.cursor_at
    settled = await settle_backfill(transaction, backfill, end)
    backfill.failed += settled.failed
    backfill.settled_at = settled.settled_at
    return settled


def _look_again_at(backfill: Backfill, as_of: datetime) -> datetime:
    """Return when there may be more to make, or to notice."""
    soon = as_of + _LOOK_AGAIN
    is_making = backfill.cancel_requested_at is None and backfill.cursor_at < backfill.until_at
    return max(soon, backfill.next_due_at - LOOK_AHEAD) if is_making else soon


def _finish(backfill: Backfill, as_of: datetime) -> None:
    is_cancelled = backfill.cancel_requested_at is not None
    backfill.state = BackfillState.CANCELLED if is_cancelled else BackfillState.COMPLETED
    backfill.finished_at = as_of
    backfill.step_at = None


async def _set_aside(runtime: Runtime, backfill_id: UUID, error: Exception) -> None:
    """Pause a backfill that cannot be carried on: it must not hold up the others."""
    _log.error(
        "backfill.set_aside", backfill_id=public_id(Kind.BACKFILL, backfill_id), exc_info=error
    )
    async with runtime.database.transaction() as transaction:
        found = await lock_backfill_to_step(transaction, backfill_id)
        if found is None:
            return
        backfill, _ = found
        backfill.state = BackfillState.PAUSED
        backfill.message = f"It could not be carried on: {clean(str(error)[:_LONGEST_MESSAGE])}"
        backfill.step_at = None
        backfill.revision += 1
