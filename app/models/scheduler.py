"""The instance itself: its control state and its workers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Text, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import SchedulerState, WorkerState
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class SchedulerControl(SQLModel, table=True):
    """Whether the instance fires and runs; one row."""

    __tablename__ = "scheduler_state"
    __table_args__ = (CheckConstraint("id = 1", name="scheduler_state_is_one_row"),)

    id: int = Field(default=1, primary_key=True)
    state: SchedulerState = Field(
        default=SchedulerState.RUNNING, sa_type=word_type(SchedulerState, "scheduler_state_word")
    )
    reason: str | None = None
    changed_by: ActorRecord | None = Field(default=None, sa_type=Json)
    changed_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )
    version: int = 1


class Worker(SQLModel, table=True):
    """A process that fires and executes.

    Each writes its own row only, so heartbeats and ticks never wait for one another.
    """

    id: UUID = Field(default_factory=new_id, primary_key=True)
    host: str
    pid: int
    version: str
    state: WorkerState = Field(
        default=WorkerState.ONLINE, sa_type=word_type(WorkerState, "worker_state")
    )
    queues: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    slots: int
    busy: int = 0
    started_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )
    heartbeat_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )
    last_tick_at: datetime | None = Field(default=None, sa_type=Instant)
