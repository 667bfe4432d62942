"""N once-schedules due at the same instant: how late they start, how fast they are through.

    python -m bench.herd [100] [1,000] [10,000] ["10,000, two workers"]

They are created through GraphQL and do nothing, so what is measured is the engine: tick, claim,
start, finish, events. Beside it, in the same run and on the same server, the raw statements:
claim the schedules, insert the runs, start and finish them, a thousand rows each time, from one
connection and without the application: no events, no attempts, no versions, no counters.

Lateness is from the due instant to the entry into the handler. "runs/s" is from the due instant
until the last has finished. "busy" is the time in which the engine worked: preparing the runs
ahead of their instant, and executing them from it on; "% of raw" compares that with the raw
statements. Processor time is that of the whole herd, prepared and executed.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID, uuid4

from app.core.clock import elapsed_seconds, utc_now
from bench.figures import Row, medians, percentile, print_table
from bench.instance import Instance, running_instance
from bench.machine import print_header

ROWS = {
    "100": (100, 1),
    "1,000": (1_000, 1),
    "10,000": (10_000, 1),
    "10,000, two workers": (10_000, 2),
}
"""How many schedules, and how many workers."""

ROUNDS = 3
_WARM_UP = 100
_BATCH = 1_000
_PATIENCE_SECONDS = 120.0
# Until they are due: longer than a tick looks ahead, so that all it does is counted.
_QUIET_SECONDS = 6

_MOVE = """
UPDATE schedule
   SET next_run_at = $2, timings = jsonb_set(timings, '{0,once,at}', to_jsonb($3::text))
 WHERE job_id = $1
"""
_UNFINISHED = """
SELECT EXISTS (SELECT FROM run WHERE state IN ('QUEUED', 'RUNNING') AND schedule_id IS NOT NULL)
"""
_AGAIN = """
UPDATE schedule
   SET state = 'ACTIVE', cursor_at = now() - interval '2 seconds',
       next_run_at = now() - interval '1 second'
  FROM job
 WHERE job.id = schedule.job_id
   AND job.key = $1
"""
_RAW_FIRE = """
WITH due AS (
    SELECT id, project_id, job_id, next_run_at, version FROM schedule
     WHERE next_run_at <= now() ORDER BY next_run_at, id LIMIT $1
       FOR NO KEY UPDATE SKIP LOCKED
), fired AS (
    UPDATE schedule SET next_run_at = NULL, cursor_at = due.next_run_at, state = 'COMPLETED'
      FROM due WHERE schedule.id = due.id
)
SELECT id, project_id, job_id, next_run_at, version FROM due
"""
_RAW_INSERT = """
INSERT INTO run (
    id, project_id, job_id, schedule_id, schedule_version, state, cause, overlap, scheduled_for,
    due_at, next_attempt_at, parameters, tags, queue, priority, max_attempts, revision, attempt,
    crash_count, created_at)
SELECT id, project_id, job_id, schedule_id, version, 'QUEUED', 'SCHEDULE', 'SKIP', due_at,
       due_at, due_at, '{}', '{}', 'default', 0, 1, 1, 0, 0, now()
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::timestamptz[])
    AS planned (id, project_id, job_id, schedule_id, version, due_at)
"""
_RAW_START = """
UPDATE run SET state = 'RUNNING', attempt = 1, fencing_token = nextval('fencing_token'),
       lease_expires_at = now() + interval '15 seconds', started_at = now(), revision = 2
 WHERE id IN (SELECT id FROM run WHERE state = 'QUEUED' ORDER BY priority DESC, next_attempt_at
               LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, fencing_token
"""
_RAW_FINISH = """
UPDATE run SET state = 'SUCCEEDED', finished_at = now(), lease_expires_at = NULL, revision = 3
  FROM unnest($1::uuid[], $2::bigint[]) AS ended (id, fencing_token)
 WHERE run.id = ended.id AND run.fencing_token = ended.fencing_token
"""


def main() -> None:
    """Print a line for each row: those that are named, or all."""
    names = sys.argv[1:] or list(ROWS)
    if unknown := set(names) - ROWS.keys():
        sys.exit(f"There is no row {', '.join(sorted(unknown))}: {', '.join(ROWS)}")
    asyncio.run(_compare(names))


async def _compare(names: Sequence[str]) -> None:
    rows: list[Row] = []
    for name in names:
        rounds = await _rounds(*ROWS[name])
        rows.append([name, *medians(rounds).values()])
    print_table(["schedules", *rounds[0]], rows)
    print(
        f"\n  medians of {ROUNDS} rounds, after a small one to warm up, on an instance for each row"
    )


async def _rounds(size: int, workers: int) -> list[dict[str, float]]:
    async with running_instance(workers) as instance:
        await run_herd(instance, _WARM_UP, "warm-up")
        ours = [await run_herd(instance, size, f"herd-{number}") for number in range(ROUNDS)]
        # Their ticks would do the work before us.
        await instance.stop_workers()
        raw = [await _raw_seconds(instance, size, f"herd-{number}") for number in range(ROUNDS)]
    return [
        {
            **figures,
            "raw SQL runs/s": size / seconds,
            "% of raw": 100 * seconds * figures["runs/s busy"] / size,
        }
        for figures, seconds in zip(ours, raw, strict=True)
    ]


async def run_herd(instance: Instance, size: int, key: str) -> dict[str, float]:
    """Let so many schedules be due at one instant, wait for the last to end, and return figures."""
    job_id = await instance.create_job(key)
    due_at = await _create_herd(instance, job_id, size, key)
    job = UUID(job_id.partition("_")[2])
    before = instance.processor_seconds()
    await _until_all_ended(instance, job, due_at, size)
    after = instance.processor_seconds()
    lateness, finished_seconds, busy_seconds = await _read_history(instance, job, due_at)
    used = {name: after[name] - before[name] for name in before}
    stores = used.pop("postgres") + used.pop("redis")
    return {
        "p50 ms": percentile(lateness, 50) * 1e3,
        "p99 ms": percentile(lateness, 99) * 1e3,
        "max ms": max(lateness) * 1e3,
        "runs/s": size / finished_seconds,
        "CPU s": sum(used.values()) + stores,
        "of which stores": stores,
        "runs/s busy": size / busy_seconds,
    }


async def _create_herd(instance: Instance, job_id: str, size: int, key: str) -> datetime:
    """Create the schedules and return the instant at which they are all due.

    They are created for a later one, and moved when they are all there, however long that took.
    """
    timing = {"once": {"at": (utc_now() + timedelta(days=1)).isoformat()}}
    keys = [f"{key}-{number}" for number in range(size)]
    for start in range(0, size, _BATCH):
        await instance.create_schedules(job_id, keys[start : start + _BATCH], timing)
    due_at = utc_now().replace(microsecond=0) + timedelta(seconds=_QUIET_SECONDS)
    await instance.database.execute(
        _MOVE, UUID(job_id.partition("_")[2]), due_at, due_at.isoformat()
    )
    return due_at


async def _until_all_ended(instance: Instance, job: UUID, due_at: datetime, size: int) -> None:
    """Wait without being part of what is measured: the runs are counted when none is left."""
    await asyncio.sleep((due_at - utc_now()).total_seconds())
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await _all_ended(instance, job, size):  # noqa: ASYNC110 - a look that costs little
            await asyncio.sleep(0.25)


async def _all_ended(instance: Instance, job: UUID, size: int) -> bool:
    if await instance.database.fetchval(_UNFINISHED):
        return False
    ended = await instance.database.fetchval(
        "SELECT count(*) FROM run WHERE job_id = $1 AND state = 'SUCCEEDED'", job
    )
    return int(ended) >= size


async def _read_history(
    instance: Instance, job: UUID, due_at: datetime
) -> tuple[Sequence[float], float, float]:
    """Return each run's lateness, when the last had finished, and how long the engine worked.

    All in seconds, the second from the due instant on. Every run must have been started once.
    """
    rows = await instance.database.fetch(
        "SELECT extract(epoch FROM started_at - due_at)::float8 AS late, created_at, finished_at,"
        "       attempt"
        "  FROM run"
        " WHERE job_id = $1",
        job,
    )
    assert all(row["late"] >= 0 and row["attempt"] == 1 for row in rows)
    prepared = max(row["created_at"] for row in rows) - min(row["created_at"] for row in rows)
    executed = max(row["finished_at"] for row in rows) - due_at
    return (
        [row["late"] for row in rows],
        executed.total_seconds(),
        (prepared + executed).total_seconds(),
    )


async def _raw_seconds(instance: Instance, size: int, key: str) -> float:
    """Return how long the statements alone take for the schedules of a herd that has been."""
    await instance.database.execute("TRUNCATE run CASCADE")
    await instance.database.execute(_AGAIN, key)
    began = elapsed_seconds()
    for _ in range(ceil(size / _BATCH)):
        await _fire_raw(instance)
    for _ in range(ceil(size / _BATCH)):
        await _execute_raw(instance)
    took = elapsed_seconds() - began
    ended = await instance.database.fetchval("SELECT count(*) FROM run WHERE state = 'SUCCEEDED'")
    assert ended == size
    return took


async def _fire_raw(instance: Instance) -> None:
    async with instance.database.transaction():
        due = await instance.database.fetch(_RAW_FIRE, _BATCH)
        await instance.database.execute(
            _RAW_INSERT,
            [uuid4() for _ in due],
            [row["project_id"] for row in due],
            [row["job_id"] for row in due],
            [row["id"] for row in due],
            [row["version"] for row in due],
            [row["next_run_at"] for row in due],
        )


async def _execute_raw(instance: Instance) -> None:
    started = await instance.database.fetch(_RAW_START, _BATCH)
    await instance.database.execute(
        _RAW_FINISH, [row["id"] for row in started], [row["fencing_token"] for row in started]
    )


if __name__ == "__main__":
    print_header()
    main()
