"""Positions in the stream of events: snapshots of PostgreSQL, not sequence numbers.

Transactions commit out of order, so "every event up to number n" would lose those that commit
late. A snapshot says exactly which transactions were visible; what is visible in a later one and
not in an earlier one is precisely what happened between them.

A cursor is "everything visible in `before`, and the first `index` entries of the batch from
`before` to `after`". A batch can be recomputed from its two snapshots, so a cursor in the middle
of one is exact. A subscriber whose own snapshot lay inside a batch has a `floor`, too: whatever
that sees has been delivered as well.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from uuid import UUID

_SNAPSHOT = re.compile(r"(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)")
_MOST_TEXT = 20_000
_LARGEST_TRANSACTION_ID = 2**63 - 1


class BadPosition(ValueError):
    """A text that is no position of ours."""


@dataclass(frozen=True)
class Snapshot:
    """Which transactions had committed: PostgreSQL's `pg_snapshot`."""

    text: str

    @cached_property
    def _parts(self) -> tuple[int, int, frozenset[int]]:
        matched = _SNAPSHOT.fullmatch(self.text)
        if matched is None:
            raise BadPosition("not a snapshot")
        running = frozenset(int(part) for part in matched[3].split(",") if part)
        return int(matched[1]), int(matched[2]), running

    @property
    def lowest_running(self) -> int:
        """Return the oldest transaction that may be invisible: `xmin`."""
        return self._parts[0]

    @property
    def first_unassigned(self) -> int:
        """Return the first transaction that had not begun: `xmax`."""
        return self._parts[1]

    def sees(self, transaction_id: int) -> bool:
        """Return whether that transaction had committed (or had been rolled back)."""
        lowest, first_unassigned, running = self._parts
        if transaction_id < lowest:
            return True
        return transaction_id < first_unassigned and transaction_id not in running

    def covers(self, other: "Snapshot") -> bool:
        """Return whether everything `other` sees is seen here, too."""
        _, first_unassigned, running = self._parts
        if first_unassigned < other.first_unassigned:
            return False
        return not any(other.sees(transaction_id) for transaction_id in running)

    def check(self) -> "Snapshot":
        """Return this snapshot if PostgreSQL would accept it."""
        lowest, first_unassigned, running = self._parts
        in_order = 0 < lowest <= first_unassigned <= _LARGEST_TRANSACTION_ID
        listed = [int(part) for part in self.text.rpartition(":")[2].split(",") if part]
        within = all(lowest <= part < first_unassigned for part in running)
        if not in_order or not within or listed != sorted(running):
            raise BadPosition("not a snapshot that PostgreSQL could have made")
        return self


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a subscriber has come."""

    before: Snapshot
    after: Snapshot
    index: int
    # PostgreSQL's clock when `after` was taken: events are kept for a time, not for ever.
    at: datetime
    floor: Snapshot | None = None

    @classmethod
    def at_snapshot(cls, snapshot: Snapshot, at: datetime) -> "Cursor":
        """Return the position at which exactly what `snapshot` sees has been delivered."""
        return cls(snapshot, snapshot, 0, at)

    def encode(self) -> str:
        """Return the opaque text that clients send back."""
        milliseconds = int(self.at.timestamp() * 1000)
        after = "" if self.after == self.before else self.after.text
        floor = "" if self.floor is None else self.floor.text
        text = f"1/{self.before.text}/{after}/{self.index}/{milliseconds}/{floor}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Return the position, or raise `BadPosition`."""
        if len(text) > _MOST_TEXT:
            raise BadPosition("too long")
        try:
            plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            version, before, after, index, milliseconds, floor = plain.split("/")
            if version != "1":
                raise BadPosition("of another version")
            first = Snapshot(before).check()
            return cls(
                before=first,
                after=Snapshot(after).check() if after else first,
                index=int(index),
                at=datetime.fromtimestamp(int(milliseconds) / 1000, UTC),
                floor=Snapshot(floor).check() if floor else None,
            )
        except (Base64Error, ValueError, OverflowError, OSError) as error:
            raise BadPosition("not a position") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """One entity that one transaction changed."""

    transaction_id: int
    project_id: UUID
    subject: str
    change: str
    entity_id: UUID
    parent_id: UUID | None


@dataclass(frozen=True)
class Batch:
    """What became visible between two snapshots, in the order of the events' ids."""

    before: Snapshot
    after: Snapshot
    # PostgreSQL's clock at `after`.
    at: datetime
    entries: tuple[Entry, ...]

    @cached_property
    def end(self) -> Cursor:
        """Return the position behind all of it."""
        return Cursor.at_snapshot(self.after, self.at)

    def cursor(self, delivered: int, floor: Snapshot | None) -> Cursor:
        """Return the position behind the first `delivered` entries and all that `floor` sees."""
        if floor is not None and self.before.covers(floor):
            floor = None
        if delivered < len(self.entries):
            return Cursor(self.before, self.after, delivered, self.at, floor)
        if floor is not None and not self.after.covers(floor):
            return Cursor.at_snapshot(floor, self.at)
        return self.end
