"""Redis is killed, emptied, away, and drops its clients: nothing depends on it but speed."""

import asyncio

import pytest

from app.dev.redis import EmbeddedRedis
from tests.faults.cluster import Cluster, eventually, talking_to
from tests.faults.rows import row

pytestmark = pytest.mark.timeout(600)

DOWN_SECONDS = 60.0
FLUSH_EVERY_SECONDS = 10.0


@row("Redis killed, away, restarted empty", "I1 I4")
async def test_a_redis_that_is_killed_stops_nothing(
    mortal: Cluster, own_redis: EmbeddedRedis, long: bool
) -> None:
    """Due runs start while it is away, and work that is under way goes on."""
    await mortal.start(2)
    await mortal.every_second()
    await mortal.succeed(1)
    under_way = await mortal.run_now(await mortal.job("witnessed", seconds=3))
    await mortal.witnessed(under_way, "start")
    await own_redis.kill()
    await mortal.succeed(3)
    if long:
        await asyncio.sleep(DOWN_SECONDS)  # The length of the outage is the fault itself.
        await mortal.succeed(3)
    await own_redis.start()
    await mortal.succeed(2)
    assert (await mortal.state(under_way, "SUCCEEDED"))["attempt"] == 1
    assert len(mortal.running) == 2
    # The bell is heard again.
    await eventually(lambda: has_read_every_ring(own_redis))
    await mortal.check_end()


@row("FLUSHALL again and again", "I1 I4")
async def test_a_redis_that_is_emptied_loses_nothing(
    mortal: Cluster, own_redis: EmbeddedRedis, long: bool
) -> None:
    await mortal.start(2)
    await mortal.every_second()
    async with talking_to(own_redis) as client:
        for _ in range(6 if long else 3):
            await mortal.succeed(1)
            await client.flushall()
            if long:
                await asyncio.sleep(FLUSH_EVERY_SECONDS)  # The beat of the fault itself.
        await mortal.succeed(2)
    await mortal.check_end()


@row("all clients of Redis dropped", "I1 I4")
async def test_workers_that_are_dropped_by_redis_come_back(
    mortal: Cluster, own_redis: EmbeddedRedis, long: bool
) -> None:
    await mortal.start(2)
    await mortal.every_second()
    async with talking_to(own_redis) as client:
        for _ in range(10 if long else 3):
            await mortal.succeed(1)
            for kind in ("normal", "pubsub"):
                await client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await mortal.succeed(2)
    assert len(mortal.running) == 2
    await eventually(lambda: has_read_every_ring(own_redis))
    await mortal.check_end()


async def has_read_every_ring(server: EmbeddedRedis) -> bool:
    """Return whether workers have taken the rings: what is left are the ticks to come."""
    async with talking_to(server) as client:
        return int(await client.zcard("tickwheel:doorbell")) <= 4
