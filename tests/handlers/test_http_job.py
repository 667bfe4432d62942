"""HTTP jobs against real servers on loopback. Nothing ever leaves the machine.

Forbidden networks are played by loopback addresses that the test has not opened; a listener there
must hear nothing at all.
"""

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from app.core.errors import InvalidInput
from app.core.vocabulary import FailureReason, JobKind, LogLevel, RunState
from app.handlers.execution import Outcome
from app.handlers.http_answer import retry_after_seconds
from app.handlers.network_guard import GuardedResolver, Resolve, system_resolve
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers, validate_config
from tests.certificates import certificate_for
from tests.handlers.conftest import DEADLINE_SECONDS, RecordedOutput, execution_of

OPEN = "127.0.0.1/32"
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """A server that remembers what it was asked."""

    origin: str
    port: int
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    peers: set[tuple[str, int]] = field(default_factory=set)


@asynccontextmanager
async def serving(
    handle: Handle, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server("", 0)

    async def remember(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        server.requests.append((request.method, request.path_qs, dict(request.headers), body))
        server.peers.add(request.transport.get_extra_info("peername")[:2])  # type: ignore[union-attr]
        return await handle(request)  # type: ignore[arg-type]

    runner = web.ServerRunner(web.Server(remember), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls)
    await site.start()
    server.port = runner.addresses[0][1]
    server.origin = f"{'https' if tls else 'http'}://{host}:{server.port}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def answer_ok(request: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True, "items": [{"id": 7}]})


def answer(**response: Any) -> Handle:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(**response)

    return handle


async def send(
    config: dict[str, Any],
    output: RecordedOutput,
    *,
    resolve: Resolve = system_resolve,
    options: dict[str, Any] | None = None,
    **changes: Any,
) -> Outcome:
    opened = HandlerOptions(**{"http_allow_networks": (OPEN,), **(options or {})})
    async with await Handlers.open(opened, resolve=resolve) as handlers:
        return await handlers.execute(execution_of(JobKind.HTTP, config, **changes), output)


async def test_parameters_are_the_body_unless_told_otherwise(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        outcome = await send({"url": f"{server.origin}/x"}, output, parameters={"day": "é"})
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.http_status == 200
    assert outcome.result == {"ok": True, "items": [{"id": 7}]}
    method, path, headers, body = server.requests[0]
    assert (method, path) == ("POST", "/x")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"day": "é"}


async def test_method_query_headers_and_json_are_sent(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        config = {
            "url": f"{server.origin}/x?a=1",
            "method": "put",
            "query": {"b": "2 3", "n": 4},
            "headers": {"X-Tenant": "shop"},
            "json": [1],
        }
        await send(config, output)
    method, path, headers, body = server.requests[0]
    assert (method, path, body) == ("PUT", "/x?a=1&b=2+3&n=4", b"[1]")
    assert headers["X-Tenant"] == "shop"


async def test_a_text_body_is_sent_as_it_is(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        await send({"url": server.origin, "body": "plain é"}, output)
    assert server.requests[0][3].decode() == "plain é"
    assert server.requests[0][2]["Content-Type"].startswith("text/plain")


async def test_a_get_has_no_body(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        await send({"url": server.origin, "method": "GET"}, output, parameters={"a": 1})
    assert server.requests[0][3] == b""


async def test_the_other_side_learns_which_run_this_is(output: RecordedOutput) -> None:
    execution = execution_of(JobKind.HTTP, {})
    async with serving(answer_ok) as server:
        await send({"url": server.origin}, output, run_id=execution.run_id, attempt=2)
    headers = server.requests[0][2]
    assert headers["Idempotency-Key"] == execution.public_run_id
    assert headers["Tickwheel-Run"] == execution.public_run_id
    assert headers["Tickwheel-Attempt"] == "2"
    assert headers["Tickwheel-Occurrence"] == "2026-03-29T01:30:00+00:00"
    version, trace, span, flags = headers["traceparent"].split("-")
    assert (version, trace, len(span), flags) == ("00", execution.run_id.hex, 16, "01")


@pytest.mark.parametrize(
    ("status", "expected", "state"),
    [
        (204, None, RunState.SUCCEEDED),
        (404, None, RunState.FAILED),
        (404, ["2xx", "404"], RunState.SUCCEEDED),
        (200, ["201"], RunState.FAILED),
        (503, ["5XX"], RunState.SUCCEEDED),
    ],
)
async def test_the_expected_statuses_decide(
    status: int, expected: list[str] | None, state: RunState, output: RecordedOutput
) -> None:
    async with serving(answer(status=status)) as server:
        config = {"url": server.origin} | ({"expectStatus": expected} if expected else {})
        outcome = await send(config, output)
    assert (outcome.state, outcome.http_status) == (state, status)


async def test_the_servers_wish_when_to_come_back_is_passed_on(output: RecordedOutput) -> None:
    async with serving(answer(status=429, headers={"Retry-After": "17"})) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.error is not None
    assert outcome.error.retry_after_seconds == 17


def test_retry_after_is_seconds_or_a_date() -> None:
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after_seconds("120", as_of=as_of) == 120
    assert retry_after_seconds("Thu, 01 Jan 2026 00:01:00 GMT", as_of=as_of) == 60
    assert retry_after_seconds("Thu, 01 Jan 2025 00:01:00 GMT", as_of=as_of) == 0
    for nonsense in (None, "soon", "-1", "9" * 400):
        assert retry_after_seconds(nonsense, as_of=as_of) is None


@pytest.mark.parametrize(
    ("path", "result"), [("items.0.id", 7), ("ok", True), ("items.5.id", None), ("ok.x", None)]
)
async def test_result_path_takes_a_part(path: str, result: Any, output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        outcome = await send({"url": server.origin, "resultPath": path}, output)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.result == result
    assert any(level is LogLevel.WARNING for _, level, _ in output.lines) is (result is None)


async def test_an_answer_without_end_is_cut(output: RecordedOutput) -> None:
    cut = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"line\n" * 10_000)
        finally:
            cut.set()

    async with serving(endless) as server, asyncio.timeout(DEADLINE_SECONDS):
        outcome = await send({"url": server.origin}, output, options={"http_log_bytes": 50})
        await cut.wait()
    assert outcome.state is RunState.SUCCEEDED
    assert output.texts("stdout") == ["line"] * 10
    assert await output.line("only 50 bytes")


async def test_a_decompression_bomb_is_cut(output: RecordedOutput) -> None:
    bomb = gzip.compress(b"[" + b"0," * 20_000_000 + b"0]")
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with serving(answer(body=bomb, headers=headers)) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.result is None
    assert await output.line("too large|too big|exceed")


async def test_a_broken_answer_is_a_failure_or_a_warning_never_an_exception(
    output: RecordedOutput,
) -> None:
    broken = answer(text="{not json", content_type="application/json")
    async with serving(broken) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.result is None


async def test_a_result_with_nul_can_be_stored(output: RecordedOutput) -> None:
    async with serving(answer(text='{"a":"x\\u0000y"}', content_type="application/json")) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.result == {"a": "x�y"}


async def test_the_answers_own_character_set_is_read(output: RecordedOutput) -> None:
    latin = answer(
        body="naïve".encode("latin-1"), headers={"Content-Type": "text/plain; charset=latin-1"}
    )
    async with serving(latin) as server:
        await send({"url": server.origin}, output)
    assert output.texts("stdout") == ["naïve"]


async def test_a_binary_answer_is_only_counted(output: RecordedOutput) -> None:
    image = answer(body=b"\x89PNG\0\0", headers={"Content-Type": "image/png"})
    async with serving(image) as server:
        await send({"url": server.origin}, output)
    assert output.texts("stdout") == []
    assert await output.line("6 bytes of image/png")


async def test_no_one_listening_is_a_failure(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        pass
    outcome = await send({"url": server.origin}, output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.ERROR


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def test_the_attempts_time_out_ends_the_request(output: RecordedOutput) -> None:
    async with serving(hang) as server:
        outcome = await send({"url": server.origin}, output, timeout_seconds=0.2)
    assert outcome.state is RunState.TIMED_OUT


async def test_a_silent_server_is_a_failure_after_the_read_time_out(output: RecordedOutput) -> None:
    async with serving(hang) as server:
        outcome = await send({"url": server.origin, "timeout": {"read": 0.2}}, output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert "0.2 s" in outcome.error.message


async def test_a_cancel_passes_through(output: RecordedOutput) -> None:
    reached = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        reached.set()
        return await hang(request)

    async with serving(handle) as server, asyncio.timeout(DEADLINE_SECONDS):
        attempt = asyncio.create_task(send({"url": server.origin}, output))
        await reached.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt


async def test_runs_share_connections(output: RecordedOutput) -> None:
    options = HandlerOptions(http_allow_networks=(OPEN,))
    async with serving(answer_ok) as server, await Handlers.open(options) as handlers:
        for _ in range(5):
            await handlers.execute(execution_of(JobKind.HTTP, {"url": server.origin}), output)
    assert len(server.requests) == 5
    assert len(server.peers) == 1


async def test_runs_share_no_cookies(output: RecordedOutput) -> None:
    options = HandlerOptions(http_allow_networks=(OPEN,))
    cookie = answer(headers={"Set-Cookie": "session=1; Path=/"})
    opening = Handlers.open(options, resolve=hostile_resolve)
    async with serving(cookie) as server, await opening as handlers:
        url = f"http://good.test:{server.port}/"
        for _ in range(2):
            await handlers.execute(execution_of(JobKind.HTTP, {"url": url}), output)
    assert len(server.requests) == 2
    assert all("Cookie" not in headers for _, _, headers, _ in server.requests)


async def test_a_proxy_in_the_environment_is_ignored(
    output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(answer_ok) as server, serving(answer_ok) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.origin)
        await send({"url": server.origin}, output)
    assert len(server.requests) == 1
    assert proxy.requests == []


# -- Redirects


def redirect(to: str, status: int = 302) -> Handle:
    return answer(status=status, headers={"Location": to})


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (302, "PUT", "PUT"),
    ],
)
async def test_a_redirect_is_followed_with_the_method_its_status_means(
    status: int, method: str, becomes: str, output: RecordedOutput
) -> None:
    async with serving(answer_ok) as target, serving(redirect(target.origin, status)) as server:
        outcome = await send({"url": server.origin, "method": method, "json": {}}, output)
    assert outcome.http_status == 200
    assert target.requests[0][0] == becomes
    assert target.requests[0][3] == (b"" if becomes == "GET" else b"{}")


async def test_a_redirect_is_an_answer_when_following_is_off(output: RecordedOutput) -> None:
    async with serving(answer_ok) as target, serving(redirect(target.origin)) as server:
        outcome = await send({"url": server.origin, "follow": False}, output)
    assert outcome.http_status == 302
    assert target.requests == []


async def test_credentials_stay_with_their_host(output: RecordedOutput) -> None:
    async with serving(answer_ok) as target, serving(redirect(target.origin)) as server:
        config = {
            "url": server.origin,
            "headers": {"Authorization": "Bearer s", "Cookie": "a=b", "X-Other": "1"},
        }
        await send(config, output)
    assert server.requests[0][2]["Authorization"] == "Bearer s"
    assert not {"Authorization", "Cookie"} & set(target.requests[0][2])


async def test_redirects_in_a_circle_end(output: RecordedOutput) -> None:
    async with serving(redirect("/again")) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert outcome.error.type == "TooManyRedirects"
    assert len(server.requests) == 11


# -- Hostile targets: a listener stands where each would lead, and must hear nothing.


@asynccontextmanager
async def silent_listeners(port: int) -> AsyncIterator[list[str]]:
    """Listen on addresses the test has not opened; collect who connects."""
    heard: list[str] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(str(writer.get_extra_info("sockname")))
        writer.close()

    listeners = [await asyncio.start_server(note, host, port) for host in ("127.0.0.3", "::1")]
    try:
        yield heard
    finally:
        for listener in listeners:
            listener.close()
            await listener.wait_closed()


HOSTILE_HOSTS = {
    "address": "127.0.0.3",
    "v6 loopback": "[::1]",
    "v6 loopback in full": "[0:0:0:0:0:0:0:1]",
    "mapped": "[::ffff:127.0.0.3]",
    "mapped in hexadecimal": "[::ffff:7f00:3]",
    "decimal": "2130706435",
    "hexadecimal": "0x7f000003",
    "octal": "0177.0.0.3",
    "long octal": "017700000003",
    "short": "127.3",
    "three parts": "127.0.3",
    "mixed": "0x7f.0.0.03",
    "full stop at the end": "127.0.0.3.",
    "circled digits": "①②⑦.⓪.⓪.③",
    "full-width": "１２７.0.0.3",
    "ideographic stops": "127。0。0。3",
    "name": "hostile.test",
    "name in capitals": "HOSTILE.test",
    "name with full stop": "hostile.test.",
    "name with a good and a bad address": "mixed.test",
    "name with a v6 address": "six.test",
    "name with a mapped address": "mapped.test",
    "hexadecimal in parts": "0x7f.0x0.0x0.0x3",
    "hexadecimal and short": "0x7f.3",
    "hexadecimal in capitals": "0X7F000003",
    "octal with more zeros": "00000177.0.0.03",
    "short with an ideographic stop": "127。3",
    "mapped in full": "[0:0:0:0:0:ffff:127.0.0.3]",
    "mapped in capitals": "[::FFFF:7F00:0003]",
    "v6 loopback with zeros": "[::0001]",
    "name with a bad and a good address": "mixed-too.test",
    "name with both loopbacks": "both.test",
}
"""Every one leads to this machine, also if nothing refuses it: so no packet can leave."""


REFUSALS = ("AddressRefused", "InvalidConfiguration")


async def hostile_resolve(host: str, port: int) -> list[str]:
    return {
        "hostile.test": ["127.0.0.3"],
        "mixed.test": ["127.0.0.1", "127.0.0.3"],
        "six.test": ["::1"],
        "mapped.test": ["::ffff:127.0.0.3"],
        "mixed-too.test": ["127.0.0.3", "127.0.0.1"],
        "both.test": ["127.0.0.3", "::1"],
        "good.test": ["127.0.0.1"],
    }.get(host.rstrip(".").lower(), [])


@pytest.mark.parametrize("host", HOSTILE_HOSTS.values(), ids=HOSTILE_HOSTS)
async def test_a_hostile_target_hears_nothing(host: str, output: RecordedOutput) -> None:
    async with serving(answer_ok) as server, silent_listeners(server.port) as heard:
        url = f"http://{host}:{server.port}/"
        outcome = await send({"url": url}, output, resolve=hostile_resolve)
        assert heard == []
        assert server.requests == []
    assert outcome.error is not None
    assert outcome.error.type in REFUSALS
    assert outcome.error.reason is FailureReason.REJECTED


@pytest.mark.parametrize("host", HOSTILE_HOSTS.values(), ids=HOSTILE_HOSTS)
async def test_a_hostile_target_that_a_parameter_names_hears_nothing(
    host: str, output: RecordedOutput
) -> None:
    async with serving(answer_ok) as server, silent_listeners(server.port) as heard:
        outcome = await send(
            {"url": "http://{{ parameters.host }}/"},
            output,
            resolve=hostile_resolve,
            parameters={"host": f"{host}:{server.port}"},
        )
        assert heard == []
        assert server.requests == []
    assert outcome.error is not None
    assert outcome.error.type == "AddressRefused"


@pytest.mark.parametrize("host", HOSTILE_HOSTS.values(), ids=HOSTILE_HOSTS)
async def test_each_hostile_target_would_be_reached_without_the_rules(
    host: str, output: RecordedOutput
) -> None:
    everything = {"http_allow_networks": ("0.0.0.0/0", "::/0")}
    async with serving(answer_ok) as server, silent_listeners(server.port) as heard:
        url = f"http://{host}:{server.port}/"
        await send({"url": url}, output, resolve=hostile_resolve, options=everything)
        assert heard or server.requests


@pytest.mark.parametrize("host", HOSTILE_HOSTS.values(), ids=HOSTILE_HOSTS)
async def test_a_redirect_to_a_hostile_target_is_refused(host: str, output: RecordedOutput) -> None:
    target = ""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": target})

    async with serving(handle) as server, silent_listeners(server.port) as heard:
        target = f"http://{host}:{server.port}/"
        outcome = await send({"url": server.origin}, output, resolve=hostile_resolve)
        assert heard == []
        assert len(server.requests) == 1
    assert outcome.error is not None
    assert outcome.error.type in REFUSALS


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1",
        "http://user:secret@127.0.0.1/",
        "//127.0.0.3/",
    ],
)
async def test_a_redirect_to_something_else_than_http_is_refused(
    target: str, output: RecordedOutput
) -> None:
    async with serving(redirect(target)) as server:
        outcome = await send({"url": server.origin}, output)
    assert outcome.error is not None
    assert outcome.error.type == "AddressRefused"


async def test_a_name_that_rebinds_is_asked_once_and_held_to_its_answer(
    output: RecordedOutput,
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.3"]])

    async def rebind(host: str, port: int) -> list[str]:
        return next(answers)

    async with serving(answer_ok) as server, silent_listeners(server.port) as heard:
        url = f"http://rebind.test:{server.port}/"
        first = await send({"url": url}, output, resolve=rebind)
        assert (first.state, len(server.requests)) == (RunState.SUCCEEDED, 1)
        assert server.requests[0][2]["Host"] == f"rebind.test:{server.port}"
        second = await send({"url": url}, output, resolve=rebind)
        assert heard == []
        assert len(server.requests) == 1
    assert second.error is not None
    assert second.error.reason is FailureReason.REJECTED


async def test_a_name_that_rebinds_between_redirects_is_refused(output: RecordedOutput) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.3"]])

    async def rebind(host: str, port: int) -> list[str]:
        return next(answers)

    closing = answer(status=307, headers={"Location": "/again", "Connection": "close"})
    async with serving(closing) as server, silent_listeners(server.port) as heard:
        url = f"http://rebind.test:{server.port}/"
        outcome = await send({"url": url}, output, resolve=rebind)
        assert heard == []
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED


async def test_own_ports_are_refused_under_any_name(output: RecordedOutput) -> None:
    async with serving(answer_ok) as server:
        for host in ("127.0.0.1", "good.test", "2130706433", "[::ffff:127.0.0.1]"):
            outcome = await send(
                {"url": f"http://{host}:{server.port}/"},
                output,
                resolve=hostile_resolve,
                options={"own_ports": (server.port,)},
            )
            assert outcome.error is not None
            assert outcome.error.type in ("AddressRefused", "InvalidConfiguration")
    assert server.requests == []


async def test_the_socket_is_refused_though_a_resolver_let_the_address_through(
    output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def careless(
        self: GuardedResolver, host: str, port: int = 0, family: int = 0
    ) -> list[dict[str, Any]]:
        there = {"hostname": host, "host": "127.0.0.3", "port": port}
        return [{**there, "family": socket.AF_INET, "proto": 6, "flags": 0}]

    monkeypatch.setattr(GuardedResolver, "resolve", careless)
    async with serving(answer_ok) as server, silent_listeners(server.port) as heard:
        outcome = await send({"url": f"http://hostile.test:{server.port}/"}, output)
        assert heard == []
    assert outcome.error is not None
    assert outcome.error.type == "AddressRefused"


# -- TLS


async def test_tls_is_verified_by_name_though_the_connection_goes_to_an_address(
    output: RecordedOutput, tmp_path: Path
) -> None:
    authority, context = certificate_for("good.test", tmp_path)
    seen: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    trusting = {"http_ca_file": str(authority)}
    async with serving(answer_ok, tls=context) as server:
        url = f"https://good.test:{server.port}/"
        trusted = await send({"url": url}, output, resolve=hostile_resolve, options=trusting)
        untrusted = await send({"url": url}, output, resolve=hostile_resolve)
        other = await send({"url": server.origin}, output, options=trusting)
    assert trusted.state is RunState.SUCCEEDED
    assert seen[0] == "good.test"
    assert untrusted.state is RunState.FAILED
    assert other.state is RunState.FAILED
    assert len(server.requests) == 1


async def test_job_names_the_authority_of_its_server(
    output: RecordedOutput, tmp_path: Path
) -> None:
    """Another job of the same worker trusts it no more than before."""
    authority, context = certificate_for("good.test", tmp_path)
    async with serving(answer_ok, tls=context) as server:
        config = {"url": f"https://good.test:{server.port}/"}
        own = {**config, "caCertificates": authority.read_text()}
        options = HandlerOptions(http_allow_networks=(OPEN,))
        async with await Handlers.open(options, resolve=hostile_resolve) as handlers:
            outcomes = [
                await handlers.execute(execution_of(JobKind.HTTP, each), output)
                for each in (own, config, own)
            ]
    assert [outcome.state for outcome in outcomes] == [
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.SUCCEEDED,
    ]


# -- Configuration

BAD_CONFIGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no certificates": (
        {"url": "https://example.com", "caCertificates": "trust me"},
        ("config", "caCertificates"),
    ),
    "no url": ({}, ("config", "url")),
    "empty url": ({"url": ""}, ("config", "url")),
    "no scheme": ({"url": "example.com"}, ("config", "url")),
    "other scheme": ({"url": "ftp://example.com"}, ("config", "url")),
    "no host": ({"url": "http:///path"}, ("config", "url")),
    "bad port": ({"url": "http://example.com:99999"}, ("config", "url")),
    "password": ({"url": "http://a:b@example.com"}, ("config", "url")),
    "line end": ({"url": "http://example.com/\r\nX: y"}, ("config", "url")),
    "backslash": ({"url": "http://example.com\\@127.0.0.1/"}, ("config", "url")),
    "private address": ({"url": "http://10.0.0.1/"}, ("config", "url")),
    "method": ({"url": "http://example.com", "method": "TRACE"}, ("config", "method")),
    "header name": (
        {"url": "http://example.com", "headers": {"a b": "c"}},
        ("config", "headers", "a b"),
    ),
    "header value": (
        {"url": "http://example.com", "headers": {"a": "b\r\nc: d"}},
        ("config", "headers", "a"),
    ),
    "host header": (
        {"url": "http://example.com", "headers": {"Host": "x"}},
        ("config", "headers", "Host"),
    ),
    "our header": (
        {"url": "http://example.com", "headers": {"tickwheel-run": "x"}},
        ("config", "headers", "tickwheel-run"),
    ),
    "two bodies": ({"url": "http://example.com", "body": "a", "json": 1}, ("config", "json")),
    "status": (
        {"url": "http://example.com", "expectStatus": ["ok"]},
        ("config", "expectStatus", "0"),
    ),
    "unknown key": ({"url": "http://example.com", "verify": False}, ("config", "verify")),
    "unknown time-out": (
        {"url": "http://example.com", "timeout": {"sum": 1}},
        ("config", "timeout", "sum"),
    ),
    "negative time-out": (
        {"url": "http://example.com", "timeout": {"read": -1}},
        ("config", "timeout", "read"),
    ),
    "signing with a value": ({"url": "http://example.com", "sign": 1}, ("config", "sign")),
    "path without connection": ({"url": "http://example.com", "path": "/x"}, ("config", "path")),
    "url and connection": ({"url": "http://example.com", "connection": "crm"}, ("config", "url")),
    "three bodies": (
        {"url": "http://example.com", "form": {"a": "b"}, "body": "c"},
        ("config", "form"),
    ),
    "result path": ({"url": "http://example.com", "resultPath": "a..b"}, ("config", "resultPath")),
    "statement": (
        {"url": "http://example.com/{% if run %}x{% endif %}"},
        ("config", "url"),
    ),
    "unknown name": ({"url": "http://example.com/{{ day }}"}, ("config", "url")),
    "unknown name of a run": (
        {"url": "http://example.com", "query": {"a": "{{ run.day }}"}},
        ("config", "query", "a"),
    ),
    "call": ({"url": "http://example.com", "body": "{{ run.keys() }}"}, ("config", "body")),
    "too many expressions": (
        {"url": "http://example.com", "json": ["{{ run.id }}"] * 201},
        ("config", "json", "200"),
    ),
    "secret to an open host": (
        {"url": "{{ parameters.url }}", "headers": {"X-Key": "{{ secrets.crm }}"}},
        ("config", "url"),
    ),
    "signature to an open host": (
        {"url": "https://{{ parameters.host }}/x", "sign": "crm"},
        ("config", "url"),
    ),
}


@pytest.mark.parametrize(("config", "path"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_wrong_configuration_is_refused_where_it_is_wrong(
    config: dict[str, Any], path: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(JobKind.HTTP, config, options=HandlerOptions())
    assert path in [error.path for error in caught.value.errors]


def test_an_unknown_key_names_the_allowed_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(
            JobKind.HTTP,
            {"url": "http://example.com", "header": {}, "qurey": {}},
            options=HandlerOptions(),
        )
    hints = [getattr(error, "hint", "") for error in caught.value.errors]
    assert all("expectStatus" in hint for hint in hints)
    assert "Did you mean headers?" in hints[0]
    assert "Did you mean query?" in hints[1]


def test_a_name_is_not_resolved_when_saving() -> None:
    validate_config(JobKind.HTTP, {"url": "https://no.such.invalid/"}, options=HandlerOptions())
