"""Faults that come when a worker has reserved what is about to be due."""

import pytest

from app.core.time import OnceTiming
from app.dev.postgres import EmbeddedPostgres
from tests.engine import SECOND
from tests.faults.cluster import Cluster

pytestmark = pytest.mark.timeout(300)

_SIZE = 20


async def herd(cluster: Cluster) -> None:
    """Insert once-schedules that are due together, and wait until their runs are prepared."""
    engine, now = cluster.engine, await cluster.engine.now()
    due_at = now.replace(microsecond=0) + 4 * SECOND
    job_id = await cluster.job("witnessed")
    for _ in range(_SIZE):
        await engine.schedule(job_id, [OnceTiming(due_at)], cursor_at=now, next_run_at=due_at)
    await cluster.until("SELECT 1 FROM run HAVING count(*) = :size", size=_SIZE)


async def succeeded(cluster: Cluster) -> None:
    """Wait until each has run, and judge what is left."""
    await cluster.until(
        "SELECT 1 FROM run WHERE state = 'SUCCEEDED' HAVING count(*) = :size", size=_SIZE
    )
    rows = await cluster.engine.rows("SELECT started_at >= due_at AS is_fair FROM run")
    assert all(row["is_fair"] for row in rows)
    await cluster.check_end()


async def test_what_a_killed_worker_had_reserved_is_started_by_the_others(
    cluster: Cluster,
) -> None:
    """A reservation is knowledge, no right: nothing has to lapse before another may start them."""
    first = await cluster.start()
    await herd(cluster)
    await cluster.kill(first)
    await cluster.start()
    await succeeded(cluster)


async def test_reserved_runs_survive_a_postgresql_that_is_killed(
    mortal: Cluster, own_postgres: EmbeddedPostgres
) -> None:
    await mortal.start()
    await herd(mortal)
    await own_postgres.kill()
    await own_postgres.start()
    await succeeded(mortal)
