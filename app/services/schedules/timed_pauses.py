"""End the pauses that were given an end.

The sweep of any worker calls this; a pause that two workers end at once is ended by one of them,
and one that somebody changes in the meantime stays as it was changed.
"""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog

from app.core.errors import NotFound, StateConflict
from app.core.ids import Kind, public_id
from app.core.vocabulary import ResumeChoice, Role
from app.models import Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.pausing import SYSTEM
from app.services.schedules.control import ResumeRequest, resume_schedule
from app.store.pausing import read_ended_pauses

_AT_ONCE = 100
_log = structlog.get_logger(__name__)


async def resume_ended_pauses(runtime: Runtime) -> int:
    """Resume schedules whose timed pause is over, each by the plan it was paused with."""
    async with runtime.database.reading(None) as connection:
        ended = await read_ended_pauses(connection, limit=_AT_ONCE)
    resumed = 0
    for project_id, schedule_id, choice in ended:
        resumed += await _resume(runtime, project_id, schedule_id, choice or ResumeChoice.SKIP)
    return resumed


def _is_over(schedule: Schedule, as_of: datetime) -> bool:
    return schedule.paused_until is not None and schedule.paused_until <= as_of


async def _resume(
    runtime: Runtime, project_id: UUID, schedule_id: UUID, choice: ResumeChoice
) -> bool:
    principal = Principal(SYSTEM, Role.ADMIN, project_id)
    with suppress(StateConflict, NotFound):
        await resume_schedule(
            runtime, principal, schedule_id, ResumeRequest(choice), only_if=_is_over
        )
        _log.info("schedule.pause_ended", schedule_id=public_id(Kind.SCHEDULE, schedule_id))
        return True
    return False
