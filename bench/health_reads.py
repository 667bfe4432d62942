"""What is read about health, over many runs and a million schedules: bounded, and by indexes.

    python -m bench.health_reads [runs] [schedules]

Starts a PostgreSQL and a Redis of its own, writes finished runs spread over thirty days, and prints
one line a read with the same read over a hundredth of it as its baseline.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from app.config import Settings
from app.core.clock import elapsed_seconds
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.runtime import Runtime, open_runtime
from app.services.health.monitor import examine_when_due
from app.services.health.watchdog import Watchdog
from app.services.statistics import (
    WindowRequest,
    read_lateness_of,
    read_run_statistics,
    read_schedule_counts,
    read_series,
)
from app.services.status import StatusReader
from app.store.migrate import upgrade
from app.store.statistics import Of
from bench.seeding import PROJECT, seed_schedules, unhurried

_DAYS = 30
# A tenth of the schedules has them; ids carry the millisecond of their making, as the engine's do.
_RUNS = """
INSERT INTO run (id, project_id, job_id, schedule_id, revision, state, cause, overlap,
                 scheduled_for, due_at, created_at, next_attempt_at, started_at, first_started_at,
                 finished_at, parameters, tags, queue, priority, attempt, max_attempts, crash_count)
SELECT cast(lpad(to_hex(floor(extract(epoch FROM made.at) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(made.number::text), 1, 3) || '8'
            || substr(md5(made.number::text), 4, 15) AS uuid),
       chosen.project_id, chosen.job_id, chosen.id, 3,
       CASE WHEN made.number % 50 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END, 'SCHEDULE', 'SKIP',
       made.at, made.at, made.at, made.at,
       made.at + interval '20 ms', made.at + interval '20 ms',
       made.at + make_interval(secs => 0.02 + (made.number % 977) / 100.0),
       '{"number": 1}', '{}', 'default', 0, 1, 1, 0
  FROM (SELECT number,
               now() - make_interval(secs => :seconds * (1 - number / cast(:runs AS float))) AS at
          FROM generate_series(1, :runs) AS number) AS made
  JOIN (SELECT id, job_id, project_id, row_number() OVER () AS number
          FROM schedule LIMIT :schedules) AS chosen
    ON chosen.number = 1 + made.number % :schedules
 ORDER BY made.number
"""
Read = Callable[[], Awaitable[str]]


async def _seed_runs(runtime: Runtime, runs: int, schedules: int) -> None:
    async with unhurried(runtime) as database:
        async with database.transaction() as transaction:
            await transaction.execute(
                text(_RUNS),
                {"runs": runs, "schedules": schedules, "seconds": _DAYS * 86_400},
            )
        async with database.transaction() as transaction:
            await transaction.execute(text("ANALYZE run"))
        # As autovacuum would have, long before there are so many.
        async with database._engine.connect() as connection:
            idle = await connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in ("run", "schedule", "schedule_counters"):
                await idle.execute(text(f"VACUUM {table}"))


async def _reads(runtime: Runtime) -> dict[str, Read]:
    async with runtime.database.reading(PROJECT) as connection:
        row = (await connection.execute(text("SELECT schedule_id, job_id FROM run LIMIT 1"))).one()
    status, watchdog = StatusReader(runtime), Watchdog(runtime)

    async def look_again() -> str:
        await watchdog.look()
        return "watched"

    async def examine() -> str:
        examined = await examine_when_due(runtime, every=timedelta(0))
        assert examined is not None
        return f"{examined.schedules:,} schedules examined"

    async def first_status() -> str:
        found = await StatusReader(runtime).read()
        return f"{found.runs_per_minute_15:.0f} runs a minute"

    async def next_status() -> str:
        found = await status.read()
        return f"{sum(found.schedules.values()):,} schedules"

    def stats(of: Of, id_: object, last: timedelta) -> Read:
        async def read() -> str:
            async with runtime.database.reading(PROJECT) as connection:
                found = await read_run_statistics(connection, of, [id_], WindowRequest(last))  # type: ignore[list-item] # A row's columns have no type.
            return f"{found[id_].total:,} runs"  # type: ignore[index] # As above.

        return read

    async def series() -> str:
        async with runtime.database.reading(PROJECT) as connection:
            request = WindowRequest(timedelta(days=_DAYS))
            found = await read_run_statistics(connection, Of.PROJECT, [PROJECT], request)
            buckets = await read_series(connection, found[PROJECT], timedelta(hours=1))
        return f"{len(buckets)} buckets"

    async def lateness() -> str:
        async with runtime.database.reading(PROJECT) as connection:
            ids = (await connection.execute(text("SELECT id FROM schedule LIMIT 100"))).scalars()
            found = await read_lateness_of(connection, list(ids))
        return f"{len(found)} schedules"

    async def counts() -> str:
        async with runtime.database.reading(PROJECT) as connection:
            found = await read_schedule_counts(connection, PROJECT)
        return f"{found.total:,} schedules"

    month, day = timedelta(days=_DAYS), timedelta(days=1)
    await next_status()
    return {
        "watchdog, one look": look_again,
        "monitor, one round": examine,
        "status, the first": first_status,
        "status, the next": next_status,
        "stats, project, 30 days": stats(Of.PROJECT, PROJECT, month),
        "stats, project, 1 day": stats(Of.PROJECT, PROJECT, day),
        "stats, job, 30 days": stats(Of.JOB, row.job_id, month),
        "stats, schedule, 30 days": stats(Of.SCHEDULE, row.schedule_id, month),
        "stats and hourly series": series,
        "lateness of 100 schedules": lateness,
        "schedules by kind": counts,
    }


async def measure(directory: Path, runs: int, schedules: int) -> dict[str, tuple[float, str]]:
    """Return seconds and answer of each read over so many runs and schedules."""
    postgres = EmbeddedPostgres(directory / "postgres", durable=False)
    redis = EmbeddedRedis(directory / "redis")
    try:
        url = await postgres.start()
        await redis.start()
        await upgrade(url)
        settings = Settings(database_url=url, redis_url=redis.url)
        async with open_runtime(settings) as runtime:
            await seed_schedules(runtime, schedules)
            await _seed_runs(runtime, runs, max(1, schedules // 10))
            found = {}
            for name, read in (await _reads(runtime)).items():
                started = elapsed_seconds()
                answer = await read()
                found[name] = (elapsed_seconds() - started, answer)
            return found
    finally:
        await redis.stop()
        await postgres.stop()


def main() -> int:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    schedules = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    results = []
    for part in (100, 1):
        with tempfile.TemporaryDirectory(prefix="tickwheel-bench-", dir="/tmp") as directory:
            results.append(asyncio.run(measure(Path(directory), runs // part, schedules // part)))
    baseline, measured = results
    print(f"  {runs:,} runs over {_DAYS} days, {schedules:,} schedules; behind it a hundredth")
    for name, (seconds, answer) in measured.items():
        alone, _ = baseline[name]
        print(f"  {name:26} {seconds * 1000:9.1f} ms {alone * 1000:9.1f} ms   {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
