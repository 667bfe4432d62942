"""What the instance is doing at this moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import col, select

from app.core.vocabulary import SchedulerState, WorkerState
from app.models import SchedulerControl, Worker
from app.models.columns import ActorRecord
from app.store.database import ReadConnection


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


async def read_activity(connection: ReadConnection) -> RowMapping:
    """Return the figures of `read_activity.sql`, all at one instant of PostgreSQL's clock."""
    result = await connection.run_file("read_activity", {})
    return result.mappings().one()


async def read_lateness(connection: ReadConnection, minutes: int) -> RowMapping:
    """Return percentiles of how late runs started in the last `minutes`; null without runs."""
    result = await connection.run_file("read_lateness", {"minutes": minutes})
    return result.mappings().one()


async def read_queues(connection: ReadConnection, name: str | None = None) -> list[dict[str, Any]]:
    """Return each queue that is controlled, has work, or had some a moment ago; or one of them."""
    result = await connection.run_file("read_queues", {"name": name})
    return [dict(row) for row in result.mappings()]


async def read_workers(connection: ReadConnection) -> list[Worker]:
    """Return the workers that are there, or were lost without a goodbye; newest first."""
    query = (
        select(Worker)
        .where(col(Worker.state) != WorkerState.STOPPED)
        .order_by(col(Worker.id).desc())
        .limit(100)
    )
    return list((await connection.exec(query)).all())
