"""What waits for one subscriber: at most one message an entity, the newest.

A slow client costs a bounded amount of memory. Newer rows of an entity replace older ones (and
are counted), so its last state always arrives; entities leave in the order of their last change,
which keeps the cursor of every message exact. When too many different entities wait, everything is
dropped and the subscriber starts anew from a snapshot.

Who keeps up is handed the feed's own letters, the same objects as everybody else.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Generic
from uuid import UUID

from app.services.live.deliveries import Delivery, Held, folded
from app.services.live.messages import Gone, Letter
from app.services.live.positions import Cursor, Snapshot
from app.services.live.topics import Row, Topic

MOST_WAITING = 5_000
_NOTHING: frozenset[UUID] = frozenset()


class Overflowed(Exception):
    """More waits than a subscriber may leave lying."""


class Mailbox(Generic[Row]):
    """One subscriber's letters.

    Until `open_at` says which snapshot the subscriber has seen, deliveries are kept as they come;
    then what that snapshot holds is dropped from them.
    """

    __slots__ = (
        "_arrival",
        "_early",
        "_floor",
        "_had_until",
        "_held",
        "_is_open",
        "_overflowed",
        "_waiting",
        "position",
        "topic",
    )

    def __init__(self, topic: Topic[Row], held: Held) -> None:
        self.topic = topic
        self._held = held
        self._arrival: asyncio.Future[None] | None = None
        self.close()

    def close(self) -> None:
        """Forget everything, and wait for a snapshot again."""
        self.position: Cursor | None = None
        self._is_open = False
        # What the subscriber has seen, until a batch begins behind it.
        self._floor: Snapshot | None = None
        self._had_until: datetime | None = None
        self._early: list[Delivery[Row]] = []
        self._waiting: OrderedDict[UUID, Letter[Row]] = OrderedDict()
        self._overflowed = False

    def open_at(self, snapshot: Snapshot, at: datetime, *, seen: Sequence[Row] = ()) -> None:
        """Say which snapshot the subscriber has seen, and which rows it got from it."""
        self._is_open = True
        self._floor = snapshot
        self.position = Cursor.at_snapshot(snapshot, at)
        early, self._early = self._early, []
        ids = {self.topic.id_of(row) for row in seen} if self.topic.may_lose else _NOTHING
        for delivery in early:
            self._receive(delivery, ids)
        self._held.add(ids - {id_ for id_ in self._waiting if id_ in ids})

    def resume_at(
        self, snapshot: Snapshot, at: datetime, *, missed: Sequence[Delivery[Row]], left: Cursor
    ) -> None:
        """Say that the subscriber had come to `left`, and what it has missed up to `snapshot`."""
        self._had_until = left.at
        self._floor = left.floor
        for delivery in missed:
            self._fold(delivery, _NOTHING)
        self.open_at(snapshot, at)

    def receive(self, delivery: Delivery[Row]) -> None:
        """Take what the feed has read."""
        if self._overflowed:
            return
        if self._is_open:
            self._receive(delivery, _NOTHING)
            return
        self._early.append(delivery)
        if sum(len(early.concerned) for early in self._early) > MOST_WAITING:
            self.reset()

    def reset(self) -> None:
        """Have the subscriber start anew: it, or the feed, could not keep up."""
        self._overflowed = True
        self._waiting.clear()
        self._early.clear()
        self._announce()

    async def take(self, timeout_seconds: float) -> Letter[Row] | None:
        """Return the next letter, or None when none came in time. Raises `Overflowed`."""
        letter = self._next()
        if letter is None:
            await self._until_arrival(timeout_seconds)
            letter = self._next()
        return letter

    async def _until_arrival(self, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._arrival = loop.create_future()
        timer = loop.call_later(timeout_seconds, self._announce)
        try:
            await self._arrival
        finally:
            timer.cancel()
            self._arrival = None

    def _announce(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _next(self) -> Letter[Row] | None:
        if self._overflowed:
            raise Overflowed
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def _receive(self, delivery: Delivery[Row], seen: Collection[UUID]) -> None:
        if self._floor is not None and delivery.batch.before.covers(self._floor):
            self._floor = None
        self._fold(delivery, seen)
        if self._floor is None or delivery.batch.after.covers(self._floor):
            self._floor = None
            self.position = delivery.batch.end

    def _fold(self, delivery: Delivery[Row], seen: Collection[UUID]) -> None:
        if self._floor is None and self._had_until is None and not self._waiting and not seen:
            self._waiting.update(delivery.folded)
        else:
            self._fold_one_by_one(delivery, seen)
        if len(self._waiting) > MOST_WAITING:
            self.reset()
        elif self._waiting:
            self._announce()

    def _fold_one_by_one(self, delivery: Delivery[Row], seen: Collection[UUID]) -> None:
        floor = self._floor
        for place, entry, shared in delivery.concerned:
            if floor is not None and floor.sees(entry.transaction_id):
                continue
            id_, letter = entry.entity_id, shared
            earlier = self._waiting.pop(id_, None)
            if letter is None:
                if earlier is None and id_ not in seen and not self._may_have_had(id_):
                    continue
                letter = Gone(id_, delivery.batch.cursor(place + 1, floor))
            elif floor is not None:
                letter = replace(letter, cursor=delivery.batch.cursor(place + 1, floor))
            self._waiting[id_] = folded(letter, earlier)

    def _may_have_had(self, entity_id: UUID) -> bool:
        """Return whether a resumed client may know an entity from before it left."""
        if self._had_until is None:
            return False
        # The first 48 bits of a version 7 UUID are its millisecond.
        return (entity_id.int >> 80) <= self._had_until.timestamp() * 1000 + 60_000
