"""Who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, text
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


class UnsealedEntry(SQLModel, table=True):
    """An entry that the chain does not hold yet. A trigger writes it with the entry itself.

    Entries are sealed after they were committed, whatever the order they were written in: a chain
    inside their transactions would let one mutation wait for the other.
    """

    __tablename__ = "audit_unsealed"

    audit_id: UUID = Field(primary_key=True)


class AuditSeal(SQLModel, table=True):
    """A link of the chain (`core/audit_chain.py`); append-only, like what it seals."""

    __tablename__ = "audit_seal"

    position: int = Field(
        sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False}
    )
    audit_id: UUID = Field(unique=True)
    seal: bytes = Field(sa_type=LargeBinary)
    sealed_at: datetime = Field(sa_type=Instant, sa_column_kwargs={"server_default": text("now()")})
