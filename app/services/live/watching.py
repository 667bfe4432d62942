"""What a subscription runs: a snapshot or a resumption, then every change, and a sign of life.

The order that loses nothing: register the mailbox, then read, then deliver what came meanwhile
without what the reading already held.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeAlias
from uuid import UUID

from app.services.live.hub import MOST_EVENTS, FeedHub, entries_of, read_delivery
from app.services.live.mailbox import Delivery, Letter, Mailbox, Overflowed
from app.services.live.positions import BadPosition, Batch, Cursor, Snapshot
from app.services.live.topics import Row, Topic
from app.store.database import ReadConnection
from app.store.live import Standpoint, read_new_events, reading_at_one_instant

SNAPSHOT_SIZE = 500
HEARTBEAT_SECONDS = 15.0
# A transaction that began before its event's row was due for removal may commit after that.
_MARGIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Started(Generic[Row]):
    """What there is: the newest rows, and whether there are more."""

    cursor: Cursor
    rows: Sequence[Row]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Changed(Generic[Row]):
    """A row as it is now."""

    cursor: Cursor
    row: Row
    change: str
    coalesced: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A row that no longer passes the filter."""

    cursor: Cursor
    id: UUID


@dataclass(frozen=True, slots=True)
class StillHere:
    """Nothing happened, and the feed is alive."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class StartedAnew:
    """Drop what you know; a snapshot follows."""

    cursor: Cursor
    reason: str


class Unresumable(Exception):
    """The position cannot be resumed from."""


Message: TypeAlias = Started[Row] | Changed[Row] | Gone | StillHere | StartedAnew


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
    async with hub.subscribed(topic) as mailbox:
        if after is None:
            yield await _start(hub, mailbox, snapshot=snapshot)
        else:
            try:
                await _resume(hub, mailbox, after)
            except Unresumable as error:
                async for message in _start_anew(hub, mailbox, str(error)):
                    yield message
        while True:
            try:
                letter = await mailbox.take(heartbeat_seconds)
            except Overflowed:
                reason = "More changed than this connection took: drop what you know."
                async for message in _start_anew(hub, mailbox, reason):
                    yield message
                continue
            yield _message(mailbox, letter)


def _message(mailbox: Mailbox[Row], letter: Letter[Row] | None) -> Message[Row]:
    if letter is None:
        assert mailbox.position is not None
        return StillHere(mailbox.position)
    if letter.row is None:
        return Gone(letter.cursor, letter.entity_id)
    return Changed(letter.cursor, letter.row, letter.change, letter.coalesced)


async def _start(
    hub: FeedHub, mailbox: Mailbox[Row], *, snapshot: bool
) -> Started[Row] | StillHere:
    """Read what there is; without a snapshot, only say where the stream begins."""
    async with reading_at_one_instant(hub.runtime.database, mailbox.topic.project_id) as (
        connection,
        standpoint,
    ):
        limit = SNAPSHOT_SIZE + 1 if snapshot else 0
        rows = await mailbox.topic.read_newest(connection, limit) if limit else []
    seen = rows[:SNAPSHOT_SIZE]
    position = Snapshot(standpoint.snapshot)
    mailbox.open_at(position, standpoint.at, seen=seen)
    cursor = Cursor.at_snapshot(position, standpoint.at)
    if not snapshot:
        return StillHere(cursor)
    return Started(cursor, seen, has_more=len(rows) > SNAPSHOT_SIZE)


async def _start_anew(
    hub: FeedHub, mailbox: Mailbox[Row], reason: str
) -> AsyncGenerator[StartedAnew | Started[Row] | StillHere]:
    mailbox.close()
    started = await _start(hub, mailbox, snapshot=True)
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
    first = await read_delivery(connection, rest, topic)
    still_due = [
        (index, entry)
        for index, entry in first.concerned
        if index >= left.index and entry.entity_id not in changed_again
    ]
    return [
        Delivery(first.batch, still_due, first.rows),
        await read_delivery(connection, since, topic),
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
