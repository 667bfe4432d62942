"""Worker processes that are killed, stopped and starved, and servers that go away.

The short forms of the faults in the design: each takes seconds. What is asserted is what a user is
promised: one record an instant, one live attempt a run, and that all goes on without a restart.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.core.vocabulary import OnWorkerLost, OverlapPolicy
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.store.migrate import upgrade
from tests.engine import SECOND, Engine, every, open_engine
from tests.worker.cluster import LEASE_SECONDS, Cluster, cluster_on, eventually

# Bounds for a machine that is busy with other things; the faults themselves take seconds.
pytestmark = pytest.mark.timeout(300)


@pytest_asyncio.fixture
async def cluster(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Workers on the servers of this test process, which nobody kills."""
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, database_url, redis_url, tmp_path) as cluster,
    ):
        yield cluster


@pytest_asyncio.fixture
async def own_redis(services_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of this test's own, to kill."""
    server = EmbeddedRedis(services_directory / "redis-to-kill")
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def own_postgres(services_directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of this test's own, to kill; durable, as in production."""
    server = EmbeddedPostgres(services_directory / "postgres-to-kill", durable=True)
    await upgrade(await server.start())
    yield server
    await server.stop()


async def every_second(cluster: Cluster, **columns: object) -> None:
    """Insert a schedule of every second from now on, of a job that bears witness."""
    engine, now = cluster.engine, await cluster.engine.now()
    second = now.replace(microsecond=0)
    job_id = await cluster.job("witnessed")
    await engine.schedule(
        job_id,
        [every(1)],
        cursor_at=second,
        next_run_at=second + SECOND,
        **{"overlap": OverlapPolicy.ALLOW, **columns},
    )


async def succeed(cluster: Cluster, more: int) -> None:
    """Wait until so many more scheduled runs have succeeded that are due from now on."""
    now = await cluster.engine.now()
    await cluster.until(
        "SELECT count(*) FROM run WHERE state = 'SUCCEEDED' AND cause = 'SCHEDULE'"
        " AND scheduled_for > :now HAVING count(*) >= :more",
        now=now,
        more=more,
    )


async def no_hole(engine: Engine) -> None:
    """Check that the occurrences up to the cursor have one record each, without a gap."""
    row = await engine.row(
        "SELECT count(*) AS records, count(DISTINCT scheduled_for) AS instants,"
        " extract(epoch FROM max(scheduled_for) - min(scheduled_for))::int + 1 AS expected,"
        " max(scheduled_for) AS newest"
        " FROM run WHERE schedule_id IS NOT NULL AND range_end IS NULL"
    )
    ranges = await engine.row("SELECT coalesce(sum(range_count), 0) AS inside FROM run")
    assert row["records"] == row["instants"]
    assert row["instants"] + ranges["inside"] == row["expected"]
    cursor = await engine.row("SELECT cursor_at FROM schedule")
    assert cursor["cursor_at"] - row["newest"] < 11 * SECOND


async def test_three_workers_fire_each_instant_once_and_one_that_is_killed_is_not_missed(
    cluster: Cluster,
) -> None:
    await cluster.start(3)
    await every_second(cluster)
    await succeed(cluster, 2)
    cluster.workers[0].send(signal.SIGKILL)
    await succeed(cluster, 3)
    await no_hole(cluster.engine)
    await cluster.check()


async def test_a_run_whose_worker_was_killed_is_taken_up_again(cluster: Cluster) -> None:
    """Made to fail by leaving the sweep out: nobody takes it up."""
    await cluster.start(2)
    run_id = await cluster.run_now(await cluster.job("witnessed", seconds=3))
    began = await cluster.witnessed(run_id, "start")
    cluster.worker_of(began).send(signal.SIGKILL)
    row = await cluster.state(run_id, "SUCCEEDED")
    again = await cluster.witnessed(run_id, "start", attempt=2)
    assert again.pid != began.pid
    assert (row["attempt"], row["crash_count"]) == (2, 1)
    attempts = await cluster.engine.rows("SELECT number, state FROM attempt ORDER BY number")
    assert [tuple(row.values()) for row in attempts] == [(1, "LOST"), (2, "SUCCEEDED")]
    await cluster.check()


async def test_a_worker_that_was_stopped_for_two_leases_changes_nothing_afterwards(
    cluster: Cluster,
) -> None:
    """Made to fail by leaving the fencing token out of finish_runs: the zombie's end is written
    over the new attempt's."""
    await cluster.start(2)
    run_id = await cluster.run_now(await cluster.job("witnessed", seconds=1.5))
    began = await cluster.witnessed(run_id, "start")
    stopped = cluster.worker_of(began)
    stopped.send(signal.SIGSTOP)
    again = await cluster.witnessed(run_id, "start", attempt=2)
    assert again.at - began.at > LEASE_SECONDS
    before = await cluster.state(run_id, "SUCCEEDED")
    stopped.send(signal.SIGCONT)
    await cluster.until(
        "SELECT 1 FROM worker WHERE pid = :pid AND heartbeat_at > :then",
        pid=stopped.pid,
        then=await cluster.engine.now(),
    )

    async def fenced() -> bool:
        log = stopped.log.read_text()
        return "run.fenced" in log or "run.lease_lost" in log

    await eventually(fenced)
    assert await cluster.state(run_id, "SUCCEEDED") == before
    assert before["attempt"] == 2


async def test_a_function_that_blocks_its_worker_does_not_lose_its_lease(
    cluster: Cluster,
) -> None:
    """Made to fail by beating on the worker's own loop instead of on a thread."""
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


async def test_a_run_that_kills_every_worker_is_set_aside_and_the_others_go_on(
    cluster: Cluster,
) -> None:
    await cluster.start(4)
    poison = await cluster.run_now(await cluster.job("poison"))
    row = await cluster.state(poison, "LOST")
    assert (row["reason"], row["attempt"], row["crash_count"]) == ("QUARANTINED", 3, 3)
    good = await cluster.run_now(await cluster.job("witnessed"))
    await cluster.state(good, "SUCCEEDED")
    assert len({line.pid for line in cluster.lines() if line.run_id == poison}) == 3


async def test_rings_that_come_many_times_start_a_run_once(cluster: Cluster) -> None:
    await cluster.start(2)
    job_id = await cluster.job("witnessed", seconds=0.2)
    runs = []
    for _ in range(5):
        runs.append(await cluster.run_now(job_id))
        await asyncio.gather(*(cluster.engine.runtime.doorbell.ring() for _ in range(20)))
    for run_id in runs:
        assert (await cluster.state(run_id, "SUCCEEDED"))["attempt"] == 1
    await cluster.check()


async def test_a_redis_that_is_killed_or_emptied_stops_nothing(
    database_url: str, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    """Made to fail by leaving out the ticker's own timer: nothing fires while Redis is down."""
    async with (
        open_engine(database_url, own_redis.url) as engine,
        cluster_on(engine, database_url, own_redis.url, tmp_path) as cluster,
    ):
        worker = await cluster.start()
        await every_second(cluster)
        await succeed(cluster, 1)
        await own_redis.kill()
        await succeed(cluster, 3)
        await own_redis.start()
        await succeed(cluster, 2)
        client: Redis = Redis.from_url(own_redis.url)
        for _ in range(2):
            await client.flushall()
            await succeed(cluster, 1)
        await client.aclose()
        assert worker.process.returncode is None
        # It hears the bell again.
        await eventually(lambda: arq_reads(own_redis.url))
        await no_hole(engine)
        await cluster.check()


async def arq_reads(redis_url: str) -> bool:
    """Return whether a worker has taken every ring from Redis."""
    client: Redis = Redis.from_url(redis_url)
    try:
        return int(await client.zcard("tickwheel:doorbell")) <= 2
    finally:
        await client.aclose()


async def test_a_postgresql_that_is_killed_loses_nothing_and_nobody_needs_a_restart(
    own_postgres: EmbeddedPostgres, redis_url: str, tmp_path: Path
) -> None:
    """Away for twice a lease, with runs under way; they are not started again.

    Here the first heartbeat usually comes before the first sweep; that the sweep would not have
    taken them either is the subject of tests/services/test_sweeping.py.
    """
    database_url = own_postgres.url
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, database_url, redis_url, tmp_path) as cluster,
    ):
        await cluster.start(2)
        await every_second(cluster)
        await succeed(cluster, 1)
        long = await cluster.run_now(await cluster.job("witnessed", seconds=8))
        short = await cluster.run_now(await cluster.job("witnessed", seconds=1))
        await cluster.witnessed(long, "start")
        await cluster.witnessed(short, "start")
        await own_postgres.kill()
        await cluster.witnessed(short, "end")
        await asyncio.sleep(2 * LEASE_SECONDS)  # The length of the outage is the fault itself.
        await own_postgres.start()
        for run_id in (long, short):
            row = await cluster.state(run_id, "SUCCEEDED")
            assert (row["attempt"], row["crash_count"]) == (1, 0)
        await succeed(cluster, 2)
        assert all(worker.process.returncode is None for worker in cluster.workers)
        await no_hole(engine)
        await cluster.check()


async def test_without_postgresql_a_worker_still_ends_when_told_to(
    own_postgres: EmbeddedPostgres, redis_url: str, tmp_path: Path
) -> None:
    """And a run that may only begin once is killed when its lease has lapsed."""
    database_url = own_postgres.url
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, database_url, redis_url, tmp_path) as cluster,
    ):
        worker = await cluster.start()
        columns = {"on_worker_lost": OnWorkerLost.FAIL}
        run_id = await cluster.run_now(await cluster.job("witnessed", seconds=60, columns=columns))
        await cluster.witnessed(run_id, "start")
        await own_postgres.kill()

        async def killed() -> bool:
            return "run.lease_lost" in worker.log.read_text()

        await eventually(killed)
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0
        assert not [line for line in cluster.lines() if line.what == "end"]
        await own_postgres.start()


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_worker_ends_at_once(cluster: Cluster, signal_: signal.Signals) -> None:
    worker = await cluster.start()
    worker.send(signal_)
    assert await worker.ended() == 0
