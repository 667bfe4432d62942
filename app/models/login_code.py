"""What a one-time link carries."""

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field, SQLModel

from app.models.columns import Instant


class LoginCode(SQLModel, table=True):
    """A code that opens one browser session, once. Only its SHA-256 is kept."""

    __tablename__ = "login_code"

    code_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    expires_at: datetime = Field(sa_type=Instant)
