"""Templates of schedules and jobs; the built-in ones are in the code."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.models.columns import ActorRecord, Instant, Json, new_id


class Template(SQLModel, table=True):
    """A project's own template. What was made from one does not change with it."""

    __table_args__ = (Index("template_key", "project_id", "key", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    name: str = Field(max_length=200)
    description: str | None = None
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    parameters_schema: dict[str, Any] | None = Field(default=None, sa_type=Json)
    # As core.templates reads it.
    defaults: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
