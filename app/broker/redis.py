"""Open the connections to Redis.

Every command is bounded in time and tried once: whoever rings or publishes must not wait for a
Redis that is away, since the sweep and the readers' beat find what was not announced.
"""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def open_redis(url: str, *, timeout_seconds: float = 1.0, decode: bool = True) -> Redis:
    """Prepare a client; it connects when first used and again after each failure.

    `decode` gives text; without it answers are bytes, as arq reads them.
    """
    client: Redis = Redis.from_url(
        url,
        socket_connect_timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=decode,
        # Whoever can write to Redis may say anything: what is no text must not end who listens.
        encoding_errors="replace",
    )
    return client
