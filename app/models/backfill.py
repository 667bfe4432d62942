"""Backfills: occurrences of a past range, run after all."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import BackfillState, OverlapPolicy
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class Backfill(SQLModel, table=True):
    """A range of a schedule's occurrences, and how far its runs are.

    Its runs are made a batch at a time, oldest occurrence first; three instants move through the
    range: up to `counted_at` the occurrences are counted, up to `cursor_at` the runs are made, up
    to `settled_at` every one of them has ended.
    """

    __table_args__ = (
        CheckConstraint("until_at >= from_at", name="backfill_range"),
        CheckConstraint("rate_per_minute > 0", name="backfill_rate"),
        CheckConstraint(
            "(state IN ('RUNNING', 'PAUSED')) = (finished_at IS NULL)", name="backfill_is_over"
        ),
        CheckConstraint(
            "finished_at IS NULL OR step_at IS NULL", name="backfill_over_is_left_alone"
        ),
        # What workers read: those that are to be carried on.
        Index("backfill_step", "step_at", "id", postgresql_where=text("step_at IS NOT NULL")),
        Index("backfill_list", "project_id", "id"),
        Index("backfill_of_schedule", "schedule_id", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID
    schedule_id: UUID = Field(foreign_key="schedule.id", ondelete="CASCADE")
    # The definition whose occurrences these are; a later edit does not change them.
    schedule_version: int
    state: BackfillState = Field(
        default=BackfillState.RUNNING, sa_type=word_type(BackfillState, "backfill_state")
    )
    # Why it stands or ended so, where nobody asked for it.
    message: str | None = None
    started_by: ActorRecord | None = Field(default=None, sa_type=Json)
    created_at: datetime = Field(sa_type=Instant)
    cancel_requested_at: datetime | None = Field(default=None, sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)
    revision: int = 1

    # Both ends inclusive.
    from_at: datetime = Field(sa_type=Instant)
    until_at: datetime = Field(sa_type=Instant)
    only_missing: bool = True
    overlap: OverlapPolicy = Field(sa_type=word_type(OverlapPolicy, "backfill_overlap"))
    rate_per_minute: int | None = None

    counted_at: datetime = Field(sa_type=Instant)
    cursor_at: datetime = Field(sa_type=Instant)
    settled_at: datetime = Field(sa_type=Instant)
    # How many occurrences up to `counted_at` are to run; when all runs are made, how many those
    # are.
    total: int = 0
    # How many runs there are, ended or not.
    made: int = 0
    # How many of those up to `settled_at` failed.
    failed: int = 0
    # With a rate: when its next run is due.
    next_due_at: datetime = Field(sa_type=Instant)
    # When a worker has to look at it again; null where none has to.
    step_at: datetime | None = Field(default=None, sa_type=Instant)
