"""Read the lines of a log behind a position, once for all who need the same.

Many may watch one run: they wake at the same ring and mostly stand at the same position.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from uuid import UUID

from app.core.run_states import is_final
from app.store.database import Database
from app.store.live import reading_at_one_instant
from app.store.run_logs import LogPage, read_log_page
from app.store.runs import read_run

LINES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class WatchedLog:
    """Which run's log, and which of its lines."""

    project_id: UUID
    run_id: UUID
    levels: frozenset[str]


class ReadKey(NamedTuple):
    """What makes two reads the same: the log, the position, and the ring they answer."""

    watched: WatchedLog
    position: int
    rung: int


class SharedReads:
    """Reads of logs under way; who needs the same waits for the same."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._under_way: dict[ReadKey, asyncio.Task[tuple[LogPage, bool]]] = {}

    async def read(self, key: ReadKey) -> tuple[LogPage, bool]:
        """Return the lines behind a position, and whether the run is over."""
        reading = self._under_way.get(key)
        if reading is None:
            reading = asyncio.create_task(_read(self._database, key))
            self._under_way[key] = reading
            reading.add_done_callback(partial(self._forget, key))
        # One who leaves does not take the read from the others.
        return await asyncio.shield(reading)

    def _forget(self, key: ReadKey, reading: asyncio.Task[tuple[LogPage, bool]]) -> None:
        del self._under_way[key]
        if not reading.cancelled():
            reading.exception()  # Perhaps nobody waits any more who could be told.


async def _read(database: Database, key: ReadKey) -> tuple[LogPage, bool]:
    """Read run and log as they were at one instant: a run's end and last lines are one commit."""
    watched = key.watched
    async with reading_at_one_instant(database, watched.project_id) as (connection, _):
        run = await read_run(connection, watched.project_id, watched.run_id)
        page = await read_log_page(
            connection,
            watched.run_id,
            after=key.position,
            limit=LINES_AT_ONCE,
            levels=watched.levels,
        )
    # A run that was removed in the meantime has ended long ago.
    return page, run is None or is_final(run.state)
