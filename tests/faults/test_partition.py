"""The network between the workers and their servers is slow, down, one-sided or cut.

Made to fail by leaving `command_timeout` out of app/store/database.py: a worker whose connection to
PostgreSQL was forgotten waited for an answer for ever (the long form of that row).
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from tests.engine import open_engine
from tests.faults.cluster import Cluster, cluster_on
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy, relaying
from tests.faults.rows import row

pytestmark = pytest.mark.timeout(600)

DOWN_SECONDS = 20.0
# Longer than a lease here.
SHORTLY_DOWN_SECONDS = 3.0


@dataclass
class Apart:
    """Workers that reach their servers through a network that fails."""

    cluster: Cluster
    postgres: Proxy
    redis: Proxy


@pytest_asyncio.fixture
async def apart(
    nursery: Nursery, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, tmp_path: Path
) -> AsyncIterator[Apart]:
    """Put a relay before each server; the test itself goes around them."""
    async with (
        relaying(socket_of(own_postgres)) as postgres,
        relaying(Path(own_redis.url.removeprefix("unix://").partition("?")[0])) as redis,
        open_engine(own_postgres.url, own_redis.url) as engine,
        cluster_on(
            engine,
            nursery,
            f"postgresql://postgres@127.0.0.1:{postgres.port}/tickwheel",
            f"redis://127.0.0.1:{redis.port}/0",
            tmp_path,
        ) as cluster,
    ):
        yield Apart(cluster, postgres, redis)


def socket_of(server: EmbeddedPostgres) -> Path:
    """Return the socket that its URL names."""
    directory, _, port = server.url.partition("host=")[2].partition("&port=")
    return Path(directory) / f".s.PGSQL.{port}"


async def at_work(apart: Apart) -> None:
    """Start two workers, and let both a short and a long run be under way."""
    cluster = apart.cluster
    await cluster.start(2)
    await cluster.every_second()
    await cluster.every_second(job_id=await cluster.job("witnessed", seconds=1.5))
    await cluster.succeed(2)


async def goes_on(apart: Apart) -> None:
    """Both workers work again, nobody was restarted, and all invariants hold."""
    cluster = apart.cluster
    now = await cluster.engine.now()
    for worker in cluster.running:
        await cluster.until(
            "SELECT 1 FROM worker WHERE pid = :pid AND heartbeat_at > :now AND last_tick_at > :now",
            pid=worker.pid,
            now=now,
        )
    await cluster.succeed(3)
    assert len(cluster.running) == 2
    await cluster.check_end()


@row("partition: PostgreSQL's link is down", "I1 I3 I4")
async def test_a_link_to_postgresql_that_is_down_and_comes_back_loses_nothing(
    apart: Apart, long: bool
) -> None:
    await at_work(apart)
    for _ in range(2 if long else 1):
        apart.postgres.take_down()
        # The length of the outage is the fault itself.
        await asyncio.sleep(DOWN_SECONDS if long else SHORTLY_DOWN_SECONDS)
        apart.postgres.heal()
        await apart.cluster.succeed(2)
    await goes_on(apart)


@row("partition: PostgreSQL's connections are reset", "I1 I3 I4")
async def test_connections_to_postgresql_that_are_reset_lose_nothing(
    apart: Apart, long: bool
) -> None:
    await at_work(apart)
    for _ in range(2 if long else 1):
        apart.postgres.reset()
        await asyncio.sleep(DOWN_SECONDS if long else SHORTLY_DOWN_SECONDS)  # The fault itself.
        apart.postgres.heal()
        await apart.cluster.succeed(2)
    await goes_on(apart)


@row("partition: half-open, only the servers know that the connections are gone", "I1 I3 I4")
async def test_workers_that_are_never_told_that_their_connections_are_gone_go_on(
    apart: Apart, long: bool
) -> None:
    """In the quick form of Redis only: an answer of PostgreSQL is waited for longer than that."""
    await at_work(apart)
    for proxy in (apart.redis, apart.postgres) if long else (apart.redis,):
        await proxy.forget()
        await asyncio.sleep(DOWN_SECONDS if long else SHORTLY_DOWN_SECONDS)  # The fault itself.
        proxy.heal()
        await apart.cluster.succeed(2)
    await goes_on(apart)


@row("partition: slow links", "I1 I3 I4")
async def test_slow_links_to_both_servers_lose_nothing(apart: Apart, long: bool) -> None:
    await at_work(apart)
    apart.postgres.delay(0.05)
    apart.redis.delay(0.3)
    await apart.cluster.succeed(40 if long else 4)
    apart.redis.reset()
    await apart.cluster.succeed(10 if long else 2)
    apart.redis.heal()
    apart.postgres.heal()
    await goes_on(apart)
