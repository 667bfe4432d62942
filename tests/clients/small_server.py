"""A small GraphQL server, to prove the clients by: no Tickwheel in it but the explorer's page.

It asks for a token as Tickwheel does (header, or `connection_init`), and its one subscription can
cut the connection in the middle, as a restart would.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError

from app.schema.explorer import explorer_page, explorer_routes

TOKEN = "tw_test.secret"
_BEARER = f"Bearer {TOKEN}"
_SERVICE_RESTART = 1012


@strawberry.type
class Tick:
    """One step of a stream, with the position to resume from."""

    cursor: str


@strawberry.type
class Query:
    """Questions."""

    @strawberry.field
    def greeting(self, name: str) -> str:
        """Greet `name`."""
        return f"Hello, {name}"

    @strawberry.field
    def project(self, info: strawberry.Info) -> str | None:
        """Say which project the caller named."""
        value: str | None = info.context["request"].headers.get("x-tickwheel-project")
        return value


@strawberry.type
class Subscription:
    """Streams."""

    @strawberry.subscription
    async def ticks(
        self, info: strawberry.Info, until: int, after: str = "0", cut_at: int | None = None
    ) -> AsyncIterator[Tick]:
        """Count from `after` to `until`; cut the connection when `cut_at` has been sent."""
        for number in range(int(after) + 1, until + 1):
            yield Tick(cursor=str(number))
            if number == cut_at:
                await info.context["request"].close(_SERVICE_RESTART, "Restarting")
                return

    @strawberry.subscription
    async def forever(self, after: str = "0") -> AsyncIterator[Tick]:
        """Send the one result that follows `after`, then nothing more."""
        yield Tick(cursor=str(int(after) + 1))
        await asyncio.Event().wait()


class _GraphQL(GraphQL[Any, None]):
    async def on_ws_connect(self, context: Any) -> Any:
        if (context["connection_params"] or {}).get("authorization") != _BEARER:
            raise ConnectionRejectionError
        return strawberry.UNSET


class _Endpoint:
    """A page for browsers; data for clients with a token."""

    def __init__(self) -> None:
        self._graphql = _GraphQL(
            strawberry.Schema(Query, subscription=Subscription),
            subscription_protocols=["graphql-transport-ws"],
            graphql_ide=None,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None if scope["type"] == "websocket" else await self._answer(Request(scope))
        await (answer or self._graphql)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return await explorer_page(request)
        if request.headers.get("authorization") != _BEARER:
            return JSONResponse({"errors": [{"message": "Who are you?"}]}, status_code=401)
        return None


def small_application() -> Starlette:
    """Return the application: `/graphql` and the explorer's files."""
    endpoint = _Endpoint()
    return Starlette(
        routes=[
            Route("/graphql", endpoint),
            WebSocketRoute("/graphql", endpoint),
            *explorer_routes(),
        ]
    )


@dataclass(frozen=True)
class SmallServer:
    """Where the server listens."""

    port: int

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[SmallServer]:
    """Serve the small application in this process, on a free port unless one is named."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(small_application(), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield SmallServer(listener.getsockname()[1])
        finally:
            server.should_exit = True
            server.force_exit = True
            await running


async def hang_up_on_one(port: int) -> None:
    """Take one connection on `port` and drop it, as a server does that is just going away."""
    dropped = asyncio.Event()

    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        dropped.set()

    async with await asyncio.start_server(drop, "127.0.0.1", port), asyncio.timeout(30):
        await dropped.wait()


@pytest.fixture
async def small_server() -> AsyncIterator[SmallServer]:
    """The small application, served for one test."""
    async with serving() as server:
        yield server
