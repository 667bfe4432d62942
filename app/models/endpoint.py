"""Endpoints: where HTTP jobs go, and the access tokens that workers share for them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.models.columns import ActorRecord, Instant, Json, new_id


class Endpoint(SQLModel, table=True):
    """A reusable target. Jobs refer to it by key; it refers to secrets by key."""

    __table_args__ = (Index("endpoint_key", "project_id", "key", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    key: str = Field(max_length=200)
    version: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    base_url: str
    headers: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    variables: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    # As handlers.http_endpoint reads it; credentials are references to secrets.
    auth: dict[str, Any] = Field(default_factory=dict, sa_type=Json)


class EndpointToken(SQLModel, table=True):
    """The access token an endpoint is asked with, sealed like a secret.

    `generation` is that of the endpoint and its secrets when the token was obtained.
    """

    __tablename__ = "endpoint_token"

    endpoint_id: UUID = Field(primary_key=True, foreign_key="endpoint.id", ondelete="CASCADE")
    generation: str
    key_id: str = Field(max_length=64)
    sealed: bytes = Field(sa_type=LargeBinary)
    obtained_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
