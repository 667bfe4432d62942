"""What a subscriber is told, each message with the position to resume from.

A change is one object for all who are told the same of it, so what one of them has made of it (its
public form, its text) the others need not make again: `made` keeps that for as long as somebody
holds the message, and `made_for_batch` what serves all messages of its batch.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias
from uuid import UUID

from app.services.live.positions import Cursor
from app.services.live.topics import Row


@dataclass(frozen=True, slots=True)
class Started(Generic[Row]):
    """What there is: the newest rows, and whether there are more."""

    cursor: Cursor
    rows: Sequence[Row]
    has_more: bool


@dataclass(frozen=True, slots=True, eq=False)
class Changed(Generic[Row]):
    """A row as it is now; `coalesced`: how many earlier states of it were left out."""

    id: UUID
    cursor: Cursor
    row: Row
    change: str
    coalesced: int = 0
    made_for_batch: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Gone:
    """A row that no longer passes the filter, or is no more."""

    id: UUID
    cursor: Cursor
    coalesced: int = 0
    made_for_batch: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class StillHere:
    """Nothing happened, and the feed is alive."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class StartedAnew:
    """Drop what you know; a snapshot follows."""

    cursor: Cursor
    reason: str


Letter: TypeAlias = Changed[Row] | Gone
Message: TypeAlias = Started[Row] | Changed[Row] | Gone | StillHere | StartedAnew
