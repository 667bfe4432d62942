"""What waits for one subscriber: at most one message an entity, the newest.

A slow client costs a bounded amount of memory. Newer rows of an entity replace older ones (and
are counted), so its last state always arrives; entities leave in the order of their last change,
which keeps the cursor of every message exact. When too many different entities wait, everything is
dropped and the subscriber starts anew from a snapshot.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic
from uuid import UUID

from app.services.live.positions import Batch, Cursor, Entry, Snapshot
from app.services.live.topics import Row, Topic

MOST_WAITING = 5_000
_MOST_REMEMBERED = 10_000


class Overflowed(Exception):
    """More waits than a subscriber may leave lying."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[Row]):
    """A batch as one feed sees it: the entries that concern it and the rows that pass its filter.

    Shared by all subscribers of the feed.
    """

    batch: Batch
    concerned: Sequence[tuple[int, Entry]]
    rows: dict[UUID, Row]


@dataclass(frozen=True, slots=True)
class Letter(Generic[Row]):
    """The newest state of one entity; no row: it left the filter, or is gone."""

    entity_id: UUID
    row: Row | None
    change: str
    coalesced: int
    cursor: Cursor


class Mailbox(Generic[Row]):
    """One subscriber's letters.

    Until `open_at` says which snapshot the subscriber has seen, deliveries are kept as they come;
    then what that snapshot holds is dropped from them.
    """

    def __init__(self, topic: Topic[Row]) -> None:
        self.topic = topic
        self.position: Cursor | None = None
        self._floor: Snapshot | None = None
        self._early: list[Delivery[Row]] = []
        self._waiting: OrderedDict[UUID, Letter[Row]] = OrderedDict()
        self._revisions: OrderedDict[UUID, int] = OrderedDict()
        self._had_until: datetime | None = None
        self._overflowed = False
        self._arrived = asyncio.Event()

    def close(self) -> None:
        """Forget everything, and wait for a snapshot again."""
        self._floor = self.position = self._had_until = None
        self._early.clear()
        self._waiting.clear()
        self._revisions.clear()
        self._overflowed = False

    def open_at(self, snapshot: Snapshot, at: datetime, *, seen: Sequence[Row] = ()) -> None:
        """Say which snapshot the subscriber has seen, and which rows it got from it."""
        self._floor = snapshot
        self.position = Cursor.at_snapshot(snapshot, at)
        for row in seen:
            self._remember(self.topic.id_of(row), self.topic.revision_of(row))
        early, self._early = self._early, []
        for delivery in early:
            self.receive(delivery)

    def resume_at(
        self, snapshot: Snapshot, at: datetime, *, missed: Sequence[Delivery[Row]], left: Cursor
    ) -> None:
        """Say that the subscriber had come to `left`, and what it has missed up to `snapshot`."""
        self._had_until = left.at
        for delivery in missed:
            self._fold(delivery, left.floor)
        self.open_at(snapshot, at)

    def receive(self, delivery: Delivery[Row]) -> None:
        """Take what the feed has read."""
        if self._overflowed:
            return
        if self._floor is None:
            self._early.append(delivery)
            if sum(len(early.concerned) for early in self._early) > MOST_WAITING:
                self._overflow()
            return
        self._fold(delivery, self._floor)
        if delivery.batch.after.covers(self._floor):
            self.position = Cursor.at_snapshot(delivery.batch.after, delivery.batch.at)

    def reset(self) -> None:
        """Have the subscriber start anew: the feed could not keep up."""
        self._overflow()

    async def take(self, timeout_seconds: float) -> Letter[Row] | None:
        """Return the next letter, or None when none came in time. Raises `Overflowed`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    letter = self._next()
                    if letter is not None:
                        return letter
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None

    def _next(self) -> Letter[Row] | None:
        if self._overflowed:
            raise Overflowed
        while self._waiting:
            _, letter = self._waiting.popitem(last=False)
            if self._is_news(letter):
                return letter
        return None

    def _is_news(self, letter: Letter[Row]) -> bool:
        """Remember what the subscriber now knows; return whether it knew that before."""
        known = self._revisions.get(letter.entity_id)
        if letter.row is None:
            self._revisions.pop(letter.entity_id, None)
            return known is not None or self._may_have_had(letter.entity_id)
        revision = self.topic.revision_of(letter.row)
        self._remember(letter.entity_id, revision)
        return known is None or revision > known

    def _may_have_had(self, entity_id: UUID) -> bool:
        """Return whether a resumed client may know an entity from before it left."""
        if self._had_until is None:
            return False
        # The first 48 bits of a version 7 UUID are its millisecond.
        return (entity_id.int >> 80) <= self._had_until.timestamp() * 1000 + 60_000

    def _remember(self, entity_id: UUID, revision: int) -> None:
        self._revisions[entity_id] = revision
        self._revisions.move_to_end(entity_id)
        if len(self._revisions) > _MOST_REMEMBERED:
            self._revisions.popitem(last=False)

    def _fold(self, delivery: Delivery[Row], floor: Snapshot | None) -> None:
        for index, entry in delivery.concerned:
            if floor is not None and floor.sees(entry.transaction_id):
                continue
            earlier = self._waiting.pop(entry.entity_id, None)
            self._waiting[entry.entity_id] = Letter(
                entity_id=entry.entity_id,
                row=delivery.rows.get(entry.entity_id),
                change=entry.change,
                coalesced=0 if earlier is None else earlier.coalesced + 1,
                cursor=delivery.batch.cursor(index + 1, floor),
            )
        if len(self._waiting) > MOST_WAITING:
            self._overflow()
        if self._waiting:
            self._arrived.set()

    def _overflow(self) -> None:
        self._overflowed = True
        self._waiting.clear()
        self._early.clear()
        self._arrived.set()
