"""What a run that prints 100,000 lines a second costs the others, and its worker's memory.

Ten schedules are due each second, first on a quiet instance, then while a command prints. Lateness
is from the due instant to the entry into the handler; memory is the largest that was seen.
"""

import asyncio
import os
import pwd
import shutil
from datetime import datetime, timedelta

import psutil

from app.core.clock import utc_now
from bench.figures import Row, percentile, print_table
from bench.instance import Instance, running_instance

SECONDS = 30
SCHEDULES = 10
LINES_A_SECOND = 100_000
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 60.0
# A hundredth of a second's lines at a time, each about as long as lines of logs are.
_PRINTER = """
import sys, time
line = "%s a line of a log that nobody will ever read to its end\\n"
part = "".join(line % number for number in range({part}))
began, parts = time.monotonic(), 0
while time.monotonic() - began < {seconds}:
    sys.stdout.write(part)
    sys.stdout.flush()
    parts += 1
    time.sleep(max(0.0, began + parts / 100 - time.monotonic()))
sys.stderr.write("printed %d lines\\n" % (parts * {part}))
"""
_LOG = """query($id: ID!, $after: Cursor) { run(id: $id) { log(first: 1000, after: $after) {
    dropped pageInfo { hasNextPage endCursor } nodes { stream text } } } }"""


def main() -> None:
    """Print a line for the quiet and one for the chatty stretch."""
    asyncio.run(_measure())


async def _measure() -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    settings = {"TICKWHEEL_ALLOW_COMMANDS": "true", "TICKWHEEL_COMMAND_USER": user}
    async with running_instance(**settings) as instance:
        job_id = await instance.create_job("each-second")
        timing = {"cron": {"expression": "* * * * * *"}}
        keys = [f"each-second-{number}" for number in range(SCHEDULES)]
        end_at = utc_now() + timedelta(seconds=3 * SECONDS)
        await instance.create_schedules(job_id, keys, timing, endAt=end_at.isoformat())
        await asyncio.sleep(2)
        quiet = await _stretch(instance)
        run_id = await instance.trigger(await _printer(instance))
        chatty = await _stretch(instance)
        printed, kept, dropped = await _log(instance, run_id)
    rows: list[Row] = [["quiet", *quiet], ["chatty", *chatty]]
    print_table(["", "runs", "p50 ms", "p99 ms", "max ms", "worker MB"], rows)
    ratio, more = chatty[2] / quiet[2], chatty[4] - quiet[4]
    print(
        f"\n  {printed:,} lines printed ({printed / SECONDS:,.0f} a second); "
        f"{kept:,} kept, {dropped:,} dropped"
    )
    print(f"  p99 is {ratio:.2f} times the quiet one; the worker takes {more:+.1f} MB")


async def _printer(instance: Instance) -> str:
    script = _PRINTER.format(part=LINES_A_SECOND // 100, seconds=SECONDS)
    python = shutil.which("python3") or "python3"
    return await instance.create_command("printer", [python, "-c", script])


async def _stretch(instance: Instance) -> tuple[int, float, float, float, float]:
    """Return the number of runs that were due, their lateness, and the worker's memory."""
    worker, largest = psutil.Process(instance.pids["worker"]), 0.0
    began_at = await instance.database.fetchval("SELECT now()")
    for _ in range(int(SECONDS / _LOOK_SECONDS)):
        await asyncio.sleep(_LOOK_SECONDS)
        largest = max(largest, worker.memory_info().rss / 2**20)
    late = await _lateness(instance, began_at)
    p50, p99, most = (percentile(late, percent) * 1e3 for percent in (50, 99, 100))
    return len(late), p50, p99, most, largest


async def _lateness(instance: Instance, began_at: datetime) -> list[float]:
    rows = await instance.database.fetch(
        "SELECT extract(epoch FROM started_at - due_at)::float8 FROM run"
        " WHERE started_at IS NOT NULL AND schedule_id IS NOT NULL AND due_at >= $1"
        " AND finished_at IS NOT NULL",
        began_at,
    )
    return [late for (late,) in rows]


async def _log(instance: Instance, run_id: str) -> tuple[int, int, int]:
    """Return how many lines the printer says it has printed, and what became of them."""
    ended = "SELECT finished_at FROM run WHERE schedule_id IS NULL"
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await instance.database.fetchval(ended) is None:  # noqa: ASYNC110 - a look that costs little
            await asyncio.sleep(0.1)
    printed = kept = dropped = 0
    after = None
    while True:
        log = (await instance.ask(_LOG, id=run_id, after=after))["log"]
        for line in log["nodes"]:
            kept += line["stream"] == "stdout"
            if line["stream"] == "stderr":
                printed = int(line["text"].split()[1])
        after, dropped = log["pageInfo"]["endCursor"], log["dropped"]
        if not log["pageInfo"]["hasNextPage"]:
            return printed, kept, dropped
