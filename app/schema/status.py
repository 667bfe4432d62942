"""The status of the instance as the API shows it: from PostgreSQL, and how its dependencies do."""

from datetime import timedelta

from redis.exceptions import RedisError

from app.core.clock import elapsed_seconds
from app.runtime import Runtime
from app.schema.types.scheduler import Dependency, SchedulerStatus
from app.services.status import read_status


async def read_scheduler_status(runtime: Runtime) -> SchedulerStatus:
    """Return the present status."""
    began = elapsed_seconds()
    async with runtime.database.reading(None) as connection:
        status = await read_status(connection)
    postgres = Dependency(
        name="postgresql",
        healthy=True,
        latency=timedelta(seconds=elapsed_seconds() - began),
        detail=None,
    )
    return SchedulerStatus.of(status, [postgres, await _redis(runtime)])


async def _redis(runtime: Runtime) -> Dependency:
    began = elapsed_seconds()
    try:
        await runtime.redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        detail = f"Away ({type(error).__name__}): runs start and messages arrive a little later."
        return Dependency(name="redis", healthy=False, latency=None, detail=detail)
    latency = timedelta(seconds=elapsed_seconds() - began)
    return Dependency(name="redis", healthy=True, latency=latency, detail=None)
