"""Whoever can write to Redis says anything: nothing comes of it but a look at the tables.

Made to fail by leaving `encoding_errors` out of app/broker/redis.py: one byte that is no text then
ended every worker.
"""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest

from app.dev.redis import EmbeddedRedis
from tests.faults.cluster import Cluster, eventually, talking_to
from tests.faults.rows import row
from tests.schema.api import running_api

pytestmark = pytest.mark.timeout(600)

CHANNELS = ("tickwheel:events", "tickwheel:logs", "tickwheel:workers")
_GARBAGE: tuple[bytes, ...] = (
    b"",
    b"\xff\xfe\x00\x80",
    b"null",
    b"-1e999",
    b"{" * 10_000,
    b"[" * 50_000 + b"]" * 50_000,
    json.dumps({"project": 7, "subject": [], "change": {}, "ids": "no", "revisions": 1}).encode(),
    b"run_" + b"0" * 32,
    ",".join(["x" * 40] * 2_000).encode(),
    # What Python's pickle would execute.
    b"cos\nsystem\n(S'exit 1'\ntR.",
    b"\x00" * 2_000_000,
)


@row("hostile messages through Redis", "I1 I3 I4 I10")
async def test_whatever_is_said_through_redis_every_process_lives_on(
    mortal: Cluster, own_redis: EmbeddedRedis, long: bool
) -> None:
    """On each channel and in each key that the processes read."""
    await mortal.start(2)
    await mortal.every_second()
    await mortal.succeed(1)
    async with (
        running_api(mortal.environment["TICKWHEEL_DATABASE_URL"], own_redis.url) as api,
        talking_to(own_redis) as client,
        api.watching(STATUS, patience_seconds=60) as stream,
    ):
        await anext(stream)
        for _ in range(5 if long else 1):
            for garbage in _GARBAGE:
                for channel in CHANNELS:
                    await client.publish(channel, garbage)
            await mortal.succeed(1)
            await leave_in_keys(client, _GARBAGE)
            await mortal.succeed(1)
            await take_the_keys(client)
            await mortal.succeed(1)
            await client.flushall()
            # The stream still hears of what happens.
            await anext(stream)
    await mortal.succeed(2)
    assert len(mortal.running) == 2
    await eventually(lambda: reads_rings_again(own_redis))
    await mortal.check_end()


STATUS = 'subscription { schedulerStatus(minInterval: "PT0.2S") { activeSchedules lastTickAt } }'


async def leave_in_keys(client: Any, garbage: Iterable[bytes]) -> None:
    """Put jobs into the queue that are none: without content, or with any."""
    for number, content in enumerate(garbage):
        name = f"hostile-{number}"
        await client.set(f"arq:job:{name}", content)
        await client.zadd("tickwheel:doorbell", {name: number, content[:100]: number})


async def take_the_keys(client: Any) -> None:
    """Put something of another type wherever there is anything."""
    async for key in client.scan_iter("*"):
        kind = await client.type(key)
        await client.delete(key)
        if kind == b"string":
            await client.zadd(key, {b"\xff": 1})
        else:
            await client.set(key, b"\xff")


async def reads_rings_again(server: EmbeddedRedis) -> bool:
    """Return whether workers take rings: what is left are the ticks to come."""
    async with talking_to(server) as client:
        await asyncio.sleep(0)
        return int(await client.zcard("tickwheel:doorbell")) <= 4
