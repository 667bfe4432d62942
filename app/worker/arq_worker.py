"""The arq worker: its cron ticks, its one function answers the doorbell.

With `app.broker.doorbell` the only module that talks to arq. Everything arq runs here is short:
a worker killed with SIGKILL leaves its arq job blocked for the longest timeout, so runs themselves
live in our runner, under our leases.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC
from typing import Any

import structlog
from arq import cron
from arq.worker import Worker, func
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.broker.doorbell import arq_client, deserialize, queue_name, serialize
from app.broker.redis import open_redis

_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
_log = structlog.get_logger(__name__)


async def run_arq_worker(
    redis_url: str,
    *,
    prefix: str,
    tick: Callable[[], Awaitable[object]],
    ring: Callable[[], object],
) -> None:
    """Tick each second and answer rings until cancelled.

    arq ends its process when Redis goes away; this starts its worker again, as often as it takes.
    """
    while True:
        redis = open_redis(redis_url, decode=False)
        worker = _make_worker(redis, prefix=prefix, tick=tick, ring=ring)
        try:
            await worker.async_run()
        except (RedisError, OSError) as error:
            _log.warning("redis.worker_failed", error=str(error))
        except Exception:
            # Whoever can write to Redis can put there what arq stumbles over.
            _log.exception("redis.worker_broken")
        finally:
            await _close(worker, redis)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _close(worker: Worker, redis: Redis) -> None:
    """End what is under way; a Redis that does not answer is not waited for."""
    # A task of its own: arq cancels its jobs, and lets that through as if we were cancelled.
    closing = asyncio.gather(worker.close(), return_exceptions=True)
    with suppress(TimeoutError):
        await asyncio.wait_for(closing, _CLOSE_SECONDS)
    with suppress(RedisError, OSError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await redis.aclose()


def _make_worker(
    redis: Redis,
    *,
    prefix: str,
    tick: Callable[[], Awaitable[object]],
    ring: Callable[[], object],
) -> Worker:
    async def run_tick(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
        await tick()

    async def run_ring(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
        ring()

    return Worker(
        functions=[func(run_ring, name="ring", timeout=10)],
        # `unique` would let one worker tick for all: here each ticks for itself.
        cron_jobs=[cron(run_tick, name="tick", second=set(range(60)), microsecond=0, unique=False)],
        queue_name=queue_name(prefix),
        # A client of ours: arq's own waits without bound for an answer.
        redis_pool=arq_client(redis, prefix=prefix),
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        max_jobs=50,
        queue_read_limit=500,
        job_timeout=30,
        keep_result=0,
        max_tries=1,
        retry_jobs=False,
        allow_abort_jobs=False,
        log_results=False,
        poll_delay=_POLL_SECONDS,
        health_check_interval=60,
        health_check_key=f"{prefix}:arq-health",
        timezone=UTC,
    )
