"""PostgreSQL is killed, stopped, away, and drops its clients: what was committed stays."""

import asyncio
import signal

import pytest

from app.core.vocabulary import OnWorkerLost
from app.dev.postgres import EmbeddedPostgres
from tests.faults.cluster import LEASE_SECONDS, Cluster, eventually
from tests.faults.rows import row

pytestmark = pytest.mark.timeout(600)

DOWN_SECONDS = 30.0


@row("PostgreSQL killed, away for two leases", "I1 I3 I4")
async def test_a_postgresql_that_is_killed_loses_nothing_and_nobody_needs_a_restart(
    mortal: Cluster, own_postgres: EmbeddedPostgres, long: bool
) -> None:
    """Away for twice a lease, with runs under way; they are not started again.

    Here the first heartbeat usually comes before the first sweep; that the sweep would not have
    taken them either is the subject of tests/services/test_sweeping.py.
    """
    settings = {"lease_seconds": 15, "heartbeat_seconds": 5, "sweep_seconds": 5} if long else {}
    outage_seconds = DOWN_SECONDS if long else 2 * LEASE_SECONDS
    await mortal.start(2, **settings)
    await mortal.every_second()
    await mortal.succeed(1)
    long_run = await mortal.run_now(await mortal.job("witnessed", seconds=outage_seconds + 4))
    short_run = await mortal.run_now(await mortal.job("witnessed", seconds=1))
    await mortal.witnessed(long_run, "start")
    await mortal.witnessed(short_run, "start")
    await own_postgres.kill()
    await mortal.witnessed(short_run, "end")
    await asyncio.sleep(outage_seconds)  # The length of the outage is the fault itself.
    await own_postgres.start()
    for run_id in (long_run, short_run):
        found = await mortal.state(run_id, "SUCCEEDED")
        assert (found["attempt"], found["crash_count"]) == (1, 0)
    await mortal.succeed(2)
    assert len(mortal.running) == 2
    await mortal.check_end()


@row("PostgreSQL stopped at once, again and again", "I1 I3 I4")
async def test_an_immediate_stop_in_the_middle_of_the_work_loses_nothing(
    mortal: Cluster, own_postgres: EmbeddedPostgres, long: bool
) -> None:
    await mortal.start(2)
    for _ in range(10):
        await mortal.every_second()
    for _ in range(8 if long else 2):
        await mortal.succeed(10)
        await own_postgres.stop_immediately()
        await own_postgres.start()
    await mortal.succeed(10)
    assert len(mortal.running) == 2
    await mortal.check_end()


@row("every back end of PostgreSQL terminated", "I1 I3 I4")
async def test_connections_that_are_cut_in_the_middle_lose_nothing(
    cluster: Cluster, long: bool
) -> None:
    await cluster.start(2)
    for _ in range(10):
        await cluster.every_second()
    for _ in range(30 if long else 5):
        await cluster.succeed(5)
        await eventually(lambda: cut_every_connection(cluster))
    await cluster.succeed(10)
    assert len(cluster.running) == 2
    await cluster.check_end()


async def cut_every_connection(cluster: Cluster) -> bool:
    """Terminate all other back ends of this database; say whether there were any."""
    rows = await cluster.engine.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return bool(rows)


async def test_without_postgresql_a_worker_still_ends_when_told_to(
    mortal: Cluster, own_postgres: EmbeddedPostgres
) -> None:
    """And a run that may only begin once is killed when its lease has lapsed."""
    worker = await mortal.start()
    columns = {"on_worker_lost": OnWorkerLost.FAIL}
    run_id = await mortal.run_now(await mortal.job("witnessed", seconds=60, columns=columns))
    began = await mortal.witnessed(run_id, "start")
    await own_postgres.kill()
    await worker.says("run.lease_lost")
    ended = await mortal.witnessed(run_id, "end")
    assert ended.at - began.at < 60
    worker.send(signal.SIGTERM)
    assert await worker.ended() == 0
    await own_postgres.start()
