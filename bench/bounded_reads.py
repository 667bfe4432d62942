"""Reads over all schedules, at a million of them: bounded in time, whatever there is to find.

    python -m bench.bounded_reads [schedules]

Starts a PostgreSQL and a Redis of its own and prints one line a read, with the same read over a
thousand schedules as its baseline.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from app.config import Settings
from app.core.clock import elapsed_seconds
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.runtime import open_runtime
from app.services.conflicts import Stretch, find_conflicts
from app.services.outlook import Question, read_forecast, read_upcoming
from app.store.database import ReadConnection
from app.store.instants import read_now
from app.store.migrate import upgrade
from bench.seeding import PROJECT, seed_schedules

_BASELINE = 1_000
_WEEK = timedelta(days=7)
Read = Callable[[ReadConnection], Awaitable[str]]


async def _upcoming_now(connection: ReadConnection) -> str:
    as_of = await read_now(connection)
    question = Question(as_of, as_of + _WEEK, limit=500)
    found = await read_upcoming(connection, PROJECT, question, as_of=as_of)
    return f"{len(found.planned):,} occurrences, truncated={found.truncated}"


async def _upcoming_later(connection: ReadConnection) -> str:
    as_of = await read_now(connection)
    question = Question(as_of + _WEEK, as_of + 2 * _WEEK, limit=500)
    found = await read_upcoming(connection, PROJECT, question, as_of=as_of)
    return f"{len(found.planned):,} occurrences, truncated={found.truncated}"


async def _forecast(connection: ReadConnection) -> str:
    as_of = await read_now(connection)
    found = await read_forecast(
        connection,
        PROJECT,
        start=as_of,
        until=as_of + _WEEK,
        bucket=timedelta(hours=1),
        counted_from=as_of,
    )
    total = sum(bucket.occurrences for bucket in found.buckets)
    return f"{len(found.buckets)} buckets, {total:,} occurrences, truncated={found.truncated}"


async def _conflicts(connection: ReadConnection) -> str:
    as_of = await read_now(connection)
    found = await find_conflicts(connection, PROJECT, Stretch.of(as_of, _WEEK))
    return f"{len(found.found)} conflicts, truncated={found.truncated}"


_READS: dict[str, Read] = {
    "upcoming, from now on": _upcoming_now,
    "upcoming, in a week": _upcoming_later,
    "forecast of a week": _forecast,
    "conflicts of a week": _conflicts,
}


async def measure(directory: Path, schedules: int) -> dict[str, tuple[float, str]]:
    """Return seconds and answer of each read over so many schedules."""
    postgres = EmbeddedPostgres(directory / "postgres", durable=False)
    redis = EmbeddedRedis(directory / "redis")
    try:
        url = await postgres.start()
        await redis.start()
        await upgrade(url)
        settings = Settings(database_url=url, redis_url=redis.url)
        async with open_runtime(settings) as runtime:
            await seed_schedules(runtime, schedules)
            found = {}
            for name, read in _READS.items():
                started = elapsed_seconds()
                async with runtime.database.reading(PROJECT) as connection:
                    answer = await read(connection)
                found[name] = (elapsed_seconds() - started, answer)
            return found
    finally:
        await redis.stop()
        await postgres.stop()


def main() -> int:
    """Measure and print."""
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    results = []
    for count in (_BASELINE, schedules):
        with tempfile.TemporaryDirectory(prefix="tickwheel-bench-", dir="/tmp") as directory:
            results.append(asyncio.run(measure(Path(directory), count)))
    baseline, measured = results
    for name, (seconds, answer) in measured.items():
        alone, _ = baseline[name]
        print(
            f"{name:24} {seconds:7.3f} s at {schedules:,}, {alone:.3f} s at {_BASELINE:,}: {answer}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
