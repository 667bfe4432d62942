"""What becomes of a schedule that has nothing more to fire."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.endings import state_at_end
from app.core.time import CronTiming, OnceTiming, Timing
from app.core.vocabulary import ScheduleState

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOON_IN_TOKYO = (NOON + timedelta(hours=9)).replace(tzinfo=None)
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
        # Its window ends before its only instant, given as such or by the clock on the wall.
        ([OnceTiming(at=NOON + SECOND)], NOON, ScheduleState.EXPIRED),
        ([OnceTiming(local=NOON_IN_TOKYO + SECOND)], NOON, ScheduleState.EXPIRED),
        ([OnceTiming(local=NOON_IN_TOKYO)], NOON, ScheduleState.COMPLETED),
    ],
)
def test_a_window_that_cuts_off_expires_and_what_has_all_come_is_completed(
    timings: list[Timing], end_at: datetime | None, state: ScheduleState
) -> None:
    assert state_at_end(timings, end_at, "Asia/Tokyo")[0] is state
