"""Fire what is due: turn occurrences into runs and records.

Any number of workers tick at the same time and there is no leader. A tick claims due schedules in
batches; for each batch one transaction writes the runs and advances the cursors, so that a crash
at any instant leaves either both or neither, and the unique index on occurrences refuses what a
second ticker might write. PostgreSQL's clock is the only clock.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping

from app.core.changes import Change
from app.core.halting import Halt
from app.core.overrides import Override
from app.runtime import Runtime
from app.services.planning import Batch, calendars_followed, plan_into, set_aside
from app.services.recording import Fired, write_batch
from app.store.calendars import read_calendars
from app.store.control import share_control
from app.store.database import Transaction, is_refused
from app.store.firing import claim_due_schedules, read_halts
from app.store.overrides import read_overrides_to_plan

BATCH = 1_000
"""How many schedules one transaction holds at most."""

LANES = 2
"""How many batches of a herd are under way: while PostgreSQL writes one, the next is planned."""


async def fire_due(
    runtime: Runtime,
    *,
    as_of: datetime | None = None,
    on_batch: Callable[[Fired], None] | None = None,
) -> Fired:
    """Fire every schedule that is due, batch by batch, until none is left.

    `as_of` stands in for PostgreSQL's clock in tests; production leaves it out. `on_batch` hears of
    each batch as soon as it is committed.
    """
    total = Fired()

    async def fire_some() -> bool:
        nonlocal total
        fired = await fire_batch(runtime, as_of=as_of)
        total += fired
        if on_batch is not None:
            on_batch(fired)
        return fired.schedules == BATCH

    async def fire_on() -> None:
        while await fire_some():
            pass

    if await fire_some():
        lanes = [fire_on() for _ in range(LANES)]
        for failure in filter(None, await asyncio.gather(*lanes, return_exceptions=True)):
            raise failure
    return total


async def fire_batch(runtime: Runtime, *, as_of: datetime | None = None) -> Fired:
    """Claim, plan, write and announce one batch."""
    look_ahead = timedelta(seconds=runtime.intervals.look_ahead_seconds)
    try:
        fired, changes = await _fire_together(runtime, look_ahead, as_of)
    except Exception as error:
        if not is_refused(error):
            raise
        fired, changes = await _fire_apart(runtime, look_ahead, as_of)
    runtime.metrics.note_fired(len(fired.queued), fired.not_run)
    await runtime.announce(changes, ring=bool(fired.queued))
    return fired


async def _fire_together(
    runtime: Runtime, look_ahead: timedelta, as_of: datetime | None
) -> tuple[Fired, list[Change]]:
    async with runtime.database.transaction() as transaction:
        claimed, halts = await _claim(transaction, look_ahead, as_of)
        batch = Batch(
            await read_calendars(transaction, calendars_followed(claimed)),
            halts,
            await _read_overrides(transaction, claimed),
        )
        for schedule in claimed:
            plan_into(batch, schedule, look_ahead)
        return await write_batch(transaction, batch)


async def _fire_apart(
    runtime: Runtime, look_ahead: timedelta, as_of: datetime | None
) -> tuple[Fired, list[Change]]:
    """Write each schedule by itself, and set aside those whose rows PostgreSQL refuses."""
    fired, changes = Fired(), list[Change]()
    async with runtime.database.transaction() as transaction:
        claimed, halts = await _claim(transaction, look_ahead, as_of)
        calendars = await read_calendars(transaction, calendars_followed(claimed))
        overrides = await _read_overrides(transaction, claimed)
        for schedule in claimed:
            batch = Batch(calendars, halts, overrides)
            plan_into(batch, schedule, look_ahead)
            try:
                async with transaction.begin_nested():
                    one, changed = await write_batch(transaction, batch)
            except Exception as error:
                if not is_refused(error):
                    raise
                set_aside(batch := Batch(calendars, halts), schedule, error)
                one, changed = await write_batch(transaction, batch)
            fired += one
            changes += changed
    return fired, changes


async def _claim(
    transaction: Transaction, look_ahead: timedelta, as_of: datetime | None
) -> tuple[Sequence[RowMapping], Sequence[Halt]]:
    """Return what is due, unless the instance is halted, and the halts it has to account for."""
    await share_control(transaction)
    claimed = await claim_due_schedules(
        transaction, limit=BATCH, look_ahead_seconds=look_ahead.total_seconds(), as_of=as_of
    )
    if not claimed:
        return [], []
    since = min(schedule["next_run_at"] for schedule in claimed)
    return claimed, await read_halts(transaction, since=since)


async def _read_overrides(
    transaction: Transaction, claimed: Sequence[RowMapping]
) -> Mapping[UUID, Sequence[Override]]:
    """Read by a statement of its own: only now, with the schedules held, can none be missed."""
    having = [schedule["id"] for schedule in claimed if schedule["has_overrides"]]
    return await read_overrides_to_plan(transaction, having)
