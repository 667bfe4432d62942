"""Fire what is due: turn occurrences into runs and records.

Any number of workers tick at the same time and there is no leader. A tick claims due schedules in
batches; for each batch one transaction writes the runs and advances the cursors, so that a crash
at any instant leaves either both or neither, and the unique index on occurrences refuses what a
second ticker might write. PostgreSQL's clock is the only clock.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import DBAPIError

from app.core.backfilling import overlap_of
from app.core.changes import Change
from app.core.endings import state_at_end
from app.core.firing import (
    CIRCUIT_BREAKER,
    MOST_A_SECOND,
    CatchUp,
    FiringPlan,
    PlannedRecord,
    plan_firing,
)
from app.core.halting import Halt, plan_halted
from app.core.ids import Kind, public_id
from app.core.overrides import Override, mark_settled
from app.core.time import Timetable, Timing, timing_from_json
from app.core.vocabulary import (
    CalendarMode,
    CatchUpPolicy,
    ChangeKind,
    DstFoldPolicy,
    DstGapPolicy,
    OverlapPolicy,
    RunState,
    ScheduleState,
)
from app.handlers.output_text import clean
from app.models import Calendar as CalendarRow
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.pausing import SYSTEM
from app.services.schedules.timetables import (
    calendar_of,
    known_calendars,
    timetable_of,
    timing_from_stored,
)
from app.store.audit import audit_entry, record_audit
from app.store.calendars import read_calendars
from app.store.control import share_control
from app.store.counters import count_outcomes, count_recorded
from app.store.database import Transaction, is_refused
from app.store.events import record_changes
from app.store.firing import (
    AdvancedSchedule,
    RunRow,
    advance_schedules,
    claim_due_schedules,
    insert_runs,
    other_locals,
    read_halts,
    to_json,
)
from app.store.overrides import read_overrides_to_plan, settle_overrides
from app.store.versions import record_ended_schedules

BATCH = 1_000
"""How many schedules one transaction holds at most."""

_LONGEST_ERROR = 2_000

_log = structlog.get_logger(__name__)


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


@dataclass(slots=True)
class _Batch:
    """What one transaction of a tick is going to write."""

    calendars: Mapping[UUID, CalendarRow]
    halts: Sequence[Halt]
    # Of those few of its schedules that have any.
    overrides: Mapping[UUID, Sequence[Override]] = field(default_factory=dict)
    rows: list[RunRow] = field(default_factory=list)
    advanced: list[AdvancedSchedule] = field(default_factory=list)
    project_of: dict[UUID, UUID] = field(default_factory=dict)
    settled: list[UUID] = field(default_factory=list)
    orphaned: list[UUID] = field(default_factory=list)


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
    while True:
        fired = await fire_batch(runtime, as_of=as_of)
        total += fired
        if on_batch is not None:
            on_batch(fired)
        if fired.schedules < BATCH:
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
        batch = _Batch(
            await _read_calendars(transaction, claimed),
            halts,
            await _read_overrides(transaction, claimed),
        )
        for schedule in claimed:
            _plan_into(batch, schedule, look_ahead)
        return await _write(transaction, batch)


async def _fire_apart(
    runtime: Runtime, look_ahead: timedelta, as_of: datetime | None
) -> tuple[Fired, list[Change]]:
    """Write each schedule by itself, and set aside those whose rows PostgreSQL refuses."""
    fired, changes = Fired(), list[Change]()
    async with runtime.database.transaction() as transaction:
        claimed, halts = await _claim(transaction, look_ahead, as_of)
        calendars = await _read_calendars(transaction, claimed)
        overrides = await _read_overrides(transaction, claimed)
        for schedule in claimed:
            batch = _Batch(calendars, halts, overrides)
            _plan_into(batch, schedule, look_ahead)
            try:
                async with transaction.begin_nested():
                    one, changed = await _write(transaction, batch)
            except Exception as error:
                if not is_refused(error):
                    raise
                _set_aside(batch := _Batch(calendars, halts), schedule, error)
                one, changed = await _write(transaction, batch)
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


def _plan_into(batch: _Batch, schedule: RowMapping, look_ahead: timedelta) -> None:
    """Plan one schedule; one that cannot be planned is set aside and never stops the others."""
    try:
        plan = _plan(schedule, batch, look_ahead)
        rows = [_run_row(schedule, record) for record in plan.records]
    except Exception as error:
        _set_aside(batch, schedule, error)
        return
    batch.project_of[schedule["id"]] = schedule["project_id"]
    batch.rows.extend(rows)
    batch.advanced.append(_advanced(schedule, plan))
    batch.settled.extend(plan.settled)
    batch.orphaned.extend(plan.orphaned)


def _set_aside(batch: _Batch, schedule: RowMapping, error: Exception) -> None:
    """Quarantine a schedule; what one says in the log is bounded, however many there are."""
    first = all(advanced.state != ScheduleState.QUARANTINED for advanced in batch.advanced)
    _log.error(
        "schedule.quarantined",
        schedule_id=public_id(Kind.SCHEDULE, schedule["id"]),
        error=_short(error),
        exc_info=error if first else None,
    )
    batch.project_of[schedule["id"]] = schedule["project_id"]
    batch.advanced.append(_quarantined(schedule, error))


def _short(error: Exception) -> str:
    """Return an error's text as it can be stored: whoever made the schedule may have written it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return clean(str(cause)[:_LONGEST_ERROR])


def _plan(schedule: RowMapping, batch: _Batch, look_ahead: timedelta) -> FiringPlan:
    timetable, as_of = _timetable(schedule, batch.calendars), schedule["as_of"]
    overrides = batch.overrides.get(schedule["id"], ())
    catch_up = CatchUp(
        policy=CatchUpPolicy(schedule["catch_up"]),
        window=timedelta(seconds=schedule["catch_up_window_seconds"]),
        limit=schedule["catch_up_limit"],
        per_minute=schedule["catch_up_rate_per_minute"],
    )
    halted = plan_halted(
        timetable,
        after=schedule["cursor_at"],
        halts=batch.halts,
        as_of=as_of,
        catch_up=catch_up,
        overrides=overrides,
    )
    plan = plan_firing(
        timetable,
        after=halted.cursor_at,
        as_of=as_of,
        catch_up=catch_up,
        look_ahead=look_ahead,
        overrides=mark_settled(overrides, halted.settled),
    )
    return replace(
        plan,
        records=(*halted.records, *plan.records),
        settled=(*halted.settled, *plan.settled),
        orphaned=(*halted.orphaned, *plan.orphaned),
    )


async def _read_calendars(
    transaction: Transaction, claimed: Sequence[RowMapping]
) -> dict[UUID, CalendarRow]:
    """Return the calendars that a batch follows; most batches follow none."""
    wanted: set[UUID] = set()
    for schedule in claimed:
        wanted.update(schedule["calendar_ids"] or ())
        if schedule["timing_before"] is not None:
            wanted.update(_timing_before(schedule["timing_before"])["calendar_ids"])
    return await read_calendars(transaction, wanted)


def _timetable(schedule: RowMapping, calendars: Mapping[UUID, CalendarRow]) -> Timetable:
    followed = schedule["calendar_ids"] or ()
    if schedule["timing_before"] is not None or schedule["passed_over"] is not None:
        return _unusual_timetable(schedule, calendars)
    return Timetable.of(
        _timings(schedule["timings"]),
        timezone=schedule["timezone"],
        dst_gap=DstGapPolicy(schedule["dst_gap"]),
        dst_fold=DstFoldPolicy(schedule["dst_fold"]),
        start_at=schedule["start_at"],
        end_at=schedule["end_at"],
        calendars=[calendar_of(calendars[id_]) for id_ in followed if id_ in calendars],
        calendar_mode=CalendarMode(schedule["calendar_mode"]),
        hash_key=schedule["key"],
        jitter=timedelta(seconds=schedule["jitter_seconds"]),
    )


def _unusual_timetable(schedule: RowMapping, calendars: Mapping[UUID, CalendarRow]) -> Timetable:
    """Return the timetable of a schedule whose edit holds later, or that passes something over."""
    before = schedule["timing_before"]
    columns = {
        **schedule,
        "timings": orjson.loads(schedule["timings"]),
        "calendar_ids": schedule["calendar_ids"] or (),
        "timing_before": None if before is None else _timing_before(before),
    }
    return timetable_of(columns, known_calendars(calendars.values()))


def _timing_before(stored: str) -> dict[str, Any]:
    return timing_from_stored(orjson.loads(stored))


# Most schedules of a herd share a handful of timings.
@lru_cache(maxsize=4096)
def _timings(stored: str) -> tuple[Timing, ...]:
    return tuple(timing_from_json(timing) for timing in orjson.loads(stored))


def _merged(*stored: str) -> str:
    """Merge objects given as JSON text; a later one wins."""
    given = [text for text in stored if text != "{}"]
    if len(given) < 2:
        return given[0] if given else "{}"
    merged: dict[str, Any] = {}
    for text in given:
        merged.update(orjson.loads(text))
    return to_json(merged)


def _advanced(schedule: RowMapping, plan: FiringPlan) -> AdvancedSchedule:
    if plan.is_implausible:
        return _stopped(schedule, plan)
    state, reason = ScheduleState.ACTIVE, None
    if plan.next_run_at is None:
        state, reason = state_at_end(
            _timings(schedule["timings"]), schedule["end_at"], schedule["timezone"]
        )
    return AdvancedSchedule(
        id=schedule["id"],
        cursor_at=plan.cursor_at,
        next_run_at=plan.next_run_at,
        state=state.value,
        state_reason=reason,
    )


def _stopped(schedule: RowMapping, plan: FiringPlan) -> AdvancedSchedule:
    """Return a schedule that its circuit breaker has stopped."""
    message = (
        f"It would have fired more than {MOST_A_SECOND} times a second, which no timings that can "
        "be saved do."
    )
    schedule_id = public_id(Kind.SCHEDULE, schedule["id"])
    _log.error("schedule.circuit_breaker", schedule_id=schedule_id, error=message)
    return AdvancedSchedule(
        id=schedule["id"],
        cursor_at=plan.cursor_at,
        next_run_at=None,
        state=ScheduleState.QUARANTINED.value,
        state_reason="It was stopped: it fired implausibly often. Mend it by an edit.",
        last_error=to_json({"type": CIRCUIT_BREAKER, "message": message, "reason": "ERROR"}),
    )


def _quarantined(schedule: RowMapping, error: Exception) -> AdvancedSchedule:
    return AdvancedSchedule(
        id=schedule["id"],
        cursor_at=schedule["cursor_at"],
        next_run_at=None,
        state=ScheduleState.QUARANTINED.value,
        state_reason="It could not be planned; mend it by an edit, or resume it.",
        last_error=to_json(
            {"type": type(error).__name__, "message": _short(error), "reason": "ERROR"}
        ),
    )


def _run_row(schedule: RowMapping, record: PlannedRecord) -> RunRow:
    occurrence = record.occurrence
    priority = schedule["priority"]
    return RunRow(
        id=new_id(),
        project_id=schedule["project_id"],
        job_id=schedule["job_id"],
        schedule_id=schedule["id"],
        schedule_version=schedule["version"],
        state=record.state.value,
        reason=None if record.reason is None else record.reason.value,
        message=record.message,
        cause=record.cause.value,
        overlap=(
            overlap_of(OverlapPolicy(schedule["overlap"])).value
            if record.in_turn
            else schedule["overlap"]
        ),
        scheduled_for=occurrence.nominal,
        scheduled_local=occurrence.local.isoformat(),
        due_at=record.due_at or occurrence.at,
        range_end=record.range_end,
        range_count=record.range_count,
        parameters=_merged(schedule["job_parameters"], schedule["parameters"]),
        tags=_merged(schedule["job_tags"], schedule["tags"]),
        queue=schedule["job_queue"],
        priority=schedule["job_priority"] if priority is None else priority,
        max_attempts=schedule["job_max_attempts"],
        other_locals=other_locals(occurrence),
    )


async def _write(transaction: Transaction, batch: _Batch) -> tuple[Fired, list[Change]]:
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


async def _record_ends(transaction: Transaction, batch: _Batch) -> None:
    """Write a version of each schedule that does not fire any more.

    A quarantine is no part of a plan, so it stands in the audit, too.
    """
    for state, change in _CHANGE_OF_STATE.items():
        ended = [row for row in batch.advanced if row.state == state]
        await record_ended_schedules(transaction, [row.id for row in ended], change, by=SYSTEM)
        if state is ScheduleState.QUARANTINED:
            await record_audit(transaction, [_audit_entry(batch, row) for row in ended])


def _audit_entry(batch: _Batch, row: AdvancedSchedule) -> dict[str, Any]:
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


def _schedule_changes(batch: _Batch, revisions: dict[UUID, int]) -> Iterable[Change]:
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
