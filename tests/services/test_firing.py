"""The tick against a real PostgreSQL: complete, never twice, and never held up by one schedule."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.time import CronTiming, OnceTiming, Timetable
from app.core.vocabulary import CatchUpPolicy, ChangeKind, RunCause
from app.models import Run
from app.services import firing, planning
from app.services.firing import fire_due
from app.store.schedules import lock_schedule
from app.store.versions import record_versions
from tests.engine import HOUR, MINUTE, NOON, SECOND, Engine, every, open_engine, until_crashes_end


async def instants(engine: Engine, schedule_id: UUID) -> list[datetime]:
    """Return the occurrences that have a row of their own."""
    rows = await engine.rows(
        "SELECT scheduled_for FROM run WHERE schedule_id = :id AND range_end IS NULL"
        " ORDER BY scheduled_for",
        id=schedule_id,
    )
    return [row["scheduled_for"] for row in rows]


async def schedule_row(engine: Engine, schedule_id: UUID) -> dict[str, Any]:
    """Return what a tick changes about a schedule."""
    row = await engine.row(
        "SELECT state, state_reason, cursor_at, next_run_at, last_error, revision"
        " FROM schedule WHERE id = :id",
        id=schedule_id,
    )
    return dict(row)


async def test_a_tick_fires_what_is_due_and_prepares_what_is_due_soon(engine: Engine) -> None:
    schedule_id = await engine.schedule(timings=[every(1)])
    fired = await fire_due(engine.runtime, as_of=NOON)
    assert (fired.schedules, fired.runs, len(fired.queued)) == (1, 3, 3)
    assert await instants(engine, schedule_id) == [NOON, NOON + SECOND, NOON + 2 * SECOND]
    assert await schedule_row(engine, schedule_id) == {
        "state": "ACTIVE",
        "state_reason": None,
        "cursor_at": NOON + 2 * SECOND,
        "next_run_at": NOON + 3 * SECOND,
        "last_error": None,
        "revision": 2,
    }
    assert await engine.changes() == [("RUN", "CREATED", 3), ("SCHEDULE", "FIRED", 1)]


async def test_a_run_inherits_from_its_job_and_its_schedule(engine: Engine) -> None:
    job_id = await engine.job(
        parameters={"a": 1, "b": 1},
        tags={"team": "x", "tier": "1"},
        queue="slow",
        priority=3,
        retry={"maxAttempts": 4},
    )
    await engine.schedule(job_id, parameters={"b": 2}, tags={"tier": "2"})
    await fire_due(engine.runtime, as_of=NOON)
    row = await engine.row("SELECT * FROM run")
    assert (row["queue"], row["priority"], row["max_attempts"]) == ("slow", 3, 4)
    assert row["parameters"] == {"a": 1, "b": 2}
    assert row["tags"] == {"team": "x", "tier": "2"}
    assert (row["cause"], row["scheduled_local"]) == (
        "SCHEDULE",
        NOON.replace(tzinfo=None).isoformat(),
    )


async def test_jitter_moves_the_due_instant_and_not_the_occurrence(engine: Engine) -> None:
    schedule_id = await engine.schedule(jitter_seconds=30.0)
    await fire_due(engine.runtime, as_of=NOON)
    assert await instants(engine, schedule_id) == [NOON]
    due_at = (await engine.row("SELECT due_at FROM run"))["due_at"]
    assert NOON < due_at <= NOON + 30 * SECOND


async def test_three_tickers_leave_no_hole_and_make_no_duplicate(
    database_url: str, redis_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty schedules of every second, ticked by three processes' worth of runtimes at once.

    Made to fail by taking the lock from the claim and ON CONFLICT from the insert; either alone
    is enough to keep the promise.
    """
    monkeypatch.setattr(firing, "BATCH", 7)
    schedules = [await engine.schedule(timings=[every(1 + n % 3)]) for n in range(60)]
    async with (
        open_engine(database_url, redis_url) as second,
        open_engine(database_url, redis_url) as third,
    ):

        async def tick(ticker: Engine) -> None:
            for seconds in range(20):
                await fire_due(ticker.runtime, as_of=NOON + timedelta(seconds=seconds))

        await asyncio.gather(*map(tick, (engine, second, third)))
    # What one ticker skipped because another held it, the last tick of all finds.
    await fire_due(engine.runtime, as_of=NOON + 19 * SECOND)
    for n, schedule_id in enumerate(schedules):
        step = 1 + n % 3
        expected = [NOON + timedelta(seconds=at) for at in range(0, 22, step)]
        assert await instants(engine, schedule_id) == expected


async def test_a_crash_between_any_two_statements_leaves_nothing(engine: Engine) -> None:
    schedule_id = await engine.schedule(timings=[every(1)], cursor_at=NOON - HOUR)
    before = await schedule_row(engine, schedule_id)

    async def tick() -> int:
        assert await schedule_row(engine, schedule_id) == before
        assert (await engine.row("SELECT count(*) AS runs FROM run"))["runs"] == 0
        return (await fire_due(engine.runtime, as_of=NOON)).runs

    assert await until_crashes_end(engine, tick) == 16
    row = await engine.row("SELECT count(*) AS runs, count(DISTINCT scheduled_for) AS own FROM run")
    assert (row["runs"], row["own"]) == (16, 16)


async def test_an_outage_becomes_one_row_and_is_counted(engine: Engine) -> None:
    """An hour without ticks: 45 minutes are too late, the newest of the others runs."""
    schedule_id = await engine.schedule(cursor_at=NOON - HOUR, next_run_at=NOON - 59 * MINUTE)
    await fire_due(engine.runtime, as_of=NOON - 30 * SECOND)
    rows = await engine.rows("SELECT * FROM run ORDER BY scheduled_for")
    assert [(row["state"], row["reason"], row["cause"], row["range_count"]) for row in rows] == [
        ("MISSED", "TOO_LATE", "SCHEDULE", 44),
        ("MISSED", "COALESCED", "SCHEDULE", 14),
        ("QUEUED", None, "CATCH_UP", None),
    ]
    assert [(row["scheduled_for"], row["range_end"]) for row in rows] == [
        (NOON - 59 * MINUTE, NOON - 16 * MINUTE),
        (NOON - 15 * MINUTE, NOON - 2 * MINUTE),
        (NOON - MINUTE, None),
    ]
    assert await engine.counters(schedule_id) == {"misses": 58}


async def test_a_schedule_ends_with_its_last_occurrence(engine: Engine) -> None:
    once = await engine.schedule(timings=[OnceTiming(at=NOON)])
    window = await engine.schedule(end_at=NOON + 30 * SECOND)
    await fire_due(engine.runtime, as_of=NOON)
    assert (await schedule_row(engine, once))["state"] == "COMPLETED"
    assert (await schedule_row(engine, window))["state"] == "EXPIRED"
    kinds = {(change, size) for subject, change, size in await engine.changes() if subject != "RUN"}
    assert kinds == {("COMPLETED", 1), ("EXPIRED", 1)}
    assert (await fire_due(engine.runtime, as_of=NOON + HOUR)).schedules == 0


async def test_the_end_of_a_schedule_is_a_version_like_any_other(engine: Engine) -> None:
    """It is put together from the version before and what a tick changes, which must be all of it.

    Breaks it: leaving `state_reason` out of record_ended_schedules.sql.
    """
    ids = [
        await engine.schedule(timings=[OnceTiming(at=NOON)]),
        await engine.schedule(end_at=NOON + 30 * SECOND, description="Ünïcode"),
        # One of which nothing is known from before.
        await engine.schedule(timings=[OnceTiming(at=NOON)]),
    ]
    async with engine.runtime.database.transaction() as transaction:
        await record_versions(transaction, ids[:2], ChangeKind.CREATED, by=None)
    await fire_due(engine.runtime, as_of=NOON)
    ended = await engine.rows(
        "SELECT DISTINCT ON (schedule_id) schedule_id, sequence, change, snapshot, diff"
        " FROM schedule_version ORDER BY schedule_id, sequence DESC"
    )
    async with engine.runtime.database.transaction() as transaction:
        await record_versions(transaction, ids, ChangeKind.UPDATED, by=None)
    for version, schedule_id in zip(ended, ids, strict=True):
        after = await engine.row(
            "SELECT snapshot, diff FROM schedule_version"
            " WHERE schedule_id = :id ORDER BY sequence DESC LIMIT 1",
            id=schedule_id,
        )
        assert (after["snapshot"], after["diff"]) == (version["snapshot"], [])
    assert [(row["sequence"], row["change"]) for row in ended] == [
        (2, "COMPLETED"),
        (2, "EXPIRED"),
        (1, "COMPLETED"),
    ]
    reason = (await schedule_row(engine, ids[0]))["state_reason"]
    assert ended[0]["diff"] == [
        {"path": "state", "before": "ACTIVE", "after": "COMPLETED"},
        {"path": "state_reason", "before": None, "after": reason},
    ]
    assert ended[2]["diff"] == []


async def test_a_tick_passes_over_what_somebody_else_holds(engine: Engine) -> None:
    held, free = await engine.schedule(), await engine.schedule()
    async with engine.runtime.database.transaction() as transaction:
        await lock_schedule(transaction, engine.project_id, held)
        await fire_due(engine.runtime, as_of=NOON)
        assert await instants(engine, free) == [NOON]
    assert await instants(engine, held) == []
    await fire_due(engine.runtime, as_of=NOON)
    assert await instants(engine, held) == [NOON]


async def test_a_manual_run_under_way_does_not_hide_a_schedule_from_the_tick(
    engine: Engine,
) -> None:
    """An insert that references the schedule holds a key share lock on it."""
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    async with engine.runtime.database.transaction() as transaction:
        transaction.add(
            Run(
                project_id=engine.project_id,
                job_id=job_id,
                schedule_id=schedule_id,
                cause=RunCause.MANUAL,
                scheduled_for=NOON,
                due_at=NOON,
                next_attempt_at=NOON,
                created_at=NOON,
            )
        )
        await transaction.flush()
        await fire_due(engine.runtime, as_of=NOON)
    assert len(await instants(engine, schedule_id)) == 2


UNPLANNABLE = {
    "a timing nobody knows": {"timings": [{"moon": {}}]},
    "an expression that never fires": {"timings": [{"cron": {"expression": "0 0 31 2 *"}}]},
    "a zone that is gone": {"timezone": "Atlantis/Capital"},
    "an error text that cannot be stored": {
        "timings": [{"cron": {"expression": "\ud7ff " * 40_000}}]
    },
}


@pytest.mark.parametrize("columns", UNPLANNABLE.values(), ids=UNPLANNABLE)
async def test_a_schedule_that_cannot_be_planned_is_set_aside_and_the_others_fire(
    engine: Engine, columns: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = await engine.schedule()
    bad = [await engine.schedule() for _ in range(3)]
    for schedule_id in bad:
        await engine.rows(
            "UPDATE schedule SET timings = :timings, timezone = :timezone WHERE id = :id",
            id=schedule_id,
            timings=json.dumps(columns.get("timings", [{"cron": {"expression": "* * * * *"}}])),
            timezone=columns.get("timezone", "UTC"),
        )
    await fire_due(engine.runtime, as_of=NOON)
    assert await instants(engine, good) == [NOON]
    for schedule_id in bad:
        row = await schedule_row(engine, schedule_id)
        assert row["state"] == "QUARANTINED"
        assert row["next_run_at"] is None
        assert row["cursor_at"] == NOON - SECOND
        assert 0 < len(row["last_error"]["message"]) <= 2_000
    assert ("SCHEDULE", "QUARANTINED", 3) in await engine.changes()


async def test_what_fires_implausibly_often_is_stopped_and_the_others_fire(engine: Engine) -> None:
    good, bad = await engine.schedule(), await engine.schedule()
    await engine.rows(
        "UPDATE schedule SET timings = jsonb_set(timings, '{0,interval,everySeconds}', '0.001')"
        " WHERE id = :id",
        id=bad,
    )
    await fire_due(engine.runtime, as_of=NOON)
    assert await instants(engine, good) == [NOON]
    row = await schedule_row(engine, bad)
    assert (row["state"], row["next_run_at"], row["cursor_at"]) == ("QUARANTINED", None, NOON)
    assert row["last_error"]["type"] == "CircuitBreaker"
    [record] = await engine.rows("SELECT * FROM run WHERE schedule_id = :id", id=bad)
    assert (record["state"], record["reason"]) == ("MISSED", "CIRCUIT_BREAKER")
    assert record["range_end"] == NOON
    [version] = await engine.rows("SELECT schedule_id, change FROM schedule_version")
    assert version == {"schedule_id": bad, "change": "QUARANTINED"}
    [audit] = await engine.rows("SELECT action, subject_id FROM audit")
    assert audit == {"action": "schedule.quarantine", "subject_id": bad}
    assert (await fire_due(engine.runtime, as_of=NOON)).runs == 0


async def test_an_error_with_text_that_postgresql_refuses_holds_up_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error message may repeat what somebody wrote: NUL, and half of a surrogate pair."""
    good, bad = await engine.schedule(), await engine.schedule()
    plan = planning._plan

    def fail_for_bad(schedule: Any, *rest: Any) -> Any:
        if schedule["id"] == bad:
            raise ValueError("\0 and \ud800, over and over again. " * 10_000)
        return plan(schedule, *rest)

    monkeypatch.setattr(planning, "_plan", fail_for_bad)
    await fire_due(engine.runtime, as_of=NOON)
    assert await instants(engine, good) == [NOON]
    row = await schedule_row(engine, bad)
    assert row["state"] == "QUARANTINED"
    assert len(row["last_error"]["message"]) <= 2_000


async def test_rows_that_postgresql_refuses_set_aside_their_schedule_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [await engine.schedule() for _ in range(3)]
    bad = await engine.schedule()
    row_of = planning._run_row

    def refused_for_bad(schedule: Any, record: Any) -> Any:
        row = row_of(schedule, record)
        return row._replace(message="\0") if schedule["id"] == bad else row

    monkeypatch.setattr(planning, "_run_row", refused_for_bad)
    await fire_due(engine.runtime, as_of=NOON)
    for schedule_id in good:
        assert await instants(engine, schedule_id) == [NOON]
    assert await instants(engine, bad) == []
    assert (await schedule_row(engine, bad))["state"] == "QUARANTINED"


async def test_an_occurrence_that_has_its_row_is_left_alone(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    run_id = await engine.run(job_id, schedule_id, due_at=NOON)
    fired = await fire_due(engine.runtime, as_of=NOON)
    assert (fired.runs, fired.queued) == (0, ())
    row = await engine.row("SELECT id FROM run")
    assert row["id"] == run_id
    assert await engine.changes() == [("SCHEDULE", "FIRED", 1)]


async def test_a_month_without_workers_is_accounted_for_in_one_tick(engine: Engine) -> None:
    month = timedelta(days=30)
    schedule_id = await engine.schedule(
        timings=[CronTiming("* * * * * *")],
        cursor_at=NOON - month,
        next_run_at=NOON - month + SECOND,
        catch_up=CatchUpPolicy.ALL,
    )
    await fire_due(engine.runtime, as_of=NOON)
    states = await engine.states(schedule_id)
    # Two ranges, a hundred caught up, ten that are just late, the present one and two prepared.
    assert states == ["MISSED", "MISSED", *["QUEUED"] * 113]
    timetable = Timetable.of([CronTiming("* * * * * *")], timezone="UTC")
    assert timetable.matches(NOON)
