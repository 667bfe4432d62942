"""Schedules created through GraphQL, a thousand in each request.

Beside it, on the same server, the rows alone: as many, inserted in one statement, with their
counters and without versions, audit and events. "CPU" is the processor time of each schedule.
"""

import asyncio
from statistics import median

from app.core.clock import elapsed_seconds
from bench.figures import Row, print_table
from bench.instance import Instance, running_instance

ROUNDS = 5
_BATCH = 1_000

# Copies of a row that the API has written, under other ids and keys.
_RAW = """
WITH made AS (
    INSERT INTO schedule
    SELECT copied.*
      FROM schedule, generate_series(1, $2::integer) AS number,
           LATERAL jsonb_populate_record(schedule, jsonb_build_object(
               'id', uuidv7(), 'key', $1 || number)) AS copied
     WHERE schedule.key = 'first-0'
    RETURNING id
)
INSERT INTO schedule_counters
SELECT copied.*
  FROM made, schedule_counters AS counters,
       LATERAL jsonb_populate_record(counters, jsonb_build_object('schedule_id', made.id)) AS copied
 WHERE counters.schedule_id = (SELECT id FROM schedule WHERE key = 'first-0')
"""


def main() -> None:
    """Print one line."""
    asyncio.run(_compare())


async def _compare() -> None:
    async with running_instance() as instance:
        job_id = await instance.create_job("creation")
        await _created_seconds(instance, job_id, "first")
        before = instance.processor_seconds()
        created = [
            await _created_seconds(instance, job_id, f"round-{number}") for number in range(ROUNDS)
        ]
        after = instance.processor_seconds()
        inserted = [await _inserted_seconds(instance, f"raw-{number}-") for number in range(ROUNDS)]
    ours, raw = _BATCH / median(created), _BATCH / median(inserted)
    used = [1e6 * (after[name] - before[name]) / (ROUNDS * _BATCH) for name in ("api", "postgres")]
    rows: list[Row] = [["GraphQL", ours, 100 * ours / raw, *used], ["raw SQL", raw, 100.0, "", ""]]
    print_table(["", "schedules/s", "% of raw", "API CPU us", "PostgreSQL CPU us"], rows)
    print(f"\n  medians of {ROUNDS} rounds of {_BATCH:,}, after one to warm up")


async def _created_seconds(instance: Instance, job_id: str, prefix: str) -> float:
    keys = [f"{prefix}-{number}" for number in range(_BATCH)]
    timing = {"cron": {"expression": "0 0 1 1 *"}}
    began = elapsed_seconds()
    await instance.create_schedules(job_id, keys, timing, timezone="Europe/Berlin")
    return elapsed_seconds() - began


async def _inserted_seconds(instance: Instance, prefix: str) -> float:
    began = elapsed_seconds()
    await instance.database.execute(_RAW, prefix, _BATCH)
    return elapsed_seconds() - began
