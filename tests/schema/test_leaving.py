"""Clients that leave before they are answered, and operations that take too long."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from tests.schema.api import Api

_WAITING = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
"""
_SLOW = "{ scheduler { workers { id } } }"


@asynccontextmanager
async def locked_table(api: Api) -> AsyncIterator[None]:
    """Let every read of the workers wait."""
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await transaction.execute(text("LOCK TABLE worker IN ACCESS EXCLUSIVE MODE"))
        yield


async def until_waiting(api: Api, count: int) -> None:
    """Return when that many statements wait for a lock."""
    async with asyncio.timeout(10):
        while True:
            async with api.runtime.database.reading(None) as connection:
                if (await connection.execute(text(_WAITING))).scalar_one() == count:
                    return
            await asyncio.sleep(0.02)


async def test_statement_of_a_client_that_hangs_up_is_cancelled(api: Api) -> None:
    """Made to fail by awaiting the work alone: the statement waits as long as the lock is held."""
    body = json.dumps({"query": _SLOW}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with locked_table(api):
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(head.encode() + body)
        await until_waiting(api, 1)
        writer.close()
        await writer.wait_closed()
        await until_waiting(api, 0)
    assert await api.data("{ __typename }") == {"__typename": "Query"}


async def test_statement_of_an_ended_stream_is_cancelled(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.token}", "Accept": "text/event-stream"}
    async with locked_table(api):
        response = await api.http.post(api.url, json={"query": _SLOW}, headers=headers)
        await until_waiting(api, 1)
        response.close()
        await until_waiting(api, 0)


async def test_idle_subscription_of_a_client_that_hangs_up_ends(api: Api) -> None:
    """Made to fail by Starlette's own response, which notices when it has something to send."""
    headers = {"Authorization": f"Bearer {api.token}", "Accept": "text/event-stream"}
    body = {"query": "subscription { runEvents { __typename } }"}
    response = await api.http.post(api.url, json=body, headers=headers)
    assert await response.content.readline() == b"event: next\n"
    assert await subscribers(api) == 1
    response.close()
    async with asyncio.timeout(10):
        while await subscribers(api) != 0:  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.02)


async def subscribers(api: Api) -> int:
    """Return how many subscriptions the server counts."""
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.http.get(f"http://127.0.0.1:{api.port}/metrics", headers=headers) as response:
        page = await response.text()
    (line,) = re.findall(r"^tickwheel_\S*subscri\S* (\S+)$", page, re.MULTILINE)
    return int(float(line))


async def test_operation_that_takes_too_long_is_ended_with_its_statement(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.schema.http.OPERATION_SECONDS", 0.2)
    async with locked_table(api):
        answer = await api.ask(_SLOW)
        await until_waiting(api, 0)
    assert answer["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert "data" not in answer
