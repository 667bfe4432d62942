"""Every line of a log once, in order, to its end, wherever one begins and whatever Redis does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import event

from app.core.errors import LimitExceeded, NotFound
from app.core.retry import RetryPolicy
from app.core.vocabulary import LogLevel
from app.models.columns import new_id
from app.services.claiming import ClaimedRun
from app.services.live.hub import FeedHub
from app.services.live.log_reading import LINES_AT_ONCE, WatchedLog
from app.services.live.log_watching import Anew, Lines, LogMessage, Silence, watch_log
from app.services.logging_runs import write_logs
from app.store.run_logs import EVERY_LEVEL, append_run_logs
from app.worker.run_log import RunLog
from tests.engine import FAILED, Engine, ended

WAIT_SECONDS = 20.0
RETRY = RetryPolicy(max_attempts=2, jitter=False).to_json()


class Attempt:
    """A run under way, and its log, as a worker writes it."""

    def __init__(self, engine: Engine, run: ClaimedRun) -> None:
        self.engine = engine
        self.run = run
        self.log = RunLog(run)

    async def write(self, *texts: str, level: LogLevel = LogLevel.INFO) -> None:
        """Say something, and have it written."""
        for text in texts:
            self.log.write(text, level=level)
        await self.flush()

    async def flush(self) -> None:
        """Write what was said."""
        chunks = self.log.unwritten()
        await write_logs(self.engine.runtime, chunks, ())
        self.log.confirm(chunks)

    async def end(self, *texts: str, **more: Any) -> None:
        """Say last words, and end."""
        for text in texts:
            self.log.write(text)
        await self.engine.finish(ended(self.run, log=self.log.rest(), **more))


class Watcher:
    """Takes messages, with a deadline."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages
        self.cursor = ""

    async def take(self) -> LogMessage:
        """Return the next message that is no heartbeat."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                message: LogMessage = await anext(self._messages)
                self.cursor = str(message.position)
                if not isinstance(message, Silence):
                    return message

    async def lines(self, count: int) -> list[str]:
        """Return the next lines, however many messages bring them."""
        found: list[str] = []
        while len(found) < count:
            message = await self.take()
            assert isinstance(message, Lines), message
            found += [line.text for line in message.lines]
        return found

    async def rest(self) -> tuple[list[str], int]:
        """Return what comes until the end, and how many lines were dropped."""
        found: list[str] = []
        dropped = 0
        async with asyncio.timeout(WAIT_SECONDS):
            async for message in self._messages:
                if isinstance(message, Lines):
                    found += [line.text for line in message.lines]
                    dropped += message.dropped
        return found, dropped


class Logs:
    """An engine, and a hub that follows it."""

    def __init__(self, engine: Engine, hub: FeedHub) -> None:
        self.engine = engine
        self.hub = hub

    def all_wait(self, run: ClaimedRun, count: int) -> bool:
        """Return whether so many wait for the bell of a run."""
        bell = self.hub._bells._bells.get(run.id.hex)
        return bell is not None and len(bell.next_ring._waiters) == count

    async def start(self, **columns: Any) -> Attempt:
        """Start the first attempt of a run."""
        job_id = await self.engine.job(**columns)
        await self.engine.run(job_id, max_attempts=2 if columns else 1)
        return await self.claim()

    async def claim(self) -> Attempt:
        """Start what is queued."""
        [run] = (await self.engine.claim()).runs
        return Attempt(self.engine, run)

    @asynccontextmanager
    async def watching(
        self, run: ClaimedRun, *, least: LogLevel = LogLevel.DEBUG, **how: Any
    ) -> AsyncIterator[Watcher]:
        """Watch a run's log."""
        order = list(LogLevel)
        levels = frozenset(level.value for level in order[order.index(least) :])
        watched = WatchedLog(run.project_id, run.id, levels)
        given = {"after": None, "tail": None, "heartbeat_seconds": 0.3, **how}
        messages = watch_log(self.hub, watched, **given)
        async with aclosing(messages):
            yield Watcher(messages)


@pytest_asyncio.fixture
async def logs(engine: Engine) -> AsyncIterator[Logs]:
    """A running hub with a beat of half a second."""
    hub = FeedHub(engine.runtime, beat_seconds=0.5)
    task = asyncio.create_task(hub.run())
    yield Logs(engine, hub)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_there_is_comes_first_then_each_line_then_the_end(logs: Logs) -> None:
    attempt = await logs.start()
    await attempt.write("one", "two")
    async with logs.watching(attempt.run) as watcher:
        assert await watcher.lines(2) == ["one", "two"]
        await attempt.write("three")
        assert await watcher.lines(1) == ["three"]
        await attempt.end("last words")
        assert await watcher.rest() == (["last words"], 0)


async def test_the_end_of_a_run_that_says_nothing_is_heard(logs: Logs) -> None:
    attempt = await logs.start()
    async with logs.watching(attempt.run) as watcher:
        ending = asyncio.create_task(watcher.take())
        await attempt.end()
        message = await ending
    assert message == Lines(0, (), 0, finished=True)


async def test_a_finished_log_is_told_in_parts_and_ends(logs: Logs) -> None:
    attempt = await logs.start()
    said = [str(number) for number in range(2 * LINES_AT_ONCE + 7)]
    await attempt.write(*said[:900])
    await attempt.end(*said[900:])
    async with logs.watching(attempt.run) as watcher:
        assert await watcher.rest() == (said, 0)


@pytest.mark.parametrize("position", [0, 1, 3, 4, 5, 8])
async def test_every_position_resumes_without_loss_or_repetition(logs: Logs, position: int) -> None:
    """Also in the middle of a row. Made to fail by starting at the row behind the position."""
    attempt = await logs.start()
    await attempt.write("1", "2", "3", "4")
    await attempt.write("5", "6")
    await attempt.end("7", "8")
    async with logs.watching(attempt.run, after=str(position), tail=1) as watcher:
        found, _ = await watcher.rest()
    assert found == [str(number) for number in range(position + 1, 9)]


@pytest.mark.parametrize(("tail", "expected"), [(0, []), (3, ["c", "d", "e"]), (99, list("abcde"))])
async def test_a_tail_is_the_last_lines_of_the_levels_asked_for(
    logs: Logs, tail: int, expected: list[str]
) -> None:
    attempt = await logs.start()
    await attempt.write(*"abcd", level=LogLevel.WARNING)
    await attempt.write("noise")
    await attempt.write("e", level=LogLevel.ERROR)
    await attempt.write("noise")
    async with logs.watching(attempt.run, tail=tail, least=LogLevel.WARNING) as watcher:
        if expected:
            assert await watcher.lines(len(expected)) == expected
        await attempt.end()
        assert await watcher.rest() == ([], 0)


async def test_lines_of_all_attempts_follow_each_other(logs: Logs) -> None:
    """The stream goes on over a retry. Made to fail by ending it with the first attempt."""
    first = await logs.start(retry=RETRY)
    async with logs.watching(first.run) as watcher:
        await first.write("tried")
        assert await watcher.lines(1) == ["tried"]
        await first.end("failed", outcome=FAILED)
        # Now, while the run waits for its retry.
        assert await watcher.lines(1) == ["failed"]
        await logs.engine.rows("UPDATE run SET next_attempt_at = now()")
        second = await logs.claim()
        await second.write("tried again")
        assert await watcher.lines(1) == ["tried again"]
        await second.end()
        assert await watcher.rest() == ([], 0)


async def test_a_worker_that_lost_the_run_writes_no_line_into_it(logs: Logs) -> None:
    stale = await logs.start(retry=RETRY)
    await stale.write("mine")
    await logs.engine.rows(
        "UPDATE run SET state = 'QUEUED', lease_expires_at = NULL, next_attempt_at = now()"
    )
    new = await logs.claim()
    await stale.write("not mine any more")
    await new.end("mine now")
    async with logs.watching(new.run) as watcher:
        assert await watcher.rest() == (["mine", "mine now"], 0)


async def test_a_chunk_that_arrives_twice_is_told_once(logs: Logs) -> None:
    """Nobody knew whether the first write had been committed."""
    attempt = await logs.start()
    attempt.log.write("once")
    await write_logs(logs.engine.runtime, attempt.log.unwritten(), ())
    await attempt.end("end")
    async with logs.watching(attempt.run) as watcher:
        assert await watcher.rest() == (["once", "end"], 0)


async def test_dropped_lines_are_counted_once_wherever_one_resumes(logs: Logs) -> None:
    attempt = await logs.start()
    attempt.log.drop(7)
    await attempt.flush()
    await attempt.write("a")
    async with logs.watching(attempt.run, least=LogLevel.ERROR) as watcher:
        message = await watcher.take()
        assert isinstance(message, Lines)
        assert (message.lines, message.dropped) == ((), 7)
        cursor = watcher.cursor
    attempt.log.drop(5)
    await attempt.end("b")
    async with logs.watching(attempt.run, after=cursor) as watcher:
        _, dropped = await watcher.rest()
    assert dropped == 5
    async with logs.watching(attempt.run) as watcher:
        assert (await watcher.rest())[1] == 12


async def test_without_redis_lines_come_with_the_beat(logs: Logs, redis_url: str) -> None:
    """Made to fail by waiting for the bell alone."""
    attempt = await logs.start()
    async with logs.watching(attempt.run) as watcher:
        taking = asyncio.create_task(watcher.lines(1))
        client: Redis = Redis.from_url(redis_url)
        await client.client_kill_filter(_type="pubsub")
        await client.flushall()
        await client.aclose()
        attempt.log.write("unheard of")
        async with logs.engine.runtime.database.transaction() as transaction:
            await append_run_logs(transaction, attempt.log.unwritten())
        assert await taking == ["unheard of"]


async def test_silence_is_told_from_a_dead_feed(logs: Logs) -> None:
    attempt = await logs.start()
    await attempt.write("a")
    async with logs.watching(attempt.run) as watcher:
        await watcher.lines(1)
        async with asyncio.timeout(WAIT_SECONDS):
            message = await anext(watcher._messages)
    assert message == Silence(1)


@pytest.mark.parametrize("after", ["99", "-1", "x", "9" * 30, ""])
async def test_a_position_of_another_log_begins_anew(logs: Logs, after: str) -> None:
    """The database was restored, say."""
    attempt = await logs.start()
    await attempt.end("a", "b")
    async with logs.watching(attempt.run, after=after, tail=1) as watcher:
        assert isinstance(await watcher.take(), Anew)
        assert await watcher.rest() == (["b"], 0)


async def test_a_slow_subscriber_misses_nothing_and_holds_nothing_up(logs: Logs) -> None:
    attempt = await logs.start()
    async with logs.watching(attempt.run) as slow, logs.watching(attempt.run) as quick:
        for number in range(20):
            await attempt.write(str(number))
            assert await quick.lines(1) == [str(number)]
        await attempt.end()
        assert await slow.rest() == ([str(number) for number in range(20)], 0)


async def test_many_who_watch_the_same_share_each_read(logs: Logs) -> None:
    """Made to fail by reading for each."""
    attempt = await logs.start()
    reads = 0

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal reads
        reads += "lines_before" in statement

    async def follow() -> list[str]:
        async with logs.watching(attempt.run, heartbeat_seconds=60.0) as watcher:
            return await watcher.lines(1)

    watchers = [asyncio.create_task(follow()) for _ in range(10)]
    async with asyncio.timeout(WAIT_SECONDS):
        while not logs.all_wait(attempt.run, len(watchers)):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    event.listen(logs.engine.runtime.database._engine.sync_engine, "before_cursor_execute", count)
    await attempt.write("to all")
    assert await asyncio.gather(*watchers) == [["to all"]] * 10
    assert reads <= 3


async def test_a_run_of_another_project_is_not_found(logs: Logs) -> None:
    attempt = await logs.start()
    watched = WatchedLog(new_id(), attempt.run.id, EVERY_LEVEL)
    with pytest.raises(NotFound):
        await anext(watch_log(logs.hub, watched, after=None, tail=None))


@pytest.mark.parametrize("tail", [-1, 1_001])
async def test_a_tail_is_bounded(logs: Logs, tail: int) -> None:
    attempt = await logs.start()
    with pytest.raises(LimitExceeded):
        async with logs.watching(attempt.run, tail=tail) as watcher:
            await watcher.take()
