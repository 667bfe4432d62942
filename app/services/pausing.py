"""Pause schedules that keep failing."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import RowMapping

from app.core.changes import Change
from app.core.time.phrases import duration_in_words
from app.core.vocabulary import ActorKind, ChangeKind
from app.models import AuditEntry
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.instants import read_now
from app.store.pausing import lock_failing_schedules, set_paused, withdraw_prepared_runs
from app.store.versions import record_versions

SYSTEM: ActorRecord = {"kind": ActorKind.SYSTEM.value, "id": None, "name": "Tickwheel"}
"""Who made an automatic change."""

# The smallest step of PostgreSQL's clock.
_TICK = timedelta(microseconds=1)


async def pause_failing_schedules(runtime: Runtime, schedule_ids: Sequence[UUID]) -> int:
    """Pause those of the schedules that failed as often in a row as they bear.

    A transaction of its own, after the one that counted the failures: should a crash come between
    the two, the next failure pauses the schedule.
    """
    if not schedule_ids:
        return 0
    async with runtime.database.transaction() as transaction:
        failing = await lock_failing_schedules(transaction, schedule_ids)
        changes = [change for row in failing for change in await _pause(transaction, row)]
        await record_changes(transaction, changes)
    runtime.announce_soon(changes)
    return len(failing)


def probe_in_words(after: timedelta) -> str:
    """Say what comes after an automatic pause."""
    return f"After {duration_in_words(after)} one run is let through to see whether it works again."


async def _pause(transaction: Transaction, row: RowMapping) -> list[Change]:
    schedule_id, project_id = row["id"], row["project_id"]
    as_of = await read_now(transaction)
    withdrawn = await withdraw_prepared_runs(transaction, schedule_id, as_of=as_of)
    instants = [instant for instant in withdrawn.values() if instant is not None]
    reason = f"Paused after {row['consecutive_failures']} failures in a row."
    probe_at = None
    if row["probe_after_seconds"] is not None:
        probe_after = timedelta(seconds=row["probe_after_seconds"])
        probe_at = as_of + probe_after
        reason += f" {probe_in_words(probe_after)}"
    revision = await set_paused(
        transaction,
        schedule_id,
        reason=reason,
        actor=SYSTEM,
        as_of=as_of,
        cursor_at=min(instants) - _TICK if instants else None,
        probe_at=probe_at,
    )
    await record_versions(transaction, [schedule_id], ChangeKind.PAUSED, by=SYSTEM, comment=reason)
    transaction.add(
        AuditEntry(
            at=as_of,
            project_id=project_id,
            actor=SYSTEM,
            action="schedule.autoPause",
            subject_kind="Schedule",
            subject_id=schedule_id,
            summary=reason,
        )
    )
    paused = Change(project_id, "SCHEDULE", ChangeKind.PAUSED.value, (schedule_id,), (revision,))
    if not withdrawn:
        return [paused]
    gone = Change(
        project_id,
        "RUN",
        "WITHDRAWN",
        ids=tuple(withdrawn),
        revisions=(2,) * len(withdrawn),
        parent_ids=(schedule_id,) * len(withdrawn),
    )
    return [paused, gone]
