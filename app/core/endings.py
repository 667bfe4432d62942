"""What becomes of a schedule that has nothing more to fire.

One rule for the tick, for edits and for the sweep, so that they always agree.
"""

from collections.abc import Iterable
from datetime import datetime

from app.core.time import OnceTiming, Timing, local_time
from app.core.vocabulary import ScheduleState


def state_at_end(
    timings: Iterable[Timing], end_at: datetime | None, timezone: str
) -> tuple[ScheduleState, str]:
    """Return the state, and the reason in words, of a schedule without a further occurrence.

    It has expired if its window has cut off what would have gone on; one whose instants have all
    come is completed, window or not.
    """
    if end_at is not None and any(_goes_beyond(timing, end_at, timezone) for timing in timings):
        return ScheduleState.EXPIRED, "Its window has ended."
    return ScheduleState.COMPLETED, "It has no further occurrence."


def _goes_beyond(timing: Timing, end_at: datetime, timezone: str) -> bool:
    if not isinstance(timing, OnceTiming):
        return True
    if timing.at is not None:
        return timing.at > end_at
    local_end, _ = local_time(end_at, timezone)
    return timing.local is not None and timing.local > local_end
