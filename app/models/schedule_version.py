"""The history of schedules: what each was, from when on, by whom and why."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.core.vocabulary import ChangeKind
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class ScheduleVersion(SQLModel, table=True):
    """A schedule as one change left it; in force from `at` until the next one.

    `version` counts definitions: a pause writes a row with the version it found. `sequence` counts
    the rows of a schedule without gaps, in the order in which they were committed.
    """

    __tablename__ = "schedule_version"
    __table_args__ = (
        # `at` never decreases along `sequence`: the row in force is found by walking back.
        Index(
            "schedule_version_sequence",
            "schedule_id",
            "sequence",
            unique=True,
            postgresql_include=["at", "version"],
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    schedule_id: UUID = Field(foreign_key="schedule.id", ondelete="CASCADE")
    sequence: int
    version: int
    at: datetime = Field(sa_type=Instant)
    by: ActorRecord | None = Field(default=None, sa_type=Json)
    change: ChangeKind = Field(sa_type=word_type(ChangeKind, "schedule_version_change"))
    comment: str | None = None
    # A list of {path, before, after}: what differs from the row before.
    diff: list[dict[str, Any]] = Field(sa_type=Json)
    # The schedule's columns, without those that a tick moves.
    snapshot: dict[str, Any] = Field(sa_type=Json)
