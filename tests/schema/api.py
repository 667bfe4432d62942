"""A real API server on a loopback port, and a client for it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import uvicorn
import websockets
from starlette.applications import Starlette

from app.asgi import build_application
from app.config import Settings
from app.runtime import Runtime, open_runtime
from app.schema.socket_protocol import SOCKET_OPTIONS

ADMIN_TOKEN = "test-admin-token-" + "0" * 32
WAIT_SECONDS = 10.0


def settings_for(database_url: str, redis_url: str, **changes: Any) -> Settings:
    """Return the settings of a test's server."""
    values = {
        "database_url": database_url,
        "redis_url": redis_url,
        "admin_token": ADMIN_TOKEN,
        "allow_commands": True,
        "http_allow_networks": ("127.0.0.0/8",),
    }
    return Settings(**{**values, **changes})


@asynccontextmanager
async def serving(application: Starlette, **options: Any) -> AsyncIterator[int]:
    """Serve an application on a free port of the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio does this only for sockets that name their protocol; without it an answer that is
    # written in two parts waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        application,
        lifespan="on",
        log_level="warning",
        timeout_graceful_shutdown=1,
        **{**SOCKET_OPTIONS, **options},
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


class Api:
    """Speaks to one server as one caller."""

    def __init__(self, port: int, http: aiohttp.ClientSession, runtime: Runtime) -> None:
        self.port = port
        self.http = http
        self.runtime = runtime
        self.token = ADMIN_TOKEN

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return f"http://127.0.0.1:{self.port}/graphql"

    async def ask(
        self, query: str, headers: Mapping[str, str] | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Return the whole answer to an operation."""
        body = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        async with self.http.post(self.url, json=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of an operation that must not fail."""
        answer = await self.ask(query, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def create_job(self, key: str = "job", **more: Any) -> str:
        """Create a job that does nothing, and return its id."""
        given = {
            "key": key,
            "kind": "PYTHON",
            "config": {"function": "app.handlers.builtin.noop", "isolation": "inline"},
            **more,
        }
        payload = (await self.data(JOB_CREATE, input=given))["jobCreate"]
        assert payload["errors"] == [], payload
        return str(payload["job"]["id"])

    async def create_schedule(
        self, job_id: str, key: str = "schedule", *, cron: str = "0 0 1 1 *", **fields: Any
    ) -> dict[str, Any]:
        """Create a schedule and return it."""
        given = {"timings": [{"cron": {"expression": cron}}], **fields}
        payload = await self.try_schedule(jobId=job_id, key=key, fields=given, allowDuplicate=True)
        assert payload["errors"] == [], payload
        schedule: dict[str, Any] = payload["schedule"]
        return schedule

    async def try_schedule(self, **given: Any) -> dict[str, Any]:
        """Try to create a schedule and return the payload."""
        payload: dict[str, Any] = (await self.data(SCHEDULE_CREATE, input=given))["scheduleCreate"]
        return payload

    @asynccontextmanager
    async def watching(
        self, query: str, *, patience_seconds: float = WAIT_SECONDS, **variables: Any
    ) -> AsyncIterator["Stream"]:
        """Subscribe over a WebSocket."""
        async with self.socket() as connection:
            await connection.send(
                json.dumps(
                    {
                        "id": "1",
                        "type": "subscribe",
                        "payload": {"query": query, "variables": variables},
                    }
                )
            )
            yield Stream(connection, patience_seconds)

    @asynccontextmanager
    async def socket(self, **init: Any) -> AsyncIterator[websockets.ClientConnection]:
        """Open an acknowledged WebSocket."""
        async with self.raw_socket() as connection:
            payload = {"authorization": f"Bearer {self.token}", **init}
            await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
            acknowledged = json.loads(await connection.recv())
            assert acknowledged["type"] == "connection_ack", acknowledged
            yield connection

    def raw_socket(self, **options: Any) -> websockets.connect:
        """Open a WebSocket that has said nothing yet."""
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
            max_size=None,
            **options,
        )


class Stream:
    """The messages of one subscription."""

    def __init__(self, connection: websockets.ClientConnection, patience_seconds: float) -> None:
        self._connection = connection
        self._patience_seconds = patience_seconds

    async def drop(self) -> None:
        """Cut the connection, without a word."""
        self._connection.transport.abort()
        await self._connection.wait_closed()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with asyncio.timeout(self._patience_seconds):
            message = json.loads(await self._connection.recv())
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (data,) = message["payload"]["data"].values()
        return dict(data)


@asynccontextmanager
async def running_api(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Api]:
    """Run a server and return a client for it; what begins with `ws_` is told the server."""
    options = {name: changes.pop(name) for name in list(changes) if name.startswith("ws_")}
    settings = settings_for(database_url, redis_url, **changes)
    async with (
        open_runtime(settings) as runtime,
        serving(build_application(settings), **options) as port,
        aiohttp.ClientSession() as http,
    ):
        yield Api(port, http, runtime)


ERRORS = """
errors { __typename code message path
    ... on ValidationError { hint column }
    ... on NotFoundError { id }
    ... on VersionConflictError { expectedVersion currentVersion }
    ... on StateConflictError { currentState allowedStates }
    ... on GenericError { retryAfter } }
"""
SCHEDULE = """
schedule { id key name version revision state stateReason nextRunAt pausedUntil timezone
    missCount consecutiveFailures parameters tags { key value } }
"""
JOB_CREATE = f"""mutation($input: JobCreateInput!) {{
    jobCreate(input: $input) {{ replayed job {{ id key version kind }} {ERRORS} }} }}"""
SCHEDULE_CREATE = f"""mutation($input: ScheduleCreateInput!) {{
    scheduleCreate(input: $input) {{ replayed {SCHEDULE} {ERRORS} }} }}"""
