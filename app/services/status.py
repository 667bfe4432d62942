"""The state of the whole instance, as one value."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from app.core.vocabulary import SchedulerState
from app.models import Worker
from app.models.columns import ActorRecord
from app.store.database import ReadConnection
from app.store.status import (
    read_activity,
    read_control,
    read_lateness,
    read_queues,
    read_workers,
)

_SILENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late runs started: percentiles, and over how many."""

    p50: timedelta
    p99: timedelta
    max: timedelta
    count: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue: what was said about it, and what it does."""

    name: str
    paused: bool
    limit: int | None
    depth: int
    running: int
    oldest_age: timedelta | None
    throughput_per_minute: float


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """The instance at one instant of PostgreSQL's clock."""

    state: SchedulerState
    reason: str | None
    changed_by: ActorRecord | None
    changed_at: datetime
    version: int
    server_time: datetime
    uptime: timedelta | None
    last_tick_at: datetime | None
    problems: list[str]
    active_schedules: int
    overdue: int
    due_next_minute: int
    queued_runs: int
    running_runs: int
    oldest_queued_age: timedelta | None
    runs_per_minute_1: float
    runs_per_minute_5: float
    runs_per_minute_15: float
    failures_per_minute_5: float
    lateness: Lateness | None
    workers: list[Worker]
    queues: list[QueueStatus]

    @property
    def tick_lag(self) -> timedelta | None:
        """Return how long ago any worker ticked."""
        return None if self.last_tick_at is None else self.server_time - self.last_tick_at

    @property
    def healthy(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


async def read_status(connection: ReadConnection) -> InstanceStatus:
    """Return the state of the whole instance."""
    control = await read_control(connection)
    activity = await read_activity(connection)
    recent = await read_lateness(connection, 15)
    return InstanceStatus(
        state=control.state,
        reason=control.reason,
        changed_by=control.changed_by,
        changed_at=control.changed_at,
        version=control.version,
        server_time=activity["server_time"],
        uptime=activity["uptime"],
        last_tick_at=activity["last_tick_at"],
        problems=_problems(activity, control.state),
        active_schedules=activity["active_schedules"],
        overdue=activity["overdue"],
        due_next_minute=activity["due_next_minute"],
        queued_runs=activity["queued_runs"],
        running_runs=activity["running_runs"],
        oldest_queued_age=activity["oldest_queued_age"],
        runs_per_minute_1=float(recent["ended_1"]),
        runs_per_minute_5=recent["ended_5"] / 5,
        runs_per_minute_15=recent["ended_15"] / 15,
        failures_per_minute_5=recent["failed_5"] / 5,
        lateness=_lateness(recent),
        workers=await read_workers(connection),
        queues=[_queue(row) for row in await read_queues(connection)],
    )


def _problems(activity: RowMapping, state: SchedulerState) -> list[str]:
    """Say what keeps schedules from firing or runs from starting, against everybody's will."""
    problems = []
    last_tick_at, now = activity["last_tick_at"], activity["server_time"]
    if activity["workers_online"] == 0:
        problems.append("No worker is online: nothing fires and nothing runs.")
    elif last_tick_at is None or now - last_tick_at > _SILENCE:
        problems.append("No worker has ticked for more than 10 seconds.")
    # While the instance is halted, schedules are overdue because somebody wants it so.
    if activity["overdue"] and state is SchedulerState.RUNNING:
        problems.append(f"{activity['overdue']} schedules are overdue by more than 10 seconds.")
    return problems


def _lateness(recent: RowMapping) -> Lateness | None:
    if not recent["lateness_count"]:
        return None
    return Lateness(
        p50=timedelta(seconds=float(recent["lateness_p50"])),
        p99=timedelta(seconds=float(recent["lateness_p99"])),
        max=timedelta(seconds=float(recent["lateness_max"])),
        count=recent["lateness_count"],
    )


def _queue(row: dict[str, Any]) -> QueueStatus:
    return QueueStatus(**row)
