"""Projects, and the tokens that open them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, LargeBinary, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import Role
from app.models.columns import Instant, Json, new_id, word_type


class Project(SQLModel, table=True):
    """The tenant: owns jobs, schedules, runs and tokens."""

    __table_args__ = (CheckConstraint("retention_seconds > 0", name="project_retention"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    key: str = Field(unique=True, max_length=200)
    name: str = Field(max_length=200)
    version: int = 1
    # Defaults of its jobs and schedules; a missing entry means the instance's setting.
    defaults: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    retention_seconds: int = 90 * 86_400
    # Whether its commands may be shell lines, where the instance allows any.
    shell_allowed: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )


class ApiToken(SQLModel, table=True):
    """A bearer token. Only the SHA-256 of its secret is kept."""

    __tablename__ = "api_token"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    # Without a project: instance admin.
    project_id: UUID | None = Field(default=None, foreign_key="project.id")
    name: str = Field(max_length=200)
    role: Role = Field(sa_type=word_type(Role, "api_token_role"))
    secret_hash: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(
        sa_type=Instant, sa_column_kwargs={"server_default": text("now()")}
    )
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    last_used_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)
