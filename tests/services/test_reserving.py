"""Reserved runs: started at their instant if nothing has changed, and otherwise left alone.

Breaks that were tried, and which test failed: the start without the row lock and without its hold
on QUEUED (the race); without comparing versions and revisions, the state of the instance, the
worker or the queue (the cases of `CHANGES` that are about them); without looking for busy runs (the
overlap); without looking who stands ahead (the order); `next_attempt_at <= now()` left out (nothing
early).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from app.core.vocabulary import (
    OverlapPolicy,
    Role,
    RunState,
    SchedulerAction,
    WorkerState,
)
from app.services.access import Principal
from app.services.cancelling import cancel_run
from app.services.claiming import Claim
from app.services.controlling import ControlRequest, control_scheduler
from app.services.pausing import SYSTEM
from app.services.queues import QueueRequest, control_queue
from app.services.reserving import ReservedRun, reserve_runs, start_reserved
from app.services.schedules import archive_schedule, pause_schedule
from app.services.workers import mark_worker
from tests.engine import MINUTE, SECOND, Engine, ended, open_engine, until_crashes_end


async def prepared(engine: Engine, *, ahead: int = 1, **columns: Any) -> tuple[UUID, UUID]:
    """Insert a schedule and a run of it that is due in some minutes; return both ids."""
    due_at = await engine.now() + ahead * MINUTE
    job_id = await engine.job(**columns.pop("job", {}))
    schedule_id = await engine.schedule(
        job_id, cursor_at=due_at, next_run_at=due_at + MINUTE, **columns.pop("schedule", {})
    )
    columns = {"overlap": OverlapPolicy.SKIP, **columns}
    return schedule_id, await engine.run(job_id, schedule_id, due_at=due_at, **columns)


async def reserve(engine: Engine, *run_ids: UUID) -> list[ReservedRun]:
    """Reserve runs, in the order given."""
    found = {run.id: run for run in await reserve_runs(engine.runtime, run_ids)}
    return [found[run_id] for run_id in run_ids if run_id in found]


async def come_due(engine: Engine) -> None:
    """Let the instants of all queued runs come, in their order."""
    await engine.rows(
        "UPDATE run SET next_attempt_at = now() - (SELECT max(due_at) FROM run) + due_at"
        " WHERE state = 'QUEUED'"
    )


async def start(
    engine: Engine,
    reserved: list[ReservedRun],
    worker_id: UUID | None = None,
    *,
    limit: int = 200,
) -> Claim:
    """Start reserved runs for a worker, a new one unless given."""
    worker_id = worker_id or await engine.worker()
    return await start_reserved(engine.runtime, worker_id, reserved, limit=limit)


def admin(engine: Engine) -> Principal:
    """Return somebody who may do everything."""
    return Principal(SYSTEM, Role.ADMIN, engine.project_id, governs=True)


async def test_a_reserved_run_gets_what_a_claimed_one_gets(engine: Engine) -> None:
    schedule_id, run_id = await prepared(engine, job={"timeout_seconds": 7.0}, parameters={"a": 1})
    await engine.rows("UPDATE schedule_counters SET last_success_for = '2025-01-01T00:00:00Z'")
    reserved = await reserve(engine, run_id)
    await come_due(engine)
    worker_id = await engine.worker()
    [run] = (await start(engine, reserved, worker_id)).runs
    assert (run.id, run.schedule_id, run.attempt) == (run_id, schedule_id, 1)
    assert (run.execution.parameters, run.execution.timeout_seconds) == ({"a": 1}, 7.0)
    row = await engine.row("SELECT *, lease_expires_at - now() AS lease FROM run")
    assert (row["state"], row["worker_id"], row["fencing_token"], row["attempt"]) == (
        "RUNNING",
        worker_id,
        run.fencing_token,
        1,
    )
    assert row["started_at"] == row["first_started_at"] == run.started_at
    assert run.execution.previous_success_at == row["previous_success_for"] is not None
    assert 10 < row["lease"].total_seconds() <= 15
    assert await engine.changes() == [("RUN", "STARTED", 1)]
    assert await engine.finish(ended(run)) == 1
    assert await engine.state_of(run_id) == ("SUCCEEDED", None)


async def test_nothing_starts_early_whatever_a_worker_believes(engine: Engine) -> None:
    """Its clock may be an hour ahead: PostgreSQL's decides."""
    _, run_id = await prepared(engine)
    reserved = await reserve(engine, run_id)
    assert (await start(engine, reserved)).runs == ()
    assert await engine.state_of(run_id) == ("QUEUED", None)
    await come_due(engine)
    assert len((await start(engine, reserved)).runs) == 1


async def pause(engine: Engine, schedule_id: UUID, _: UUID, __: UUID) -> None:
    await pause_schedule(engine.runtime, admin(engine), schedule_id, reason="test")


async def archive(engine: Engine, schedule_id: UUID, _: UUID, __: UUID) -> None:
    await archive_schedule(engine.runtime, admin(engine), schedule_id, reason="test")


async def edit(engine: Engine, schedule_id: UUID, _: UUID, __: UUID) -> None:
    await engine.rows("UPDATE schedule SET version = version + 1 WHERE id = :id", id=schedule_id)


async def edit_job(engine: Engine, _: UUID, __: UUID, ___: UUID) -> None:
    await engine.rows("UPDATE job SET revision = revision + 1")


async def edit_project(engine: Engine, _: UUID, __: UUID, ___: UUID) -> None:
    await engine.rows("UPDATE project SET version = version + 1")


async def cancel(engine: Engine, _: UUID, run_id: UUID, __: UUID) -> None:
    await cancel_run(engine.runtime, admin(engine), run_id)


async def stop(engine: Engine, *_: UUID) -> None:
    request = ControlRequest(SchedulerAction.STOP, "test")
    await control_scheduler(engine.runtime, admin(engine), request)


async def stop_when_due(engine: Engine, *ids: UUID) -> None:
    """Then it is not prepared any more, and stays in the queue."""
    await engine.rows("UPDATE run SET next_attempt_at = now(), scheduled_for = now()")
    await stop(engine, *ids)


async def pause_queue(engine: Engine, _: UUID, __: UUID, ___: UUID) -> None:
    await control_queue(
        engine.runtime, admin(engine), QueueRequest("default", paused=True, reason="test")
    )


async def drain(engine: Engine, _: UUID, __: UUID, worker_id: UUID) -> None:
    await mark_worker(engine.runtime, worker_id, WorkerState.DRAINING)


async def begin_elsewhere(engine: Engine, _: UUID, run_id: UUID, __: UUID) -> None:
    await come_due(engine)
    [run] = (await engine.claim()).runs
    assert run.id == run_id


Act = Callable[[Engine, UUID, UUID, UUID], Awaitable[None]]
CHANGES: list[Act] = [
    pause,
    archive,
    edit,
    edit_job,
    edit_project,
    cancel,
    stop,
    stop_when_due,
    pause_queue,
    drain,
    begin_elsewhere,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_comes_between_wins(engine: Engine, change: Act) -> None:
    schedule_id, run_id = await prepared(engine)
    worker_id = await engine.worker()
    reserved = await reserve(engine, run_id)
    await change(engine, schedule_id, run_id, worker_id)
    await come_due(engine)
    before = await engine.rows("SELECT * FROM run")
    claim = await start(engine, reserved, worker_id)
    assert (claim.runs, claim.settled, claim.exhausted) == ((), 0, False)
    assert await engine.rows("SELECT * FROM run") == before


async def test_a_busy_schedule_is_left_to_the_judgement_of_the_claim(engine: Engine) -> None:
    schedule_id, run_id = await prepared(engine)
    row = await engine.row("SELECT job_id FROM run")
    earlier = await engine.run(row["job_id"], schedule_id, overlap=OverlapPolicy.SKIP)
    [running] = (await engine.claim()).runs
    assert running.id == earlier
    reserved = await reserve(engine, run_id)
    await come_due(engine)
    assert (await start(engine, reserved)).runs == ()
    assert (await engine.claim()).runs == ()
    assert await engine.state_of(run_id) == ("SKIPPED", "OVERLAP")


async def test_overlapping_runs_start_together_where_that_is_allowed(engine: Engine) -> None:
    schedule_id, first = await prepared(engine, overlap=OverlapPolicy.ALLOW)
    row = await engine.row("SELECT job_id, due_at FROM run")
    second = await engine.run(
        row["job_id"], schedule_id, due_at=row["due_at"] + SECOND, overlap=OverlapPolicy.ALLOW
    )
    reserved = await reserve(engine, first, second)
    await come_due(engine)
    assert [run.id for run in (await start(engine, reserved)).runs] == [first, second]


@pytest.mark.parametrize(
    ("other", "starts"),
    [
        ({"priority": 1}, False),
        ({"ahead": 1}, False),
        ({"priority": -1}, True),
        ({"ahead": 3}, True),
    ],
)
async def test_reserved_runs_do_not_overtake_what_stands_ahead_of_them(
    engine: Engine, other: dict[str, int], starts: bool
) -> None:
    """Else a herd would hold up what is urgent, or has waited longer."""
    _, run_id = await prepared(engine, ahead=2)
    await prepared(engine, **{"ahead": 2, **other})
    reserved = await reserve(engine, run_id)
    await come_due(engine)
    assert len((await start(engine, reserved, limit=1)).runs) == starts


async def test_with_slots_to_spare_nobody_is_held_up(engine: Engine) -> None:
    _, run_id = await prepared(engine, ahead=2)
    _, urgent = await prepared(engine, ahead=2, priority=1)
    reserved = await reserve(engine, run_id)
    await come_due(engine)
    assert len((await start(engine, reserved, limit=2)).runs) == 1
    assert [run.id for run in (await engine.claim(limit=1)).runs] == [urgent]


@pytest.mark.parametrize(
    "columns",
    [
        {"job": {"concurrency_limit": 5}},
        {"schedule": {"max_runs": 5}},
        {"schedule": {"spacing_seconds": 5.0}},
        {"attempt": 1, "max_attempts": 2},
        {"parameters": {"token": {"secret": "token"}}},
    ],
)
async def test_only_what_nothing_but_the_clock_holds_back_is_reserved(
    engine: Engine, columns: dict[str, Any]
) -> None:
    _, run_id = await prepared(engine, **columns)
    assert await reserve(engine, run_id) == []


async def test_runs_of_a_controlled_queue_and_those_that_are_due_are_not_reserved(
    engine: Engine,
) -> None:
    _, run_id = await prepared(engine)
    await control_queue(engine.runtime, admin(engine), QueueRequest("default", limit=5))
    assert await reserve(engine, run_id) == []
    await engine.rows("UPDATE queue SET concurrency_limit = NULL")
    assert len(await reserve(engine, run_id)) == 1
    await come_due(engine)
    assert await reserve(engine, run_id) == []


async def test_two_workers_that_reserved_the_same_runs_never_share_one(
    database_url: str, redis_url: str
) -> None:
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        runs = [(await prepared(engine, overlap=OverlapPolicy.ALLOW))[1] for _ in range(20)]
        reserved = await reserve(engine, *runs)
        assert len(reserved) == 20
        await engine.rows("UPDATE run SET next_attempt_at = now()")

        async def work(at: Engine) -> list[UUID]:
            worker_id, mine = await at.worker(), list[UUID]()
            for position in range(0, 20, 2):
                some = reserved[position : position + 2]
                mine += [run.id for run in (await start(at, some, worker_id)).runs]
            return mine

        started = await asyncio.gather(*(work(at) for at in (engine, other, engine, other)))
    mine = [run_id for ids in started for run_id in ids]
    assert sorted(mine) == sorted(runs)


async def test_a_crash_in_a_start_leaves_its_runs_in_the_queue(engine: Engine) -> None:
    _, run_id = await prepared(engine)
    reserved = await reserve(engine, run_id)
    await come_due(engine)
    worker_id = await engine.worker()

    async def act() -> list[UUID]:
        assert await engine.state_of(run_id) == (RunState.QUEUED, None)
        return [run.id for run in (await start(engine, reserved, worker_id)).runs]

    assert await until_crashes_end(engine, act) == [run_id]
