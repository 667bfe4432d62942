"""Who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from app.models.columns import ActorRecord, Instant, Json, new_id


class AuditEntry(SQLModel, table=True):
    """One accepted mutation or automatic change, in its transaction; a trigger forbids edits."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_list", "project_id", "id"),
        Index("audit_of_subject", "subject_id", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    at: datetime = Field(sa_type=Instant, sa_column_kwargs={"server_default": text("now()")})
    project_id: UUID | None = None
    actor: ActorRecord | None = Field(default=None, sa_type=Json)
    action: str
    subject_kind: str
    subject_id: UUID | None = None
    summary: str
    # A list of {path, before, after}.
    changes: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)
    request_id: str | None = None
    address: str | None = None
