"""The memory of a worker over many HTTP runs: does it grow with what it has done?

    python -m bench.http_memory [runs]

Runs are put into the queue in tenths by one statement each, so that nothing but the worker's own
work is between two readings. The first tenth fills caches and pools; what counts is what comes
after it. The comparison is within one run: the last reading against the first.
"""

import asyncio
import sys

import psutil

from bench.figures import Row, print_table
from bench.http import OPEN, create_http_job, queue_runs, until_ended
from bench.http_target import running_target
from bench.instance import Instance, running_instance

RUNS = 100_000
_PARTS = 10
_PATIENCE_SECONDS = 600.0


def main() -> None:
    """Print the memory after each tenth."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    asyncio.run(_measure(runs))


async def _measure(runs: int) -> None:
    part = runs // _PARTS
    readings: list[float] = []
    async with running_target() as origin, running_instance(**OPEN) as instance:
        await create_http_job(instance, origin)
        process = psutil.Process(instance.pids["worker"])
        for number in range(1, _PARTS + 1):
            await queue_runs(instance, part)
            await until_ended(instance, number * part, patience_seconds=_PATIENCE_SECONDS)
            readings.append(await _settled_megabytes(instance, process))
    rows: list[Row] = [[f"{(at + 1) * part:,}", mb] for at, mb in enumerate(readings)]
    print_table(["runs so far", "worker MB"], rows)
    growth = readings[-1] - readings[0]
    print(f"\n  from the first tenth to the last: {growth:+.1f} MB over {runs - part:,} runs")


async def _settled_megabytes(instance: Instance, process: psutil.Process) -> float:
    """Return the memory when nothing is under way."""
    query = "SELECT count(*) FROM run WHERE state IN ('QUEUED', 'RUNNING')"
    while await instance.database.fetchval(query):  # noqa: ASYNC110 - costs little
        await asyncio.sleep(0.1)
    return float(process.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
