"""Secrets: values that only workers read."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.models.columns import ActorRecord, Instant, Json, new_id


class Secret(SQLModel, table=True):
    """A sealed value. `sealed` opens with the key `key_id`, and as this project's key only."""

    __table_args__ = (Index("secret_key", "project_id", "key", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    key_id: str = Field(max_length=64)
    sealed: bytes = Field(sa_type=LargeBinary)
