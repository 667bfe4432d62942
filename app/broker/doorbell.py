"""Ring for a worker: the one module, with `app.worker.arq_worker`, that talks to arq.

One ring is one short arq job, whatever number of runs waits: arq needs several round trips a
job, so runs themselves are claimed from PostgreSQL in batches. A ring that is lost costs the time
until the next sweep.
"""

from typing import Any

import orjson
import structlog
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError

_log = structlog.get_logger(__name__)


def queue_name(prefix: str) -> str:
    """Return the name of arq's sorted set in Redis."""
    return f"{prefix}:doorbell"


def serialize(value: dict[str, Any]) -> bytes:
    """Encode arq's messages as JSON: its default, pickle, lets a writer to Redis run code."""
    return orjson.dumps(value, default=str)


def deserialize(message: bytes) -> dict[str, Any]:
    """Decode one of arq's messages."""
    value = orjson.loads(message)
    if not isinstance(value, dict):
        raise TypeError("not a message of ours")
    return value


def arq_client(redis: Redis, *, prefix: str) -> ArqRedis:
    """Return arq's client over our connections, which must give bytes."""
    return ArqRedis(
        connection_pool=redis.connection_pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=queue_name(prefix),
    )


class Doorbell:
    """Wakes one worker."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._arq = arq_client(redis, prefix=prefix)

    async def ring(self) -> bool:
        """Say that runs are waiting. Return False, and raise nothing, when Redis is away."""
        try:
            await self._arq.enqueue_job("ring", _expires=10)
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis.ring_failed", error=str(error))
            return False
        return True
