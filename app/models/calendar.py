"""Calendars: named days that exclude or move occurrences."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.models.columns import ActorRecord, Instant, Json, new_id


class Calendar(SQLModel, table=True):
    """A named set of days. Schedules refer to it by id in `schedule.calendar_ids`."""

    __table_args__ = (Index("calendar_key", "project_id", "key", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    name: str = Field(max_length=200)
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    # As core.time.calendar_from_json reads them.
    dates: list[str] = Field(default_factory=list, sa_type=Json)
    rules: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
