"""Read new events once per process and hand them to every feed.

The hub waits for a hint from Redis, or for its beat, and then reads from PostgreSQL what has become
visible since its last position, with the rows each feed needs, in one repeatable-read
transaction. Hints that come during a read are folded into one more read. Redis away, flushed or
repeating itself costs latency, never a message.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row as ResultRow

from app.runtime import Runtime
from app.services.live.bells import Bell, Bells
from app.services.live.log_reading import SharedReads
from app.services.live.mailbox import Delivery, Mailbox
from app.services.live.positions import Batch, Entry, Snapshot
from app.services.live.topics import Row, Topic
from app.store.database import ReadConnection
from app.store.live import read_new_events, reading_at_one_instant

MOST_EVENTS = 20_000
"""How many events one batch may hold; beyond that, subscribers start anew."""

_RETRY_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class FeedHub:
    """The feeds of one process."""

    def __init__(self, runtime: Runtime, *, beat_seconds: float = 5.0) -> None:
        self.runtime = runtime
        self.hints = 0
        self._beat_seconds = beat_seconds
        self._feeds: dict[Topic[Any], set[Mailbox[Any]]] = {}
        self._bells = Bells()
        self.log_reads = SharedReads(runtime.database)
        self._position: Snapshot | None = None
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
        return sum(len(mailboxes) for mailboxes in self._feeds.values())

    @asynccontextmanager
    async def subscribed(self, topic: Topic[Row]) -> AsyncIterator[Mailbox[Row]]:
        """Open a mailbox that receives everything committed from now on."""
        mailbox = Mailbox(topic)
        async with self._reading:
            await self._begin()
            self._feeds.setdefault(topic, set()).add(mailbox)
        try:
            yield mailbox
        finally:
            mailboxes = self._feeds[topic]
            mailboxes.discard(mailbox)
            if not mailboxes:
                del self._feeds[topic]

    @asynccontextmanager
    async def listening(self, run_id: UUID) -> AsyncIterator[Bell]:
        """Hang up a bell that rings when a run has changed, or its log has grown."""
        with ExitStack() as stack:
            async with self._reading:
                await self._begin()
                bell = stack.enter_context(self._bells.listening(run_id.hex))
            yield bell

    async def _begin(self) -> None:
        """Begin to follow the changes, for the first who watches."""
        if not self._feeds and not self._bells:
            async with reading_at_one_instant(self.runtime.database, None) as (_, standpoint):
                self._position = Snapshot(standpoint.snapshot)

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

    async def read_batch(self) -> int:
        """Read what is new, hand it to the feeds and return the number of entries."""
        async with self._reading:
            if not (self._feeds or self._bells) or self._position is None:
                return 0
            database = self.runtime.database
            async with reading_at_one_instant(database, None) as (connection, standpoint):
                events = await read_new_events(
                    connection, previous=self._position.text, limit=MOST_EVENTS + 1
                )
                after = Snapshot(standpoint.snapshot)
                batch = Batch(self._position, after, standpoint.at, entries_of(events))
                feeds = list(self._feeds)
                if len(events) > MOST_EVENTS:
                    deliveries = None
                else:
                    deliveries = [await read_delivery(connection, batch, feed) for feed in feeds]
            self._position = after
            self._hand_out(feeds, deliveries)
            if deliveries is None:
                self._bells.ring_all()
            else:
                self._bells.ring(entry.entity_id.hex for entry in batch.entries)
            return len(batch.entries)

    def _hand_out(
        self, feeds: Sequence[Topic[Any]], deliveries: Sequence[Delivery[Any]] | None
    ) -> None:
        if deliveries is None:
            for mailboxes in self._feeds.values():
                for mailbox in mailboxes:
                    mailbox.reset()
            return
        for feed, delivery in zip(feeds, deliveries, strict=True):
            for mailbox in self._feeds.get(feed, ()):
                mailbox.receive(delivery)


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


async def read_delivery(
    connection: ReadConnection, batch: Batch, topic: Topic[Row]
) -> Delivery[Row]:
    """Return what a batch holds for one topic, with its rows as the batch's snapshot sees them."""
    concerned = [
        (index, entry) for index, entry in enumerate(batch.entries) if topic.concerns(entry)
    ]
    ids = list({entry.entity_id for _, entry in concerned})
    rows = await topic.read_matching(connection, ids) if ids else {}
    return Delivery(batch, concerned, rows)
