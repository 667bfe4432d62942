"""Chains: which job runs after which."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from app.core.vocabulary import ChainOn
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class Chain(SQLModel, table=True):
    """When a run of a job ends so, a run of its target starts; one for each item of a fan-out."""

    __table_args__ = (
        CheckConstraint("job_id <> target_id", name="chain_leads_on"),
        CheckConstraint("(fan_out IS NULL) = (fan_out_limit IS NULL)", name="chain_fan_out"),
        CheckConstraint("fan_out_limit > 0", name="chain_limit"),
        # One chain between two jobs: to put it again is to change it.
        Index("chain_of_job", "job_id", "target_id", unique=True),
        Index("chain_to_job", "target_id"),
        Index("chain_list", "project_id", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    job_id: UUID = Field(foreign_key="job.id")
    target_id: UUID = Field(foreign_key="job.id")
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    # `on` is a word of SQL.
    after: ChainOn = Field(default=ChainOn.SUCCEEDED, sa_type=word_type(ChainOn, "chain_after"))
    # Texts in it are templates over the run that has ended.
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    # Where in the result the list lies, as handlers.json_path reads it; null: one run.
    fan_out: str | None = None
    fan_out_limit: int | None = None
