"""The replay store of the live API."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, Identity, Index, Integer, Text, Uuid, text
from sqlmodel import Field, SQLModel

from app.models.columns import Instant, TransactionId


class Event(SQLModel, table=True):
    """What one transaction changed: ids and revisions, never state.

    `transaction_id` is what a position is made of: transactions commit out of order, so the
    identity alone would lose the one that commits late. The three arrays run in parallel;
    `parent_ids` holds the schedule of each run.
    """

    __table_args__ = (Index("event_transaction", "transaction_id", "id"), Index("event_at", "at"))

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    transaction_id: str | None = Field(
        default=None,
        sa_column=Column(
            TransactionId, server_default=text("pg_current_xact_id()"), nullable=False
        ),
    )
    project_id: UUID
    # RUN, SCHEDULE or JOB.
    subject: str = Field(sa_type=Text)
    # A ChangeKind for schedules, otherwise the kind of write.
    change: str = Field(sa_type=Text)
    entity_ids: list[UUID] = Field(sa_type=ARRAY(Uuid))
    revisions: list[int] = Field(sa_type=ARRAY(Integer))
    parent_ids: list[UUID | None] | None = Field(default=None, sa_type=ARRAY(Uuid))
    at: datetime = Field(sa_type=Instant, sa_column_kwargs={"server_default": text("now()")})
