"""Write what a tick has planned: the runs and records, the cursors, the counters, the events."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.core.changes import Change
from app.core.vocabulary import ChangeKind, RunState, ScheduleState
from app.services.health.findings import open_quarantines
from app.services.pausing import SYSTEM
from app.services.planning import Batch
from app.store.audit import audit_entry, record_audit
from app.store.counters import count_outcomes, count_recorded
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.firing import AdvancedSchedule, RunRow, advance_schedules, insert_runs
from app.store.overrides import settle_overrides
from app.store.versions import record_ended_schedules


@dataclass(frozen=True, slots=True)
class Fired:
    """What one tick did."""

    schedules: int = 0
    runs: int = 0
    # Those of the runs that are to be executed; the others only record what will not be.
    queued: tuple[UUID, ...] = ()
    # Occurrences recorded without a run, by reason.
    not_run: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Fired") -> "Fired":
        return Fired(
            self.schedules + other.schedules,
            self.runs + other.runs,
            self.queued + other.queued,
            self.not_run + other.not_run,
        )


async def write_batch(transaction: Transaction, batch: Batch) -> tuple[Fired, list[Change]]:
    """Write the batch; return what it was and what to announce."""
    if not batch.advanced:
        return Fired(), []
    inserted = await insert_runs(transaction, batch.rows)
    rows = [row for row in batch.rows if row.id in inserted]
    revisions = await advance_schedules(transaction, batch.advanced)
    await count_outcomes(transaction, count_recorded(rows))
    await _record_ends(transaction, batch)
    if batch.overrides:
        await settle_overrides(
            transaction, batch.settled, batch.orphaned, schedule_ids=list(batch.overrides)
        )
    changes = [*_run_changes(rows), *_schedule_changes(batch, revisions)]
    changes += await open_quarantines(transaction, _quarantined_in(batch.advanced))
    await record_changes(transaction, changes)
    return Fired(len(batch.advanced), len(rows), *_tally(rows)), changes


def _tally(rows: Sequence[RunRow]) -> tuple[tuple[UUID, ...], Counter[str]]:
    """Return which of the rows are to be executed, and why occurrences are not."""
    queued, not_run = list[UUID](), Counter[str]()
    for row in rows:
        if row.state == RunState.QUEUED:
            queued.append(row.id)
        elif row.reason is not None:
            not_run[row.reason] += row.range_count or 1
    return tuple(queued), not_run


async def _record_ends(transaction: Transaction, batch: Batch) -> None:
    """Write a version of each schedule that does not fire any more.

    A quarantine is no part of a plan, so it stands in the audit, too.
    """
    for state, change in _CHANGE_OF_STATE.items():
        ended = [row for row in batch.advanced if row.state == state]
        await record_ended_schedules(transaction, [row.id for row in ended], change, by=SYSTEM)
        if state is ScheduleState.QUARANTINED:
            await record_audit(transaction, [_audit_entry(batch, row) for row in ended])


def _quarantined_in(advanced: Iterable[AdvancedSchedule]) -> dict[UUID, str | None]:
    """Return those that are quarantined, each with its error."""
    return {row.id: row.last_error for row in advanced if row.state == ScheduleState.QUARANTINED}


def _audit_entry(batch: Batch, row: AdvancedSchedule) -> dict[str, Any]:
    return audit_entry(
        project_id=batch.project_of[row.id],
        actor=SYSTEM,
        action="schedule.quarantine",
        subject_kind="Schedule",
        subject_id=row.id,
        summary=row.state_reason or "",
    )


def _run_changes(rows: Sequence[RunRow]) -> Iterable[Change]:
    by_project: defaultdict[UUID, list[RunRow]] = defaultdict(list)
    for row in rows:
        by_project[row.project_id].append(row)
    for project_id, created in by_project.items():
        yield Change(
            project_id,
            "RUN",
            "CREATED",
            ids=tuple(row.id for row in created),
            revisions=(1,) * len(created),
            parent_ids=tuple(row.schedule_id for row in created),
        )


def _schedule_changes(batch: Batch, revisions: dict[UUID, int]) -> Iterable[Change]:
    grouped: defaultdict[tuple[UUID, ChangeKind], list[UUID]] = defaultdict(list)
    for advanced in batch.advanced:
        kind = _CHANGE_OF_STATE.get(ScheduleState(advanced.state), ChangeKind.FIRED)
        grouped[batch.project_of[advanced.id], kind].append(advanced.id)
    for (project_id, kind), ids in grouped.items():
        yield Change(
            project_id, "SCHEDULE", kind.value, tuple(ids), tuple(revisions[one] for one in ids)
        )


_CHANGE_OF_STATE = {
    ScheduleState.COMPLETED: ChangeKind.COMPLETED,
    ScheduleState.EXPIRED: ChangeKind.EXPIRED,
    ScheduleState.QUARANTINED: ChangeKind.QUARANTINED,
}
