"""The state of the whole instance."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import SchedulerState, ScheduleState, WorkerState
from app.models import Worker as WorkerRow
from app.schema.ids import to_id
from app.schema.types.common import Actor
from app.services.status import DependencyStatus, InstanceStatus, QueueStatus
from app.services.status import Lateness as LatenessValue


@strawberry.type(description="How late runs started.")
class Lateness:
    """Lateness."""

    p50: timedelta = strawberry.field(description="Half started sooner.")
    p99: timedelta = strawberry.field(description="All but one in a hundred started sooner.")
    max: timedelta = strawberry.field(description="The latest.")
    count: int = strawberry.field(description="Over how many runs.")

    @classmethod
    def of(cls, value: LatenessValue | None) -> "Lateness | None":
        """Return the public form."""
        if value is None:
            return None
        return cls(p50=value.p50, p99=value.p99, max=value.max, count=value.count)


@strawberry.type(
    description="What confines the processes that a worker's runs start. Limits of each process "
    "are always in force."
)
class Confinement:
    """The level in force."""

    commands: bool = strawberry.field(description="Whether commands are allowed there.")
    cgroup: bool = strawberry.field(
        description="Whether each run has a cgroup, which ends all its processes together."
    )
    controllers: list[str] = strawberry.field(
        description="What is limited for all processes of a run together: cpu, memory, pids."
    )
    user: str | None = strawberry.field(description="The account that commands run as.")

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "Confinement | None":
        """Return the public form."""
        return None if stored is None else cls(**stored)


@strawberry.type(description="A process that fires and executes.")
class Worker:
    """A worker."""

    id: strawberry.ID = strawberry.field(description="Opaque.")
    host: str = strawberry.field(description="The machine.")
    pid: int = strawberry.field(description="The process.")
    version: str = strawberry.field(description="Of Tickwheel.")
    state: WorkerState = strawberry.field(description="What it is doing.")
    queues: list[str] = strawberry.field(description="What it takes from; none named: everything.")
    slots: int = strawberry.field(description="How many runs it executes at once.")
    busy: int = strawberry.field(description="How many it executes now.")
    started_at: datetime = strawberry.field(description="When it started.")
    heartbeat_at: datetime = strawberry.field(description="Its last sign of life.")

    confinement: Confinement | None = strawberry.field(
        description="What confines the processes of its runs; null until it has said so."
    )

    @classmethod
    def of(cls, row: WorkerRow) -> "Worker":
        """Return the public form."""
        return cls(
            id=to_id(Kind.WORKER, row.id),
            host=row.host,
            pid=row.pid,
            version=row.version,
            state=row.state,
            queues=list(row.queues),
            slots=row.slots,
            busy=row.busy,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            confinement=Confinement.of(row.confinement),
        )


@strawberry.type(description="A named lane of runs.")
class Queue:
    """A queue."""

    name: str = strawberry.field(description="Its name, the same in every project.")
    paused: bool = strawberry.field(description="Whether none of its runs start.")
    limit: int | None = strawberry.field(
        description="How many of its runs may be under way at once."
    )
    depth: int = strawberry.field(description="How many runs wait and are due.")
    running: int = strawberry.field(description="How many are under way.")
    oldest_age: timedelta | None = strawberry.field(description="How long the oldest has waited.")
    throughput_per_minute: float = strawberry.field(
        description="How many of its runs ended a minute, over the last 5 minutes."
    )

    @classmethod
    def of(cls, value: QueueStatus) -> "Queue":
        """Return the public form."""
        return cls(
            name=value.name,
            paused=value.paused,
            limit=value.limit,
            depth=value.depth,
            running=value.running,
            oldest_age=value.oldest_age,
            throughput_per_minute=value.throughput_per_minute,
        )


@strawberry.type(description="Something the scheduler needs.")
class Dependency:
    """A dependency."""

    name: str = strawberry.field(description="Which one: postgresql or redis.")
    healthy: bool = strawberry.field(description="Whether it answers.")
    latency: timedelta | None = strawberry.field(description="How long one round trip took.")
    detail: str | None = strawberry.field(description="What is wrong.")

    @classmethod
    def of(cls, value: DependencyStatus) -> "Dependency":
        """Return the public form."""
        return cls(
            name=value.name, healthy=value.healthy, latency=value.latency, detail=value.detail
        )


@strawberry.type(description="The state of the whole instance at one instant.")
class SchedulerStatus:
    """The status."""

    state: SchedulerState = strawberry.field(description="Whether it fires and runs.")
    reason: str | None = strawberry.field(description="Why it is in this state.")
    changed_by: Actor | None = strawberry.field(description="Who put it there.")
    changed_at: datetime = strawberry.field(description="Since when.")
    version: int = strawberry.field(description="Counts changes of the state.")
    server_time: datetime = strawberry.field(description="PostgreSQL's clock.")
    uptime: timedelta = strawberry.field(
        description="How long the oldest of the present workers has been there."
    )
    last_tick_at: datetime | None = strawberry.field(description="When any worker last ticked.")
    tick_lag: timedelta | None = strawberry.field(description="How long ago that was.")
    healthy: bool = strawberry.field(description="Whether there are no problems.")
    problems: list[str] = strawberry.field(
        description="What is wrong with the instance, in words; `healthFindings` says more."
    )
    active_schedules: int = strawberry.field(description="How many fire.")
    overdue: int = strawberry.field(
        description="How many should have fired more than 10 seconds ago and have not; counted up "
        "to 10,000."
    )
    due_next_minute: int = strawberry.field(description="How many fire within a minute.")
    queued_runs: int = strawberry.field(
        description="How many runs wait: for their instant, a worker, or another run to end."
    )
    running_runs: int = strawberry.field(description="How many runs are under way.")
    oldest_queued_age: timedelta | None = strawberry.field(
        description="How long the oldest due run has waited."
    )
    runs_per_minute1: float = strawberry.field(
        name="runsPerMinute1", description="Over the last minute."
    )
    runs_per_minute5: float = strawberry.field(
        name="runsPerMinute5", description="Over the last 5 minutes."
    )
    runs_per_minute15: float = strawberry.field(
        name="runsPerMinute15", description="Over the last 15 minutes."
    )
    failures_per_minute5: float = strawberry.field(
        name="failuresPerMinute5", description="Over the last 5 minutes."
    )
    lateness: Lateness | None = strawberry.field(description="Of the last 15 minutes' runs.")
    workers: list[Worker] = strawberry.field(description="The workers.")
    queues: list[Queue] = strawberry.field(
        description="The queues that somebody controls, or that have work."
    )
    dependencies: list[Dependency] = strawberry.field(description="What it needs.")

    @classmethod
    def of(cls, status: InstanceStatus) -> "SchedulerStatus":
        """Return the public form."""
        return cls(
            state=status.state,
            reason=status.reason,
            changed_by=Actor.of(status.changed_by),
            changed_at=status.changed_at,
            version=status.version,
            server_time=status.server_time,
            uptime=status.uptime or timedelta(0),
            last_tick_at=status.last_tick_at,
            tick_lag=status.tick_lag,
            healthy=status.healthy,
            problems=list(status.problems),
            active_schedules=status.schedules[ScheduleState.ACTIVE],
            overdue=status.overdue,
            due_next_minute=status.due_next_minute,
            queued_runs=status.queued_runs,
            running_runs=status.running_runs,
            oldest_queued_age=status.oldest_queued_age,
            runs_per_minute1=status.runs_per_minute_1,
            runs_per_minute5=status.runs_per_minute_5,
            runs_per_minute15=status.runs_per_minute_15,
            failures_per_minute5=status.failures_per_minute_5,
            lateness=Lateness.of(status.lateness),
            workers=[Worker.of(row) for row in status.workers],
            queues=[Queue.of(queue) for queue in status.queues],
            dependencies=[Dependency.of(each) for each in status.dependencies],
        )
