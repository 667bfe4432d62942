"""What the health monitor finds about schedules, and that one worker makes each round.

Breaks that were tried, and which test failed: `claim_health_round.sql` without its condition
(workers that race); the open findings left out of `find_schedules_to_examine.sql` (a schedule that
recovers); the slice always from the beginning (slice by slice).
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.vocabulary import RunState, ScheduleState
from app.models.columns import lowest_id, new_id
from app.services.health import monitor
from app.services.health.monitor import Examined, examine_when_due
from tests.engine import HOUR, MINUTE, SECOND, Engine, every

DAY, WEEK = timedelta(days=1), timedelta(days=7)
OK, FAILED = RunState.SUCCEEDED, RunState.FAILED
AT_ONCE = timedelta(0)


async def well(engine: Engine) -> None:
    """Let a worker tick, and the instance have run for long."""
    worker_id = await engine.worker()
    await engine.rows("UPDATE worker SET last_tick_at = now() WHERE id = :id", id=worker_id)
    await engine.rows("UPDATE scheduler_state SET changed_at = now() - interval '400 days'")
    # Nothing has been looked at yet.
    await engine.rows("UPDATE health_round SET examined_until = now() - interval '1 hour'")


async def schedule(engine: Engine, *, changed: timedelta = HOUR, **columns: Any) -> UUID:
    """Insert a schedule that fires, and was last changed so long ago."""
    now = await engine.now()
    given = {"cursor_at": now, "next_run_at": now + MINUTE, **columns}
    schedule_id = await engine.schedule(**given)
    await engine.rows(
        "UPDATE schedule SET created_at = :at, updated_at = :at WHERE id = :id",
        at=now - changed,
        id=schedule_id,
    )
    return schedule_id


async def ran(
    engine: Engine, schedule_id: UUID, states: Sequence[RunState], *, took: float = 1.0
) -> None:
    """Insert runs that ended a moment ago, a second apart, and long after those before."""
    now = await engine.now()
    await engine.rows(
        "UPDATE run SET started_at = started_at - interval '10 minutes',"
        " finished_at = finished_at - interval '10 minutes' WHERE schedule_id = :id",
        id=schedule_id,
    )
    for index, state in enumerate(states):
        ended = now - (len(states) - index) * SECOND
        await engine.rows(
            "INSERT INTO run (id, project_id, job_id, schedule_id, revision, state, cause, overlap,"
            " scheduled_for, due_at, created_at, next_attempt_at, started_at, first_started_at,"
            " finished_at, parameters, tags, queue, priority, attempt, max_attempts, crash_count)"
            " SELECT :id, project_id, job_id, id, 1, :state, 'MANUAL', 'ALLOW', :at, :at, :at, :at,"
            " :at, :at, :ended, '{}', '{}', 'default', 0, 1, 1, 0 FROM schedule"
            " WHERE id = :schedule_id",
            id=UUID(int=lowest_id(ended).int | new_id().int & (1 << 80) - 1),
            state=state.value,
            schedule_id=schedule_id,
            at=ended - took * SECOND,
            ended=ended,
        )
    failures = 0
    for state in states:
        failures = 0 if state is OK else failures + 1
    await engine.rows(
        "UPDATE schedule_counters SET consecutive_failures = CASE WHEN :has_success"
        " THEN :failures ELSE consecutive_failures + :failures END, last_run_at = :now"
        " WHERE schedule_id = :id",
        id=schedule_id,
        failures=failures,
        has_success=OK in states,
        now=now,
    )


async def examine(engine: Engine) -> Examined:
    """Make a round that is due."""
    examined = await examine_when_due(engine.runtime, every=AT_ONCE)
    assert examined is not None
    return examined


def told(examined: Examined) -> list[tuple[str, str]]:
    return sorted((event.change, event.finding.code) for event in examined.events)


async def test_schedule_that_fails_and_recovers(engine: Engine) -> None:
    await well(engine)
    failing = await schedule(engine)
    await ran(engine, failing, [OK] * 5 + [FAILED] * 3)
    await ran(engine, await schedule(engine), [OK] * 20)
    (opened,) = (await examine(engine)).events
    assert (opened.finding.code, opened.finding.schedule_id) == ("CONSECUTIVE_FAILURES", failing)
    assert opened.finding.project_id == engine.project_id
    await ran(engine, failing, [FAILED] * 4)
    assert told(await examine(engine)) == [("OPENED", "HIGH_FAILURE_RATE")]
    # It has not failed since: it is looked at because of what is open.
    await engine.rows("UPDATE health_round SET examined_until = now() + interval '1 hour'")
    await ran(engine, failing, [OK] * 10)
    assert told(await examine(engine)) == [
        ("RESOLVED", "CONSECUTIVE_FAILURES"),
        ("RESOLVED", "HIGH_FAILURE_RATE"),
    ]


async def test_runs_that_grow_slow_and_what_is_under_way(engine: Engine) -> None:
    await well(engine)
    slow, hanging = await schedule(engine), await schedule(engine)
    for each in (slow, hanging):
        await ran(engine, each, [OK] * 20)
    await ran(engine, slow, [OK] * 3, took=30)
    job = await engine.row("SELECT job_id FROM schedule WHERE id = :id", id=hanging)
    for _ in range(2):
        await engine.run(job["job_id"], hanging, due_at=await engine.now() - MINUTE)
        await engine.claim()
    await engine.rows(
        "UPDATE run SET started_at = now() - interval '1 minute' WHERE state = 'RUNNING'"
    )
    events = (await examine(engine)).events
    assert {event.finding.schedule_id for event in events} == {slow, hanging}
    assert {event.finding.code for event in events} == {"SLOWER_THAN_USUAL"}


async def test_schedules_that_should_fire_and_do_not(engine: Engine) -> None:
    await well(engine)
    now = await engine.now()
    broken = await schedule(engine)
    await engine.rows(
        "UPDATE schedule SET state = 'QUARANTINED', next_run_at = NULL,"
        ' last_error = \'{"message": "no such zone"}\' WHERE id = :id',
        id=broken,
    )
    await schedule(engine, next_run_at=None)
    await schedule(engine, cursor_at=now - HOUR, next_run_at=now - 5 * MINUTE)
    await schedule(engine, state=ScheduleState.PAUSED, next_run_at=None)
    examined = await examine(engine)
    assert told(examined) == [
        ("OPENED", "NO_NEXT_RUN"),
        ("OPENED", "OVERDUE"),
        ("OPENED", "QUARANTINED"),
    ]
    messages = [event.finding.message for event in examined.events]
    assert any("no such zone" in message for message in messages)
    await engine.rows("UPDATE schedule SET state = 'ARCHIVED', next_run_at = NULL")
    assert [change for change, _ in told(await examine(engine))] == ["RESOLVED"] * 3


async def test_single_schedules_are_not_overdue_while_nobody_ticks(engine: Engine) -> None:
    await well(engine)
    now = await engine.now()
    await schedule(engine, cursor_at=now - HOUR, next_run_at=now - 5 * MINUTE)
    await engine.rows("UPDATE worker SET last_tick_at = now() - interval '1 minute'")
    assert told(await examine(engine)) == []
    await engine.rows("UPDATE worker SET last_tick_at = now()")
    assert told(await examine(engine)) == [("OPENED", "OVERDUE")]
    # Who cannot judge leaves it as it is.
    await engine.rows("UPDATE worker SET last_tick_at = now() - interval '1 minute'")
    assert told(await examine(engine)) == []


async def _ran_last(engine: Engine, schedule_id: UUID, at: datetime) -> None:
    await engine.rows(
        "UPDATE schedule_counters SET last_run_at = :at WHERE schedule_id = :id",
        at=at,
        id=schedule_id,
    )


async def test_stale_is_a_schedule_that_recurs_and_has_been_silent_for_long(
    engine: Engine,
) -> None:
    await well(engine)
    now = await engine.now()
    weeks = every(WEEK.total_seconds(), anchor=now - 20 * DAY)
    hourly = await schedule(engine, timings=[every(3600)], changed=30 * DAY)
    weekly = await schedule(engine, timings=[weeks], changed=20 * DAY)
    edited = await schedule(engine, timings=[every(3600)], changed=DAY)
    once = await schedule(engine, changed=400 * DAY)
    await engine.rows(
        'UPDATE schedule SET timings = \'[{"once": {"at": "2099-01-01T00:00:00+00:00"}}]\''
        " WHERE id = :id",
        id=once,
    )
    for each in (hourly, weekly, edited):
        await _ran_last(engine, each, now - 20 * DAY)
    (event,) = (await examine(engine)).events
    assert (event.finding.code, event.finding.schedule_id) == ("STALE", hourly)
    assert event.finding.since == now - 20 * DAY
    await _ran_last(engine, weekly, now - 22 * DAY)
    await engine.rows("UPDATE schedule SET updated_at = now() - interval '30 days'")
    opened = [one.finding.schedule_id for one in (await examine(engine)).events]
    assert set(opened) == {weekly, edited}
    await _ran_last(engine, hourly, now)
    assert ("RESOLVED", "STALE") in told(await examine(engine))


async def test_silence_is_found_slice_by_slice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_SLICE", 2)
    await well(engine)
    ids = [await schedule(engine, timings=[every(3600)], changed=30 * DAY) for _ in range(5)]
    found: list[UUID | None] = []
    for expected in (2, 2, 1):
        events = [event for event in (await examine(engine)).events if event.change == "OPENED"]
        assert len(events) == expected
        found += [event.finding.schedule_id for event in events]
    assert sorted(map(str, found)) == sorted(map(str, ids))
    (row,) = await engine.rows("SELECT reached_id FROM health_round")
    assert row["reached_id"] is None


async def test_one_worker_makes_the_round_and_the_others_see_that_it_was_made(
    engine: Engine,
) -> None:
    await well(engine)
    await ran(engine, await schedule(engine), [FAILED] * 3)
    rounds = await asyncio.gather(
        *(examine_when_due(engine.runtime, every=5 * MINUTE) for _ in range(8))
    )
    (made,) = [each for each in rounds if each is not None]
    assert told(made) == [("OPENED", "CONSECUTIVE_FAILURES")]
    assert await examine_when_due(engine.runtime, every=5 * MINUTE) is None


async def test_schedule_that_cannot_be_judged_does_not_stop_the_others(engine: Engine) -> None:
    await well(engine)
    odd = await schedule(engine, changed=30 * DAY)
    await ran(engine, await schedule(engine), [FAILED] * 3)
    await engine.rows("UPDATE schedule SET timezone = 'Nowhere/Land' WHERE id = :id", id=odd)
    assert told(await examine(engine)) == [("OPENED", "CONSECUTIVE_FAILURES")]
