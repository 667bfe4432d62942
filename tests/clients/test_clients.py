"""The clients of other people work against a server that we know to be right."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError

from tests.clients.gql_client import aiohttp_websocket_client, http_client, websocket_client
from tests.clients.node import NodeClients
from tests.clients.small_server import TOKEN, SmallServer, hang_up_on_one, serving

GREETING = "query Greet($name: String!) { greeting(name: $name) }"
TICKS = """
subscription Ticks($until: Int!, $after: String! = "0", $cutAt: Int) {
  ticks(until: $until, after: $after, cutAt: $cutAt) { cursor }
}
"""

FOREVER = 'subscription Forever($after: String! = "0") { forever(after: $after) { cursor } }'


def tick(number: int) -> dict[str, Any]:
    return {"ticks": {"cursor": str(number)}}


async def test_npm_graphql_http_answers_a_query(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "query.mjs", small_server.http_url, TOKEN, GREETING, {"name": "Ada"}
    ) as query:
        assert await query.next_data() == {"greeting": "Hello, Ada"}
        assert await query.remaining() == [{"type": "complete"}]


async def test_npm_graphql_http_reports_a_refused_token(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start("query.mjs", small_server.http_url, "", GREETING) as query:
        assert (await query.message())["type"] == "failed"


async def test_npm_graphql_ws_receives_every_result_in_order(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, TOKEN, TICKS, {"until": 100}
    ) as subscriber:
        assert (await subscriber.message())["type"] == "connected"
        received = [await subscriber.next_data() for _ in range(100)]
        assert received == [tick(number) for number in range(1, 101)]
        assert (await subscriber.message())["type"] == "complete"


async def test_npm_graphql_ws_resumes_after_a_cut_from_its_last_cursor(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    variables = {"until": 6, "cutAt": 3}
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, TOKEN, TICKS, variables, "--resume"
    ) as subscriber:
        received = [await subscriber.next_data() for _ in range(3)]
        assert (await subscriber.message())["code"] == 1012
        assert (await subscriber.message())["type"] == "connected"
        received += [await subscriber.next_data() for _ in range(3)]
    assert received == [tick(number) for number in range(1, 7)]


async def test_npm_graphql_ws_resumes_when_the_server_comes_back(node_clients: NodeClients) -> None:
    async with AsyncExitStack() as stack:
        async with serving() as server:
            subscriber = await stack.enter_async_context(
                node_clients.start(
                    "subscribe.mjs", server.websocket_url, TOKEN, FOREVER, {}, "--resume"
                )
            )
            assert await subscriber.next_data() == {"forever": {"cursor": "1"}}
        await hang_up_on_one(server.port)
        async with serving(server.port):
            assert await subscriber.next_data() == {"forever": {"cursor": "2"}}


async def test_npm_graphql_ws_starts_over_after_a_cut_when_not_told_to_resume(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    variables = {"until": 6, "cutAt": 2}
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, TOKEN, TICKS, variables
    ) as subscriber:
        received = [await subscriber.next_data() for _ in range(4)]
    assert received == [tick(1), tick(2), tick(1), tick(2)]


async def test_npm_graphql_ws_gives_up_when_its_token_is_refused(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, "wrong", TICKS, {"until": 1}
    ) as subscriber:
        messages = await subscriber.remaining()
    assert [message["type"] for message in messages] == ["closed", "failed"]
    assert messages[-1]["code"] == 4403


async def test_npm_graphql_ws_reports_a_bad_document_as_errors(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, TOKEN, "subscription { nothing }"
    ) as subscriber:
        error = await subscriber.until("error")
    assert "nothing" in error["errors"][0]["message"]


async def test_a_stopped_subscriber_leaves_at_once(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start(
        "subscribe.mjs", small_server.websocket_url, TOKEN, FOREVER
    ) as subscriber:
        assert await subscriber.next_data() == {"forever": {"cursor": "1"}}


async def test_every_audit_of_graphql_over_http_runs(
    node_clients: NodeClients, small_server: SmallServer
) -> None:
    async with node_clients.start("audits.mjs", small_server.http_url, TOKEN) as audits:
        *results, complete = await audits.remaining()
    assert len(results) == 61
    assert sum(complete["counts"].values()) == 61
    # A bare Strawberry answers most of them; a refused token would fail nearly all.
    assert complete["counts"]["ok"] > 40, [each for each in results if each["status"] != "ok"]


async def test_pip_gql_answers_a_query_by_http(small_server: SmallServer) -> None:
    async with http_client(small_server.http_url, TOKEN) as session:
        query = gql(GREETING)
        query.variable_values = {"name": "Ada"}
        assert await session.execute(query) == {"greeting": "Hello, Ada"}


async def test_pip_gql_reports_a_refused_token_by_http(small_server: SmallServer) -> None:
    async with http_client(small_server.http_url, "") as session:
        with pytest.raises(TransportQueryError, match="Who are you"):
            await session.execute(gql("{ __typename }"))


@pytest.mark.parametrize("connect", [websocket_client, aiohttp_websocket_client])
async def test_pip_gql_receives_every_result_in_order(
    small_server: SmallServer, connect: Callable[[str, str], Client]
) -> None:
    client = connect(small_server.websocket_url, TOKEN)
    subscription = gql(TICKS)
    subscription.variable_values = {"until": 100}
    async with asyncio.timeout(30), client as session:
        received = [result async for result in session.subscribe(subscription)]
    assert received == [tick(number) for number in range(1, 101)]


@pytest.mark.parametrize("connect", [websocket_client, aiohttp_websocket_client])
async def test_pip_gql_is_refused_without_a_token_by_websocket(
    small_server: SmallServer, connect: Callable[[str, str], Client]
) -> None:
    client = connect(small_server.websocket_url, "")
    with pytest.raises(TransportConnectionFailed):
        async with asyncio.timeout(30), client:
            pytest.fail("The connection was accepted without a token.")
