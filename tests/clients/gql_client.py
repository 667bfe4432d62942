"""Speak to Tickwheel with pip `gql`, as a Python user would: by HTTP and by WebSocket.

Each function returns a client that is not connected yet; `async with` connects it:

    async with http_client(url, token) as session:
        result = await session.execute(gql("{ viewer { role } }"))

    async with websocket_client(url, token) as session:
        async for result in session.subscribe(gql("subscription { … }")):
            ...

A failure raises gql's own exceptions (`gql.transport.exceptions`).
"""

from gql import Client
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.websockets import WebsocketsTransport


def http_client(url: str, token: str) -> Client:
    """Queries and mutations by HTTP, on aiohttp."""
    return Client(transport=AIOHTTPTransport(url, headers=_authorization(token)))


def websocket_client(url: str, token: str) -> Client:
    """Everything by graphql-transport-ws, on the `websockets` library."""
    return Client(transport=WebsocketsTransport(url, init_payload=_authorization(token)))


def aiohttp_websocket_client(url: str, token: str) -> Client:
    """Everything by graphql-transport-ws, on aiohttp."""
    return Client(transport=AIOHTTPWebsocketsTransport(url, init_payload=_authorization(token)))


def _authorization(token: str) -> dict[str, str]:
    """Return what goes into the headers, or into `connection_init`: the same either way."""
    return {"authorization": f"Bearer {token}"} if token else {}
