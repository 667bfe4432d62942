"""Make the health monitor's round when it is due, and tell the log how the instance is."""

import asyncio
from datetime import timedelta

import structlog

from app.runtime import Runtime
from app.services.health.monitor import examine_when_due
from app.services.status import InstanceStatus, StatusReader
from app.worker.failures import note_failure

# So often in the time from one round to the next a worker asks whether it is due.
_LOOKS = 10
_log = structlog.get_logger(__name__)


async def monitor_health(runtime: Runtime) -> None:
    """Look until cancelled. Whoever makes a round also logs the figures: one line an instance."""
    status = StatusReader(runtime)
    every = timedelta(seconds=runtime.intervals.monitor_seconds)
    while True:
        await asyncio.sleep(every.total_seconds() / _LOOKS)
        try:
            if await examine_when_due(runtime, every=every) is not None:
                _log_figures(await status.read())
        except Exception as error:
            note_failure(_log, "health.failed", error)


def _log_figures(status: InstanceStatus) -> None:
    lateness = status.lateness
    _log.info(
        "instance.statistics",
        state=status.state.value,
        problems=status.problems,
        schedules={state.value: count for state, count in status.schedules.items() if count},
        overdue=status.overdue,
        queued=status.queued_runs,
        running=status.running_runs,
        oldest_queued_seconds=0.0
        if status.oldest_queued_age is None
        else status.oldest_queued_age.total_seconds(),
        runs_per_minute=[
            round(rate, 2)
            for rate in (
                status.runs_per_minute_1,
                status.runs_per_minute_5,
                status.runs_per_minute_15,
            )
        ],
        failures_per_minute=round(status.failures_per_minute_5, 2),
        lateness_p50=None if lateness is None else lateness.p50.total_seconds(),
        lateness_p99=None if lateness is None else lateness.p99.total_seconds(),
        workers=len(status.workers),
    )
