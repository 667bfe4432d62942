"""Jobs: what to run."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import JobKind, OnWorkerLost
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class Job(SQLModel, table=True):
    """What to run: kind, configuration, parameters, limits."""

    __table_args__ = (
        CheckConstraint("timeout_seconds > 0", name="job_timeout"),
        CheckConstraint("concurrency_limit > 0", name="job_concurrency"),
        # A key may be used again once its job is archived; an id never.
        Index(
            "job_key",
            "project_id",
            "key",
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
        Index("job_list", "project_id", "id"),
        # What a search finds it by.
        Index(
            "job_words",
            text("words_in(key, name, description, tags)"),
            postgresql_using="gin",
        ),
        # Those that retention removes for good.
        Index("job_archived", "archived_at", postgresql_where=text("archived_at IS NOT NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    name: str = Field(max_length=200)
    description: str | None = None
    # Counts definitions: the edit lock. `revision` counts any change.
    version: int = 1
    revision: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    archived_at: datetime | None = Field(default=None, sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    kind: JobKind = Field(sa_type=word_type(JobKind, "job_kind"))
    config: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    parameters_schema: dict[str, Any] | None = Field(default=None, sa_type=Json)
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    queue: str = Field(default="default", max_length=200)
    priority: int = 0
    timeout_seconds: float = 3600.0
    concurrency_limit: int | None = None
    # The fields of core.retry.RetryPolicy.
    retry: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    on_worker_lost: OnWorkerLost = Field(
        default=OnWorkerLost.RETRY, sa_type=word_type(OnWorkerLost, "job_on_worker_lost")
    )
    tags: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    # Whether chains lead on from it: the end of a run looks for them only then.
    has_chains: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
