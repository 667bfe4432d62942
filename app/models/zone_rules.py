"""Which version of the time zone rules the stored next instants follow."""

from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel


class ZoneRulesInForce(SQLModel, table=True):
    """The version of tzdata, and how far a change to it has come; one row.

    A row of its own, so that a long change never waits for, nor holds up, who reads the control
    state.
    """

    __tablename__ = "zone_rules"
    __table_args__ = (CheckConstraint("id = 1", name="zone_rules_is_one_row"),)

    id: int = Field(default=1, primary_key=True)
    # Null until the first worker has started.
    version: str | None = Field(default=None, max_length=32)
    # While next instants are being recomputed: which schedule came last, and how many moved.
    reached_id: UUID | None = None
    is_complete: bool = True
    moved_count: int = 0
