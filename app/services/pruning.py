"""Remove what is kept for a time only, a bite at a time.

Finished runs, with their attempts and logs, go when they are older than their project's retention;
what was counted of them stays. Archived schedules and jobs go for good when their runs have gone.
Events, the idempotency keys of past requests and findings that are over have times of their own.

A bite is one short transaction, so that vacuum is never held back and nothing waits for long. One
worker at a time prunes: two would only get into each other's way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import RowMapping

from app.runtime import Runtime
from app.services.pausing import SYSTEM
from app.services.writing import Subject
from app.store.audit import audit_entry, record_audit
from app.store.database import Transaction, is_refused
from app.store.findings import prune_findings
from app.store.notifications import prune_messages
from app.store.pruning import (
    Retention,
    hold_pruning,
    prune_backfills,
    prune_events,
    prune_idempotency,
    prune_runs,
    purge_jobs,
    purge_schedules,
    read_retention,
)

IDEMPOTENCY_LIFETIME = timedelta(hours=24)
"""How long a repeated request gets its first result."""

FINDINGS_LIFETIME = timedelta(days=30)
"""How long a finding is kept after its end."""

MESSAGES_LIFETIME = timedelta(days=30)
"""How long a notification is remembered, so that nobody is told of the same thing twice."""

RUNS_AT_ONCE = 2_000

_AT_ONCE = 5_000
_PURGED_AT_ONCE = 100
_log = structlog.get_logger(__name__)

Positions = dict[UUID, UUID]
"""The run of each project up to which has been looked; empty: begin with the oldest."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much went, and whether there may be more."""

    removed: int = 0
    has_more: bool = False

    def __add__(self, other: "Pruned") -> "Pruned":
        return Pruned(self.removed + other.removed, self.has_more or other.has_more)


async def prune(runtime: Runtime, positions: Positions) -> Pruned:
    """Remove one bite of each kind; nothing while another worker is at it.

    `positions` is where the last call has left off, and is moved on.
    """
    async with runtime.database.transaction() as transaction:
        if not await hold_pruning(transaction):
            return Pruned()
        events = await prune_events(transaction, older_than=runtime.event_retention, limit=_AT_ONCE)
        keys = await prune_idempotency(transaction, older_than=IDEMPOTENCY_LIFETIME, limit=_AT_ONCE)
        findings = await prune_findings(transaction, older_than=FINDINGS_LIFETIME, limit=_AT_ONCE)
        messages = await prune_messages(transaction, older_than=MESSAGES_LIFETIME, limit=_AT_ONCE)
        projects = await read_retention(transaction)
    bites = (events, keys, findings, messages)
    pruned = Pruned(sum(bites), max(bites) == _AT_ONCE)
    for retention in projects:
        pruned += await _prune_project(runtime, retention, positions)
    return pruned + await _purge(runtime)


async def _prune_project(runtime: Runtime, retention: Retention, positions: Positions) -> Pruned:
    """Remove a bite of one project's runs, and the backfills that go with them."""
    project_id = retention.project_id
    async with runtime.database.transaction() as transaction:
        if not await hold_pruning(transaction):
            return Pruned()
        bite = await prune_runs(
            transaction, retention, after_id=positions.get(project_id), limit=RUNS_AT_ONCE
        )
        backfills = await prune_backfills(transaction, retention, limit=_PURGED_AT_ONCE)
    if bite.reached_id is not None:
        positions[project_id] = bite.reached_id
    return Pruned(bite.removed + backfills, bite.looked_at == RUNS_AT_ONCE)


async def _purge(runtime: Runtime) -> Pruned:
    """Remove archived schedules and jobs for good, each with a line in the audit."""
    try:
        async with runtime.database.transaction() as transaction:
            if not await hold_pruning(transaction):
                return Pruned()
            schedules = await purge_schedules(transaction, limit=_PURGED_AT_ONCE)
            await _note(transaction, "schedulePurge", Subject.SCHEDULE, schedules)
            jobs = await purge_jobs(transaction, limit=_PURGED_AT_ONCE)
            await _note(transaction, "jobPurge", Subject.JOB, jobs)
    except Exception as error:
        if not is_refused(error):
            raise
        # Something still refers to one of them: all stay until that is gone.
        _log.warning("purge.refused", error=str(error))
        return Pruned()
    count = max(len(schedules), len(jobs))
    return Pruned(len(schedules) + len(jobs), count == _PURGED_AT_ONCE)


async def _note(
    transaction: Transaction, action: str, subject: Subject, rows: Sequence[RowMapping]
) -> None:
    await record_audit(
        transaction,
        [
            audit_entry(
                project_id=row["project_id"],
                actor=SYSTEM,
                action=action,
                subject_kind=subject.value,
                subject_id=row["id"],
                summary=f"Removed {subject.lower()} {row['key']} for good: it was archived longer "
                "ago than the retention.",
            )
            for row in rows
        ],
    )
