"""What becomes of a schedule that has nothing more to fire."""

from datetime import UTC, datetime

import pytest

from app.core.endings import state_at_end
from app.core.time import CronTiming, OnceTiming, Timing
from app.core.vocabulary import ScheduleState

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOURLY, ONCE = CronTiming("0 * * * *"), OnceTiming(at=NOON)


@pytest.mark.parametrize(
    ("timings", "end_at", "state"),
    [
        ([HOURLY], NOON, ScheduleState.EXPIRED),
        ([ONCE, HOURLY], NOON, ScheduleState.EXPIRED),
        ([ONCE], None, ScheduleState.COMPLETED),
        # Its window cuts nothing off.
        ([ONCE], NOON, ScheduleState.COMPLETED),
        ([HOURLY], None, ScheduleState.COMPLETED),
    ],
)
def test_a_window_that_cuts_off_expires_and_what_has_all_come_is_completed(
    timings: list[Timing], end_at: datetime | None, state: ScheduleState
) -> None:
    assert state_at_end(timings, end_at)[0] is state
