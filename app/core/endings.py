"""What becomes of a schedule that has nothing more to fire.

One rule for the tick, for edits and for the sweep, so that they always agree.
"""

from collections.abc import Iterable
from datetime import datetime

from app.core.time import OnceTiming, Timing
from app.core.vocabulary import ScheduleState


def state_at_end(timings: Iterable[Timing], end_at: datetime | None) -> tuple[ScheduleState, str]:
    """Return the state, and the reason in words, of a schedule without a further occurrence.

    It has expired if its window has cut off what would have gone on; one whose instants have all
    come is completed, window or not.
    """
    goes_on = any(not isinstance(timing, OnceTiming) for timing in timings)
    if end_at is not None and goes_on:
        return ScheduleState.EXPIRED, "Its window has ended."
    return ScheduleState.COMPLETED, "It has no further occurrence."
