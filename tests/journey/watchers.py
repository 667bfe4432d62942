"""Outside clients that subscribe to `runEvents` and remember all they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from gql import gql

from tests.clients.gql_client import websocket_client
from tests.clients.node import NodeClients
from tests.dev.processes import PATIENCE_SECONDS
from tests.journey.visitor import RUN, UNFINISHED, Record

RUN_EVENTS = f"""
subscription($after: Cursor, $scheduleId: ID) {{
  runEvents(after: $after, scheduleId: $scheduleId) {{
    __typename
    ... on StreamMessage {{ cursor }}
    ... on RunSnapshot {{ runs {{ {RUN} }} }}
    ... on RunChange {{ coalesced run {{ {RUN} }} }}
    ... on RunGone {{ id }}
    ... on StreamReset {{ reason }}
  }}
}}
"""


class Watcher:
    """What one client was told, in order."""

    def __init__(self) -> None:
        self.messages: list[Record] = []
        self._told = asyncio.Condition()
        self._failure: Exception | None = None

    async def listen(self, messages: AsyncIterator[Record]) -> None:
        """Remember every message, and why there are no more."""
        try:
            async for message in messages:
                async with self._told:
                    self.messages.append(message)
                    self._told.notify_all()
        except Exception as failure:
            async with self._told:
                self._failure = failure
                self._told.notify_all()

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until what was told is enough."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._told:
            await self._told.wait_for(lambda: enough() or self._failure is not None)
        if not enough():
            raise AssertionError(f"No more after {self.messages[-3:]}") from self._failure

    @property
    def cursor(self) -> str:
        """Return the last position."""
        return str(self.messages[-1]["cursor"])

    def changes(self, schedule_id: str) -> list[Record]:
        """Return each state of each run of a schedule, as told."""
        runs = [message["run"] for message in self.messages if "run" in message]
        return [run for run in runs if run["schedule"]["id"] == schedule_id]

    def finals(self, schedule_id: str) -> list[Record]:
        """Return the final states of the schedule's runs, as told."""
        return [run for run in self.changes(schedule_id) if run["state"] not in UNFINISHED]

    async def until_final(self, schedule_id: str, count: int) -> None:
        """Wait until `count` runs of a schedule have reached their final state."""
        await self.until(lambda: len(self.finals(schedule_id)) >= count)

    async def until_final_after(self, schedule_id: str, instant: str) -> None:
        """Wait until an occurrence later than this instant has run."""
        later = datetime.fromisoformat(instant)
        await self.until(
            lambda: any(
                datetime.fromisoformat(run["scheduledFor"]) > later
                for run in self.finals(schedule_id)
            )
        )

    async def until_all_final(self, schedule_id: str, runs: list[Record]) -> None:
        """Wait until the final states of these runs have been told."""
        wanted = {run["id"] for run in runs}
        await self.until(lambda: wanted <= {run["id"] for run in self.finals(schedule_id)})


@asynccontextmanager
async def watching_with_gql(url: str, token: str, **variables: Any) -> AsyncIterator[Watcher]:
    """Subscribe with pip gql, over its WebSocket transport."""
    request = gql(RUN_EVENTS)
    request.variable_values = variables
    async with websocket_client(websocket_url(url), token) as session:

        async def messages() -> AsyncIterator[Record]:
            async with aclosing(session.subscribe(request)) as results:
                async for result in results:
                    yield result["runEvents"]

        async with _listening(messages()) as watcher:
            yield watcher


@asynccontextmanager
async def watching_with_npm(
    clients: NodeClients, url: str, token: str, *options: str, **variables: Any
) -> AsyncIterator[Watcher]:
    """Subscribe with npm graphql-ws, on Node."""
    async with clients.start(
        "subscribe.mjs", websocket_url(url), token, RUN_EVENTS, variables, *options
    ) as script:

        async def messages() -> AsyncIterator[Record]:
            while True:
                yield (await script.next_data())["runEvents"]

        async with _listening(messages()) as watcher:
            yield watcher


def websocket_url(url: str) -> str:
    """Return where the same endpoint speaks graphql-transport-ws."""
    return url.replace("http", "ws", 1)


@asynccontextmanager
async def _listening(messages: AsyncIterator[Record]) -> AsyncIterator[Watcher]:
    """A watcher that has been told where it begins."""
    watcher = Watcher()
    listening = asyncio.create_task(watcher.listen(messages))
    try:
        await watcher.until(lambda: bool(watcher.messages))
        yield watcher
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
