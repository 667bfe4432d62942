"""One schedule that is due each second: how late its runs start on a machine that does little else.

Lateness is from the due instant to the entry into the handler.
"""

import asyncio
from datetime import timedelta

from app.core.clock import utc_now
from bench.figures import percentile, print_table
from bench.instance import Instance, running_instance

SECONDS = 30
_PATIENCE_SECONDS = 30.0


def main() -> None:
    """Print one line."""
    lateness = asyncio.run(_measure())
    figures = [percentile(lateness, percent) * 1e3 for percent in (50, 99, 100)]
    print_table(["runs", "p50 ms", "p99 ms", "max ms"], [[f"{len(lateness)}", *figures]])


async def _measure() -> list[float]:
    async with running_instance() as instance:
        job_id = await instance.create_job("each-second")
        timing = {"cron": {"expression": "* * * * * *"}}
        end_at = utc_now() + timedelta(seconds=SECONDS)
        await instance.create_schedules(
            job_id, ["each-second"], timing, endAt=end_at.isoformat(), overlap="ALLOW"
        )
        await asyncio.sleep(SECONDS)
        return await _lateness(instance)


async def _lateness(instance: Instance) -> list[float]:
    """Return each run's lateness in seconds, once all have ended."""
    unfinished = "SELECT count(*) FROM run WHERE finished_at IS NULL"
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await instance.database.fetchval(unfinished):  # noqa: ASYNC110 - a look that costs little
            await asyncio.sleep(0.05)
    rows = await instance.database.fetch(
        "SELECT extract(epoch FROM started_at - due_at)::float8 FROM run"
        " WHERE started_at IS NOT NULL"
    )
    return [late for (late,) in rows]
