"""Skip, move or add a single occurrence, with a reason; and take that back.

Like an edit, an override takes back what a tick has prepared and puts the cursor back, in one
transaction that holds the schedule. Only what is still to come can be decided about: once its run
or record is written, an occurrence is history.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core.errors import Invalid, LimitExceeded, NotFound, StateConflict
from app.core.overrides import occurrence_at, still_waiting
from app.core.vocabulary import ChangeKind, OccurrenceAction, Role, ScheduleState
from app.models import OccurrenceOverride, Schedule
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.schedules.accounting import in_window, next_columns, withdraw
from app.services.schedules.editing import hold, refuse_archived, tell
from app.services.schedules.timetables import Calendars, load_calendars, timetable_of
from app.services.writing import Accepted, Subject, Written, note_audit
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.ledger import read_record
from app.store.overrides import (
    insert_override,
    read_override,
    read_standing_overrides,
    undo_override,
)
from app.store.schedules import ScheduleRecord, read_counters, update_schedule

MOST_WAITING = 100
"""How many overrides of one schedule may wait."""

_TICK = timedelta(microseconds=1)
_DOES_NOT_FIRE = (ScheduleState.PAUSED, ScheduleState.QUARANTINED)
_IS_OVER = (ScheduleState.COMPLETED, ScheduleState.EXPIRED)


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """What to do with the occurrence at `at`."""

    at: datetime
    action: OccurrenceAction
    reason: str
    move_to: datetime | None = None


async def override_occurrence(
    runtime: Runtime, principal: Principal, schedule_id: UUID, request: OverrideRequest
) -> Accepted[ScheduleRecord]:
    """Decide about one occurrence of a schedule."""
    principal.require(Role.OPERATOR)
    _check_request(request)
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        schedule = await hold(transaction, principal, schedule_id, None, argument="scheduleId")
        refuse_archived(schedule, argument="scheduleId")
        as_of = await read_now(transaction)
        calendars = await load_calendars(transaction, schedule.model_dump())
        accounted = await withdraw(transaction, written, principal, schedule, as_of)
        await _refuse_recorded(transaction, schedule, request)
        earlier = await read_override(transaction, schedule_id, request.at)
        decision = _Decision(principal, schedule, request, calendars, as_of)
        await decision.replace(transaction, earlier)
        schedule = await decision.reposition(transaction, accounted)
        words = f"{request.action} {_instant(request.at)}: {request.reason.strip()}"
        summary = f"Overrode an occurrence of schedule {schedule.key}: {words}"
        await note_audit(
            transaction, principal, "occurrenceOverride", Subject.SCHEDULE, [(schedule_id, summary)]
        )
        record = ScheduleRecord(schedule, await read_counters(transaction, schedule_id))
        await tell(transaction, written, principal, record, ChangeKind.OVERRIDDEN, comment=words)
    await runtime.announce(written.changes)
    return Accepted(record)


class _Decision:
    """One decision about one occurrence of a schedule that the caller holds."""

    def __init__(
        self,
        principal: Principal,
        schedule: Schedule,
        request: OverrideRequest,
        calendars: Calendars,
        as_of: datetime,
    ) -> None:
        self._principal = principal
        self._schedule = schedule
        self._columns = schedule.model_dump()
        self._request = request
        self._calendars = calendars
        self._timetable = timetable_of(self._columns, calendars)
        self._as_of = as_of

    async def replace(self, transaction: Transaction, earlier: OccurrenceOverride | None) -> None:
        """Write the decision in the place of an earlier one about the same occurrence."""
        if self._request.action is OccurrenceAction.UNDO:
            self._check_undo(earlier)
        else:
            self._check(earlier)
        if earlier is not None:
            await undo_override(
                transaction, earlier.id, by=self._principal.actor, as_of=self._as_of
            )
        if self._request.action is not OccurrenceAction.UNDO:
            standing = await read_standing_overrides(transaction, self._schedule.id)
            if sum(not one.is_settled for one in standing) >= MOST_WAITING:
                raise LimitExceeded(
                    f"At most {MOST_WAITING} overrides of a schedule may wait: edit it instead."
                )
            await insert_override(transaction, self._row())

    async def reposition(self, transaction: Transaction, accounted: datetime) -> Schedule:
        """Recompute the next instant; all is `accounted` for up to where the cursor stands."""
        schedule = self._schedule
        changes: dict[str, Any] = {"has_overrides": True}
        if schedule.state not in _DOES_NOT_FIRE:
            cursor_at = accounted
            if schedule.state in _IS_OVER:
                cursor_at = self._as_of
            overrides = await read_standing_overrides(transaction, schedule.id)
            standing = still_waiting(overrides, cursor_at)
            changes |= next_columns(self._columns, cursor_at, self._calendars, standing)
            self._refuse_what_never_fires(changes["state"], changes["state_reason"])
        return await update_schedule(transaction, schedule.id, changes)

    def _refuse_what_never_fires(self, state: ScheduleState, reason: str | None) -> None:
        if state in _IS_OVER and self._request.action is not OccurrenceAction.UNDO:
            raise StateConflict(
                f"The schedule does not fire any more. {reason or ''}".strip(),
                current=state.value,
                allowed=[ScheduleState.ACTIVE.value, ScheduleState.PAUSED.value],
                path=("scheduleId",),
            )

    def _check_undo(self, earlier: OccurrenceOverride | None) -> None:
        if earlier is None:
            raise NotFound(f"Nothing was decided about {_instant(self._request.at)}.", path=("at",))
        if earlier.at <= self._as_of and not earlier.orphaned:
            raise StateConflict(
                "Its own instant has passed, so it cannot go back there: SKIP it, or MOVE it to "
                "another instant.",
                current=earlier.action.value,
                allowed=[],
                path=("action",),
            )

    def _check(self, earlier: OccurrenceOverride | None) -> None:
        request, as_of = self._request, self._as_of
        if request.at <= as_of and (earlier is None or earlier.orphaned):
            raise Invalid("Only what is still to come can be overridden.", path=("at",))
        if request.move_to is not None:
            self._check_target(request.move_to, "moveTo")
        if request.action is OccurrenceAction.ADD:
            self._check_target(request.at, "at")
            self._check_is_free(earlier)
        else:
            self._check_is_occurrence(earlier)

    def _check_target(self, instant: datetime, argument: str) -> None:
        if instant <= self._as_of:
            raise Invalid(f"{argument} must lie in the future.", path=(argument,))
        if not in_window(instant, self._columns):
            raise Invalid(
                f"{argument} lies outside the schedule's window: change startAt or endAt first.",
                path=(argument,),
            )

    def _check_is_free(self, earlier: OccurrenceOverride | None) -> None:
        at = self._request.at
        is_taken = self._timetable.matches(at)
        was_added = earlier is not None and earlier.action is OccurrenceAction.ADD
        if is_taken and not was_added:
            raise Invalid(
                f"{_instant(at)} is an occurrence already; UNDO what was decided about it."
                if earlier is not None
                else f"{_instant(at)} is an occurrence already.",
                path=("at",),
            )

    def _check_is_occurrence(self, earlier: OccurrenceOverride | None) -> None:
        at = self._request.at
        if earlier is not None and earlier.action is OccurrenceAction.ADD:
            raise StateConflict(
                "This occurrence was added by hand: UNDO that.",
                current=OccurrenceAction.ADD.value,
                allowed=[],
                path=("action",),
            )
        timetable = self._timetable
        if occurrence_at(timetable, at) is not None:
            return
        before, after = timetable.previous_before(at), timetable.next_after(at)
        near = [_instant(one.nominal) for one in (before, after) if one is not None]
        raise Invalid(
            f"{_instant(at)} is no occurrence of the schedule.",
            path=("at",),
            hint=f"The nearest: {' and '.join(near)}." if near else None,
        )

    def _row(self) -> OccurrenceOverride:
        request = self._request
        # An occurrence that had been moved to later than now may be skipped after its own instant.
        fires_at = request.move_to or max(request.at, self._as_of + _TICK)
        return OccurrenceOverride(
            id=new_id(),
            schedule_id=self._schedule.id,
            at=request.at,
            action=request.action,
            move_to=request.move_to,
            fires_at=fires_at,
            reason=request.reason.strip(),
            by=self._principal.actor,
            created_at=self._as_of,
        )


def _check_request(request: OverrideRequest) -> None:
    if not request.reason.strip() or len(request.reason) > 1_000:
        raise Invalid("Say why, in at most 1,000 characters.", path=("reason",))
    is_move = request.action is OccurrenceAction.MOVE
    if is_move != (request.move_to is not None):
        raise Invalid(
            "MOVE needs moveTo." if is_move else "moveTo goes with MOVE only.", path=("moveTo",)
        )
    if is_move and request.move_to == request.at:
        raise Invalid("moveTo must be another instant.", path=("moveTo",))


async def _refuse_recorded(
    transaction: Transaction, schedule: Schedule, request: OverrideRequest
) -> None:
    """Refuse to decide about what has its run or record already."""
    run = await read_record(transaction, schedule.id, request.at)
    if run is not None:
        raise StateConflict(
            f"The occurrence at {_instant(request.at)} has its record already: it is {run.state}.",
            current=run.state.value,
            allowed=[],
            path=("at",),
        )


def _instant(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
