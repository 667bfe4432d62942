"""Follow the log of one run: what there is, then every line, until the run is over.

A subscriber reads from PostgreSQL at its own pace, from its own position, so a slow one costs
neither memory nor lines, and the number of the last line is all it takes to resume, in any process.
The hub's bell says when to read; those who stand at the same position share one read.
docs/decisions/0007 says why.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.clock import elapsed_seconds
from app.core.errors import Invalid, LimitExceeded, NotFound
from app.services.live.bells import Bell
from app.services.live.hub import FeedHub
from app.services.live.log_reading import ReadKey, WatchedLog
from app.services.live.watching import HEARTBEAT_SECONDS
from app.store.database import Database
from app.store.live import reading_at_one_instant
from app.store.run_logs import StoredLine, read_last_number, read_log_end
from app.store.runs import read_run

MOST_TAIL_LINES = 1_000
LONGEST_WAIT_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_MOST_DIGITS = 9
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines, oldest first; `dropped`: how many between them and before were never kept."""

    position: int
    lines: tuple[StoredLine, ...]
    dropped: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was written, and the feed is alive."""

    position: int


@dataclass(frozen=True, slots=True)
class Anew:
    """Drop the lines you have: the log begins again behind this position."""

    position: int
    reason: str


LogMessage = Lines | Silence | Anew


def read_position(text: str) -> int:
    """Return the number of the line that a cursor names. Raises `Invalid`."""
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise Invalid("This is not a cursor of a log.", path=("after",))
    return int(text)


async def watch_log(
    hub: FeedHub,
    watched: WatchedLog,
    *,
    after: str | None,
    tail: int | None,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncGenerator[LogMessage]:
    """Yield the log from its beginning, its last `tail` lines or `after` on; end with the run.

    `after` wins over `tail`: clients repeat what they asked first when they come back. Raises
    `NotFound` for a run that is not in the project.
    """
    if tail is not None and not 0 <= tail <= MOST_TAIL_LINES:
        raise LimitExceeded(f"tail lies between 0 and {MOST_TAIL_LINES:,}.", path=("tail",))
    async with hub.listening(watched.run_id) as bell:
        beginning = await _begin(hub.runtime.database, watched, after, tail)
        if isinstance(beginning, Anew):
            yield beginning
        messages = _follow(hub, watched, bell, beginning.position, heartbeat_seconds)
        async with aclosing(messages):
            async for message in messages:
                yield message


async def _begin(
    database: Database, watched: WatchedLog, after: str | None, tail: int | None
) -> Silence | Anew:
    """Find where to begin; a position this log has not reached is one of another log."""
    try:
        position = None if after is None else read_position(after)
    except Invalid:
        position = -1
    async with reading_at_one_instant(database, watched.project_id) as (connection, _):
        if await read_run(connection, watched.project_id, watched.run_id) is None:
            raise NotFound("There is no such run in this project.", path=("runId",))
        if position is not None and 0 <= position <= await read_last_number(
            connection, watched.run_id
        ):
            return Silence(position)
        start = 0
        if tail is not None:
            start = await read_log_end(
                connection, watched.run_id, lines=tail, levels=watched.levels
            )
    if position is None:
        return Silence(start)
    return Anew(start, "The position is not one of this log: drop the lines you have.")


async def _follow(
    hub: FeedHub, watched: WatchedLog, bell: Bell, position: int, heartbeat_seconds: float
) -> AsyncGenerator[LogMessage]:
    spoken_at = elapsed_seconds()
    while True:
        next_ring = bell.next_ring
        try:
            page, is_over = await hub.log_reads.read(ReadKey(watched, position, bell.rung))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("live.log_read_failed", error=repr(error))
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        position = page.position
        finished = is_over and not page.has_more
        if page.lines or page.dropped or finished:
            spoken_at = elapsed_seconds()
            yield Lines(position, tuple(page.lines), page.dropped, finished)
        if finished:
            return
        if not page.has_more:
            silence = elapsed_seconds() - spoken_at
            if silence >= heartbeat_seconds:
                spoken_at = elapsed_seconds()
                yield Silence(position)
            await _ring_or_pause(next_ring, min(LONGEST_WAIT_SECONDS, heartbeat_seconds))


async def _ring_or_pause(next_ring: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await next_ring.wait()
    except TimeoutError:
        pass
