"""GraphQL over HTTP, judged by others and by what a stranger may try."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from app.core.vocabulary import Role
from app.services.access import issue_token
from app.store.instants import read_now
from tests.clients.node import NodeClients, node_clients
from tests.schema.api import ADMIN_TOKEN, Api, running_api

__all__ = ["node_clients"]

RESPONSE_JSON = "application/graphql-response+json"
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


async def post(api: Api, body: Any, **headers: str) -> tuple[int, dict[str, Any], str]:
    """Return status, body and content type of the answer to a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json", **BEARER, **headers}
    async with api.http.post(api.url, data=data, headers=given) as response:
        return response.status, await response.json(content_type=None), response.content_type


async def test_all_audits_of_graphql_over_http_pass(api: Api, node_clients: NodeClients) -> None:
    async with node_clients.start("audits.mjs", api.url, ADMIN_TOKEN) as audits:
        messages = await audits.remaining(within_seconds=60)
    failed = [each for each in messages if each["type"] == "audit" and each["status"] != "ok"]
    assert failed == []
    assert messages[-1]["counts"]["ok"] >= 61


async def test_stranger_gets_no_answer_but_health(api: Api) -> None:
    for token in ("", "Bearer nonsense", "Basic YTpi", "Bearer tw_" + "0" * 32 + ".secret"):
        status, body, _ = await post(api, {"query": "{ __typename }"}, Authorization=token)
        assert status == 401
        assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    base = f"http://127.0.0.1:{api.port}"
    for path, expected in (("/livez", 200), ("/readyz", 200), ("/healthz", 200), ("/metrics", 401)):
        async with api.http.get(base + path) as response:
            assert response.status == expected, path
    async with api.http.get(f"{base}/metrics", headers=BEARER) as response:
        assert "tickwheel_graphql_operations_total" in await response.text()


async def test_get_never_changes_anything(api: Api) -> None:
    query = 'mutation { jobArchive(id: "job_x") { errors { code } } }'
    async with api.http.get(api.url, params={"query": query}, headers=BEARER) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
    params = {
        "query": "query($n: Int) { jobs(first: $n) { nodes { id } } }",
        "variables": '{"n": 1}',
    }
    async with api.http.get(api.url, params=params, headers=BEARER) as response:
        assert (await response.json())["data"] == {"jobs": {"nodes": []}}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"[" * 40_000, {}, 400),
        (b"[" * 100_000, {}, 413),
        (b'{"query": 7}', {}, 400),
        (b'{"query": "{ __typename }", "variables": []}', {}, 400),
        (b'{"query": "' + b" " * 1_000_001 + b'"}', {}, 413),
        (b"query", {"Content-Type": "text/plain"}, 415),
        (b'{"query": "{ __typename }"}', {"Accept": "image/png"}, 406),
    ],
)
async def test_request_that_cannot_be_tried_is_refused(
    api: Api, body: bytes, headers: dict[str, str], status: int
) -> None:
    answered, answer, _ = await post(api, body, **headers)
    assert answered == status
    assert "data" not in answer


@pytest.mark.parametrize(
    "query",
    [
        "{ nothing }",
        "{",
        "{ jobs { " + "nodes { schedules { " * 10 + "__typename" + " } }" * 10 + " } }",
        "{ " + " ".join(f"a{n}: __typename" for n in range(100)) + " }",
        "{ " + "jobs { " * 400 + "}" * 400 + " }",
        "{ " + "a " * 2_100 + "}",
        'query { jobs(first: "x") { nodes { id } } }',
        "fragment a on Query { ...b } fragment b on Query { ...a } { ...a }",
        "query a { __typename } query b { __typename }",
    ],
)
async def test_document_that_is_wrong_or_too_big_is_refused_in_the_way_asked_for(
    api: Api, query: str
) -> None:
    status, body, media_type = await post(api, {"query": query}, Accept=RESPONSE_JSON)
    assert (status, media_type) == (400, RESPONSE_JSON)
    assert body["errors"]
    assert "data" not in body
    status, body, media_type = await post(api, {"query": query})
    assert (status, media_type) == (200, "application/json")
    assert "data" not in body


async def test_fragments_that_double_at_each_step_are_refused_at_once(api: Api) -> None:
    steps = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
    query = steps + " fragment f60 on Query { __typename } { ...f0 }"
    _, body, _ = await post(api, {"query": query})
    assert body["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert f"{2**60} fields" in body["errors"][0]["message"]


async def test_introspection_passes_the_limits(api: Api) -> None:
    from graphql import get_introspection_query

    _, body, _ = await post(api, {"query": get_introspection_query()})
    assert "errors" not in body


async def test_fault_is_masked_and_has_a_reference(api: Api) -> None:
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("ALTER TABLE worker RENAME TO vanished"))
    _, body, _ = await post(api, {"query": "{ scheduler { state } }"})
    (error,) = body["errors"]
    assert "vanished" not in json.dumps(body)
    assert error["extensions"]["reference"] in error["message"]


async def test_expected_failure_of_a_query_has_its_code_and_path(api: Api) -> None:
    answer = await api.ask("{ jobs(first: 1000) { nodes { id } } }")
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "path": ["first"]}


async def test_token_of_a_project_does_what_its_role_allows(api: Api) -> None:
    async with api.runtime.database.transaction() as transaction:
        now = await read_now(transaction)
        project_id = (
            await transaction.execute(
                text(
                    "INSERT INTO project (id, key, name, version, defaults, retention_seconds)"
                    " VALUES (gen_random_uuid(), 'other', 'Other', 1, '{}', 86400) RETURNING id"
                )
            )
        ).scalar_one()
        row, secret = issue_token(
            name="reader", role=Role.VIEWER, project_id=project_id, created_at=now
        )
        transaction.add(row)
    job_id = await api.create_job()
    api.token = secret
    data = await api.data("{ viewer { role project { key } } jobs { nodes { id } } }")
    assert data["viewer"] == {"role": "VIEWER", "project": {"key": "other"}}
    assert data["jobs"]["nodes"] == []
    assert (await api.data(f'{{ job(id: "{job_id}") {{ key }} }}'))["job"] is None
    create = {"key": "a", "kind": "PYTHON", "config": {"function": "app.handlers.builtin.noop"}}
    mutation = (
        "mutation($i: JobCreateInput!) { jobCreate(input: $i) { job { id } errors { code } } }"
    )
    assert (await api.data(mutation, i=create))["jobCreate"]["errors"] == [{"code": "FORBIDDEN"}]


async def test_administrator_names_a_project_by_header(api: Api) -> None:
    query = {"query": "{ viewer { project { key } } }"}
    status, _, _ = await post(api, query, **{"X-Tickwheel-Project": "nowhere"})
    assert status == 403
    status, body, _ = await post(api, query, **{"X-Tickwheel-Project": "default"})
    assert body["data"]["viewer"]["project"]["key"] == "default"


async def test_subscription_streams_as_server_sent_events(api: Api) -> None:
    body = {"query": "subscription { runEvents { __typename } }"}
    headers = {**BEARER, "Accept": "text/event-stream"}
    async with api.http.post(api.url, json=body, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        async with asyncio.timeout(10):
            assert await response.content.readline() == b"event: next\n"
            event = json.loads((await response.content.readline()).removeprefix(b"data: "))
    assert event["data"]["runEvents"]["__typename"] == "RunSnapshot"


async def test_health_tells_what_is_wrong_and_readiness_waits_for_the_tables(
    empty_database_url: str, tmp_path: Any
) -> None:
    nowhere = f"unix://{tmp_path}/nobody.sock?db=0"
    async with running_api(empty_database_url, nowhere) as api, aiohttp.ClientSession() as http:
        base = f"http://127.0.0.1:{api.port}"
        async with http.get(f"{base}/readyz") as response:
            assert response.status == 503
        async with http.get(f"{base}/healthz") as response:
            health = await response.json()
        async with http.get(f"{base}/livez") as response:
            assert response.status == 200
    assert health["status"] == "down"
    assert "migrate" in health["checks"]["database"]
    assert "Redis" in health["checks"]["redis"]


async def test_browser_gets_the_explorer_where_it_is_turned_on(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, graphiql=True) as api:
        accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        async with api.http.get(api.url, headers=accept) as response:
            assert response.status == 200
            assert response.content_type == "text/html"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"key": "a", "kind": "PYTHON", "config": {}, "nothing": 1}, "BAD_USER_INPUT"),
        ({"key": "a", "kind": "NOTHING", "config": {}}, "BAD_USER_INPUT"),
        ({"key": 7, "kind": "PYTHON", "config": {}}, "BAD_USER_INPUT"),
        (None, "BAD_USER_INPUT"),
    ],
)
async def test_variables_that_do_not_fit_are_refused_with_a_code(
    api: Api, given: Any, code: str
) -> None:
    query = "mutation($i: JobCreateInput!) { jobCreate(input: $i) { job { id } } }"
    answer = await api.ask(query, i=given)
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
    assert "data" not in answer


@pytest.mark.parametrize(
    "given",
    ['key: "a", kind: NOTHING, config: {}', 'key: "a", kind: PYTHON, config: {}, nothing: 1'],
)
async def test_inputs_in_the_document_that_do_not_fit_are_refused_with_a_code(
    api: Api, given: str
) -> None:
    answer = await api.ask(f"mutation {{ jobCreate(input: {{{given}}}) {{ job {{ id }} }} }}")
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes == {"GRAPHQL_VALIDATION_FAILED"}
