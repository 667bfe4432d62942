"""The state of the whole instance, as one value.

Every look asks PostgreSQL. Looks that are made at the same time share one, so that a thousand
subscribers cost what one does; and a figure that is dear (rates over 15 minutes of a busy
instance, a count of a million schedules) is read again only after twenty times as long as it took.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from redis.exceptions import RedisError
from sqlalchemy import RowMapping

from app.core.clock import elapsed_seconds
from app.core.health import InstanceFacts, judge_instance
from app.core.vocabulary import SchedulerState, ScheduleState
from app.models import Worker
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.store.database import ReadConnection
from app.store.health import read_clock, read_instance_facts
from app.store.status import (
    Control,
    count_schedules_by_state,
    read_activity,
    read_control,
    read_queues,
    read_recent,
    read_workers,
)

# A figure that took less is read every time.
_CHEAP_SECONDS = 0.01
_REST = 20.0
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late runs started: percentiles, and over how many."""

    p50: timedelta
    p99: timedelta
    max: timedelta
    count: int

    @classmethod
    def of(cls, row: RowMapping) -> "Lateness | None":
        """Return what the columns `lateness_*`, in seconds, say; None over no runs."""
        if not row["lateness_count"]:
            return None
        return cls(
            p50=timedelta(seconds=float(row["lateness_p50"])),
            p99=timedelta(seconds=float(row["lateness_p99"])),
            max=timedelta(seconds=float(row["lateness_max"])),
            count=row["lateness_count"],
        )


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
class DependencyStatus:
    """How something that the instance needs does; `latency` is one round trip."""

    name: str
    healthy: bool
    latency: timedelta | None = None
    detail: str | None = None


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
    schedules: dict[ScheduleState, int]
    overdue: int
    due_now: int
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
    dependencies: list[DependencyStatus]

    @property
    def tick_lag(self) -> timedelta | None:
        """Return how long ago any worker ticked."""
        return None if self.last_tick_at is None else self.server_time - self.last_tick_at

    @property
    def healthy(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


class _Remembered(Generic[Value]):
    """A figure, and when it may be read again."""

    def __init__(self, read: Callable[[ReadConnection], Awaitable[Value]]) -> None:
        self._read = read
        self._value: Value
        self._good_until = 0.0

    async def get(self, connection: ReadConnection) -> Value:
        began_at = elapsed_seconds()
        if began_at >= self._good_until:
            self._value = await self._read(connection)
            took = elapsed_seconds() - began_at
            rest = 0.0 if took < _CHEAP_SECONDS else took * _REST
            self._good_until = elapsed_seconds() + rest
        return self._value


class StatusReader:
    """Reads the status for everybody in this process who asks."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reading = asyncio.Lock()
        self._began_at = -1.0
        self._status: InstanceStatus
        self._recent = _Remembered(read_recent)
        self._schedules = _Remembered(count_schedules_by_state)

    async def read(self) -> InstanceStatus:
        """Return the status as it was at some instant after the call."""
        asked_at = elapsed_seconds()
        async with self._reading:
            if self._began_at < asked_at:
                began_at = elapsed_seconds()
                self._status = await self._read()
                self._began_at = began_at
            return self._status

    async def _read(self) -> InstanceStatus:
        redis = asyncio.create_task(self._ask_redis())
        try:
            async with self._runtime.database.reading(None) as connection:
                postgres = await _ask_postgres(connection)
                lease_seconds = self._runtime.intervals.lease_seconds
                facts = await read_instance_facts(connection, lease_seconds=lease_seconds)
                control = await read_control(connection)
                activity = await read_activity(connection, lease_seconds=lease_seconds)
                recent = await self._recent.get(connection)
                schedules = await self._schedules.get(connection)
                workers = await read_workers(connection, lease_seconds=lease_seconds)
                queues = [QueueStatus(**row) for row in await read_queues(connection)]
            return _status(
                control,
                facts,
                activity,
                recent,
                schedules=schedules,
                workers=workers,
                queues=queues,
                dependencies=[postgres, await redis],
            )
        finally:
            redis.cancel()

    async def _ask_redis(self) -> DependencyStatus:
        began_at = elapsed_seconds()
        try:
            await self._runtime.redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            detail = (
                f"Away ({type(error).__name__}): runs start and messages arrive a little later."
            )
            return DependencyStatus("redis", healthy=False, detail=detail)
        return DependencyStatus("redis", healthy=True, latency=_since(began_at))


async def _ask_postgres(connection: ReadConnection) -> DependencyStatus:
    # The first statement begins the transaction, too; the second is one round trip.
    await read_clock(connection)
    began_at = elapsed_seconds()
    await read_clock(connection)
    return DependencyStatus("postgresql", healthy=True, latency=_since(began_at))


def _since(began_at: float) -> timedelta:
    return timedelta(seconds=elapsed_seconds() - began_at)


def _status(
    control: Control,
    facts: InstanceFacts,
    activity: RowMapping,
    recent: RowMapping,
    *,
    schedules: dict[ScheduleState, int],
    workers: list[Worker],
    queues: list[QueueStatus],
    dependencies: list[DependencyStatus],
) -> InstanceStatus:
    problems = [observation.message for observation in judge_instance(facts)]
    problems += [
        f"{each.name}: {each.detail}" for each in dependencies if each.detail and not each.healthy
    ]
    return InstanceStatus(
        state=control.state,
        reason=control.reason,
        changed_by=control.changed_by,
        changed_at=control.changed_at,
        version=control.version,
        server_time=facts.as_of,
        uptime=activity["uptime"],
        last_tick_at=facts.last_tick_at,
        problems=problems,
        schedules=schedules,
        overdue=facts.overdue,
        due_now=activity["due_now"],
        due_next_minute=activity["due_next_minute"],
        queued_runs=activity["queued_runs"],
        running_runs=activity["running_runs"],
        oldest_queued_age=activity["oldest_queued_age"],
        runs_per_minute_1=float(recent["ended_1"]),
        runs_per_minute_5=recent["ended_5"] / 5,
        runs_per_minute_15=recent["ended_15"] / 15,
        failures_per_minute_5=recent["failed_5"] / 5,
        lateness=Lateness.of(recent),
        workers=workers,
        queues=queues,
        dependencies=dependencies,
    )
