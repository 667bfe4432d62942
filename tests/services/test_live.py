"""Nothing lost and nothing twice, whatever the order of commits and whatever Redis does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text

from app.core.changes import Change
from app.core.vocabulary import JobKind, RunCause, RunState
from app.models import Job, Run
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.services.live.hub import FeedHub
from app.services.live.mailbox import MOST_WAITING
from app.services.live.messages import Changed, Gone, Message, Started, StartedAnew, StillHere
from app.services.live.positions import BadPosition, Cursor, Snapshot
from app.services.live.topics import RunTopic
from app.services.live.watching import watch
from app.store.database import Transaction
from app.store.events import record_changes
from app.store.filters import RunFilter
from app.store.instants import read_now
from tests.schema.api import settings_for

PROJECT = UUID("01900000-0000-7000-8000-000000000001")
WAIT_SECONDS = 20.0


class Feed:
    """A hub, and rows to write."""

    def __init__(self, runtime: Runtime, hub: FeedHub, job_id: UUID) -> None:
        self.runtime = runtime
        self.hub = hub
        self.job_id = job_id

    async def insert(self, transaction: Transaction, count: int = 1, **columns: Any) -> list[UUID]:
        """Write queued runs and their event."""
        now = await read_now(transaction)
        given = {"state": RunState.QUEUED, "cause": RunCause.MANUAL, **columns}
        runs = [
            Run(
                id=new_id(),
                project_id=PROJECT,
                job_id=self.job_id,
                scheduled_for=now,
                due_at=now,
                next_attempt_at=now,
                created_at=now,
                **given,
            )
            for _ in range(count)
        ]
        ids = [run.id for run in runs]
        transaction.add_all(runs)
        await transaction.flush()
        await self.note(transaction, ids)
        return ids

    async def note(self, transaction: Transaction, ids: Sequence[UUID]) -> None:
        """Write the event of a change."""
        change = Change(PROJECT, "RUN", "CHANGED", tuple(ids), (1,) * len(ids))
        await record_changes(transaction, [change])

    async def touch(self, transaction: Transaction, ids: Sequence[UUID], state: str) -> None:
        """Change the state of runs."""
        finished = "now()" if state == "CANCELLED" else "NULL"
        await transaction.execute(
            text(
                "UPDATE run SET revision = revision + 1, state = :state, priority = priority + 1,"
                f" finished_at = {finished} WHERE id = ANY(:ids)"
            ),
            {"ids": list(ids), "state": state},
        )
        await self.note(transaction, ids)

    async def write(self, count: int = 1, **columns: Any) -> list[UUID]:
        """Write runs in a transaction of their own."""
        async with self.runtime.database.transaction(PROJECT) as transaction:
            return await self.insert(transaction, count, **columns)

    async def change(self, ids: Sequence[UUID], state: str = "QUEUED") -> None:
        """Change runs in a transaction of their own."""
        async with self.runtime.database.transaction(PROJECT) as transaction:
            await self.touch(transaction, ids, state)

    async def hint(self) -> None:
        """Tell the hub that there may be something, as Redis would."""
        await self.runtime.announce([Change(PROJECT, "RUN", "CHANGED", (), ())])

    @asynccontextmanager
    async def watching(
        self, *, after: str | None = None, topic: RunTopic | None = None, snapshot: bool = True
    ) -> AsyncIterator["Watcher"]:
        """Watch runs."""
        messages = watch(
            self.hub,
            topic or RunTopic(PROJECT),
            after=after,
            snapshot=snapshot,
            heartbeat_seconds=0.3,
        )
        async with aclosing(messages):
            yield Watcher(messages)


class Watcher:
    """Takes messages, with a deadline."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    async def take(self) -> Message[Run]:
        """Return the next message that is no heartbeat."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                message: Message[Run] = await anext(self._messages)
                if not isinstance(message, StillHere):
                    return message

    async def changed(self, count: int) -> list[Changed[Run]]:
        """Return the next changes."""
        found = [await self.take() for _ in range(count)]
        assert all(isinstance(message, Changed) for message in found), found
        return found  # type: ignore[return-value] # just checked

    async def heartbeat(self) -> StillHere:
        """Return the next message, which is a heartbeat."""
        async with asyncio.timeout(WAIT_SECONDS):
            message = await anext(self._messages)
        assert isinstance(message, StillHere), message
        return message


@asynccontextmanager
async def open_feed(database_url: str, redis_url: str) -> AsyncIterator[Feed]:
    """A running hub with a beat of half a second, and a job."""
    async with open_runtime(settings_for(database_url, redis_url)) as runtime:
        hub = FeedHub(runtime, beat_seconds=0.5)
        async with runtime.database.transaction(PROJECT) as transaction:
            now = await read_now(transaction)
            job = Job(
                project_id=PROJECT,
                key="job",
                name="job",
                kind=JobKind.PYTHON,
                created_at=now,
                updated_at=now,
            )
            job_id = job.id
            transaction.add(job)
        task = asyncio.create_task(hub.run())
        yield Feed(runtime, hub, job_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest_asyncio.fixture
async def feed(database_url: str, redis_url: str) -> AsyncIterator[Feed]:
    """A running hub, on servers that stay."""
    async with open_feed(database_url, redis_url) as feed:
        yield feed


async def test_transactions_that_commit_in_reverse_order_lose_and_double_nothing(
    feed: Feed,
) -> None:
    async with feed.watching() as watcher:
        assert isinstance(await watcher.take(), Started)
        async with feed.runtime.database.transaction(PROJECT) as first:
            early = await feed.insert(first)
            async with feed.runtime.database.transaction(PROJECT) as second:
                late = await feed.insert(second)
            await feed.hint()
            (seen_first,) = await watcher.changed(1)
        await feed.hint()
        (seen_second,) = await watcher.changed(1)
        await feed.hint()
        await watcher.heartbeat()
    assert [seen_first.row.id, seen_second.row.id] == [*late, *early]


async def test_cursor_taken_while_another_transaction_is_open_misses_nothing(feed: Feed) -> None:
    async with feed.runtime.database.transaction(PROJECT) as first:
        early = await feed.insert(first)
        late = await feed.write()
        async with feed.watching() as watcher:
            started = await watcher.take()
    assert isinstance(started, Started)
    assert [run.id for run in started.rows] == late
    async with feed.watching(after=started.cursor.encode()) as watcher:
        (change,) = await watcher.changed(1)
        await watcher.heartbeat()
    assert [change.row.id] == early


async def test_resuming_in_the_middle_of_a_batch_is_exact(feed: Feed) -> None:
    async with feed.watching() as watcher:
        await watcher.take()
        ids = await feed.write(10)
        await feed.hint()
        first = await watcher.changed(4)
    rest: list[UUID] = []
    cursor = first[-1].cursor.encode()
    # Every message's own cursor resumes exactly behind it.
    for _ in range(6):
        async with feed.watching(after=cursor) as watcher:
            (change,) = await watcher.changed(1)
            rest.append(change.row.id)
            cursor = change.cursor.encode()
    async with feed.watching(after=cursor) as watcher:
        await watcher.heartbeat()
    assert [change.row.id for change in first] + rest == ids


async def test_resuming_tells_of_a_run_that_changed_again_once(feed: Feed) -> None:
    async with feed.watching() as watcher:
        await watcher.take()
        ids = await feed.write(5)
        await feed.hint()
        first = await watcher.changed(2)
    await feed.change([ids[3], ids[0]])
    async with feed.watching(after=first[-1].cursor.encode()) as watcher:
        changes = await watcher.changed(4)
        await watcher.heartbeat()
    assert [change.row.id for change in changes] == [ids[2], ids[4], ids[3], ids[0]]
    assert [change.row.revision for change in changes] == [1, 1, 2, 2]


async def test_snapshot_and_changes_neither_overlap_nor_leave_a_hole(feed: Feed) -> None:
    stop = asyncio.Event()

    async def write_on() -> list[UUID]:
        written: list[UUID] = []
        while not stop.is_set():
            written += await feed.write()
            await feed.hint()
        return written

    writing = asyncio.create_task(write_on())
    seen: list[UUID] = []
    async with feed.watching() as watcher:
        started = await watcher.take()
        assert isinstance(started, Started)
        seen += [run.id for run in started.rows]
        seen += [change.row.id for change in await watcher.changed(30)]
        stop.set()
        written = await writing
        while set(seen) != set(written):
            (change,) = await watcher.changed(1)
            seen.append(change.row.id)
        await watcher.heartbeat()
    assert len(seen) == len(set(seen))


async def test_messages_arrive_by_the_beat_when_redis_says_nothing(feed: Feed) -> None:
    async with feed.watching() as watcher:
        await watcher.take()
        ids = await feed.write(3)
        changes = await watcher.changed(3)
    assert [change.row.id for change in changes] == ids


async def test_messages_arrive_after_redis_was_flushed_and_its_clients_killed(
    feed: Feed, redis_url: str
) -> None:
    redis: Redis = Redis.from_url(redis_url)
    async with feed.watching() as watcher:
        await watcher.take()
        for _ in range(3):
            await redis.flushall()
            await redis.client_kill_filter(_type="pubsub")
            ids = await feed.write(2)
            changes = await watcher.changed(2)
            assert [change.row.id for change in changes] == ids
    await redis.aclose()


async def test_messages_arrive_although_redis_is_away(database_url: str, tmp_path: Any) -> None:
    async with (
        open_feed(database_url, f"unix://{tmp_path}/nobody.sock?db=0") as feed,
        feed.watching() as watcher,
    ):
        await watcher.take()
        ids = await feed.write(2)
        changes = await watcher.changed(2)
    assert [change.row.id for change in changes] == ids


async def test_slow_client_gets_the_final_states_and_the_count_of_the_folded_ones(
    feed: Feed,
) -> None:
    async with feed.watching() as watcher:
        await watcher.take()
        ids = await feed.write(100)
        for _ in range(9):
            await feed.change(ids)
            await feed.hub.read_batch()
        await feed.change(ids, "CANCELLED")
        await feed.hub.read_batch()
        changes = await watcher.changed(100)
        await watcher.heartbeat()
    assert {change.row.id for change in changes} == set(ids)
    assert {change.row.state for change in changes} == {RunState.CANCELLED}
    assert {change.row.revision for change in changes} == {11}
    assert sum(change.coalesced for change in changes) >= 900


async def test_client_that_takes_nothing_at_all_starts_anew(feed: Feed) -> None:
    async with feed.watching() as watcher:
        await watcher.take()
        await feed.write(MOST_WAITING // 2)
        await feed.hub.read_batch()
        await feed.write(MOST_WAITING // 2 + 1)
        await feed.hub.read_batch()
        assert isinstance(await watcher.take(), StartedAnew)
        started = await watcher.take()
        assert isinstance(started, Started)
        assert started.has_more
        (new,) = await feed.write()
        (change,) = await watcher.changed(1)
    assert change.row.id == new


async def test_run_that_leaves_the_filter_is_announced_once(feed: Feed) -> None:
    topic = RunTopic(PROJECT, RunFilter(states=(RunState.QUEUED,)))
    (mine, other) = await feed.write(2)
    async with feed.watching(topic=topic) as watcher:
        started = await watcher.take()
        await feed.change([mine], "CANCELLED")
        gone = await watcher.take()
        await feed.change([mine], "CANCELLED")
        await feed.write(state=RunState.SKIPPED, finished_at=started.cursor.at)
        await feed.change([other])
        (change,) = await watcher.changed(1)
    assert isinstance(gone, Gone)
    assert gone.id == mine
    assert change.row.id == other


async def test_resumed_client_learns_what_left_its_filter_meanwhile(feed: Feed) -> None:
    topic = RunTopic(PROJECT, RunFilter(states=(RunState.QUEUED,)))
    (run,) = await feed.write()
    async with feed.watching(topic=topic) as watcher:
        started = await watcher.take()
    await feed.change([run], "CANCELLED")
    async with feed.watching(topic=topic, after=started.cursor.encode()) as watcher:
        gone = await watcher.take()
    assert isinstance(gone, Gone)
    assert gone.id == run


async def test_single_run_is_watched_without_the_others(feed: Feed) -> None:
    mine, other = await feed.write(2)
    async with feed.watching(topic=RunTopic(PROJECT, run_id=mine)) as watcher:
        started = await watcher.take()
        assert isinstance(started, Started)
        assert [run.id for run in started.rows] == [mine]
        await feed.change([other])
        await feed.change([mine])
        (change,) = await watcher.changed(1)
    assert change.row.id == mine


async def test_other_projects_are_not_seen(feed: Feed) -> None:
    await feed.write()
    async with feed.watching(topic=RunTopic(new_id())) as watcher:
        started = await watcher.take()
        await feed.write()
        await feed.hint()
        await watcher.heartbeat()
    assert isinstance(started, Started)
    assert started.rows == []


async def test_stream_without_a_snapshot_begins_with_its_position(feed: Feed) -> None:
    await feed.write(3)
    async with feed.watching(snapshot=False) as watcher:
        position = await watcher.heartbeat()
    ids = await feed.write(2)
    async with feed.watching(after=position.cursor.encode()) as watcher:
        changes = await watcher.changed(2)
    assert [change.row.id for change in changes] == ids


@pytest.mark.parametrize("position", ["nonsense", "", "MS8x", "é" * 10, "A" * 30_000])
async def test_position_that_is_none_of_ours_starts_anew(feed: Feed, position: str) -> None:
    (run,) = await feed.write()
    async with feed.watching(after=position) as watcher:
        assert isinstance(await watcher.take(), StartedAnew)
        started = await watcher.take()
    assert isinstance(started, Started)
    assert [row.id for row in started.rows] == [run]


async def test_position_of_a_restored_database_starts_anew(feed: Feed) -> None:
    async with feed.watching() as watcher:
        started = await watcher.take()
    ahead = Snapshot("900000000:900000000:")
    async with feed.watching(
        after=Cursor.at_snapshot(ahead, started.cursor.at).encode()
    ) as watcher:
        message = await watcher.take()
    assert isinstance(message, StartedAnew)
    assert "restored" in message.reason


async def test_position_older_than_the_events_kept_starts_anew(feed: Feed) -> None:
    async with feed.watching() as watcher:
        started = await watcher.take()
    old = Cursor.at_snapshot(started.cursor.after, started.cursor.at - feed.runtime.event_retention)
    async with feed.watching(after=old.encode()) as watcher:
        message = await watcher.take()
    assert isinstance(message, StartedAnew)
    assert "older" in message.reason


@pytest.mark.parametrize("text_", ["5:4:", "0:0:", "3:9:2", "3:9:9", "3:9:5,4", "a:b:", "3:9"])
def test_snapshot_that_postgresql_would_refuse_is_refused_here(text_: str) -> None:
    with pytest.raises(BadPosition):
        Snapshot(text_).check()


def test_snapshot_sees_what_postgresql_says_it_sees() -> None:
    snapshot = Snapshot("10:20:10,15")
    assert [snapshot.sees(each) for each in (9, 10, 14, 15, 19, 20)] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert snapshot.covers(Snapshot("10:20:10,12,15"))
    assert not snapshot.covers(Snapshot("16:20:"))
    assert not snapshot.covers(Snapshot("10:21:10,15"))
