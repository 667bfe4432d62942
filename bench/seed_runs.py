"""A run table as it is after months: millions of finished runs, with their attempts.

    python -m bench.seed_runs --runs 50000000 --minutes 20 --directory /tmp/tickwheel-history

Makes a PostgreSQL below the directory and leaves it there, stopped, for `python -m bench.history
--directory ...`. When the minutes are over it makes no more runs and says how many there are; part
of the time is set aside for the indexes, which are built afterwards.

The rows are made inside PostgreSQL, in a transaction that begins by emptying the tables, without
indexes: so they need no WAL, and each index is built once. They are spread evenly over the last
hundred days, over ten thousand schedules (or as many as are asked for) of twenty jobs; a tenth is
older than the retention. One run in 500,000 has another tag than the others.
"""

import argparse
import asyncio
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from app.config import Settings
from app.core.clock import elapsed_seconds
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.runtime import open_runtime
from app.store.migrate import upgrade
from bench.seeding import PROJECT, seed_schedules

SCHEDULES, JOBS = 10_000, 20
DAYS = 100
"""How far back the history reaches: ten days further than the retention."""

_BATCH = 500_000
# How much of the time the rows may take; the indexes take the rest.
_ROWS_PART = 0.55
_TABLES = ["run", "attempt", "run_log"]
# Only to make the tables: what is measured runs with the settings of production.
_FAST = {
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
}

# Of 10,000 runs 9,700 succeed, 200 fail, 30 time out, 40 are skipped and 30 missed. An id is made
# of the instant, as the application makes it, and of the number. $1: the beginning; $2: from one
# run to the next; $3 and $4: the first and the last number.
_MADE = """
SELECT number, at, (number * 7919) % 10000 AS lot,
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000'
        || lpad(to_hex(number), 12, '0'))::uuid AS id
  FROM generate_series(cast($3 AS bigint), cast($4 AS bigint)) AS number
 CROSS JOIN LATERAL (SELECT cast($1 AS timestamptz) + number * cast($2 AS interval) AS at)
"""
_RUNS = f"""
WITH made AS ({_MADE}), judged AS (
    SELECT made.*,
           CASE WHEN lot < 9700 THEN 'SUCCEEDED' WHEN lot < 9900 THEN 'FAILED'
                WHEN lot < 9930 THEN 'TIMED_OUT' WHEN lot < 9970 THEN 'SKIPPED'
                ELSE 'MISSED' END AS state,
           lot < 9930 AS ran
      FROM made
)
INSERT INTO run (
       id, project_id, job_id, schedule_id, schedule_version, state, reason, cause, overlap,
       scheduled_for, scheduled_local, due_at, next_attempt_at, created_at, started_at,
       first_started_at, finished_at, parameters, tags, queue, priority, attempt, max_attempts,
       crash_count, revision, error, fencing_token)
SELECT id, $5, (cast($6 AS uuid[]))[number % $8 + 1], (cast($7 AS uuid[]))[number % $8 + 1], 1,
       state,
       CASE state WHEN 'FAILED' THEN 'ERROR' WHEN 'TIMED_OUT' THEN 'TIMEOUT'
                  WHEN 'SKIPPED' THEN 'OVERLAP' WHEN 'MISSED' THEN 'TOO_LATE' END,
       'SCHEDULE', 'SKIP', at, to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS'), at, at,
       at - interval '2 seconds',
       CASE WHEN ran THEN at + interval '20 milliseconds' END,
       CASE WHEN ran THEN at + interval '20 milliseconds' END,
       at + interval '1 second',
       jsonb_build_object('number', number),
       jsonb_build_object('team', CASE WHEN number % 500000 = 0 THEN 'rare' ELSE 'ops' END),
       'default', 0,
       CASE WHEN ran THEN 1 ELSE 0 END, 1, 0, 3,
       CASE state WHEN 'FAILED' THEN
           jsonb_build_object('type', 'ValueError', 'message', 'It failed.', 'reason', 'ERROR') END,
       CASE WHEN ran THEN number END
  FROM judged
"""
_ATTEMPTS = f"""
WITH made AS ({_MADE})
INSERT INTO attempt (run_id, number, state, worker, started_at, finished_at)
SELECT id, 1,
       CASE WHEN lot < 9700 THEN 'SUCCEEDED' WHEN lot < 9900 THEN 'FAILED' ELSE 'TIMED_OUT' END,
       'worker-1:4711', at + interval '20 milliseconds', at + interval '1 second'
  FROM made
 WHERE lot < 9930
"""
_LOGS = f"""
WITH made AS ({_MADE})
INSERT INTO run_log (run_id, sequence, line_count, attempt, dropped, lines)
SELECT id, 1, 1, 1, 0, '[[0, "ERROR", "log", "It failed."]]'
  FROM made
 WHERE lot BETWEEN 9700 AND 9929
"""
_COUNTERS = """
UPDATE schedule_counters
   SET run_count = counted.runs, success_count = counted.runs,
       last_run_at = counted.last_at, last_success_for = counted.last_at
  FROM (SELECT cast($1 AS bigint) / cast($2 AS bigint) AS runs, now() AS last_at) AS counted
"""
# Constraints before the indexes that carry them are dropped, and the other way round.
_DEFINITIONS = """
SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(conname) AS drop,
       'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(conname) || ' '
       || pg_get_constraintdef(oid)
       -- Every row is made to fit: to look at each one would take as long as to make them.
       || CASE WHEN contype IN ('f', 'c') THEN ' NOT VALID' ELSE '' END AS make,
       contype = 'f' AS is_last
  FROM pg_constraint
 WHERE conrelid = ANY ($1::text[]::regclass[]) AND contype IN ('p', 'u', 'f', 'c')
 UNION ALL
SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid), false
  FROM pg_index
 WHERE indrelid = ANY ($1::text[]::regclass[])
   AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
 ORDER BY is_last, 1
"""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was made, and how long rows and indexes took."""

    runs: int
    row_seconds: float
    index_seconds: float


async def seed_history(
    url: str,
    redis_url: str,
    runs: int,
    *,
    schedules: int = SCHEDULES,
    minutes: float | None = None,
    say: bool = True,
) -> Seeded:
    """Fill a migrated database with a history; without `minutes`, however long it takes."""
    began = elapsed_seconds()
    async with open_runtime(Settings(database_url=url, redis_url=redis_url)) as runtime:
        await seed_schedules(runtime, schedules, jobs=JOBS)
    connection = await asyncpg.connect(url)
    try:
        deadline = None if minutes is None else began + minutes * 60
        return await _seed(connection, runs, deadline, _Progress(runs, say))
    finally:
        await connection.close()


class _Progress:
    """Says how far it is."""

    def __init__(self, runs: int, say: bool) -> None:
        self._runs = runs
        self._say = say
        self._began = elapsed_seconds()

    def rows(self, made: int) -> None:
        """Say how many rows there are."""
        seconds = elapsed_seconds() - self._began
        part = f"{100 * made / self._runs:5.1f} %"
        self.say(f"{part}  {made:,} runs in {seconds:,.0f} s, {made / seconds:,.0f} a second")

    def say(self, text: str) -> None:
        """Print a line at once."""
        if self._say:
            print(text, flush=True)


async def _seed(
    connection: asyncpg.Connection, runs: int, deadline: float | None, progress: _Progress
) -> Seeded:
    definitions = await connection.fetch(_DEFINITIONS, _TABLES)
    began = elapsed_seconds()
    rows_until = None if deadline is None else began + (deadline - began) * _ROWS_PART
    async with connection.transaction():
        for definition in reversed(definitions):
            await connection.execute(definition["drop"])
        await connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        made = await _make_rows(connection, runs, rows_until, progress)
    row_seconds = elapsed_seconds() - began
    for definition in definitions:
        started = elapsed_seconds()
        await connection.execute(definition["make"])
        progress.say(f"{elapsed_seconds() - started:6,.0f} s  {definition['make'][:100]}")
    for table in (*_TABLES, "schedule_counters"):
        await connection.execute(f"VACUUM (ANALYZE, FREEZE) {table}")
    return Seeded(made, row_seconds, elapsed_seconds() - began - row_seconds)


async def _make_rows(
    connection: asyncpg.Connection, runs: int, until: float | None, progress: _Progress
) -> int:
    schedules = await connection.fetch("SELECT id, job_id FROM schedule ORDER BY id")
    begin = await connection.fetchval("SELECT now() - make_interval(days => $1)", DAYS)
    apart = await connection.fetchval("SELECT make_interval(days => $1) / $2", DAYS, float(runs))
    jobs, ids = [row["job_id"] for row in schedules], [row["id"] for row in schedules]
    made = 0
    while made < runs and (until is None or elapsed_seconds() < until):
        size = min(_BATCH, runs - made)
        # From the newest back: what there is no time for would have been the oldest.
        last = runs - made
        numbers = (begin, apart, last - size, last - 1)
        await connection.execute(_RUNS, *numbers, PROJECT, jobs, ids, len(ids))
        await connection.execute(_ATTEMPTS, *numbers)
        await connection.execute(_LOGS, *numbers)
        made += size
        progress.rows(made)
    await connection.execute(_COUNTERS, made, len(ids))
    return made


async def make_server(
    directory: Path,
    runs: int,
    minutes: float | None,
    *,
    schedules: int = SCHEDULES,
    say: bool = True,
) -> Seeded:
    """Make a PostgreSQL with a history below a directory, and leave it there, stopped."""
    postgres = EmbeddedPostgres(directory / "postgres", durable=False, settings=_FAST)
    redis = EmbeddedRedis(directory / "redis")
    try:
        url = await postgres.start()
        await redis.start()
        await upgrade(url)
        return await seed_history(
            url, redis.url, runs, schedules=schedules, minutes=minutes, say=say
        )
    finally:
        await redis.stop()
        await postgres.stop()


def main() -> int:
    """Seed and say what there is."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--schedules", type=int, default=SCHEDULES)
    parser.add_argument("--minutes", type=float, default=None, help="make no more rows after that")
    parser.add_argument("--directory", type=Path, required=True, help="removed first if it exists")
    given = parser.parse_args()
    shutil.rmtree(given.directory, ignore_errors=True)
    given.directory.mkdir(parents=True)
    seeded = asyncio.run(
        make_server(given.directory, given.runs, given.minutes, schedules=given.schedules)
    )
    if seeded.runs < given.runs:
        print(f"The time was over: {seeded.runs:,} of {given.runs:,} runs.")
    size = sum(file.stat().st_size for file in given.directory.rglob("*") if file.is_file())
    print(
        f"{seeded.runs:,} runs: rows {seeded.row_seconds:,.0f} s, indexes "
        f"{seeded.index_seconds:,.0f} s, {size / 2**30:,.1f} GiB in {given.directory}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
