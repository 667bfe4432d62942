"""Do the same to many schedules.

Each is changed in a transaction of its own, as if it alone were meant: one that cannot be changed
does not keep the others from it, and no tick waits for the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.core.errors import Invalid, InvalidInput, NotFound, StateConflict, TickwheelError
from app.core.vocabulary import BulkAction, Role, ScheduleState
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.bulk import ItemResult, check_choice, choose
from app.services.previews import preview_change
from app.services.rules import check_reason
from app.services.schedules.control import (
    ResumeRequest,
    archive_schedule,
    pause_schedule,
    resume_schedule,
)
from app.services.schedules.definition import ScheduleFields
from app.services.schedules.editing import update_schedule_definition
from app.services.triggering import trigger_schedule
from app.store.filters import ScheduleFilter
from app.store.schedules import read_newest_schedule_ids, read_schedules

_STANDING = tuple(state for state in ScheduleState if state is not ScheduleState.ARCHIVED)
_POSSIBLE = {
    BulkAction.PAUSE: (ScheduleState.ACTIVE, ScheduleState.PAUSED),
    BulkAction.RESUME: (ScheduleState.PAUSED, ScheduleState.QUARANTINED),
    BulkAction.ARCHIVE: _STANDING,
    BulkAction.UPDATE: _STANDING,
    BulkAction.TRIGGER: (ScheduleState.ACTIVE,),
}
# How far ahead a dry run of UPDATE looks for occurrences, of which it tells nothing.
_REHEARSED = timedelta(minutes=1)
_TAKES = {
    BulkAction.PAUSE: Role.OPERATOR,
    BulkAction.RESUME: Role.OPERATOR,
    BulkAction.ARCHIVE: Role.EDITOR,
    BulkAction.UPDATE: Role.EDITOR,
    BulkAction.TRIGGER: Role.OPERATOR,
}


@dataclass(frozen=True, slots=True)
class SchedulesRequest:
    """Which schedules, and what to do; `fields` only with UPDATE."""

    action: BulkAction
    ids: tuple[UUID, ...] | None = None
    narrowed: ScheduleFilter | None = None
    fields: ScheduleFields | None = None
    max_affected: int = 100
    dry_run: bool = False
    reason: str | None = None


async def change_schedules(
    runtime: Runtime, principal: Principal, request: SchedulesRequest
) -> list[tuple[ItemResult, str | None]]:
    """Do it, and say of each schedule what became of it, with its key.

    A dry run says what would: whether the action is possible, and for UPDATE what is wrong with
    the definition that would come of it.
    """
    principal.require(_TAKES[request.action])
    reason = check_reason(request.reason)
    _check(request, reason)
    ids = await choose(
        request.ids,
        lambda limit: _find(runtime, principal, request, limit),
        max_affected=request.max_affected,
        what="schedules",
    )
    async with runtime.database.reading(principal.project_id) as connection:
        records = await read_schedules(connection, principal.project_id, ids)
    results = []
    for schedule_id in ids:
        record = records.get(schedule_id)
        schedule = None if record is None else record.schedule
        result = await _one(runtime, principal, request, reason, schedule_id, schedule)
        results.append((result, None if schedule is None else schedule.key))
    return results


def _check(request: SchedulesRequest, reason: str | None) -> None:
    check_choice(request.ids, request.narrowed, request.max_affected)
    if (request.action is BulkAction.UPDATE) != (request.fields is not None):
        raise Invalid("UPDATE takes fields, and no other action does.", path=("fields",))
    if request.action is BulkAction.PAUSE and reason is None:
        raise Invalid("Say why, for those who wonder later.", path=("reason",))


async def _find(
    runtime: Runtime, principal: Principal, request: SchedulesRequest, limit: int
) -> Sequence[UUID]:
    assert request.narrowed is not None
    possible = ScheduleFilter(states=_POSSIBLE[request.action], all_of=(request.narrowed,))
    async with runtime.database.reading(principal.project_id) as connection:
        return await read_newest_schedule_ids(
            connection, principal.project_id, possible, limit=limit
        )


async def _one(
    runtime: Runtime,
    principal: Principal,
    request: SchedulesRequest,
    reason: str | None,
    schedule_id: UUID,
    schedule: Schedule | None,
) -> ItemResult:
    try:
        if schedule is None:
            raise NotFound("There is no such schedule in this project.", id=str(schedule_id))
        _require_possible(schedule, request.action)
        if request.dry_run:
            return await _rehearse(runtime, principal, request, schedule_id)
        return await _do(runtime, principal, request, reason, schedule_id)
    except TickwheelError as refusal:
        return ItemResult(schedule_id, error=refusal)


def _require_possible(schedule: Schedule, action: BulkAction) -> None:
    if schedule.state not in _POSSIBLE[action]:
        raise StateConflict(
            f"The schedule is {schedule.state.lower()}.",
            current=schedule.state.value,
            allowed=[state.value for state in _POSSIBLE[action]],
            path=("id",),
        )


async def _rehearse(
    runtime: Runtime, principal: Principal, request: SchedulesRequest, schedule_id: UUID
) -> ItemResult:
    """Return what the change would come to, without making it."""
    if request.fields is None:
        return ItemResult(schedule_id)
    async with runtime.database.reading(principal.project_id) as connection:
        preview = await preview_change(
            runtime,
            connection,
            principal,
            schedule_id,
            request.fields,
            effective_from=None,
            horizon=_REHEARSED,
        )
    if preview.errors:
        raise InvalidInput(preview.errors)
    return ItemResult(schedule_id)


async def _do(
    runtime: Runtime,
    principal: Principal,
    request: SchedulesRequest,
    reason: str | None,
    schedule_id: UUID,
) -> ItemResult:
    match request.action:
        case BulkAction.PAUSE:
            assert reason is not None, "checked before"
            await pause_schedule(runtime, principal, schedule_id, reason=reason)
        case BulkAction.RESUME:
            await resume_schedule(runtime, principal, schedule_id, ResumeRequest())
        case BulkAction.ARCHIVE:
            await archive_schedule(runtime, principal, schedule_id, reason=reason)
        case BulkAction.UPDATE:
            assert request.fields is not None, "checked before"
            await update_schedule_definition(
                runtime,
                principal,
                schedule_id,
                request.fields,
                expected_version=None,
                comment=reason,
            )
        case BulkAction.TRIGGER:
            accepted = await trigger_schedule(runtime, principal, schedule_id)
            return ItemResult(schedule_id, made=accepted.result.id)
    return ItemResult(schedule_id)
