"""Many schedules at once, behind the services' back: one statement whatever their number."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import text

from app.runtime import Runtime
from app.store.database import Database

_HOUR_SECONDS = 3600.0
PROJECT = UUID("01900000-0000-7000-8000-000000000001")

# 300 definitions: minute and hour from the number, in three zones; a third of them at minute 0. Of
# the names half have a word that begins with "a", and one in 100,000 has the word "zebra".
_SCHEDULES = """
INSERT INTO schedule (
    id, project_id, job_id, key, name, description, version, revision, created_at, updated_at,
    state, timings, timezone, dst_gap, dst_fold, jitter_seconds, overlap, catch_up,
    catch_up_window_seconds, catch_up_limit, parameters, tags, definition_hash, cursor_at,
    next_run_at, runs_made)
SELECT uuidv7(), :project, job.id, 'seeded-' || number,
       (ARRAY['Archive', 'Bill', 'Adjust', 'Count', 'Audit', 'Deliver', 'Answer', 'Export',
              'Allot', 'Fetch'])[number % 10 + 1]
       || CASE WHEN number % 100000 = 7 THEN ' zebra ' ELSE ' invoices ' END || number,
       CASE WHEN number % 4 = 0 THEN 'Every customer of region ' || number % 1000 END,
       1, 1, now(), now(), 'ACTIVE',
       jsonb_build_array(jsonb_build_object('cron', jsonb_build_object(
           'expression', format('%s %s * * *',
                                CASE WHEN number % 3 = 0 THEN 0 ELSE number % 60 END,
                                number % 24),
           'dayMatch', 'ANY', 'timeMode', 'AUTO'))),
       (ARRAY['UTC', 'Europe/Berlin', 'America/New_York'])[number % 3 + 1],
       'RUN_AT_GAP_END', 'FIRST', 0, 'SKIP', 'LATEST', 900, 100,
       jsonb_build_object('number', number), jsonb_build_object('team', 'team-' || number % 100),
       md5(number::text), now(),
       now() + make_interval(secs => :first_due_seconds + number % 86400), 0
  FROM generate_series(1, :count) AS number
  JOIN job ON job.project_id = :project AND job.key = 'job-' || number % :jobs
"""
_JOBS = """
INSERT INTO job (id, project_id, key, name, version, revision, created_at, updated_at, kind, config,
                 parameters, queue, priority, timeout_seconds, retry, on_worker_lost, tags)
SELECT gen_random_uuid(), :project, 'job-' || number, 'Job ' || number, 1, 1, now(), now(),
       'PYTHON', '{"function": "app.handlers.builtin.noop"}', '{}', 'default', 0, 3600, '{}',
       'RETRY', '{}'
  FROM generate_series(0, :jobs - 1) AS number
"""
_COUNTERS = """
INSERT INTO schedule_counters (schedule_id, revision, run_count, success_count, failure_count,
                               skip_count, miss_count, consecutive_failures)
SELECT id, 0, 0, 0, 0, 0, 0, 0 FROM schedule
    ON CONFLICT DO NOTHING
"""


async def seed_schedules(
    runtime: Runtime, count: int, *, jobs: int = 5, first_due_seconds: int = 60
) -> None:
    """Write `count` active schedules of a few jobs, over a few hundred definitions.

    They are due one after the other, the first in `first_due_seconds`, the last a day later.
    """
    async with unhurried(runtime) as database, database.transaction() as transaction:
        await transaction.execute(text(_JOBS), {"project": PROJECT, "jobs": jobs})
        await transaction.execute(
            text(_SCHEDULES),
            {
                "project": PROJECT,
                "jobs": jobs,
                "count": count,
                "first_due_seconds": first_due_seconds,
            },
        )
        await transaction.execute(text(_COUNTERS))
    async with unhurried(runtime) as database, database.transaction() as transaction:
        await transaction.execute(text("ANALYZE schedule"))


@asynccontextmanager
async def unhurried(runtime: Runtime) -> AsyncIterator[Database]:
    """Open the same database for statements that take longer than a server is waited for."""
    url = runtime.database._engine.url.render_as_string(hide_password=False)
    database = Database.open(url, pool_size=1, statement_timeout_seconds=_HOUR_SECONDS)
    try:
        yield database
    finally:
        await database.close()
