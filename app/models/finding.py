"""What the watchdogs and the health monitor have found, and how far the monitor has come."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, Uuid, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import FindingCode, Severity
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class HealthFinding(SQLModel, table=True):
    """Something that was wrong with the instance or a schedule, from its opening to its end.

    However many look at the same time, one is open for each code and subject: the index says so.
    """

    __tablename__ = "health_finding"
    __table_args__ = (
        Index(
            "health_finding_open",
            "code",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("health_finding_list", "project_id", "id"),
        Index("health_finding_of_schedule", "schedule_id"),
        Index(
            "health_finding_resolved",
            "resolved_at",
            postgresql_where=text("resolved_at IS NOT NULL"),
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    # None: it concerns the whole instance.
    project_id: UUID | None = Field(default=None, foreign_key="project.id")
    code: FindingCode = Field(sa_type=word_type(FindingCode, "health_finding_code"))
    # Tells it from others of its code: the schedule's id, a host, or nothing.
    subject: str = Field(sa_type=Text)
    severity: Severity = Field(sa_type=word_type(Severity, "health_finding_severity"))
    schedule_id: UUID | None = Field(
        default=None, sa_type=Uuid, sa_column_args=(ForeignKey("schedule.id", ondelete="CASCADE"),)
    )
    message: str = Field(sa_type=Text)
    # When the condition began; opened_at is when it was noticed.
    since: datetime = Field(sa_type=Instant)
    opened_at: datetime = Field(sa_type=Instant)
    # When it was last seen to hold, where nobody else could see that it does not.
    seen_at: datetime = Field(sa_type=Instant)
    resolved_at: datetime | None = Field(default=None, sa_type=Instant)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)
    acknowledged_by: ActorRecord | None = Field(default=None, sa_type=Json)
    note: str | None = Field(default=None, sa_type=Text)
    revision: int = 1


class HealthRound(SQLModel, table=True):
    """The health monitor's rounds; one row. Whoever renews `began_at` makes the round."""

    __tablename__ = "health_round"
    __table_args__ = (CheckConstraint("id = 1", name="health_round_is_one_row"),)

    id: int = Field(default=1, primary_key=True)
    began_at: datetime = Field(sa_type=Instant)
    # Runs that ended before this have been looked at.
    examined_until: datetime = Field(sa_type=Instant)
    # Schedules up to this one have been looked at in the present pass over all of them.
    reached_id: UUID | None = None
