"""I10: whatever happens to Redis and to connections, every view comes to equal the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text

from app.core.vocabulary import RunState
from app.dev.redis import EmbeddedRedis
from app.models import Run
from app.services.live import mailbox
from app.services.live.messages import Changed, Gone, Message, Started, StartedAnew
from app.services.live.topics import RunTopic
from app.services.live.watching import watch
from app.store.filters import RunFilter
from tests.services.test_live import PROJECT, Feed, open_feed

ALL = RunTopic(PROJECT)
QUEUED = RunTopic(PROJECT, RunFilter(states=(RunState.QUEUED,)))
ROUNDS = 40
PATIENCE_SECONDS = 40.0


@dataclass
class View:
    """What one client believes, from what it was told."""

    topic: RunTopic
    rows: dict[UUID, int] = field(default_factory=dict)
    resets: int = 0
    folded: int = 0
    cursor: str | None = None
    may_take: asyncio.Event = field(default_factory=asyncio.Event)

    def believe(self, message: Message[Run]) -> None:
        """Take a message in."""
        match message:
            case Started():
                assert not message.has_more
                self.rows = {row.id: row.revision for row in message.rows}
            case StartedAnew():
                self.rows, self.resets = {}, self.resets + 1
            case Changed():
                known = self.rows.get(message.id, 0)
                assert message.row.revision > known, "never back, and nothing twice"
                self.rows[message.id] = message.row.revision
                self.folded += message.coalesced
            case Gone():
                self.rows.pop(message.id, None)
        self.cursor = message.cursor.encode()

    async def watch(self, feed: Feed, *, stays_for: Callable[[], int]) -> None:
        """Follow the feed, and come back from the last cursor after some messages."""
        while True:
            left = stays_for()
            messages = watch(
                feed.hub, self.topic, after=self.cursor, snapshot=True, heartbeat_seconds=0.3
            )
            async with aclosing(messages):
                async for message in messages:
                    self.believe(message)
                    await self.may_take.wait()
                    left -= 1
                    if not left:
                        break


@pytest_asyncio.fixture
async def own_redis(services_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of this test's own, to kill."""
    server = EmbeddedRedis(services_directory / "live-redis")
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_view_comes_to_equal_the_database(
    seed: int, database_url: str, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made to fail by asking for what is behind the last number, by forgetting who has the rows
    that leave a filter, live or over a pause, and by telling again what a snapshot held."""
    monkeypatch.setattr(mailbox, "MOST_WAITING", 25)
    random = Random(seed)
    async with open_feed(database_url, own_redis.url) as feed:
        steady, narrow, restless, slow = (View(topic) for topic in (ALL, QUEUED, ALL, ALL))
        fickle = View(QUEUED)
        views = [steady, narrow, restless, fickle, slow]
        watching = [
            asyncio.create_task(view.watch(feed, stays_for=stays))
            for view, stays in (
                (steady, lambda: -1),
                (narrow, lambda: -1),
                (restless, lambda: random.randint(1, 4)),
                (fickle, lambda: random.randint(1, 4)),
                (slow, lambda: -1),
            )
        ]
        for view in views[:-1]:
            view.may_take.set()
        trouble = asyncio.create_task(make_trouble(random, database_url, own_redis))
        await write(random, feed)
        await trouble
        slow.may_take.set()
        await until_equal(feed, views, watching)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    assert slow.resets > 0, "the slow one was told to begin anew"
    assert steady.rows


async def write(random: Random, feed: Feed) -> None:
    """Change runs, now and then beside a transaction that commits later."""
    ids: list[UUID] = []
    for _ in range(ROUNDS):
        with suppress(Exception):  # Its connection was cut.
            async with feed.runtime.database.transaction(PROJECT) as early:
                ids += await feed.insert(early, random.randint(1, 3))
                if len(ids) > 3 and random.random() < 0.5:
                    some = random.sample(ids[:-3], min(len(ids) - 3, 5))
                    await feed.change(some, random.choice(["QUEUED", "CANCELLED"]))
                    await feed.hub.read_batch()
        await feed.hint()
        await asyncio.sleep(random.random() / 20)  # The rhythm of the writer.


async def make_trouble(random: Random, database_url: str, redis: EmbeddedRedis) -> None:
    """Cut every connection to PostgreSQL; empty Redis, drop its clients, kill it and start it."""
    plain = database_url.replace("postgresql+asyncpg", "postgresql")
    for _ in range(2):
        database = await asyncpg.connect(plain)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await database.close()
        client: Redis = Redis.from_url(redis.url)
        await client.flushall()
        await client.client_kill_filter(_type="pubsub")
        await client.aclose()
        await asyncio.sleep(random.random())  # The rhythm of the faults.
        await redis.kill()
        await asyncio.sleep(random.random())
        await redis.start()


async def until_equal(feed: Feed, views: list[View], watching: list[asyncio.Task[None]]) -> None:
    """Wait until everybody believes what is in the database."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            for view, task in zip(views, watching, strict=True):
                while view.rows != await truth(feed, view.topic):
                    assert not task.done(), task.result()
                    await asyncio.sleep(0.05)
    for view in views:
        assert view.rows == await truth(feed, view.topic)


async def truth(feed: Feed, topic: RunTopic) -> dict[UUID, int]:
    """Return the revisions that are in the database."""
    states = [state.value for state in topic.narrowed.states or RunState]
    query = text("SELECT id, revision FROM run WHERE state = ANY(:states)")
    async with feed.runtime.database.reading(None) as connection:
        rows: Any = (await connection.execute(query, {"states": states})).all()
    return {row.id: row.revision for row in rows}
