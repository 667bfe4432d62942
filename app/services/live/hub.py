"""Read new events once per process and hand them to every feed.

The hub waits for a hint from Redis, or for its beat, and then reads from PostgreSQL what has become
visible since its last position, with the rows each feed needs, in one repeatable-read
transaction. Hints that come during a read are folded into one more read. Redis away, flushed or
repeating itself costs latency, never a message.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any, Generic
from uuid import UUID

import structlog
from sqlalchemy import Row as ResultRow

from app.runtime import Runtime
from app.services.live.bells import Bell, Bells
from app.services.live.deliveries import Held, Reading, delivery_of, read_rows
from app.services.live.log_reading import SharedReads
from app.services.live.mailbox import Mailbox
from app.services.live.positions import Batch, Cursor, Entry, Snapshot
from app.services.live.topics import Row, Topic
from app.store.live import read_new_events, reading_at_one_instant
from app.store.outages import patiently

MOST_EVENTS = 20_000
"""How many events one batch may hold; beyond that, subscribers start anew."""

_RETRY_SECONDS = 1.0
_PAUSE_SECONDS = 0.01
_log = structlog.get_logger(__name__)


class Feed(Generic[Row]):
    """The subscribers of one topic."""

    def __init__(self, topic: Topic[Row]) -> None:
        self.topic = topic
        self.mailboxes: set[Mailbox[Row]] = set()
        self.held = Held()

    def hand_out(self, batch: Batch, reading: Reading[Row]) -> None:
        """Give every subscriber the same letters."""
        delivery = delivery_of(batch, reading, self.topic, self.held)
        for mailbox in self.mailboxes:
            mailbox.receive(delivery)


class FeedHub:
    """The feeds of one process."""

    def __init__(self, runtime: Runtime, *, beat_seconds: float = 5.0) -> None:
        self.runtime = runtime
        self.hints = 0
        self._beat_seconds = beat_seconds
        self._feeds: dict[Topic[Any], Feed[Any]] = {}
        self._bells = Bells()
        self.log_reads = SharedReads(runtime.database)
        self._position: Cursor | None = None
        self._hinted = asyncio.Event()
        # Held while a batch is read and handed out: whoever joins in between would miss it.
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Listen and read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._read_when_hinted())

    @property
    def subscribers(self) -> int:
        """Return how many mailboxes are open."""
        return sum(len(feed.mailboxes) for feed in self._feeds.values())

    @asynccontextmanager
    async def subscribed(self, topic: Topic[Row]) -> AsyncIterator[tuple[Mailbox[Row], Cursor]]:
        """Open a mailbox that receives everything behind a position, and say which."""
        async with self._reading:
            position = await self._begin()
            feed = self._feeds.setdefault(topic, Feed(topic))
            mailbox = Mailbox(topic, feed.held)
            feed.mailboxes.add(mailbox)
        try:
            yield mailbox, position
        finally:
            feed.mailboxes.discard(mailbox)
            if not feed.mailboxes and self._feeds.get(topic) is feed:
                del self._feeds[topic]

    @asynccontextmanager
    async def listening(self, run_id: UUID) -> AsyncIterator[Bell]:
        """Hang up a bell that rings when a run has changed, or its log has grown."""
        with ExitStack() as stack:
            async with self._reading:
                await self._begin()
                bell = stack.enter_context(self._bells.listening(run_id.hex))
            yield bell

    async def _begin(self) -> Cursor:
        """Return the position; the first who watches begins at the present one."""
        if self._position is None or not (self._feeds or self._bells):
            self._position = await patiently(self._read_position)
        return self._position

    async def _read_position(self) -> Cursor:
        async with reading_at_one_instant(self.runtime.database, None) as (_, standpoint):
            return Cursor.at_snapshot(Snapshot(standpoint.snapshot), standpoint.at)

    async def _listen(self) -> None:
        while True:
            try:
                hints = self.runtime.channel.listen(beat_seconds=self._beat_seconds)
                async with aclosing(hints):
                    async for logged in hints:
                        if logged:
                            self._bells.ring(logged)
                            continue
                        self.hints += 1
                        self._hinted.set()
            except Exception as error:  # Without hints there would be no reading at all.
                _log.warning("live.listen_failed", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _read_when_hinted(self) -> None:
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            try:
                await self.read_batch()
            except Exception as error:  # Whatever it was, the feed goes on.
                # The position stands where it was: nothing is lost, it only arrives later.
                _log.warning("live.read_failed", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._hinted.set()
            # Under a stream of changes, some at a time cost less than each alone.
            await asyncio.sleep(_PAUSE_SECONDS)

    async def read_batch(self) -> int:
        """Read what is new, hand it to the feeds and return the number of entries."""
        async with self._reading:
            if not (self._feeds or self._bells) or self._position is None:
                return 0
            previous = self._position.after
            database = self.runtime.database
            async with reading_at_one_instant(database, None) as (connection, standpoint):
                events = await read_new_events(
                    connection, previous=previous.text, limit=MOST_EVENTS + 1
                )
                after = Snapshot(standpoint.snapshot)
                batch = Batch(previous, after, standpoint.at, entries_of(events))
                feeds = list(self._feeds.values())
                too_many = len(events) > MOST_EVENTS
                topics = [] if too_many else [feed.topic for feed in feeds]
                readings = [await read_rows(connection, batch, topic) for topic in topics]
            self._position = batch.end
            if too_many:
                self._reset_all()
            for feed, reading in zip(feeds, readings, strict=not too_many):
                feed.hand_out(batch, reading)
            if self._bells:
                self._bells.ring({entry.entity_id.hex for entry in batch.entries})
            return len(batch.entries)

    def _reset_all(self) -> None:
        for feed in self._feeds.values():
            for mailbox in feed.mailboxes:
                mailbox.reset()
        self._bells.ring_all()


def entries_of(
    events: Sequence[
        ResultRow[tuple[int, int, UUID, str, str, list[UUID], list[UUID | None] | None]]
    ],
) -> tuple[Entry, ...]:
    """Return one entry for each entity of each event, in their order."""
    return tuple(
        Entry(
            transaction_id=event.transaction_id,
            project_id=event.project_id,
            subject=event.subject,
            change=event.change,
            entity_id=entity_id,
            parent_id=event.parent_ids[index] if event.parent_ids else None,
        )
        for event in events
        for index, entity_id in enumerate(event.entity_ids)
    )
