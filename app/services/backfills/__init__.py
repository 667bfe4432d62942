"""Backfills: run what a past range of a schedule should have run.

`starting` accepts one, `steering` pauses, resumes and cancels it, `producing` is what workers do:
they make its runs a batch at a time and notice when all have ended. `occurrences` says which runs
those are.
"""

from app.services.backfills.producing import (
    advance_backfill,
    advance_backfills,
    has_backfills,
)
from app.services.backfills.starting import (
    BackfillPlan,
    BackfillRequest,
    plan_backfill,
    start_backfill,
)
from app.services.backfills.steering import cancel_backfill, pause_backfill, resume_backfill

__all__ = [
    "BackfillPlan",
    "BackfillRequest",
    "advance_backfill",
    "advance_backfills",
    "cancel_backfill",
    "has_backfills",
    "pause_backfill",
    "plan_backfill",
    "resume_backfill",
    "start_backfill",
]
