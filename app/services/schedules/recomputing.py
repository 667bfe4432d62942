"""Move the next instants of many schedules, because rules beneath them have changed.

A calendar was edited, or the zone rules were: the definitions stay, the instants do not. Like an
edit this is never retroactive: what was due under the old rules and has not fired is recorded as
missed, unless the new rules say the same; what was prepared beyond this instant is withdrawn. One
that cannot be planned is quarantined and stops none of the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from app.core.changes import Change
from app.core.firing import (
    NO_OVERRIDES,
    DueOverrides,
    PlannedRecord,
    plan_due_overrides,
    plan_stretches,
)
from app.core.ids import Kind, public_id
from app.core.overrides import Override, mark_settled, overridden
from app.core.time import Timetable
from app.core.vocabulary import ChangeKind, RunReason, ScheduleState
from app.models import Schedule
from app.services.health.findings import open_quarantines
from app.services.schedules.accounting import next_columns, run_row
from app.services.schedules.repeats import Repeats, read_repeats
from app.services.schedules.timetables import Calendars, timetable_of
from app.services.writing import Subject
from app.store.counters import count_outcomes, count_recorded
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.firing import insert_runs, to_json
from app.store.overrides import read_overrides_to_plan, settle_overrides
from app.store.recomputing import (
    Standing,
    read_jobs_of,
    recompute_schedules,
    withdraw_prepared_runs_of_many,
)

BATCH = 1_000
"""How many schedules are held, computed and written in one statement each."""

_MOST_COMPARED = 100
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Moved:
    """A schedule whose next instant is another one now."""

    schedule: Schedule
    before: datetime | None
    after: datetime | None


@dataclass(slots=True)
class Recomputed:
    """What became of a batch."""

    moved: list[Moved] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


async def recompute(
    transaction: Transaction,
    schedules: Sequence[Schedule],
    *,
    before: Calendars | None,
    after: Calendars,
    as_of: datetime,
) -> Recomputed:
    """Recompute the active ones of schedules that the caller holds, and tell of them.

    `before` are the calendars as they were, or None where the old rules are gone for good: then
    nothing that was due can be told from what is. What has been recorded and would come again is
    passed over from now on.
    """
    firing = [each for each in schedules if each.state is ScheduleState.ACTIVE]
    done = Recomputed()
    if not firing:
        return done
    await _withdraw(transaction, firing, as_of, done)
    repeats = await read_repeats(transaction, (each.model_dump() for each in firing), after, as_of)
    overrides = await read_overrides_to_plan(transaction, [each.id for each in firing])
    missed: list[tuple[Schedule, PlannedRecord]] = []
    standings: dict[UUID, Standing] = {}
    for schedule in firing:
        decided = overrides[schedule.id]
        try:
            settled = _settle(schedule, before, after, as_of, decided)
            decided = mark_settled(decided, settled.overrides.settled)
            standing = _standing(schedule, after, settled, repeats, decided)
        except Exception as error:
            _log.exception(
                "schedule.quarantined", schedule_id=public_id(Kind.SCHEDULE, schedule.id)
            )
            settled, standing = _Settled(schedule.cursor_at), _quarantined(schedule, error)
        missed.extend((schedule, record) for record in settled.missed)
        if decided:
            due = settled.overrides
            await settle_overrides(
                transaction, due.settled, due.orphaned, schedule_ids=[schedule.id]
            )
        if standing.next_run_at != schedule.next_run_at:
            done.moved.append(Moved(schedule, schedule.next_run_at, standing.next_run_at))
        if _differs(schedule, standing):
            standings[schedule.id] = standing
    await _write_missed(transaction, missed, done)
    revisions = await recompute_schedules(transaction, list(standings.values()))
    done.changes.extend(_schedule_changes(firing, standings, revisions))
    quarantined = {
        id_: standing.last_error
        for id_, standing in standings.items()
        if standing.state == ScheduleState.QUARANTINED
    }
    done.changes.extend(await open_quarantines(transaction, quarantined))
    await record_changes(transaction, done.changes)
    return done


def _differs(schedule: Schedule, standing: Standing) -> bool:
    passed_over = Standing.array_of(schedule.passed_over)
    stood = (schedule.cursor_at, schedule.next_run_at, schedule.state.value, passed_over)
    return stood != (
        standing.cursor_at,
        standing.next_run_at,
        standing.state,
        standing.passed_over,
    )


@dataclass(frozen=True, slots=True)
class _Settled:
    """Where the cursor goes, and what is missed on the way there."""

    cursor_at: datetime
    missed: tuple[PlannedRecord, ...] = ()
    overrides: DueOverrides = NO_OVERRIDES


def _settle(
    schedule: Schedule,
    before: Calendars | None,
    after: Calendars,
    as_of: datetime,
    overrides: Sequence[Override],
) -> _Settled:
    cursor_at = min(schedule.cursor_at, as_of)
    is_due = schedule.next_run_at is not None and schedule.next_run_at <= as_of
    if before is None or not is_due:
        return _Settled(cursor_at)
    columns = schedule.model_dump()
    before_edit = timetable_of(columns, before)
    old = overridden(before_edit, overrides)
    new = overridden(timetable_of(columns, after), overrides)
    if _due(old, cursor_at, as_of) == _due(new, cursor_at, as_of):
        return _Settled(cursor_at)
    due = plan_due_overrides(before_edit, overrides, as_of, RunReason.TOO_LATE)
    missed = plan_stretches(old, cursor_at, as_of, RunReason.TOO_LATE)
    return _Settled(as_of, (*missed, *due.records), due)


def _due(timetable: Timetable, after: datetime, until: datetime) -> list[tuple[datetime, bool]]:
    found = timetable.between(after, until, _MOST_COMPARED, include_excluded=True)
    return [(occurrence.nominal, occurrence.will_run) for occurrence in found]


def _standing(
    schedule: Schedule,
    calendars: Calendars,
    settled: _Settled,
    repeats: Repeats,
    overrides: Sequence[Override],
) -> Standing:
    columns, cursor_at = schedule.model_dump(), settled.cursor_at
    columns["passed_over"] = repeats.passed_over(columns, cursor_at, missed=settled.missed)
    found = next_columns(columns, cursor_at, calendars, overrides)
    return Standing(
        id=schedule.id,
        cursor_at=cursor_at,
        next_run_at=found["next_run_at"],
        state=found["state"].value,
        state_reason=found["state_reason"],
        passed_over=Standing.array_of(columns["passed_over"]),
    )


def _quarantined(schedule: Schedule, error: Exception) -> Standing:
    return Standing(
        id=schedule.id,
        cursor_at=schedule.cursor_at,
        next_run_at=None,
        state=ScheduleState.QUARANTINED.value,
        state_reason="It could not be planned; mend it by an edit, or resume it.",
        last_error=to_json(
            {"type": type(error).__name__, "message": str(error), "reason": "ERROR"}
        ),
        passed_over=Standing.array_of(schedule.passed_over),
    )


async def _withdraw(
    transaction: Transaction, schedules: Sequence[Schedule], as_of: datetime, done: Recomputed
) -> None:
    ids = [schedule.id for schedule in schedules]
    by_project: dict[UUID, list[tuple[UUID, UUID]]] = {}
    for row in await withdraw_prepared_runs_of_many(transaction, ids, as_of):
        by_project.setdefault(row["project_id"], []).append((row["id"], row["schedule_id"]))
    for project_id, withdrawn in by_project.items():
        done.changes.append(
            Change(
                project_id,
                Subject.RUN.value,
                "WITHDRAWN",
                ids=tuple(run_id for run_id, _ in withdrawn),
                revisions=(0,) * len(withdrawn),
                parent_ids=tuple(schedule_id for _, schedule_id in withdrawn),
            )
        )


async def _write_missed(
    transaction: Transaction,
    missed: Sequence[tuple[Schedule, PlannedRecord]],
    done: Recomputed,
) -> None:
    if not missed:
        return
    jobs = await read_jobs_of(transaction, {schedule.job_id for schedule, _ in missed})
    rows = [run_row(schedule, jobs[schedule.job_id], record) for schedule, record in missed]
    inserted = await insert_runs(transaction, rows)
    new_rows = [row for row in rows if row.id in inserted]
    await count_outcomes(transaction, count_recorded(new_rows))
    for row in new_rows:
        done.changes.append(
            Change(
                row.project_id, Subject.RUN.value, "CREATED", (row.id,), (1,), (row.schedule_id,)
            )
        )


_CHANGE_OF_STATE = {
    ScheduleState.COMPLETED: ChangeKind.COMPLETED,
    ScheduleState.EXPIRED: ChangeKind.EXPIRED,
    ScheduleState.QUARANTINED: ChangeKind.QUARANTINED,
}


def _schedule_changes(
    schedules: Sequence[Schedule],
    standings: Mapping[UUID, Standing],
    revisions: Mapping[UUID, int],
) -> Iterable[Change]:
    grouped: dict[tuple[UUID, ChangeKind], list[UUID]] = {}
    for schedule in schedules:
        if schedule.id in standings:
            state = ScheduleState(standings[schedule.id].state)
            kind = _CHANGE_OF_STATE.get(state, ChangeKind.UPDATED)
            grouped.setdefault((schedule.project_id, kind), []).append(schedule.id)
    for (project_id, kind), ids in grouped.items():
        yield Change(
            project_id,
            Subject.SCHEDULE.value,
            kind.value,
            tuple(ids),
            tuple(revisions[id_] for id_ in ids),
        )
