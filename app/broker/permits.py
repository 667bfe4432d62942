"""Permits that all processes share: how often somebody may ask within a minute.

Counted in Redis by `limits`, in a window that slides. Redis may lose them at any moment; then
everybody begins anew, which is no harm.
"""

from math import ceil
from time import time
from typing import NamedTuple

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis


class Left(NamedTuple):
    """How many permits are left, and in how many seconds some will come back."""

    permits: int
    reset_seconds: int


class PermitStore:
    """The permits of one instance."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        # The address is not used: the connections are those that are open already.
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"{prefix}:permits",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type] # typed as for a URL
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, whose: str, *, per_minute: int, count: int) -> bool:
        """Take so many permits at once, or none. Raises what Redis raises."""
        return await self._limiter.hit(RateLimitItemPerMinute(per_minute), whose, cost=count)

    async def left(self, whose: str, *, per_minute: int) -> Left:
        """Return what is left. Raises what Redis raises."""
        stats = await self._limiter.get_window_stats(RateLimitItemPerMinute(per_minute), whose)
        return Left(stats.remaining, max(1, ceil(stats.reset_time - time())))
