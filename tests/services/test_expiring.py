"""Windows that end without a tick to notice: the sweep comes to what a tick would have come to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.vocabulary import ResumeChoice, ScheduleState
from app.services.firing import fire_due
from app.services.schedules.expiring import expire_ended_windows
from tests.engine import HOUR, MINUTE, Engine, every, until_crashes_end


async def with_window(engine: Engine, end_at: datetime, **columns: Any) -> UUID:
    """Insert a schedule of every minute, looked at an hour before the end of its window."""
    return await engine.schedule(
        timings=[every(60, end_at - HOUR)],
        cursor_at=end_at - HOUR,
        next_run_at=columns.pop("next_run_at", None),
        end_at=end_at,
        **columns,
    )


async def paused(engine: Engine, end_at: datetime, **columns: Any) -> UUID:
    """Insert one that is paused."""
    return await with_window(
        engine,
        end_at,
        state=ScheduleState.PAUSED,
        state_reason="Holidays.",
        paused_at=end_at - HOUR,
        **columns,
    )


async def test_a_paused_schedule_expires_with_its_window_and_its_pause_is_recorded(
    engine: Engine,
) -> None:
    end_at = await engine.now() - MINUTE
    schedule_id = await paused(engine, end_at)
    assert await expire_ended_windows(engine.runtime) == 1
    assert await expire_ended_windows(engine.runtime) == 0
    row = await engine.row("SELECT * FROM schedule")
    assert (row["state"], row["state_reason"]) == ("EXPIRED", "Its window has ended.")
    assert (row["paused_at"], row["paused_by"]) == (None, None)
    record = await engine.row("SELECT * FROM run")
    assert (record["state"], record["reason"], record["range_count"]) == ("MISSED", "PAUSED", 60)
    assert record["range_end"] == end_at
    assert await engine.counters(schedule_id) == {"misses": 60}
    [version] = await engine.rows("SELECT change, by ->> 'kind' AS by FROM schedule_version")
    assert version == {"change": "EXPIRED", "by": "SYSTEM"}
    assert ("SCHEDULE", "EXPIRED", 1) in await engine.changes()


async def test_the_tick_and_the_sweep_agree(engine: Engine) -> None:
    end_at = await engine.now() - MINUTE
    ticked = await with_window(engine, end_at, next_run_at=end_at - HOUR + MINUTE)
    swept = await paused(engine, end_at)
    await fire_due(engine.runtime)
    await expire_ended_windows(engine.runtime)
    rows = await engine.rows("SELECT id, state, state_reason, next_run_at FROM schedule")
    assert {row.pop("id") for row in rows} == {ticked, swept}
    assert rows[0] == rows[1]
    accounted = await engine.rows(
        "SELECT sum(coalesce(range_count, 1)) AS instants FROM run GROUP BY schedule_id"
    )
    assert [row["instants"] for row in accounted] == [60, 60]


async def test_windows_that_are_open_and_timed_pauses_are_left_alone(engine: Engine) -> None:
    now = await engine.now()
    await paused(engine, now + HOUR)
    await paused(engine, now - MINUTE, paused_until=now + HOUR, resume_with=ResumeChoice.ALL)
    assert await expire_ended_windows(engine.runtime) == 0


async def test_a_crash_while_one_expires_leaves_nothing_half_done(engine: Engine) -> None:
    await paused(engine, await engine.now() - MINUTE)
    await until_crashes_end(engine, lambda: expire_ended_windows(engine.runtime))
    assert len(await engine.rows("SELECT id FROM run")) == 1
    assert len(await engine.rows("SELECT id FROM schedule_version")) == 1
