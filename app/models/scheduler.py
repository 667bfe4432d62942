"""The instance itself: its control state, its halts, its queues and its workers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import ResumeChoice, SchedulerState, WorkerRequest, WorkerState
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
    # While it drains: when what still runs is given back. None: never, it is waited for.
    drain_until: datetime | None = Field(default=None, sa_type=Instant)
    # It was stopped by an emergency stop: the sweep cancels whatever that has not reached.
    is_emergency: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class Halt(SQLModel, table=True):
    """A time in which the instance did not fire: from a pause or a stop until the next change.

    Ticks account for it with the reason of its state. `missed` says what became of its
    occurrences and of those of the halts just before; None: each schedule's own catch-up.
    """

    __table_args__ = (Index("halt_ended", "ended_at"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    state: SchedulerState = Field(sa_type=word_type(SchedulerState, "halt_state"))
    began_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    missed: ResumeChoice | None = Field(
        default=None, sa_type=word_type(ResumeChoice, "halt_missed")
    )


class QueueControl(SQLModel, table=True):
    """What was said about a queue; one that nobody spoke about has no row and no limit.

    The rows are few and are never removed: a run that is held back belongs to one of them.
    """

    __tablename__ = "queue"
    __table_args__ = (CheckConstraint("concurrency_limit > 0", name="queue_concurrency"),)

    name: str = Field(primary_key=True, max_length=200)
    paused: bool = False
    concurrency_limit: int | None = None
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
    # What others ask of it; it reads this with its heartbeat.
    asked_to: WorkerRequest | None = Field(
        default=None, sa_type=word_type(WorkerRequest, "worker_asked_to")
    )
    # How long it lets running work finish when it drains; None: the usual time.
    drain_seconds: float | None = None
    # What confines the processes of its runs: `Confinement.as_json`.
    confinement: dict[str, Any] | None = Field(default=None, sa_type=Json)
