"""Create, change, pause, resume and archive schedules.

Every use case is one transaction that holds the schedule against ticks, leaves each instant
accounted for, and recomputes the next one. `definition` checks what a caller wants; `creating`,
`editing` and `control` do it.
"""

from app.services.schedules.control import (
    ResumeRequest,
    archive_schedule,
    pause_schedule,
    resume_schedule,
)
from app.services.schedules.creating import ScheduleRequest, create_schedule, create_schedules
from app.services.schedules.definition import (
    IntervalRequest,
    OnceRequest,
    ScheduleFields,
    TimingRequest,
)
from app.services.schedules.editing import update_schedule_definition
from app.services.schedules.overriding import OverrideRequest, override_occurrence
from app.services.schedules.rolling_back import roll_back_schedule

__all__ = [
    "IntervalRequest",
    "OnceRequest",
    "OverrideRequest",
    "ResumeRequest",
    "ScheduleFields",
    "ScheduleRequest",
    "TimingRequest",
    "archive_schedule",
    "create_schedule",
    "create_schedules",
    "override_occurrence",
    "pause_schedule",
    "resume_schedule",
    "roll_back_schedule",
    "update_schedule_definition",
]
