"""HTTP jobs: one request, its answer into the log and the result.

The client is aiohttp, chosen for its throughput (docs/decisions). One session serves a worker, so
that a herd of runs to one host shares connections; nothing else is shared: no cookies, no proxies
from the environment, no credentials from `.netrc`.

Redirects are followed here and not by the client: every hop is checked like the first, and what
identifies the caller stays with the host it was meant for. Where a name may lead is decided in
`network_guard`; whether to try again is the engine's decision.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from app import __version__
from app.core.clock import elapsed_seconds, utc_now
from app.core.vocabulary import FailureReason, RunState
from app.handlers.certificates import trusted_certificates
from app.handlers.execution import (
    Execution,
    Failure,
    Outcome,
    Refused,
    RunOutput,
    failed,
    rejected,
    timed_out,
)
from app.handlers.http_answer import judge
from app.handlers.http_config import HttpConfig, read_http_config
from app.handlers.http_endpoint import Access, ClientCredentials, open_access
from app.handlers.http_request import Request, first_request
from app.handlers.http_tokens import (
    AccessToken,
    AccessTokens,
    TokenRefused,
    TokenStore,
    read_token,
    token_request,
)
from app.handlers.network_guard import (
    AddressRefused,
    GuardedResolver,
    NetworkGuard,
    Resolve,
    system_resolve,
)
from app.handlers.options import HandlerOptions
from app.handlers.output_text import clean
from app.handlers.templates import TemplateFailed

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Shorter than any server keeps an idle connection (node 5 s, gunicorn 2 s): a POST must not meet
# a connection that is being closed. A herd reuses within milliseconds, a cron job never does.
_KEEP_ALIVE_SECONDS = 1.5
_TOKEN_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_LONGEST_TOKEN_ANSWER = 64 * 1024
_MOST_KEPT = 1_000


class HttpHandler:
    """Runs HTTP jobs of one worker."""

    def __init__(
        self,
        options: HandlerOptions,
        session: aiohttp.ClientSession,
        guard: NetworkGuard,
        tokens: TokenStore,
    ) -> None:
        self._options = options
        self._session = session
        self._guard = guard
        self._tokens = AccessTokens(tokens, self._fetch_token)
        # What was read of the configurations in use. The key is the identity of the object, which
        # is kept beside what was read and so is nobody else's.
        self._configs: dict[int, tuple[Mapping[str, Any], HttpConfig]] = {}
        self._accesses: dict[UUID, Access] = {}

    @classmethod
    async def open(
        cls, options: HandlerOptions, tokens: TokenStore, resolve: Resolve = system_resolve
    ) -> Self:
        """Open the client."""
        guard = network_guard(options)
        return cls(options, open_session(options, guard, resolve), guard, tokens)

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
        config = self._config_of(execution)
        own = config.total_seconds
        is_own = own is not None and own < execution.timeout_seconds
        seconds = own if own is not None and is_own else execution.timeout_seconds
        try:
            async with asyncio.timeout(seconds) as deadline:
                return await self._attempt(config, execution, output)
        except TimeoutError as error:
            if not deadline.expired():
                return failed(_name(error), _timeout_message(error, config))
            if is_own:
                return failed("TotalTimeout", f"It was not over within {seconds:g} s.")
            return timed_out(execution.timeout_seconds)

    async def _attempt(
        self, config: HttpConfig, execution: Execution, output: RunOutput
    ) -> Outcome:
        """Make the request, and turn what goes wrong with it into words."""
        try:
            access = self._access_of(config, execution)
            request = first_request(config, execution, access, self._guard)
            return await self._exchange(config, request, access, execution, output)
        except TimeoutError:
            raise
        except TemplateFailed as error:
            return rejected("TemplateFailed", str(error))
        except TokenRefused as error:
            failure = Failure(
                FailureReason.ERROR, "TokenRefused", str(error), is_final=error.is_final
            )
            return Outcome(RunState.FAILED, error=failure)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refusal = _refusal(error)
            if refusal is not None:
                return rejected("AddressRefused", refusal.message)
            return failed(_name(error), _error_message(error))

    def _config_of(self, execution: Execution) -> HttpConfig:
        """Return the checked configuration. Raises InvalidInput."""
        known = self._configs.get(id(execution.config))
        if known is None:
            if len(self._configs) >= _MOST_KEPT:
                self._configs.clear()
            known = execution.config, read_http_config(execution.config, self._guard)
            self._configs[id(execution.config)] = known
        return known[1]

    def _access_of(self, config: HttpConfig, execution: Execution) -> Access | None:
        """Return the endpoint, ready to be asked; read once for each of its generations."""
        definition = execution.endpoint
        if config.connection is None:
            return None
        if definition is None:
            raise Refused(
                f"There is no endpoint {config.connection!r}.", type_name="EndpointMissing"
            )
        known = self._accesses.get(definition.id)
        if known is None or known.generation != definition.generation:
            if len(self._accesses) >= _MOST_KEPT:
                self._accesses.clear()
            known = open_access(definition, execution.secrets, self._guard)
            self._accesses[definition.id] = known
        if execution.redaction is not None and known.credential is not None:
            execution.redaction.add(known.credential[1])
        return known

    async def _exchange(
        self,
        config: HttpConfig,
        request: Request,
        access: Access | None,
        execution: Execution,
        output: RunOutput,
    ) -> Outcome:
        """Follow the redirects to an answer, and judge it.

        A token that is refused is renewed once; the request is the same, so is its idempotency key.
        """
        oauth = access if access is not None and access.oauth is not None else None
        token, renewed = None, False
        if oauth is not None:
            token = await self._token(oauth, execution)
            request = request.with_header("Authorization", f"Bearer {token}")
        origin = request.url.origin()
        for _ in range(MAX_REDIRECTS + 1 + (oauth is not None)):
            started = elapsed_seconds()
            async with self._send(request, config) as response:
                milliseconds = (elapsed_seconds() - started) * 1000
                output.write(
                    f"{request.method} {request.url} → {response.status} in {milliseconds:.0f} ms",
                    stream="log",
                )
                is_ours = request.url.origin() == origin
                if response.status == 401 and oauth is not None and is_ours and not renewed:
                    renewed = True
                    token = await self._token(oauth, execution, refused=token)
                    request = request.with_header("Authorization", f"Bearer {token}")
                    continue
                if not (config.follow and _is_redirect(response)):
                    return await judge(config, response, output, self._options)
                request = request.redirected(response, self._guard)
        return failed("TooManyRedirects", f"It redirected more than {MAX_REDIRECTS} times.")

    def _send(self, request: Request, config: HttpConfig) -> Any:
        return self._session.request(
            request.method,
            self._guard.checked_url(request.url),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            ssl=trusted_certificates(self._options.http_ca_file, config.ca_certificates),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=config.connect_seconds, sock_read=config.read_seconds
            ),
        )

    async def _token(
        self, access: Access, execution: Execution, *, refused: str | None = None
    ) -> str:
        token = await self._tokens.token(access, refused=refused)
        if execution.redaction is not None:
            execution.redaction.add(token)
        return token

    async def _fetch_token(self, oauth: ClientCredentials) -> AccessToken:
        """Ask the authorization server: through the guard, like any other host."""
        headers, fields = token_request(oauth)
        async with self._session.post(
            self._guard.checked_url(URL(oauth.token_url)),
            headers=headers,
            data=fields,
            allow_redirects=False,
            timeout=_TOKEN_TIMEOUT,
        ) as response:
            body = await response.content.read(_LONGEST_TOKEN_ANSWER)
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        return read_token(response.status, answer, as_of=utc_now())


def network_guard(options: HandlerOptions) -> NetworkGuard:
    """Return the guard of this instance."""
    return NetworkGuard(
        allow_networks=options.http_allow_networks,
        own_ports=options.own_ports,
        store_ports=options.store_ports,
    )


def open_session(
    options: HandlerOptions, guard: NetworkGuard, resolve: Resolve
) -> aiohttp.ClientSession:
    """Open a client that connects only where the guard lets it."""
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(guard, resolve),
        use_dns_cache=False,
        socket_factory=guard.open_socket,
        limit=options.http_connections,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        ssl=trusted_certificates(options.http_ca_file),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": f"Tickwheel/{__version__}"},
    )


def _is_redirect(response: aiohttp.ClientResponse) -> bool:
    return response.status in _REDIRECTS and "Location" in response.headers


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
