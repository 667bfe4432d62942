"""Plan what a tick has claimed: which runs and records to write, where each schedule then stands.

Nothing is written here. A schedule that cannot be planned is set aside with its error and never
stops the others. Schedules of a herd mostly ask the same: what they share is planned once a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import RowMapping
from sqlalchemy.exc import DBAPIError

from app.core.backfilling import overlap_of
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
    DstFoldPolicy,
    DstGapPolicy,
    OverlapPolicy,
    ScheduleState,
)
from app.handlers.output_text import clean
from app.models import Calendar as CalendarRow
from app.models.columns import new_id
from app.services.schedules.timetables import (
    calendar_of,
    known_calendars,
    timetable_of,
    timing_from_stored,
)
from app.store.firing import AdvancedSchedule, RunRow, other_locals, to_json

_LONGEST_ERROR = 2_000

# What a plan follows from besides the batch, where a schedule has nothing of its own.
_SHARED: Final = itemgetter(
    "timings",
    "timezone",
    "dst_gap",
    "dst_fold",
    "start_at",
    "end_at",
    "cursor_at",
    "catch_up",
    "catch_up_window_seconds",
    "catch_up_limit",
    "catch_up_rate_per_minute",
)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Batch:
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
    plans: dict[tuple[Any, ...], FiringPlan] = field(default_factory=dict)


def calendars_followed(claimed: Sequence[RowMapping]) -> set[UUID]:
    """Return the calendars that claimed schedules follow; most batches follow none."""
    wanted: set[UUID] = set()
    for schedule in claimed:
        wanted.update(schedule["calendar_ids"] or ())
        if schedule["timing_before"] is not None:
            wanted.update(_timing_before(schedule["timing_before"])["calendar_ids"])
    return wanted


def plan_into(batch: Batch, schedule: RowMapping, look_ahead: timedelta) -> None:
    """Plan one schedule; one that cannot be planned is set aside and never stops the others."""
    try:
        plan = _plan(schedule, batch, look_ahead)
        rows = [_run_row(schedule, record) for record in plan.records]
    except Exception as error:
        set_aside(batch, schedule, error)
        return
    batch.project_of[schedule["id"]] = schedule["project_id"]
    batch.rows.extend(rows)
    batch.advanced.append(_advanced(schedule, plan))
    batch.settled.extend(plan.settled)
    batch.orphaned.extend(plan.orphaned)


def set_aside(batch: Batch, schedule: RowMapping, error: Exception) -> None:
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


def _plan(schedule: RowMapping, batch: Batch, look_ahead: timedelta) -> FiringPlan:
    shared = _shared(schedule)
    if shared is None:
        return _plan_apart(schedule, batch, look_ahead)
    plan = batch.plans.get(shared)
    if plan is None:
        plan = batch.plans[shared] = _plan_apart(schedule, batch, look_ahead)
    return plan


def _shared(schedule: RowMapping) -> tuple[Any, ...] | None:
    """Return what schedules of the same plan have in common; None for one that has its own."""
    has_its_own = (
        schedule["jitter_seconds"]
        or schedule["has_overrides"]
        or schedule["calendar_ids"]
        or schedule["timing_before"] is not None
        or schedule["passed_over"] is not None
        # Perhaps the hashed slot of an expression.
        or "H" in schedule["timings"]
    )
    return None if has_its_own else _SHARED(schedule)


def _plan_apart(schedule: RowMapping, batch: Batch, look_ahead: timedelta) -> FiringPlan:
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
