"""What the sweep puts right, against a real PostgreSQL."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.core.starting import MOST_CRASHES
from app.core.vocabulary import OnWorkerLost, OverlapPolicy, RunState
from app.handlers.execution import Outcome
from app.services.claiming import ClaimedRun
from app.services.sweeping import sweep
from app.store.queue import renew_leases
from tests.engine import FAILED, NOON, SECOND, Engine, ended, open_engine, until_crashes_end


async def lose(engine: Engine) -> None:
    """Let every lease expire, on a PostgreSQL that has been up for long."""
    await engine.rows(
        "UPDATE run SET lease_expires_at = now() - interval '1 second' WHERE state = 'RUNNING'"
    )


@pytest.fixture(autouse=True)
async def old_postgres(engine: Engine) -> None:
    """Not within a lease of PostgreSQL's start: leases of nothing pass at once."""
    object.__setattr__(engine.runtime.intervals, "lease_seconds", 0.001)


async def started(engine: Engine, **columns: Any) -> ClaimedRun:
    """Return a claimed run of a schedule; `columns` are its job's."""
    job_id = await engine.job(**columns)
    schedule_id = await engine.schedule(job_id)
    await engine.run(job_id, schedule_id)
    [run] = (await engine.claim()).runs
    return run


async def test_a_run_whose_lease_has_expired_is_queued_again(engine: Engine) -> None:
    run = await started(engine)
    assert run.schedule_id is not None
    await lose(engine)
    swept = await sweep(engine.runtime)
    assert swept.lost == 1
    assert swept.seconds_to_next is not None
    assert swept.seconds_to_next <= 0
    assert await engine.state_of(run.id) == ("QUEUED", "WORKER_LOST")
    attempt = await engine.row("SELECT number, state, worker FROM attempt")
    assert tuple(attempt.values()) == (1, "LOST", "host:1")
    assert await engine.counters(run.schedule_id) == {}
    assert ("RUN", "LOST", 1) in await engine.changes()
    assert await engine.runtime.redis.zcard("tickwheel:doorbell") > 0
    [again] = (await engine.claim()).runs
    assert (again.id, again.attempt, again.free_attempts) == (run.id, 2, 1)
    assert again.fencing_token > run.fencing_token


async def test_a_run_that_may_only_begin_once_is_lost(engine: Engine) -> None:
    run = await started(engine, on_worker_lost=OnWorkerLost.FAIL)
    assert run.schedule_id is not None
    await lose(engine)
    await sweep(engine.runtime)
    assert await engine.state_of(run.id) == ("LOST", "WORKER_LOST")
    assert await engine.counters(run.schedule_id) == {"runs": 1, "failures": 1, "in_a_row": 1}


@pytest.mark.parametrize("retry", [{"retryOn": ["ERROR", "TIMEOUT"]}, {"maxAgeSeconds": 60}])
async def test_a_lost_run_is_not_tried_again_where_the_policy_leaves_that_out(
    engine: Engine, retry: dict[str, Any]
) -> None:
    """Made to fail by a sweep that does not look at the job's policy."""
    run = await started(engine, retry=retry)
    await lose(engine)
    await sweep(engine.runtime)
    assert await engine.state_of(run.id) == ("LOST", "WORKER_LOST")


async def test_a_lost_run_can_be_the_failure_that_pauses_its_schedule(engine: Engine) -> None:
    await started(engine, on_worker_lost=OnWorkerLost.FAIL)
    await engine.rows("UPDATE schedule SET pause_after_failures = 1")
    await lose(engine)
    await sweep(engine.runtime)
    assert (await engine.row("SELECT state FROM schedule"))["state"] == "PAUSED"


async def test_a_run_that_has_lost_three_workers_is_not_tried_again(engine: Engine) -> None:
    run = await started(engine)
    for crash in range(1, MOST_CRASHES + 1):
        await lose(engine)
        await sweep(engine.runtime)
        if crash < MOST_CRASHES:
            [run] = (await engine.claim()).runs
    assert await engine.state_of(run.id) == ("LOST", "QUARANTINED")
    attempts = await engine.rows("SELECT number, state FROM attempt ORDER BY number")
    assert [tuple(row.values()) for row in attempts] == [(n, "LOST") for n in (1, 2, 3)]


async def test_a_lost_run_somebody_had_cancelled_is_cancelled(engine: Engine) -> None:
    run = await started(engine)
    await engine.rows("UPDATE run SET cancel_requested_at = now()")
    await lose(engine)
    await sweep(engine.runtime)
    assert await engine.state_of(run.id) == ("CANCELLED", "CANCEL_REQUESTED")


async def test_the_late_end_of_a_lost_run_changes_nothing(engine: Engine) -> None:
    run = await started(engine)
    await lose(engine)
    await sweep(engine.runtime)
    assert await engine.finish(ended(run, FAILED)) == 0
    assert await engine.state_of(run.id) == ("QUEUED", "WORKER_LOST")


async def test_giving_a_run_back_is_no_crash_however_often(engine: Engine) -> None:
    """Three deploys and one crash do not quarantine a run, nor use up its attempts.

    Made to fail by counting what is given back among the crashes.
    """
    job_id = await engine.job(retry={"maxAttempts": 2, "initialDelaySeconds": 0})
    run_id = await engine.run(job_id, max_attempts=2)
    for _ in range(4):
        [run] = (await engine.claim()).runs
        await engine.finish(ended(run, Outcome(RunState.CANCELLED), given_back=True))
    await engine.claim()
    await lose(engine)
    assert (await sweep(engine.runtime)).lost == 1
    row = await engine.row("SELECT state, attempt, crash_count, given_back_count FROM run")
    assert tuple(row.values()) == ("QUEUED", 5, 1, 4)
    for state in ("QUEUED", "FAILED"):
        [run] = (await engine.claim()).runs
        await engine.finish(ended(run, FAILED))
        assert (await engine.state_of(run_id))[0] == state


async def test_racing_sweepers_take_a_run_back_once(database_url: str, redis_url: str) -> None:
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        for at in (engine, other):
            object.__setattr__(at.runtime.intervals, "lease_seconds", 0.001)
        for _ in range(20):
            await started(engine)
        await lose(engine)
        swept = await asyncio.gather(*(sweep(at.runtime) for at in (engine, other, engine, other)))
        assert sum(one.lost for one in swept) == 20
        assert len(await engine.rows("SELECT 1 FROM attempt")) == 20


async def test_a_crash_in_a_sweep_loses_nothing_twice(engine: Engine) -> None:
    run = await started(engine)
    await lose(engine)
    await until_crashes_end(engine, lambda: sweep(engine.runtime))
    assert len(await engine.rows("SELECT 1 FROM attempt")) == 1
    assert (await engine.row("SELECT crash_count FROM run"))["crash_count"] == 1
    assert (await engine.state_of(run.id))[0] == "QUEUED"


async def test_nothing_is_taken_back_within_a_lease_of_postgresqls_start(engine: Engine) -> None:
    """While it was away nobody could renew."""
    await started(engine)
    await lose(engine)
    object.__setattr__(engine.runtime.intervals, "lease_seconds", 1e6)
    assert (await sweep(engine.runtime)).lost == 0


async def test_nothing_is_taken_back_by_a_sweeper_that_has_slept(engine: Engine) -> None:
    """The whole machine may have slept: the others must have the time to renew."""
    await started(engine)
    await lose(engine)
    object.__setattr__(engine.runtime.intervals, "lease_seconds", 0.2)
    slept = await sweep(engine.runtime, swept_at=await engine.now() - SECOND)
    assert slept.lost == 0
    awake = await sweep(engine.runtime, swept_at=slept.at)
    assert awake.lost == 1


async def renewed(engine: Engine, *runs: ClaimedRun, worker_id: UUID) -> dict[UUID, bool]:
    """Renew leases as a heartbeat does."""
    held = {run.id: run.fencing_token for run in runs}
    async with engine.runtime.database.transaction() as transaction:
        return await renew_leases(transaction, held, worker_id=worker_id, lease_seconds=15)


async def leases(engine: Engine) -> list[datetime | None]:
    """Return when the leases expire, in the order of the runs."""
    rows = await engine.rows("SELECT lease_expires_at FROM run ORDER BY id")
    return [row["lease_expires_at"] for row in rows]


async def test_a_lease_that_expired_but_was_not_taken_is_renewed(engine: Engine) -> None:
    await engine.run(await engine.job())
    worker_id = await engine.worker()
    [run] = (await engine.claim(worker_id)).runs
    await lose(engine)
    assert await renewed(engine, run, worker_id=worker_id) == {run.id: False}
    assert (await sweep(engine.runtime)).lost == 0


async def test_a_heartbeat_names_only_what_is_still_its_workers(engine: Engine) -> None:
    job_id, worker_id = await engine.job(), await engine.worker()
    for n in range(3):
        await engine.run(job_id, due_at=NOON + n * SECOND)
    mine, taken, cancelled = (await engine.claim(worker_id)).runs
    await engine.rows(
        "UPDATE run SET fencing_token = fencing_token + 1 WHERE id = :id", id=taken.id
    )
    await engine.rows("UPDATE run SET cancel_requested_at = now() WHERE id = :id", id=cancelled.id)
    assert await renewed(engine, mine, taken, cancelled, worker_id=worker_id) == {
        mine.id: False,
        cancelled.id: True,
    }


async def test_a_heartbeat_waits_for_nobody(engine: Engine) -> None:
    """The finisher locks the same rows in another order: waiting would be a deadlock."""
    job_id, worker_id = await engine.job(), await engine.worker()
    for n in range(2):
        await engine.run(job_id, due_at=NOON + n * SECOND)
    first, second = (await engine.claim(worker_id)).runs
    before = await leases(engine)
    async with engine.runtime.database.transaction() as transaction:
        await transaction.execute(
            text("SELECT 1 FROM run WHERE id = :id FOR UPDATE"), {"id": first.id}
        )
        async with asyncio.timeout(10):
            own = await renewed(engine, first, second, worker_id=worker_id)
    assert own == {first.id: False, second.id: False}
    after = await leases(engine)
    assert after[0] == before[0]
    assert after[1] != before[1]


async def test_a_waiting_run_nobody_woke_is_found_when_its_schedule_is_idle(
    engine: Engine,
) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    waiting = [
        await engine.run(
            job_id,
            schedule_id,
            due_at=NOON + n * SECOND,
            overlap=OverlapPolicy.QUEUE_ALL,
            blocked_at=NOON,
        )
        for n in range(3)
    ]
    assert (await sweep(engine.runtime)).unblocked == 1
    [run] = (await engine.claim()).runs
    assert run.id == waiting[0]
    assert (await sweep(engine.runtime)).unblocked == 0


async def test_waiting_runs_start_when_the_limit_of_their_job_is_raised(engine: Engine) -> None:
    object.__setattr__(engine.runtime.intervals, "lease_seconds", 15.0)
    job_id = await engine.job(concurrency_limit=1)
    for n in range(3):
        await engine.run(job_id, due_at=NOON + n * SECOND)
    assert len((await engine.claim()).runs) == 1
    await engine.claim()
    assert (await sweep(engine.runtime)).unblocked == 0
    await engine.rows("UPDATE job SET concurrency_limit = 2")
    assert (await sweep(engine.runtime)).unblocked == 2
    assert len((await engine.claim()).runs) == 1


async def test_a_silent_worker_is_marked_lost(engine: Engine) -> None:
    worker_id = await engine.worker()
    await engine.rows("UPDATE worker SET heartbeat_at = now() - interval '1 hour'")
    await sweep(engine.runtime)
    row = await engine.row("SELECT state FROM worker WHERE id = :id", id=worker_id)
    assert row["state"] == "LOST"
