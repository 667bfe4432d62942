"""Workers that are killed, stopped, blocked, poisoned, drained and rung too often.

What is asserted is what a user is promised: one record an instant, one live attempt a run, and that
all goes on without a restart.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest

from app.core.vocabulary import OverlapPolicy
from app.services.firing import fire_due
from tests.engine import open_engine
from tests.faults.cluster import LEASE_SECONDS, Cluster, cluster_on, eventually
from tests.faults.nursery import Nursery
from tests.faults.rows import row

# Bounds for a machine that is busy with other things; the faults themselves take seconds.
pytestmark = pytest.mark.timeout(600)

KILL_EVERY_SECONDS = 5.0
AS_SHIPPED = {"lease_seconds": 15, "heartbeat_seconds": 5, "sweep_seconds": 5}


async def test_two_workers_and_three_tickers_leave_no_duplicate_and_no_hole(
    nursery: Nursery, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Two workers tick, and so does this process, as fast as it can, on connections of its own."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as third,
        cluster_on(engine, nursery, database_url, redis_url, tmp_path) as cluster,
    ):
        for _ in range(20):
            await cluster.every_second()
        await cluster.start(2)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await fire_due(third.runtime)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await cluster.succeed(20 * 4)
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        assert ticks > 1
        evidence = await cluster.check_end()
        assert len({line.pid for line in evidence.lines}) == 2


@asynccontextmanager
async def supervised(cluster: Cluster, count: int, **settings: object) -> AsyncIterator[None]:
    """Keep so many workers running, as a supervisor would."""

    async def supervise() -> None:
        while True:
            for _ in range(count - len(cluster.running)):
                cluster.launch(**settings)
            ends = [asyncio.wrap_future(worker.end) for worker in cluster.running]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    await cluster.start(count, **settings)
    supervising = asyncio.create_task(supervise())
    try:
        yield
    finally:
        supervising.cancel()
        with suppress(asyncio.CancelledError):
            await supervising


@row("worker killed every 5 s under a supervisor", "I1 I3 I4 I7")
async def test_workers_killed_again_and_again_lose_nothing(cluster: Cluster, long: bool) -> None:
    """Short and long runs, one at a time and side by side; every few seconds a worker is killed."""
    await cluster.every_second()
    limited = await cluster.job("witnessed", seconds=1.5, columns={"concurrency_limit": 2})
    await cluster.every_second(job_id=limited)
    alone = await cluster.job("witnessed", seconds=2.5)
    await cluster.every_second(job_id=alone, overlap=OverlapPolicy.SKIP)
    async with supervised(cluster, 2, **(AS_SHIPPED if long else {})):
        for number in range(24 if long else 3):
            if long:
                await asyncio.sleep(KILL_EVERY_SECONDS)  # The beat of the fault itself.
            await cluster.succeed(2)
            await cluster.kill(cluster.running[number % len(cluster.running)])
        evidence = await cluster.check_end()
    assert any(record.crash_count for record in evidence.records.values())


async def test_a_run_whose_worker_was_killed_is_taken_up_again(cluster: Cluster) -> None:
    await cluster.start(2)
    run_id = await cluster.run_now(await cluster.job("witnessed", seconds=3))
    began = await cluster.witnessed(run_id, "start")
    await cluster.kill(cluster.worker_of(began))
    row = await cluster.state(run_id, "SUCCEEDED")
    again = await cluster.witnessed(run_id, "start", attempt=2)
    assert again.pid != began.pid
    assert (row["attempt"], row["crash_count"]) == (2, 1)
    attempts = await cluster.engine.rows("SELECT number, state FROM attempt ORDER BY number")
    assert [tuple(row.values()) for row in attempts] == [(1, "LOST"), (2, "SUCCEEDED")]
    await cluster.check()


@row("ticker killed; three racing", "I1")
async def test_three_tickers_race_and_one_that_is_killed_is_not_missed(
    cluster: Cluster, long: bool
) -> None:
    for _ in range(50):
        await cluster.every_second()
    async with supervised(cluster, 3):
        for number in range(15 if long else 2):
            await cluster.succeed(50 * 2)
            await cluster.kill(cluster.running[number % 3])
        await cluster.succeed(50 * 2)
        await cluster.check_end()


@row("stopped for two leases, then continued", "I3 I11")
async def test_a_worker_that_was_stopped_for_two_leases_changes_nothing_afterwards(
    cluster: Cluster, long: bool
) -> None:
    await cluster.start(2)
    job_id = await cluster.job("witnessed", seconds=1.5)
    for _ in range(6 if long else 1):
        await be_a_zombie(cluster, await cluster.run_now(job_id))
    await cluster.check_end()


async def be_a_zombie(cluster: Cluster, run_id: UUID) -> None:
    """Stop the worker of a run until another has ended it, then let it go on."""
    began = await cluster.witnessed(run_id, "start")
    stopped = cluster.worker_of(began)
    stopped.send(signal.SIGSTOP)
    again = await cluster.witnessed(run_id, "start", attempt=2)
    assert again.at - began.at > LEASE_SECONDS
    before = await cluster.state(run_id, "SUCCEEDED")
    told_before = stopped.log.read_text()
    stopped.send(signal.SIGCONT)
    await cluster.until(
        "SELECT 1 FROM worker WHERE pid = :pid AND heartbeat_at > :then",
        pid=stopped.pid,
        then=await cluster.engine.now(),
    )

    async def fenced() -> bool:
        told = stopped.log.read_text().removeprefix(told_before)
        return "run.fenced" in told or "run.lease_lost" in told

    await eventually(fenced)
    assert await cluster.state(run_id, "SUCCEEDED") == before
    assert before["attempt"] == 2


async def test_a_function_that_blocks_its_worker_does_not_lose_its_lease(
    cluster: Cluster,
) -> None:
    await cluster.start(2)
    job_id = await cluster.job("blocking", seconds=2.5 * LEASE_SECONDS)
    run_id = await cluster.run_now(job_id)
    row = await cluster.state(run_id, "SUCCEEDED")
    assert (row["attempt"], row["crash_count"]) == (1, 0)
    await cluster.check()


async def test_sigterm_lets_running_work_finish_and_starts_nothing_new(cluster: Cluster) -> None:
    worker = await cluster.start()
    running = await cluster.run_now(await cluster.job("witnessed", seconds=2))
    await cluster.witnessed(running, "start")
    worker.send(signal.SIGTERM)
    await cluster.until("SELECT 1 FROM worker WHERE state = 'DRAINING'")
    left = await cluster.run_now(await cluster.job("witnessed"))
    assert await worker.ended() == 0
    assert (await cluster.engine.state_of(running))[0] == "SUCCEEDED"
    assert (await cluster.engine.state_of(left))[0] == "QUEUED"
    assert (await cluster.engine.row("SELECT state FROM worker"))["state"] == "STOPPED"
    await cluster.check()


@row("rolling upgrade", "I1 I3 I4")
async def test_workers_are_replaced_one_by_one_and_no_run_fails(
    cluster: Cluster, long: bool
) -> None:
    """Old and new together: each new one is up before the old one is told to drain."""
    await cluster.every_second()
    await cluster.every_second(job_id=await cluster.job("witnessed", seconds=1.5))
    await cluster.start(2)
    for _ in range(10 if long else 2):
        await cluster.succeed(2)
        old, *_ = cluster.running
        await cluster.start()
        old.send(signal.SIGTERM)
        assert await old.ended() == 0
    evidence = await cluster.check_end()
    # On a machine that has no time, an instant may be late enough to be coalesced with the next.
    assert {record.state for record in evidence.records.values()} <= {"SUCCEEDED", "MISSED"}
    assert {record.attempt for record in evidence.records.values() if record.attempt} == {1}


@row("poison run", "I7")
async def test_a_run_that_kills_every_worker_is_set_aside_and_the_others_go_on(
    cluster: Cluster, long: bool
) -> None:
    """Also those that it takes down with it, because one claim gave them to the same worker.

    Made to fail by letting a worker have several suspects.
    """
    job_id, innocent = await cluster.job("poison"), await cluster.job("witnessed", seconds=1)
    # One worker, so that all are claimed together, again and again.
    async with supervised(cluster, 1):
        for _ in range(3 if long else 1):
            [running] = cluster.running
            running.send(signal.SIGSTOP)
            others = [await cluster.run_now(innocent) for _ in range(2)]
            poison = await cluster.run_now(job_id)
            running.send(signal.SIGCONT)
            row = await cluster.state(poison, "LOST")
            assert (row["reason"], row["attempt"], row["crash_count"]) == ("QUARANTINED", 3, 3)
            assert len({line.pid for line in cluster.lines() if line.run_id == poison}) == 3
            await cluster.all_over()
            for run_id in others:
                assert await cluster.engine.state_of(run_id) == ("SUCCEEDED", None)


@row("duplicate delivery", "I3 I7")
async def test_rings_that_come_many_times_start_a_run_once(cluster: Cluster, long: bool) -> None:
    await cluster.start(2)
    job_id = await cluster.job("witnessed", seconds=0.2)
    for _ in range(10 if long else 1):
        runs = []
        for _ in range(5):
            runs.append(await cluster.run_now(job_id))
            await asyncio.gather(*(cluster.engine.runtime.doorbell.ring() for _ in range(20)))
        for run_id in runs:
            assert (await cluster.state(run_id, "SUCCEEDED"))["attempt"] == 1
    await cluster.check_end()


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_worker_ends_at_once(cluster: Cluster, signal_: signal.Signals) -> None:
    worker = await cluster.start()
    worker.send(signal_)
    assert await worker.ended() == 0
