"""What somebody decided about single occurrences."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import OccurrenceAction
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class OccurrenceOverride(SQLModel, table=True):
    """One occurrence skipped, moved or added; `at` is its key, whatever it is moved to.

    While it stands, the tick leaves `at` to it: a record is written when `fires_at` comes, and
    then it is settled.
    """

    __tablename__ = "occurrence_override"
    __table_args__ = (
        CheckConstraint("(action = 'MOVE') = (move_to IS NOT NULL)", name="override_move"),
        Index(
            "occurrence_override_at",
            "schedule_id",
            "at",
            unique=True,
            postgresql_where=text("undone_at IS NULL"),
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    schedule_id: UUID = Field(foreign_key="schedule.id", ondelete="CASCADE")
    at: datetime = Field(sa_type=Instant)
    action: OccurrenceAction = Field(sa_type=word_type(OccurrenceAction, "override_action"))
    move_to: datetime | None = Field(default=None, sa_type=Instant)
    # When its record is due: where it is moved to, or `at` itself.
    fires_at: datetime = Field(sa_type=Instant)
    reason: str
    by: ActorRecord | None = Field(default=None, sa_type=Json)
    created_at: datetime = Field(sa_type=Instant)
    settled_at: datetime | None = Field(default=None, sa_type=Instant)
    # The schedule was changed and has no such occurrence any more.
    orphaned: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    undone_at: datetime | None = Field(default=None, sa_type=Instant)
    undone_by: ActorRecord | None = Field(default=None, sa_type=Json)
