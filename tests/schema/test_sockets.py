"""The protocol graphql-transport-ws, and what happens to those who break it."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
import websockets
from sqlalchemy import text

from app.core.vocabulary import Role
from app.schema import sockets
from app.schema.socket_protocol import SOCKET_OPTIONS
from app.services.access import issue_token
from app.store.instants import read_now
from tests.clients.gql_client import websocket_client
from tests.clients.node import NodeClients, node_clients
from tests.schema.api import ADMIN_TOKEN, Api, running_api
from tests.schema.test_path import RUN_EVENTS, TRIGGER

__all__ = ["node_clients"]

INIT = {"type": "connection_init", "payload": {"authorization": f"Bearer {ADMIN_TOKEN}"}}
SUBSCRIBE = {
    "id": "1",
    "type": "subscribe",
    "payload": {"query": "subscription { runEvents { __typename } }"},
}
WAIT_SECONDS = 10.0


async def close_code(connection: websockets.ClientConnection) -> int:
    """Return the code with which the server closes."""
    async with asyncio.timeout(WAIT_SECONDS):
        await connection.wait_closed()
    assert connection.close_code is not None
    return connection.close_code


async def take(connection: websockets.ClientConnection) -> dict[str, Any]:
    """Return the next message."""
    async with asyncio.timeout(WAIT_SECONDS):
        message: dict[str, Any] = json.loads(await connection.recv())
        return message


MALFORMED: list[str | bytes] = [
    "null",
    "[]",
    "7",
    "{",
    "{}",
    '{"type": 3}',
    '{"type": "start"}',
    '{"type": "ping", "payload": []}',
    '{"type": "subscribe", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
    '{"type": "subscribe", "id": "1", "payload": null}',
    '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
    '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
    '{"type": "complete"}',
    b"\x00\x01",
]


async def test_malformed_message_closes_with_4400(api: Api) -> None:
    for message in MALFORMED:
        async with api.socket() as connection:
            await connection.send(message)
            assert await close_code(connection) == 4400, message


async def test_message_that_is_too_big_closes_the_socket(api: Api) -> None:
    async with api.socket() as connection:
        await connection.send(json.dumps({"type": "ping", "payload": {"a": "x" * 130_000}}))
        assert await close_code(connection) == 1009


async def test_subscribing_before_the_acknowledgement_closes_with_4401(api: Api) -> None:
    async with api.raw_socket() as connection:
        await connection.send(json.dumps(SUBSCRIBE))
        assert await close_code(connection) == 4401


@pytest.mark.parametrize(
    "payload", [None, {}, {"authorization": "Bearer nonsense"}, {"authorization": 7}]
)
async def test_stranger_is_refused_with_4403(api: Api, payload: Any) -> None:
    async with api.raw_socket() as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert await close_code(connection) == 4403


async def test_second_initialisation_closes_with_4429(api: Api) -> None:
    async with api.socket() as connection:
        await connection.send(json.dumps(INIT))
        assert await close_code(connection) == 4429


async def test_second_subscription_of_one_id_closes_with_4409(api: Api) -> None:
    async with api.socket() as connection:
        await connection.send(json.dumps(SUBSCRIBE))
        await connection.send(json.dumps(SUBSCRIBE))
        assert await close_code(connection) == 4409


async def test_who_never_says_who_they_are_is_shown_out_with_4408(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "INIT_TIMEOUT", timedelta(seconds=0.2))
    async with running_api(database_url, redis_url) as api, api.raw_socket() as connection:
        await connection.send(json.dumps({"type": "ping"}))
        assert await take(connection) == {"type": "pong"}
        assert await close_code(connection) == 4408


async def test_an_id_is_free_as_soon_as_it_was_completed(api: Api) -> None:
    complete = {"id": "1", "type": "complete"}
    async with api.socket() as connection:
        # Nobody waits for an answer to `complete`, or before the next use of the id.
        for message in (complete, SUBSCRIBE, complete, SUBSCRIBE, {"type": "pong"}):
            await connection.send(json.dumps(message))
        while (message := await take(connection))["type"] != "next":
            pass
        assert message["id"] == "1"
        await connection.send(json.dumps({"type": "ping", "payload": {"any": "thing"}}))
        assert (await take(connection))["type"] == "pong"
        assert await subscribers(api) == 1


async def test_socket_carries_a_bounded_number_of_operations(api: Api) -> None:
    query = {"query": "subscription { runEvents(snapshot: false) { __typename } }"}
    async with api.socket() as connection:
        for number in range(sockets.MOST_OPERATIONS + 1):
            subscribe = {"id": str(number), "type": "subscribe", "payload": query}
            await connection.send(json.dumps(subscribe))
        while (message := await take(connection))["type"] != "error":
            assert message["type"] == "next"
        assert message["id"] == str(sockets.MOST_OPERATIONS)
        assert message["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_server_pings_and_compresses_nothing(
    database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Made to fail by leaving compression on, which every client offers."""
    caplog.set_level("DEBUG", "websockets.client")
    async with (
        running_api(database_url, redis_url, ws_ping_interval=0.1) as api,
        api.socket() as socket,
    ):
        assert socket.request is not None
        assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
        assert socket.protocol.extensions == []
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(" PING " in record.getMessage() for record in caplog.records):
                await socket.ping()
    assert SOCKET_OPTIONS["ws_ping_interval"] == SOCKET_OPTIONS["ws_ping_timeout"] == 20


async def test_who_reads_nothing_is_cut_off_and_holds_up_nobody(
    database_url: str, redis_url: str
) -> None:
    """Made to fail by closing politely, which waits for the deaf to read first."""
    query = "subscription { runEvents { ... on RunSnapshot { runs { parameters } } } }"
    options = {"ws_ping_interval": 1.0, "ws_ping_timeout": 1.0}
    async with running_api(database_url, redis_url, **options) as api:
        schedule = await api.create_schedule(await api.create_job(), overlap="ALLOW")
        await api.data(TRIGGER, input={"id": schedule["id"]})
        async with api.runtime.database.transaction() as transaction:
            # Three times this is more than the buffers of both ends take.
            filling = "jsonb_build_object('filling', repeat('x', 4000000))"
            await transaction.execute(text(f"UPDATE run SET parameters = {filling}"))
        async with api.socket() as deaf, api.watching(RUN_EVENTS) as hears:
            await anext(hears)
            deaf.transport.pause_reading()
            for number in range(3):
                subscribe = {"id": str(number), "type": "subscribe", "payload": {"query": query}}
                await deaf.send(json.dumps(subscribe))
            async with asyncio.timeout(WAIT_SECONDS):
                while await subscribers(api) < 4:
                    pass
            await api.data(TRIGGER, input={"id": schedule["id"]})
            assert (await anext(hears))["__typename"] == "RunChange"
            async with asyncio.timeout(WAIT_SECONDS):
                while await subscribers(api) > 1:
                    pass
            deaf.transport.abort()


async def test_other_protocols_are_not_spoken(api: Api) -> None:
    url = f"ws://127.0.0.1:{api.port}/graphql"
    async with websockets.connect(
        url, subprotocols=[websockets.Subprotocol("graphql-ws")]
    ) as connection:
        assert await close_code(connection) == 4406


async def test_page_of_another_origin_is_refused(api: Api) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with api.raw_socket(origin="https://evil.example"):
            pass
    async with api.raw_socket(origin=f"http://127.0.0.1:{api.port}") as connection:
        await connection.send(json.dumps(INIT))
        assert (await take(connection))["type"] == "connection_ack"


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "subscription { nothing }",
        "subscription { " + "runEvents { " * 200 + "}" * 200 + " }",
        "query a { __typename } query b { __typename }",
    ],
)
async def test_bad_document_ends_only_its_own_operation(api: Api, query: str) -> None:
    async with api.socket() as connection:
        bad = {"id": "bad", "type": "subscribe", "payload": {"query": query}}
        await connection.send(json.dumps(bad))
        message = await take(connection)
        assert (message["id"], message["type"]) == ("bad", "error")
        await connection.send(json.dumps({**SUBSCRIBE, "id": "bad"}))
        assert (await take(connection))["type"] == "next"


async def test_queries_work_and_completed_ids_are_free_again(api: Api) -> None:
    query = {"id": "q", "type": "subscribe", "payload": {"query": "{ viewer { role } }"}}
    async with api.socket() as connection:
        for _ in range(2):
            await connection.send(json.dumps(query))
            answer = await take(connection)
            assert answer["payload"]["data"] == {"viewer": {"role": "ADMIN"}}
            assert (await take(connection))["type"] == "complete"
        await connection.send(json.dumps({"type": "ping"}))
        assert (await take(connection))["type"] == "pong"


async def test_completed_subscription_frees_its_feed(api: Api) -> None:
    async with api.socket() as connection:
        await connection.send(json.dumps(SUBSCRIBE))
        assert (await take(connection))["type"] == "next"
        assert await subscribers(api) == 1
        await connection.send(json.dumps({"id": "1", "type": "complete"}))
        async with asyncio.timeout(WAIT_SECONDS):
            while await subscribers(api):
                pass


async def test_expired_token_closes_the_socket_with_4403(api: Api) -> None:
    async with api.runtime.database.transaction() as transaction:
        now = await read_now(transaction)
        row, api.token = issue_token(
            name="brief",
            role=Role.VIEWER,
            project_id=None,
            created_at=now,
            expires_at=now + timedelta(seconds=1.5),
        )
        transaction.add(row)
    async with api.socket() as connection:
        assert await close_code(connection) == 4403
    async with api.raw_socket() as connection:
        init = {"type": "connection_init", "payload": {"authorization": f"Bearer {api.token}"}}
        await connection.send(json.dumps(init))
        assert await close_code(connection) == 4403


async def test_subscription_resumes_behind_its_last_cursor(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), overlap="ALLOW")
    async with api.watching(RUN_EVENTS) as stream:
        cursor = (await anext(stream))["cursor"]
    ids = [
        (await api.data(TRIGGER, input={"id": schedule["id"]}))["scheduleTrigger"]["run"]["id"]
        for _ in range(3)
    ]
    async with api.watching(RUN_EVENTS, after=cursor) as stream:
        first = await anext(stream)
    async with api.watching(RUN_EVENTS, after=first["cursor"]) as stream:
        rest = [await anext(stream), await anext(stream)]
    assert [message["run"]["id"] for message in (first, *rest)] == ids


async def test_schedule_changes_arrive_in_order(api: Api) -> None:
    job_id = await api.create_job()
    query = """subscription { scheduleChanged { __typename
        ... on ScheduleSnapshot { schedules { key } }
        ... on ScheduleChange { change schedule { key state revision } }
        ... on ScheduleGone { id } } }"""
    pause = """mutation($id: ID!) {
        schedulePause(input: {id: $id, reason: "x"}) { errors { code } } }"""
    archive = "mutation($id: ID!) { scheduleArchive(input: {id: $id}) { errors { code } } }"
    async with api.watching(query) as stream:
        assert (await anext(stream))["schedules"] == []
        schedule = await api.create_schedule(job_id, "watched")
        created = await anext(stream)
        await api.data(pause, id=schedule["id"])
        paused = await anext(stream)
        await api.data(archive, id=schedule["id"])
        gone = await anext(stream)
    assert (created["change"], created["schedule"]["state"]) == ("CREATED", "ACTIVE")
    assert (paused["change"], paused["schedule"]["state"]) == ("PAUSED", "PAUSED")
    assert gone == {"__typename": "ScheduleGone", "id": schedule["id"]}


async def test_scheduler_status_comes_now_and_on_change(api: Api) -> None:
    query = 'subscription { schedulerStatus(minInterval: "PT0.1S") { activeSchedules healthy } }'
    async with api.watching(query) as stream:
        assert (await anext(stream))["activeSchedules"] == 0
        await api.create_schedule(await api.create_job())
        while (await anext(stream))["activeSchedules"] != 1:
            pass


async def test_expected_failure_of_a_subscription_is_an_error_with_its_code(api: Api) -> None:
    async with api.socket() as connection:
        query = 'subscription { runEvents(runId: "nonsense") { __typename } }'
        await connection.send(
            json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}})
        )
        message = await take(connection)
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "NOT_FOUND"


async def test_npm_graphql_ws_watches_a_run(api: Api, node_clients: NodeClients) -> None:
    schedule = await api.create_schedule(await api.create_job())
    url = f"ws://127.0.0.1:{api.port}/graphql"
    async with node_clients.start("subscribe.mjs", url, ADMIN_TOKEN, RUN_EVENTS, {}) as subscriber:
        assert (await subscriber.next_data())["runEvents"]["__typename"] == "RunSnapshot"
        run = (await api.data(TRIGGER, input={"id": schedule["id"]}))["scheduleTrigger"]["run"]
        assert (await subscriber.next_data())["runEvents"]["run"]["id"] == run["id"]


async def test_pip_gql_watches_a_run(api: Api) -> None:
    from gql import gql

    schedule = await api.create_schedule(await api.create_job())
    client = websocket_client(f"ws://127.0.0.1:{api.port}/graphql", ADMIN_TOKEN)
    async with client as session:
        messages = session.subscribe(gql(RUN_EVENTS))
        async with asyncio.timeout(WAIT_SECONDS):
            assert (await anext(messages))["runEvents"]["__typename"] == "RunSnapshot"
            run = (await api.data(TRIGGER, input={"id": schedule["id"]}))["scheduleTrigger"]["run"]
            assert (await anext(messages))["runEvents"]["run"]["id"] == run["id"]
        await messages.aclose()


async def subscribers(api: Api) -> int:
    """Return how many the server says it has."""
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with api.http.get(f"http://127.0.0.1:{api.port}/metrics", headers=headers) as response:
        page = await response.text()
    (line,) = [line for line in page.splitlines() if line.startswith("tickwheel_subscribers ")]
    return int(float(line.split()[1]))
