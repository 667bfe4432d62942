"""Idempotency keys: the first result of a request that may be repeated."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from app.models.columns import Instant


class IdempotencyRecord(SQLModel, table=True):
    """What a key was used for; it lives 24 hours."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("idempotency_at", "created_at"),)

    project_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=200)
    operation: str
    content_hash: str = Field(max_length=64)
    result_id: UUID
    created_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )
