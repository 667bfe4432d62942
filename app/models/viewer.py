"""How callers want to see things."""

from sqlmodel import Field, SQLModel

from app.core.vocabulary import ActorKind
from app.models.columns import word_type


class ViewerPreference(SQLModel, table=True):
    """What one caller, a token or a person, has chosen; it is the same in every project."""

    __tablename__ = "viewer_preference"

    actor_kind: ActorKind = Field(
        sa_type=word_type(ActorKind, "viewer_actor_kind"), primary_key=True
    )
    actor_id: str = Field(primary_key=True)
    timezone: str = Field(max_length=100)
