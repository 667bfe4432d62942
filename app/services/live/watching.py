"""What a subscription runs: a snapshot or a resumption, then every change, and a sign of life.

The order that loses nothing: register the mailbox, then read, then deliver what came meanwhile
without what the reading already held. While PostgreSQL is away a subscriber waits for it.
"""

from collections.abc import AsyncGenerator
from datetime import timedelta

from app.services.live.deliveries import Delivery, delivery_of, read_rows
from app.services.live.hub import MOST_EVENTS, FeedHub, entries_of
from app.services.live.mailbox import Mailbox, Overflowed
from app.services.live.messages import Message, Started, StartedAnew, StillHere
from app.services.live.positions import BadPosition, Batch, Cursor, Snapshot
from app.services.live.topics import Row, Topic
from app.store.database import ReadConnection
from app.store.live import Standpoint, read_new_events, reading_at_one_instant
from app.store.outages import patiently

SNAPSHOT_SIZE = 500
HEARTBEAT_SECONDS = 15.0
# A transaction that began before its event's row was due for removal may commit after that.
_MARGIN = timedelta(minutes=10)


class Unresumable(Exception):
    """The position cannot be resumed from."""


async def watch(
    hub: FeedHub,
    topic: Topic[Row],
    *,
    after: str | None,
    snapshot: bool,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncGenerator[Message[Row]]:
    """Yield what there is, and then every change, for ever.

    With `after` it goes on from that position, without a snapshot unless it has to start anew.
    """
    async with hub.subscribed(topic) as (mailbox, position):
        if after is not None:
            try:
                await patiently(lambda: _resume(hub, mailbox, after))
            except Unresumable as error:
                async for message in _start_anew(hub, mailbox, str(error)):
                    yield message
        elif snapshot:
            yield await patiently(lambda: _start(hub, mailbox))
        else:
            mailbox.open_at(position.after, position.at)
            yield StillHere(position)
        while True:
            try:
                letter = await mailbox.take(heartbeat_seconds)
            except Overflowed:
                reason = "More changed than this connection took: drop what you know."
                async for message in _start_anew(hub, mailbox, reason):
                    yield message
                continue
            if letter is not None:
                yield letter
                continue
            assert mailbox.position is not None
            yield StillHere(mailbox.position)


async def _start(hub: FeedHub, mailbox: Mailbox[Row]) -> Started[Row]:
    """Read what there is."""
    async with reading_at_one_instant(hub.runtime.database, mailbox.topic.project_id) as (
        connection,
        standpoint,
    ):
        rows = await mailbox.topic.read_newest(connection, SNAPSHOT_SIZE + 1)
    seen = rows[:SNAPSHOT_SIZE]
    position = Snapshot(standpoint.snapshot)
    mailbox.open_at(position, standpoint.at, seen=seen)
    cursor = Cursor.at_snapshot(position, standpoint.at)
    return Started(cursor, seen, has_more=len(rows) > SNAPSHOT_SIZE)


async def _start_anew(
    hub: FeedHub, mailbox: Mailbox[Row], reason: str
) -> AsyncGenerator[StartedAnew | Started[Row]]:
    mailbox.close()
    started = await patiently(lambda: _start(hub, mailbox))
    yield StartedAnew(started.cursor, reason)
    yield started


async def _resume(hub: FeedHub, mailbox: Mailbox[Row], after: str) -> None:
    """Put what was missed into the mailbox. Raises `Unresumable`."""
    try:
        left = Cursor.decode(after)
    except BadPosition as error:
        raise Unresumable("This is no position of this stream.") from error
    async with reading_at_one_instant(hub.runtime.database, mailbox.topic.project_id) as (
        connection,
        standpoint,
    ):
        _check_resumable(left, standpoint, hub.runtime.event_retention)
        missed = await _read_missed(connection, mailbox.topic, left, standpoint)
    position = Snapshot(standpoint.snapshot)
    mailbox.resume_at(position, standpoint.at, missed=missed, left=left)


def _check_resumable(left: Cursor, standpoint: Standpoint, retention: timedelta) -> None:
    if left.at < standpoint.at - retention + min(_MARGIN, retention / 2):
        raise Unresumable("The position is older than what is kept of the stream.")
    present = Snapshot(standpoint.snapshot)
    latest = max(left.after, left.floor or left.after, key=lambda each: each.first_unassigned)
    if latest.first_unassigned > present.first_unassigned or not present.covers(left.after):
        raise Unresumable("The position lies ahead of this database: it has been restored.")


async def _read_missed(
    connection: ReadConnection, topic: Topic[Row], left: Cursor, standpoint: Standpoint
) -> list[Delivery[Row]]:
    """Return the rest of the batch in which the subscriber left, and what came after it.

    Rows are read as they are now: an entity that changed again after that batch is told of
    once, in its later place.
    """
    rest = await _read_batch(connection, left.before, left.after, standpoint)
    since = await _read_batch(connection, left.after, Snapshot(standpoint.snapshot), standpoint)
    changed_again = {entry.entity_id for entry in since.entries}
    first = await read_rows(connection, rest, topic)
    still_due = [
        (index, entry)
        for index, entry in first.concerned
        if index >= left.index and entry.entity_id not in changed_again
    ]
    return [
        delivery_of(rest, first._replace(concerned=still_due), topic),
        delivery_of(since, await read_rows(connection, since, topic), topic),
    ]


async def _read_batch(
    connection: ReadConnection, before: Snapshot, after: Snapshot, standpoint: Standpoint
) -> Batch:
    if before == after:
        return Batch(before, after, standpoint.at, ())
    events = await read_new_events(
        connection, previous=before.text, until=after.text, limit=MOST_EVENTS + 1
    )
    if len(events) > MOST_EVENTS:
        raise Unresumable("More has happened since than can be made up for.")
    return Batch(before, after, standpoint.at, entries_of(events))
