"""Statistics count exactly, within their window, and refuse what would be unbounded."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.errors import Invalid, LimitExceeded, TickwheelError
from app.core.vocabulary import RunState, ScheduleState
from app.models.columns import lowest_id, new_id
from app.services.statistics import (
    RunStatistics,
    WindowRequest,
    read_lateness_of,
    read_run_statistics,
    read_schedule_counts,
    read_series,
)
from app.store.filters import TimingKind
from app.store.statistics import Of
from tests.engine import HOUR, MINUTE, SECOND, Engine

DAY = 24 * HOUR
OK, FAILED, SKIPPED, MISSED = (
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.SKIPPED,
    RunState.MISSED,
)


async def recorded(
    engine: Engine,
    schedule_id: UUID,
    at: datetime,
    state: RunState,
    *,
    took: float = 1.0,
    late: float = 0.1,
    **more: Any,
) -> None:
    """Insert a run as it would have been made at that instant."""
    started = at + late * SECOND if state not in (SKIPPED, MISSED) else None
    run_id = UUID(int=lowest_id(at).int | new_id().int & (1 << 80) - 1)
    schedule = await engine.row("SELECT job_id FROM schedule WHERE id = :id", id=schedule_id)
    await engine.rows(
        "INSERT INTO run (id, project_id, job_id, schedule_id, revision, state, cause, overlap,"
        " scheduled_for, due_at, created_at, next_attempt_at, started_at, first_started_at,"
        " finished_at, range_end, range_count, parameters, tags, queue, priority, attempt,"
        " max_attempts, crash_count)"
        " VALUES (:id, :project_id, :job_id, :schedule_id, 1, :state, 'MANUAL', 'ALLOW', :at, :at,"
        " :at, :at, :started, :started, :finished, :range_end, :range_count, '{}', '{}',"
        " 'default', 0, 1, 1, 0)",
        id=run_id,
        project_id=engine.project_id,
        job_id=schedule["job_id"],
        schedule_id=schedule_id,
        state=state.value,
        at=at,
        started=started,
        finished=(started or at) + (took * SECOND if started else timedelta(0)),
        **{"range_end": None, "range_count": None, **more},
    )


async def statistics(
    engine: Engine, of: Of, id_: UUID, request: WindowRequest | None = None
) -> RunStatistics:
    async with engine.runtime.database.reading(engine.project_id) as connection:
        found = await read_run_statistics(connection, of, [id_], request or WindowRequest())
    return found[id_]


async def test_runs_are_counted_and_timed_for_a_schedule_its_job_and_the_project(
    engine: Engine,
) -> None:
    now = await engine.now()
    job_id = await engine.job()
    one, other = await engine.schedule(job_id), await engine.schedule(job_id)
    for number in range(1, 101):
        await recorded(engine, one, now - number * MINUTE, OK, took=number / 10, late=number / 1000)
    for number in range(1, 26):
        await recorded(engine, other, now - number * MINUTE, FAILED)
    mine = await statistics(engine, Of.SCHEDULE, one)
    assert (mine.total, mine.success_rate) == (100, 1.0)
    assert mine.duration_p50 == timedelta(seconds=5)
    assert mine.duration_p95 == timedelta(seconds=9.5)
    assert mine.duration_p99 == timedelta(seconds=9.9)
    assert mine.lateness is not None
    assert mine.lateness.p50 == timedelta(milliseconds=50)
    assert mine.lateness.p99 == timedelta(milliseconds=99)
    assert (mine.lateness.max, mine.lateness.count) == (timedelta(milliseconds=100), 100)
    for of, id_ in ((Of.JOB, job_id), (Of.PROJECT, engine.project_id)):
        both = await statistics(engine, of, id_)
        assert both.by_state == {OK: 100, FAILED: 25}
        assert both.success_rate == 0.8


async def test_range_counts_as_all_it_holds_and_says_nothing_about_success(engine: Engine) -> None:
    now, schedule_id = await engine.now(), await engine.schedule()
    await recorded(engine, schedule_id, now - HOUR, MISSED, range_end=now - MINUTE, range_count=37)
    await recorded(engine, schedule_id, now - MINUTE, SKIPPED)
    found = await statistics(engine, Of.SCHEDULE, schedule_id)
    assert found.by_state == {MISSED: 37, SKIPPED: 1}
    assert (found.total, found.success_rate, found.duration_p50) == (38, None, None)
    assert found.lateness is None


async def test_window_includes_its_beginning_and_not_its_end(engine: Engine) -> None:
    now, schedule_id = await engine.now(), await engine.schedule()
    start, end = now - 3 * DAY, now - 2 * DAY
    for at in (start - SECOND, start, end - SECOND, end, now - HOUR):
        await recorded(engine, schedule_id, at, OK)
    asked = WindowRequest(since=start, until=end)
    assert (await statistics(engine, Of.SCHEDULE, schedule_id, asked)).total == 2
    assert (await statistics(engine, Of.SCHEDULE, schedule_id)).total == 1
    week = WindowRequest(last=timedelta(days=7))
    assert (await statistics(engine, Of.PROJECT, engine.project_id, week)).total == 5


async def test_series_has_every_bucket_also_the_empty_ones(engine: Engine) -> None:
    now, schedule_id = await engine.now(), await engine.schedule()
    start = now - 2 * DAY
    await recorded(engine, schedule_id, start, OK, took=3)
    await recorded(engine, schedule_id, start + HOUR - SECOND, FAILED, took=4)
    await recorded(engine, schedule_id, start + 2 * HOUR, SKIPPED)
    asked = WindowRequest(since=start, until=start + 150 * MINUTE)
    found = await statistics(engine, Of.SCHEDULE, schedule_id, asked)
    async with engine.runtime.database.reading(engine.project_id) as connection:
        series = await read_series(connection, found, HOUR)
    assert [(each.at - start, each.total, each.succeeded, each.failed) for each in series] == [
        (0 * HOUR, 2, 1, 1),
        (1 * HOUR, 0, 0, 0),
        (2 * HOUR, 1, 0, 0),
    ]
    assert [each.duration_p95 for each in series] == [4.0, None, None]


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (WindowRequest(last=HOUR, until=datetime(2027, 1, 1, tzinfo=UTC)), ("window", "last")),
        (WindowRequest(last=timedelta(0)), ("window", "last")),
        (WindowRequest(last=timedelta(days=367)), ("window", "last")),
    ],
)
async def test_windows_that_mean_nothing_are_refused(
    engine: Engine, request_: WindowRequest, path: tuple[str, ...]
) -> None:
    with pytest.raises(TickwheelError) as refused:
        request_.check().at(await engine.now())
    assert refused.value.path == path


async def test_windows_and_buckets_are_bounded(engine: Engine) -> None:
    now = await engine.now()
    with pytest.raises(Invalid):
        WindowRequest(since=now, until=now).at(now)
    with pytest.raises(LimitExceeded):
        WindowRequest(since=now - timedelta(days=400)).at(now)
    found = await statistics(engine, Of.PROJECT, engine.project_id)
    async with engine.runtime.database.reading(engine.project_id) as connection:
        with pytest.raises(LimitExceeded, match="1,440 buckets"):
            await read_series(connection, found, MINUTE)
        with pytest.raises(Invalid):
            await read_series(connection, found, timedelta(0))


async def test_lateness_of_many_schedules_is_told_from_their_newest_runs(engine: Engine) -> None:
    now = await engine.now()
    late, never = await engine.schedule(), await engine.schedule()
    for number in range(1, 301):
        delay = 0.2 if number <= 200 else 50.0
        await recorded(engine, late, now - number * MINUTE, OK, late=delay)
    await recorded(engine, never, now - HOUR, SKIPPED)
    async with engine.runtime.database.reading(engine.project_id) as connection:
        found = await read_lateness_of(connection, [late, never])
    assert list(found) == [late]
    assert (found[late].count, found[late].max) == (200, timedelta(seconds=0.2))


async def test_schedules_are_counted_by_state_and_by_each_kind_they_have(engine: Engine) -> None:
    cron = {"cron": {"expression": "5 * * * *", "dayMatch": "ANY", "timeMode": "AUTO"}}
    daily = {"cron": {**cron["cron"], "expression": "0 0 * * *", "frequency": "DAILY"}}
    once = {"once": {"at": "2099-01-01T00:00:00+00:00"}}
    for timings, state in (
        ([cron], ScheduleState.ACTIVE),
        ([cron, cron], ScheduleState.ACTIVE),
        ([daily, once], ScheduleState.PAUSED),
        ([once], ScheduleState.ARCHIVED),
    ):
        schedule_id = await engine.schedule()
        await engine.rows(
            "UPDATE schedule SET timings = cast(:timings AS jsonb), state = given.state,"
            " next_run_at = CASE WHEN given.state = 'ACTIVE' THEN next_run_at END,"
            " archived_at = CASE WHEN given.state = 'ARCHIVED' THEN now() END"
            " FROM (SELECT cast(:state AS text) AS state) AS given WHERE id = :id",
            timings=json.dumps(timings),
            state=state.value,
            id=schedule_id,
        )
    async with engine.runtime.database.reading(engine.project_id) as connection:
        counts = await read_schedule_counts(connection, engine.project_id)
    assert counts.by_state == {ScheduleState.ACTIVE: 2, ScheduleState.PAUSED: 1}
    assert counts.by_kind == {TimingKind.CRON: 2, TimingKind.DAILY: 1, TimingKind.ONCE: 1}
    assert counts.total == 3
