"""A whole instance for tests that look at it from outside: API, worker, PostgreSQL and Redis.

The API serves in the test's own process, behind a door that can be shut in the middle of what it
carries; the worker is a process. Nothing is shared with other tests but the PostgreSQL server.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from tests.dev.processes import PATIENCE_SECONDS
from tests.faults.nursery import Nursery
from tests.schema.api import ADMIN_TOKEN, Api, running_api
from tests.worker.control import status


class Door:
    """The way to a port, which can be shut on whoever is just passing through."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._passing: set[asyncio.Task[None]] = set()
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Door"]:
        """Let connections through while the block lasts."""
        async with await asyncio.start_server(self._pass, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                self.slam()

    def slam(self) -> int:
        """Cut every connection, and return how many there were; new ones may come at once."""
        passing = list(self._passing)
        for task in passing:
            task.cancel()
        return len(passing)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_copy(reader, inner_writer))
                    both.create_task(_copy(inner_reader, writer))
            finally:
                inner_writer.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._passing.discard(task)
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


@dataclass(frozen=True)
class LiveInstance:
    """A running instance, and how to reach it."""

    api: Api
    door: Door
    database_url: str
    redis_url: str

    @property
    def url(self) -> str:
        """Return the address of the endpoint, through the door."""
        return f"http://127.0.0.1:{self.door.port}/graphql"

    @property
    def websocket_url(self) -> str:
        """Return the same for WebSockets."""
        return f"ws://127.0.0.1:{self.door.port}/graphql"

    @property
    def token(self) -> str:
        """Return the administrator's token."""
        return ADMIN_TOKEN


@asynccontextmanager
async def live_instance(
    postgres: EmbeddedPostgres, nursery: Nursery, directory: Path, **changes: Any
) -> AsyncIterator[LiveInstance]:
    """Run an instance while the block lasts; `directory` has a short path.

    `changes` are settings of the API.
    """
    name = f"test_{uuid4().hex}"
    database_url = await postgres.create_database(name, template="tickwheel")
    redis = EmbeddedRedis(directory / f"redis-{name[5:13]}")
    await redis.start()
    try:
        async with (
            running_api(database_url, redis.url, **changes) as api,
            Door(api.port).open() as door,
            _a_worker(nursery, database_url, redis.url, directory / f"{name}.log"),
        ):
            await _until_somebody_works(api)
            yield LiveInstance(api, door, database_url, redis.url)
    finally:
        await redis.stop()
        await postgres.drop_database(name)


async def _until_somebody_works(api: Api) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await status(api))["workers"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _a_worker(
    nursery: Nursery, database_url: str, redis_url: str, log: Path
) -> AsyncIterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKWHEEL_")}
    environment = kept | {
        "TICKWHEEL_DATABASE_URL": database_url,
        "TICKWHEEL_REDIS_URL": redis_url,
        "TICKWHEEL_WORKER_PORT": "0",
        "TICKWHEEL_ALLOW_COMMANDS": "true",
    }
    pid, end = await asyncio.to_thread(nursery.launch, environment, log)
    try:
        yield
    finally:
        if not end.done():
            os.kill(pid, signal.SIGKILL)
        await asyncio.wrap_future(end)
