"""The channel on which workers hear that somebody has asked something of them.

Only a hint to send the next heartbeat at once: what was asked is in PostgreSQL, and the ordinary
heartbeat finds it when Redis is away. What arrives is hostile input, so nobody reads it; a flood
costs no more than the pause between two beats allows.
"""

import asyncio
from collections.abc import AsyncGenerator

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

_WAIT_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class WorkerChannel:
    """One fixed channel of an instance."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._name = f"{prefix}:workers"

    async def hint(self) -> bool:
        """Say that something was asked. Return False, and raise nothing, when Redis is away."""
        try:
            await self._redis.publish(self._name, "look")
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis.hint_failed", error=str(error))
            return False
        return True

    async def hints(self) -> AsyncGenerator[None]:
        """Yield at each hint, and after each reconnection. Never ends, and never raises."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._name)
                    yield None
                    while True:
                        if await pubsub.get_message(timeout=_WAIT_SECONDS) is not None:
                            yield None
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("redis.hints_failed", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
