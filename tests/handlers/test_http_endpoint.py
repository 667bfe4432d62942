"""Endpoints and their credentials, against a real authorization server.

Breaks that were tried: a token is used to its last second; a 401 renews without end, or not at
all; the store is not asked before the authorization server is; the credential follows a redirect.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from app.core.errors import InvalidInput
from app.core.redaction import Redaction
from app.core.vocabulary import JobKind, RunState
from app.handlers.execution import EndpointDefinition, Outcome
from app.handlers.http_endpoint import read_endpoint
from app.handlers.http_tokens import AccessToken, TokenRefused, TokenStore, read_token
from app.handlers.network_guard import NetworkGuard, Resolve, system_resolve
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers
from tests.handlers.conftest import RecordedOutput, execution_of
from tests.handlers.test_http_job import OPEN, Server, answer_ok, redirect, serving

SECRETS = {"token": "t0ken-value", "password": "pässword", "client": "cl1ent secret/"}


@dataclass
class Authority:
    """An authorization server and an API that takes its tokens."""

    server: Server
    life_seconds: Any = 3600
    issued: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    refuses_all: bool = False
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def auth(self) -> dict[str, Any]:
        return {
            "type": "oauth2",
            "tokenUrl": f"{self.server.origin}/token",
            "clientId": "tickwheel",
            "clientSecret": {"secret": "client"},
            "scopes": ["read", "write"],
            "audience": "https://api.test",
        }


@asynccontextmanager
async def authority() -> AsyncIterator[Authority]:
    there: list[Authority] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return issue(there[0], request.headers, await request.text())
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        known = token in there[0].issued and token not in there[0].revoked
        ok = known and not there[0].refuses_all
        return web.json_response({"ok": ok}, status=200 if ok else 401)

    async with serving(handle) as server:
        there.append(Authority(server))
        yield there[0]


def issue(there: Authority, headers: Any, form: str) -> web.StreamResponse:
    there.asked.append(parse_qs(form))
    there.headers.append(dict(headers))
    there.issued.append(f"access-token-{len(there.issued) + 1}")
    body = {"access_token": there.issued[-1], "token_type": "Bearer"}
    if there.life_seconds is not None:
        body["expires_in"] = there.life_seconds
    return web.json_response(body)


class SharedMemory:
    """A store that two workers share."""

    def __init__(self) -> None:
        self.tokens: dict[tuple[UUID, str], AccessToken] = {}

    async def read(self, endpoint_id: UUID, generation: str) -> AccessToken | None:
        return self.tokens.get((endpoint_id, generation))

    async def write(self, endpoint_id: UUID, generation: str, token: AccessToken) -> None:
        self.tokens[endpoint_id, generation] = token


def endpoint(base_url: str, **more: Any) -> EndpointDefinition:
    values = {"generation": "1", "headers": {}, "variables": {}, "auth": {}, **more}
    return EndpointDefinition(id=uuid4(), key="crm", base_url=base_url, **values)


@asynccontextmanager
async def worker(
    tokens: TokenStore | None = None, *, resolve: Resolve = system_resolve
) -> AsyncIterator[Handlers]:
    options = HandlerOptions(http_allow_networks=(OPEN,))
    async with await Handlers.open(options, tokens=tokens, resolve=resolve) as handlers:
        yield handlers


async def ask(
    handlers: Handlers, definition: EndpointDefinition, output: RecordedOutput, **config: Any
) -> Outcome:
    execution = execution_of(
        JobKind.HTTP,
        {"connection": "crm", "method": "GET", **config},
        endpoint=definition,
        secrets=SECRETS,
        redaction=Redaction(SECRETS.values()),
    )
    return await handlers.execute(execution, output)


async def test_a_job_goes_below_its_endpoint(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server, worker() as handlers:
        crm = endpoint(
            f"{server.origin}/api/{{{{ endpoint.version }}}}/",
            variables={"version": "v2", "account": 42, "key": {"secret": "token"}},
            headers={"X-Account": "{{ endpoint.account }}", "X-Over": "endpoint"},
        )
        await ask(
            handlers,
            crm,
            output,
            path="/contacts/{{ endpoint.account }}?all=1",
            query={"page": 2},
            headers={"x-over": "job", "X-Key": "{{ endpoint.key }}"},
        )
        await ask(handlers, crm, output)
    _, path, headers, _ = server.requests[0]
    assert path == "/api/v2/contacts/42?all=1&page=2"
    assert headers["X-Account"] == "42"
    assert headers["x-over"] == "job"
    assert headers["X-Key"] == SECRETS["token"]
    assert server.requests[1][1] == "/api/v2/"
    assert SECRETS["token"] not in str(output.lines)


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token": {"secret": "token"}}, "Authorization", "Bearer t0ken-value"),
        (
            {"type": "basic", "username": "ada", "password": {"secret": "password"}},
            "Authorization",
            "Basic " + base64.b64encode("ada:pässword".encode()).decode(),
        ),
        (
            {"type": "apiKey", "header": "X-Api-Key", "value": {"secret": "token"}},
            "X-Api-Key",
            "t0ken-value",
        ),
    ],
)
async def test_credentials_are_sent_and_stay_with_their_host(
    auth: dict[str, Any], header: str, value: str, output: RecordedOutput
) -> None:
    async with (
        serving(answer_ok) as target,
        serving(redirect(target.origin)) as server,
        worker() as handlers,
    ):
        outcome = await ask(
            handlers, endpoint(server.origin, auth=auth), output, headers={header: "the job's"}
        )
    assert outcome.state is RunState.SUCCEEDED
    assert server.requests[0][2][header] == value
    assert header not in target.requests[0][2]


async def test_a_token_is_asked_for_once_and_used_by_every_run(output: RecordedOutput) -> None:
    async with authority() as there, worker() as handlers:
        crm = endpoint(there.server.origin, auth=there.auth)
        outcomes = await asyncio.gather(*(ask(handlers, crm, output) for _ in range(10)))
    assert {outcome.state for outcome in outcomes} == {RunState.SUCCEEDED}
    assert there.asked == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["read write"],
            "audience": ["https://api.test"],
        }
    ]
    scheme, _, pair = there.headers[0]["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"tickwheel:cl1ent%20secret%2F")


async def test_the_client_may_say_who_it_is_in_the_body(output: RecordedOutput) -> None:
    async with authority() as there, worker() as handlers:
        auth = {**there.auth, "sendAs": "body"}
        await ask(handlers, endpoint(there.server.origin, auth=auth), output)
    assert there.asked[0]["client_secret"] == [SECRETS["client"]]
    assert "Authorization" not in there.headers[0]


async def test_workers_share_a_token(output: RecordedOutput) -> None:
    store = SharedMemory()
    async with authority() as there, worker(store) as first, worker(store) as second:
        crm = endpoint(there.server.origin, auth=there.auth)
        for handlers in (first, second, first):
            assert (await ask(handlers, crm, output)).state is RunState.SUCCEEDED
    assert len(there.issued) == 1


async def test_a_refused_token_is_renewed_once_and_the_request_repeated(
    output: RecordedOutput,
) -> None:
    async with authority() as there, worker() as handlers:
        crm = endpoint(there.server.origin, auth=there.auth)
        await ask(handlers, crm, output)
        there.revoked.add(there.issued[0])
        outcome = await ask(handlers, crm, output)
        assert outcome.state is RunState.SUCCEEDED
        assert len(there.issued) == 2
        refused, repeated = there.server.requests[-3], there.server.requests[-1]
        assert refused[2]["Idempotency-Key"] == repeated[2]["Idempotency-Key"]
        assert repeated[2]["Authorization"] == "Bearer access-token-2"


async def test_a_server_that_refuses_every_token_is_asked_twice(output: RecordedOutput) -> None:
    async with authority() as there, worker() as handlers:
        there.refuses_all = True
        outcome = await ask(handlers, endpoint(there.server.origin, auth=there.auth), output)
    assert (outcome.state, outcome.http_status) == (RunState.FAILED, 401)
    assert len(there.issued) == 2


async def test_what_another_worker_got_since_is_tried_before_a_new_token(
    output: RecordedOutput,
) -> None:
    store = SharedMemory()
    async with authority() as there, worker(store) as first, worker(store) as second:
        crm = endpoint(there.server.origin, auth=there.auth)
        await ask(first, crm, output)
        await ask(second, crm, output)
        there.revoked.add(there.issued[0])
        await ask(first, crm, output)
        assert (await ask(second, crm, output)).state is RunState.SUCCEEDED
    assert len(there.issued) == 2


async def test_a_token_is_renewed_before_it_expires(output: RecordedOutput) -> None:
    store = SharedMemory()
    async with authority() as there, worker(store) as handlers:
        crm = endpoint(there.server.origin, auth=there.auth)
        now = datetime.now(UTC)
        soon = AccessToken("soon", now - timedelta(hours=1), now + timedelta(seconds=30))
        await store.write(crm.id, crm.generation, soon)
        outcome = await ask(handlers, crm, output)
    assert outcome.state is RunState.SUCCEEDED
    # The old one was not even tried.
    assert [path for _, path, _, _ in there.server.requests] == ["/token", "/"]


async def test_an_endpoint_that_was_changed_gets_a_token_of_its_own(output: RecordedOutput) -> None:
    async with authority() as there, worker() as handlers:
        crm = endpoint(there.server.origin, auth=there.auth)
        await ask(handlers, crm, output)
        changed = EndpointDefinition(
            crm.id, crm.key, "2", crm.base_url, crm.headers, crm.variables, crm.auth
        )
        await ask(handlers, changed, output)
    assert len(there.issued) == 2


async def test_a_token_appears_nowhere(output: RecordedOutput) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.json_response({"access_token": "the-access-token"})
        return web.json_response({"you sent": request.headers["Authorization"]})

    async with serving(echo) as server, worker() as handlers:
        auth = {
            "type": "oauth2",
            "tokenUrl": f"{server.origin}/token",
            "clientId": "x",
            "clientSecret": {"secret": "client"},
        }
        outcome = await ask(handlers, endpoint(server.origin, auth=auth), output)
    assert outcome.result == {"you sent": "Bearer [secret]"}
    assert "the-access-token" not in str(output.lines)


async def test_the_authorization_server_is_guarded_like_any_other(output: RecordedOutput) -> None:
    async with worker(resolve=_to_elsewhere) as handlers:
        auth = {
            "type": "oauth2",
            "tokenUrl": "http://hostile.test:9/",
            "clientId": "x",
            "clientSecret": {"secret": "client"},
        }
        outcome = await ask(handlers, endpoint("http://127.0.0.1:9", auth=auth), output)
    assert outcome.error is not None
    assert outcome.error.type == "AddressRefused"


async def _to_elsewhere(host: str, port: int) -> list[str]:
    return ["127.0.0.3"]


@pytest.mark.parametrize(
    ("status", "answer", "is_final"),
    [
        (401, {"error": "invalid_client"}, True),
        (400, None, True),
        (503, {"error": "temporarily_unavailable"}, False),
        (429, {}, False),
        (200, {"access_token": "a b"}, True),
        (200, {"access_token": "x" * 20_000}, True),
        (200, {"access_token": 7}, False),
        (200, {"access_token": "mac", "token_type": "mac"}, True),
        (200, ["access_token"], False),
    ],
)
def test_an_answer_without_a_token_is_told(status: int, answer: object, is_final: bool) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_token(status, answer, as_of=datetime.now(UTC))
    assert caught.value.is_final is is_final


@pytest.mark.parametrize("said", [None, "soon", -5, 1e99, [], 60])
def test_any_word_about_a_tokens_life_is_understood_or_bounded(said: Any) -> None:
    now = datetime.now(UTC)
    token = read_token(200, {"access_token": "x", "expires_in": said}, as_of=now)
    assert now <= token.expires_at <= now + timedelta(days=30)


REFERENCE = {"secret": "token"}
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no base URL": ({"base_url": ""}, ("baseUrl",)),
    "other scheme": ({"base_url": "ftp://x.test"}, ("baseUrl",)),
    "query": ({"base_url": "https://x.test/?a=1"}, ("baseUrl",)),
    "private address": ({"base_url": "http://10.0.0.1/"}, ("baseUrl",)),
    "secret in the address": ({"base_url": "https://x.test/{{ secrets.token }}"}, ("baseUrl",)),
    "parameter": ({"headers": {"X": "{{ parameters.x }}"}}, ("headers", "X")),
    "unknown variable": ({"headers": {"X": "{{ endpoint.nope }}"}}, ("headers", "X")),
    "our header": ({"headers": {"webhook-id": "x"}}, ("headers", "webhook-id")),
    "deep variable": ({"variables": {"a": {"b": 1}}}, ("variables", "a")),
    "unknown type": ({"auth": {"type": "digest"}}, ("auth", "type")),
    "no type": ({"auth": {"token": REFERENCE}}, ("auth", "type")),
    "plain token": ({"auth": {"type": "bearer", "token": "t0ken"}}, ("auth", "token")),
    "plain password": (
        {"auth": {"type": "basic", "username": "a", "password": "b"}},
        ("auth", "password"),
    ),
    "our header as key": (
        {"auth": {"type": "apiKey", "header": "Host", "value": REFERENCE}},
        ("auth", "header"),
    ),
    "more than asked": (
        {"auth": {"type": "bearer", "token": REFERENCE, "user": "x"}},
        ("auth", "user"),
    ),
    "token URL inside": (
        {
            "auth": {
                "type": "oauth2",
                "tokenUrl": "http://169.254.169.254/",
                "clientId": "x",
                "clientSecret": REFERENCE,
            }
        },
        ("auth", "tokenUrl"),
    ),
}


@pytest.mark.parametrize(("given", "path"), WRONG.values(), ids=WRONG)
def test_a_wrong_definition_is_refused_where_it_is_wrong(
    given: dict[str, Any], path: tuple[str, ...]
) -> None:
    whole = {"base_url": "https://x.test", "headers": {}, "variables": {}, "auth": {}, **given}
    with pytest.raises(InvalidInput) as caught:
        read_endpoint(**whole, guard=NetworkGuard())
    assert path in [error.path for error in caught.value.errors]
