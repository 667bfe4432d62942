"""HTTP jobs: one request, its answer into the log and the result.

The client is aiohttp, chosen for its throughput. One session serves a worker, so that a herd of
runs to one host shares connections; nothing else is shared: no cookies, no proxies from the
environment, no credentials from `.netrc`.

Redirects are followed here and not by the client: every hop is checked like the first, and what
identifies the caller stays with the host it was meant for. Where a name may lead is decided in
`network_guard`; whether to try again is the engine's decision.
"""

import asyncio
import hashlib
import math
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from app import __version__
from app.core.clock import elapsed_seconds, utc_now
from app.core.vocabulary import FailureReason, LogLevel, RunState
from app.handlers.execution import (
    SUCCEEDED,
    Execution,
    Failure,
    Outcome,
    RunOutput,
    failed,
    rejected,
    timed_out,
)
from app.handlers.http_config import HttpConfig, read_http_config, url_problem
from app.handlers.network_guard import (
    AddressRefused,
    GuardedResolver,
    NetworkGuard,
    Resolve,
    system_resolve,
)
from app.handlers.options import HandlerOptions
from app.handlers.output_text import LineWriter, ResultRefused, clean, storable_result

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_ONE_HOST_ONLY = frozenset({"authorization", "cookie"})
_CHUNK = 64 * 1024
# Shorter than any server keeps an idle connection (node 5 s, gunicorn 2 s): a POST must not meet
# a connection that is being closed. A herd reuses within milliseconds, a cron job never does.
_KEEP_ALIVE_SECONDS = 1.5


class HttpHandler:
    """Runs HTTP jobs of one worker."""

    def __init__(
        self,
        options: HandlerOptions,
        session: aiohttp.ClientSession,
        guard: NetworkGuard,
    ) -> None:
        self._options = options
        self._session = session
        self._guard = guard

    @classmethod
    async def open(cls, options: HandlerOptions, resolve: Resolve = system_resolve) -> Self:
        """Open the client."""
        guard = network_guard(options)
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(guard, resolve),
            use_dns_cache=False,
            socket_factory=guard.open_socket,
            limit=options.http_connections,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            ssl=ssl.create_default_context(cafile=options.http_ca_file),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"Tickwheel/{__version__}"},
        )
        return cls(options, session, guard)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def execute(self, execution: Execution, output: RunOutput) -> Outcome:
        """Send the request and judge the answer."""
        config = read_http_config(execution.config, self._guard)
        try:
            async with asyncio.timeout(execution.timeout_seconds) as deadline:
                return await self._exchange(config, execution, output)
        except TimeoutError as error:
            if deadline.expired():
                return timed_out(execution.timeout_seconds)
            return failed(_name(error), _timeout_message(error, config))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refusal = _refusal(error)
            if refusal is not None:
                return rejected("AddressRefused", refusal.message)
            return failed(_name(error), _error_message(error))

    async def _exchange(
        self, config: HttpConfig, execution: Execution, output: RunOutput
    ) -> Outcome:
        """Follow the redirects to an answer, and judge it."""
        request = _Request.of(config, execution)
        for _ in range(MAX_REDIRECTS + 1):
            started = elapsed_seconds()
            async with self._send(request, config) as response:
                milliseconds = (elapsed_seconds() - started) * 1000
                output.write(
                    f"{request.method} {request.url} → {response.status} in {milliseconds:.0f} ms",
                    stream="log",
                )
                if not (config.follow and _is_redirect(response)):
                    return await self._judge(config, response, output)
                request = request.redirected(response, self._guard)
        return failed("TooManyRedirects", f"It redirected more than {MAX_REDIRECTS} times.")

    def _send(self, request: "_Request", config: HttpConfig) -> Any:
        return self._session.request(
            request.method,
            self._guard.checked_url(request.url),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=config.connect_seconds, sock_read=config.read_seconds
            ),
        )

    async def _judge(
        self, config: HttpConfig, response: aiohttp.ClientResponse, output: RunOutput
    ) -> Outcome:
        body, is_whole = await self._read(response)
        self._log_body(body, is_whole, response, output)
        if not config.expects(response.status):
            return _unexpected(response)
        result = self._result(body, is_whole, response, config, output)
        return Outcome(SUCCEEDED.state, result=result, http_status=response.status)

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """Read as much of the body as can be of use; say whether that was all."""
        limit = max(self._options.http_log_bytes, self._options.http_result_bytes)
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:
                # Not drained for reuse: there may be no end to it.
                response.close()
                return bytes(body[:limit]), False
        return bytes(body), True

    def _log_body(
        self, body: bytes, is_whole: bool, response: aiohttp.ClientResponse, output: RunOutput
    ) -> None:
        kept = body[: self._options.http_log_bytes]
        if b"\0" in kept and not _is_text(response):
            output.write(f"{len(body)} bytes of {response.content_type}", stream="log")
            return
        lines = LineWriter(output, "stdout")
        lines.feed(_as_utf8(kept, response.charset))
        lines.finish()
        if len(kept) < len(body) or not is_whole:
            output.write(f"… only {len(kept)} bytes of the answer are kept", stream="log")

    def _result(
        self,
        body: bytes,
        is_whole: bool,
        response: aiohttp.ClientResponse,
        config: HttpConfig,
        output: RunOutput,
    ) -> Any:
        """Return the JSON of the answer, or the part that `resultPath` names.

        What cannot be had is a warning, not a failure: the request has had its effect.
        """
        if not _is_json(response) or not body:
            return None
        if not is_whole:
            return _no_result(output, "it is too large")
        try:
            value = orjson.loads(body)
            if config.result_path:
                value = _at_path(value, config.result_path)
            return storable_result(value, limit_bytes=self._options.http_result_bytes)
        except (orjson.JSONDecodeError, ResultRefused, LookupError) as error:
            return _no_result(output, str(error))


class _Request:
    """One hop."""

    def __init__(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body

    @classmethod
    def of(cls, config: HttpConfig, execution: Execution) -> Self:
        """Return the first hop."""
        body = _body(config, execution)
        headers = dict(config.headers)
        if body is not None and not any(name.lower() == "content-type" for name in headers):
            is_text = config.body is not None
            headers["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
        return cls(config.method, config.url, headers | _run_headers(execution), body)

    def redirected(self, response: aiohttp.ClientResponse, guard: NetworkGuard) -> Self:
        """Return the next hop. Raises AddressRefused or ValueError."""
        target = self.url.join(URL(response.headers["Location"])).with_fragment(None)
        if problem := url_problem(str(target), guard):
            raise AddressRefused(f"It redirects to where it may not: {problem}")
        headers = dict(self.headers)
        if target.origin() != self.url.origin():
            headers = {k: v for k, v in headers.items() if k.lower() not in _FOR_ONE_HOST_ONLY}
        becomes_get = response.status == 303 or (
            response.status in (301, 302) and self.method == "POST"
        )
        if not becomes_get or self.method == "HEAD":
            return type(self)(self.method, target, headers, self.body)
        headers = {k: v for k, v in headers.items() if k.lower() != "content-type"}
        return type(self)("GET", target, headers, None)


def network_guard(options: HandlerOptions) -> NetworkGuard:
    """Return the guard of this instance."""
    return NetworkGuard(allow_networks=options.http_allow_networks, own_ports=options.own_ports)


def _body(config: HttpConfig, execution: Execution) -> bytes | None:
    if config.body is not None:
        return config.body.encode()
    if config.json is not None:
        return orjson.dumps(config.json)
    return orjson.dumps(dict(execution.parameters)) if config.sends_parameters else None


def _run_headers(execution: Execution) -> dict[str, str]:
    """Tell the other side which run this is, so that a repeated attempt has one effect."""
    span = hashlib.blake2b(
        f"{execution.run_id}/{execution.attempt}".encode(), digest_size=8
    ).hexdigest()
    return {
        "Idempotency-Key": execution.public_run_id,
        "Tickwheel-Run": execution.public_run_id,
        "Tickwheel-Attempt": str(execution.attempt),
        "Tickwheel-Occurrence": execution.scheduled_for.astimezone(UTC).isoformat(),
        "traceparent": f"00-{execution.run_id.hex}-{span}-01",
    }


def _is_redirect(response: aiohttp.ClientResponse) -> bool:
    return response.status in _REDIRECTS and "Location" in response.headers


def _unexpected(response: aiohttp.ClientResponse) -> Outcome:
    failure = Failure(
        FailureReason.ERROR,
        f"Http{response.status}",
        f"It answered {response.status} {clean(response.reason or '')}".strip() + ".",
        retry_after_seconds=retry_after_seconds(
            response.headers.get("Retry-After"), as_of=utc_now()
        ),
    )
    return Outcome(RunState.FAILED, error=failure, http_status=response.status)


def retry_after_seconds(header: str | None, *, as_of: datetime) -> float | None:
    """Return how long the other side asks us to wait: seconds, or an HTTP date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        seconds = float(header)
        return seconds if math.isfinite(seconds) else None
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - as_of).total_seconds(), 0.0)


def _at_path(value: Any, path: str) -> Any:
    """Return what a dotted path names: keys of objects, indices of lists."""
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (LookupError, ValueError, TypeError):
            raise LookupError(f"it has no {path}") from None
    return value


def _no_result(output: RunOutput, why: str) -> None:
    output.write(
        f"The answer is not kept as the result: {why}.", stream="log", level=LogLevel.WARNING
    )


def _as_utf8(body: bytes, charset: str | None) -> bytes:
    try:
        return body.decode(charset or "utf-8", "replace").encode("utf-8", "replace")
    except LookupError:
        return body


def _is_json(response: aiohttp.ClientResponse) -> bool:
    kind = response.content_type
    return kind == "application/json" or kind.endswith("+json")


def _is_text(response: aiohttp.ClientResponse) -> bool:
    return _is_json(response) or response.content_type.startswith("text/")


def _refusal(error: BaseException | None) -> AddressRefused | None:
    """Find the guard's refusal inside what the client made of it."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return error
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return None


def _name(error: BaseException) -> str:
    return type(error).__name__


def _error_message(error: BaseException) -> str:
    return clean(str(error)) or f"The request failed: {_name(error)}."


def _timeout_message(error: TimeoutError, config: HttpConfig) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"No connection within {config.connect_seconds:g} s."
    return f"Nothing was heard for {config.read_seconds:g} s."
