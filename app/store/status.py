"""What the instance is doing at this moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, func
from sqlmodel import col, select

from app.core.vocabulary import SchedulerState, ScheduleState, WorkerState
from app.models import SchedulerControl, Worker
from app.models.columns import ActorRecord
from app.store.database import ReadConnection

_LOST_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Control:
    """Whether the instance fires and runs."""

    state: SchedulerState
    reason: str | None
    changed_by: ActorRecord | None
    changed_at: datetime
    version: int
    is_emergency: bool


async def read_control(connection: ReadConnection) -> Control:
    """Return the control state."""
    row = (await connection.exec(select(SchedulerControl))).one()
    return Control(
        row.state, row.reason, row.changed_by, row.changed_at, row.version, row.is_emergency
    )


async def read_activity(connection: ReadConnection, *, lease_seconds: float) -> RowMapping:
    """Return the figures of `read_activity.sql`, all at one instant of PostgreSQL's clock."""
    result = await connection.run_file("read_activity", {"lease_seconds": lease_seconds})
    return result.mappings().one()


async def read_recent(connection: ReadConnection) -> RowMapping:
    """Return rates, and how late runs started, of the last 15 minutes; null without runs."""
    result = await connection.run_file("read_recent", {})
    return result.mappings().one()


async def count_schedules_by_state(connection: ReadConnection) -> dict[ScheduleState, int]:
    """Return how many schedules are in each state, those that are archived included."""
    result = await connection.run_file("count_schedules_by_state", {})
    counts = dict.fromkeys(ScheduleState, 0)
    for row in result:
        counts[ScheduleState(row.state)] += row.schedules
    return counts


async def read_queues(connection: ReadConnection, name: str | None = None) -> list[dict[str, Any]]:
    """Return each queue that is controlled, has work, or had some a moment ago; or one of them."""
    result = await connection.run_file("read_queues", {"name": name})
    return [dict(row) for row in result.mappings()]


async def read_workers(connection: ReadConnection, *, lease_seconds: float) -> list[Worker]:
    """Return the workers that are there, or were lost within the last day; newest first.

    One that has given no sign of life for two leases is lost, also when none is left to note that.
    """
    query = (
        select(Worker, col(Worker.heartbeat_at) < func.now() - timedelta(seconds=2 * lease_seconds))
        .where(
            col(Worker.state) != WorkerState.STOPPED,
            col(Worker.heartbeat_at) > func.now() - _LOST_FOR,
        )
        .order_by(col(Worker.id).desc())
        .limit(100)
    )
    rows = (await connection.execute(query)).all()
    for worker, is_lost in rows:
        if is_lost:
            # Of this reading only: the row is written by a sweep.
            worker.state = WorkerState.LOST
    return [worker for worker, _ in rows]
