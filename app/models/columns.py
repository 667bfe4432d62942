"""Column types every table shares, so that an instant or a word is stored one way only."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Enum
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType
from typing_extensions import TypedDict
from uuid_utils.compat import uuid7

Instant = DateTime(timezone=True)
Json = JSONB(none_as_null=True)


class ActorRecord(TypedDict):
    """Who did something, as stored beside what was done."""

    kind: str
    id: str | None
    name: str


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`: the id of the writing transaction, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the name PostgreSQL knows it by."""
        return "xid8"


class _Words(Enum):
    """Reads a word by one look into a table; SQLAlchemy's own takes two calls a value."""

    cache_ok = True

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        """Return what turns a stored word into its member."""
        members = {member.value: member for member in self.enum_class or ()}
        return {None: None, **members}.__getitem__


def word_type(words: type[StrEnum], name: str) -> Enum:
    """Return a text column limited by a check constraint to the words of an enumeration."""
    return _Words(
        words,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def new_id() -> UUID:
    """Return a new version 7 UUID: ordered by time, so that inserts stay local in the index."""
    return uuid7()


def lowest_id(at: datetime) -> UUID:
    """Return what lies below every id that was made from this millisecond on."""
    milliseconds = max(0, int(at.timestamp() * 1000))
    return UUID(int=milliseconds << 80)
