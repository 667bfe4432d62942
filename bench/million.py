"""A million registered schedules: what they cost while idle, and what they cost a herd.

    python -m bench.million [schedules]

On one server: an empty instance; herds of 10,000; then, with a million more registered that are not
due, a tick that finds nothing, three minutes in each of which a hundred are due at its beginning,
and herds of 10,000 again. Processor time is that of the whole tree: API, worker, PostgreSQL, Redis.
"""

import asyncio
import sys
from collections.abc import Sequence
from statistics import median
from uuid import UUID

from app.config import Settings
from app.core.clock import elapsed_seconds, utc_now
from app.runtime import Runtime, open_runtime
from app.services.firing import fire_due
from bench.figures import Row, medians, percentile, print_table
from bench.herd import run_herd
from bench.instance import Instance, running_instance
from bench.machine import print_header
from bench.seeding import seed_schedules

ROUNDS = 3
_HERD = 10_000
_DUE_A_MINUTE = 100
_EMPTY_SECONDS = 15.0
_TICKS = 50
_MINUTE = 60.0
_DAY_SECONDS = 86_400


def main() -> None:
    """Print what an empty instance and a million schedules cost."""
    asyncio.run(_measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))


async def _measure(schedules: int) -> None:
    async with running_instance() as instance:
        empty = [await _idle_cost(instance, _EMPTY_SECONDS) for _ in range(ROUNDS)]
        few = [await run_herd(instance, _HERD, f"few-{number}") for number in range(ROUNDS)]
        settings = Settings(database_url=instance.database_url, redis_url=instance.redis_url)
        async with open_runtime(settings) as runtime:
            await seed_schedules(runtime, schedules, first_due_seconds=_DAY_SECONDS)
            await _settle(instance)
            ticks = [await _tick_seconds(runtime) for _ in range(_TICKS)]
        busy, lateness = await _minutes(instance)
        many = [await run_herd(instance, _HERD, f"many-{number}") for number in range(ROUNDS)]
    _print(schedules, empty, ticks, busy, lateness)
    _print_herds(schedules, medians(few), medians(many))


async def _settle(instance: Instance) -> None:
    """Do now what PostgreSQL would do in the next minutes, because so much was written at once."""
    for table in ("schedule", "schedule_counters", "run"):
        await instance.database.execute(f"VACUUM (ANALYZE) {table}")
    await instance.database.execute("CHECKPOINT")


async def _idle_cost(instance: Instance, seconds: float) -> float:
    """Return the processor seconds a minute that the instance uses meanwhile."""
    before = sum(instance.processor_seconds().values())
    await asyncio.sleep(seconds)
    return (sum(instance.processor_seconds().values()) - before) * _MINUTE / seconds


async def _tick_seconds(runtime: Runtime) -> float:
    began = elapsed_seconds()
    fired = await fire_due(runtime)
    assert fired.schedules == 0
    return elapsed_seconds() - began


async def _minutes(instance: Instance) -> tuple[list[float], list[float]]:
    """Return what three minutes cost, and how late each of their runs started, in seconds."""
    job_id = await instance.create_job("minute")
    keys = [f"minute-{number}" for number in range(_DUE_A_MINUTE)]
    timing = {"cron": {"expression": "* * * * *"}}
    await instance.create_schedules(job_id, keys, timing)
    # From half a minute to the next, so that each holds one whole herd.
    now = utc_now()
    await asyncio.sleep((90 - now.second - now.microsecond / 1e6) % _MINUTE)
    began = utc_now()
    costs = [await _idle_cost(instance, _MINUTE) for _ in range(ROUNDS)]
    rows = await instance.database.fetch(
        "SELECT extract(epoch FROM started_at - due_at)::float8 FROM run"
        " WHERE job_id = $1 AND due_at > $2 AND state = 'SUCCEEDED'",
        UUID(job_id.partition("_")[2]),
        began,
    )
    assert len(rows) == ROUNDS * _DUE_A_MINUTE, len(rows)
    await instance.database.execute(
        "UPDATE schedule SET state = 'PAUSED', next_run_at = NULL WHERE job_id = $1",
        UUID(job_id.partition("_")[2]),
    )
    return costs, [late for (late,) in rows]


def _print(
    schedules: int,
    empty: Sequence[float],
    ticks: Sequence[float],
    busy: Sequence[float],
    lateness: Sequence[float],
) -> None:
    rows: list[Row] = [
        ["empty", median(empty), "", "", ""],
        [
            f"{schedules:,}, {_DUE_A_MINUTE} due a minute",
            median(busy),
            median(busy) - median(empty),
            median(ticks) * 1e3,
            percentile(lateness, 99) * 1e3,
        ],
    ]
    print_table(["registered", "CPU s a minute", "more than empty", "idle tick ms", "p99 ms"], rows)
    print(f"\n  medians of {ROUNDS} stretches, and of {_TICKS} ticks\n")


def _print_herds(schedules: int, few: dict[str, float], many: dict[str, float]) -> None:
    rows: list[Row] = [
        [f"{_HERD:,} alone", *few.values(), 1.0],
        [f"{_HERD:,} of {schedules:,}", *many.values(), many["p99 ms"] / few["p99 ms"]],
    ]
    print_table(["due at one instant", *few, "p99 ratio"], rows)
    print(f"\n  medians of {ROUNDS} rounds on the same server")


if __name__ == "__main__":
    print_header()
    main()
