"""GraphQL over HTTP, as its specification has it.

`application/graphql-response+json` answers a faulty request with 4xx, `application/json` in the
older way with 200. GET answers queries only. A client that wants `text/event-stream` gets a stream
(GraphQL over SSE, distinct connections). Everyone is asked who they are first, except a browser
that wants the explorer's page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import urandom
from typing import Any, TypeVar

import orjson
import structlog
from graphql import GraphQLError, OperationType
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.core.clock import elapsed_seconds
from app.core.errors import ErrorCode, TickwheelError
from app.metrics import ApiMetrics
from app.runtime import Runtime
from app.schema.context import Context
from app.schema.errors import AWAY_MESSAGE
from app.schema.executing import ANY_TYPE, Ready, TickwheelSchema, WrongType
from app.schema.limits import MOST_VALUES, has_too_many_values
from app.schema.results import encode, format_error
from app.schema.server_events import EventStreams
from app.schema.sessions import session_of
from app.services.access import Credentials, Doorkeeper, Principal, Unauthenticated
from app.services.live.hub import FeedHub
from app.services.rates import Rate, Rates, RatesUnknown, Standing, TooMany
from app.services.status import StatusReader
from app.store.outages import is_away

MOST_BODY_BYTES = 1_000_000
OPERATION_SECONDS = 30.0
PATIENCE_SECONDS = 0.05
JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"
RATE_LIMITED = "RATE_LIMITED"
UNCOUNTED_MESSAGE = "Requests cannot be counted, because Redis is away; try again shortly."
_BY_GET = frozenset({OperationType.QUERY})
_BY_POST = frozenset({OperationType.QUERY, OperationType.MUTATION})
_CONTENT_TYPES = {
    each: (b"content-type", f"{each}; charset=utf-8".encode()) for each in (JSON, RESPONSE_JSON)
}
_FIXED_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"Accept"),
)
Result = TypeVar("Result")
_log = structlog.get_logger(__name__)


class HttpProblem(Exception):
    """A request that cannot even be tried."""

    def __init__(
        self, status: int, message: str, *, code: str = "BAD_REQUEST", **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Ask:
    """The parameters of a GraphQL request."""

    query: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    document_id: str | None


@dataclass(frozen=True, slots=True)
class GraphQLEndpoint:
    """Answers requests to `/graphql`."""

    schema: TickwheelSchema
    runtime: Runtime
    hub: FeedHub
    status: StatusReader
    doorkeeper: Doorkeeper
    metrics: ApiMetrics
    rates: Rates
    events: EventStreams
    explorer: Callable[[Request], Awaitable[Response]] | None = None

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request without a router or a middleware around it."""
        request = Request(scope, receive)
        try:
            response = await self(request)
        except Exception as error:
            response = _fault(error)
        await response(scope, receive, send)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if self.explorer is not None and _wants_page(request):
            return await self.explorer(request)
        accepted = _preferred(request)
        try:
            return await self._answer(request, accepted)
        except HttpProblem as problem:
            return _refusal(problem, accepted)

    async def _answer(self, request: Request, accepted: str | None) -> Response:
        if accepted is None:
            raise HttpProblem(
                406, f"Accept {RESPONSE_JSON}, {JSON} or {EVENT_STREAM}.", code="NOT_ACCEPTABLE"
            )
        credentials = _credentials(request)
        principal = await self._identify(request, credentials)
        standing = await self._spend(Rate.REQUESTS, principal.name)
        ask = await read_ask(request)
        if accepted == EVENT_STREAM:
            if request.method != "POST":
                raise HttpProblem(405, "A stream is asked for by POST.", Allow="POST")
            ready = self._ready(ask)
            return self.events.respond(ready, credentials, principal)
        context = Context(self.runtime, self.hub, self.status, principal)
        began = elapsed_seconds()
        result = await self._execute(request, ask, context)
        self.metrics.duration.observe(elapsed_seconds() - began)
        self.metrics.operations.labels("failed" if result.errors else "answered").inc()
        return _respond(result, accepted, standing)

    async def _spend(self, rate: Rate, whose: str) -> Standing | None:
        try:
            return await self.rates.spend(rate, whose)
        except TooMany as error:
            headers = {"Retry-After": str(error.standing.reset_seconds), **_told(error.standing)}
            problem = HttpProblem(429, str(error), code=RATE_LIMITED)
            problem.headers.update(headers)
            raise problem from error
        except RatesUnknown as error:
            code = ErrorCode.DEPENDENCY_UNAVAILABLE.value
            raise HttpProblem(503, UNCOUNTED_MESSAGE, code=code, Retry_After="1") from error

    async def _identify(self, request: Request, credentials: Credentials) -> Principal:
        try:
            principal = await self.doorkeeper.recognise(credentials)
        except Unauthenticated as error:
            await self._spend(Rate.STRANGERS, _address_of(request) or "unknown")
            raise HttpProblem(
                401, str(error), code="UNAUTHENTICATED", WWW_Authenticate="Bearer"
            ) from error
        except TickwheelError as error:
            raise HttpProblem(403, error.message, code=ErrorCode.FORBIDDEN.value) from error
        except Exception as error:
            if not is_away(error):
                raise
            code = ErrorCode.DEPENDENCY_UNAVAILABLE.value
            raise HttpProblem(503, AWAY_MESSAGE, code=code, Retry_After="1") from error
        return principal.requesting(urandom(8).hex(), _address_of(request))

    def _ready(
        self, ask: Ask, allowed: frozenset[OperationType] = ANY_TYPE
    ) -> Ready | PreExecutionError:
        return self.schema.make_ready(
            ask.query, ask.variables, ask.operation_name, allowed, document_id=ask.document_id
        )

    async def _execute(self, request: Request, ask: Ask, context: Context) -> ExecutionResult:
        allowed = _BY_POST if request.method == "POST" else _BY_GET
        try:
            ready = self._ready(ask, allowed)
        except WrongType as error:
            raise _wrong_way(error.operation_type) from error
        if isinstance(ready, PreExecutionError):
            return ready
        if ready.is_mutation:
            await self._spend(Rate.MUTATIONS, context.principal.name)
        return await _Attendance(request).wait_for(self.schema.run(ready, context))


def _credentials(request: Request) -> Credentials:
    return Credentials(
        request.headers.get("authorization"),
        request.headers.get("x-tickwheel-project"),
        # A GET may come from a link, and changes nothing; it still shows nothing by a cookie.
        session=session_of(request) if request.method == "POST" else None,
    )


def _preferred(request: Request) -> str | None:
    """Return the media type to answer in, or None when the client takes none of ours."""
    return _preferred_of(request.headers.get("accept"))


@lru_cache(maxsize=200)
def _preferred_of(accept: str | None) -> str | None:
    if accept is None or not accept.strip():
        return JSON
    ranked = sorted(_media_ranges(accept), key=lambda pair: -pair[1])
    for media_range, quality in ranked:
        if quality <= 0:
            continue
        if media_range in (RESPONSE_JSON, JSON, EVENT_STREAM):
            return media_range
        if media_range in ("*/*", "application/*"):
            return JSON
    return None


def _wants_page(request: Request) -> bool:
    asked = request.query_params
    is_visit = request.method == "GET" and "query" not in asked and "documentId" not in asked
    return is_visit and HTML in request.headers.get("accept", "")


def _media_ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(",")[:20]:
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges.append((media_range, quality))
    return ranges


async def read_ask(request: Request) -> Ask:
    """Return the request's parameters, or raise `HttpProblem`."""
    if request.method == "GET":
        return _check(_from_query(request.query_params))
    content_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if content_type.strip().lower() != JSON:
        raise HttpProblem(415, f"Send {JSON}.", code="UNSUPPORTED_MEDIA_TYPE")
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise HttpProblem(415, "Send UTF-8.", code="UNSUPPORTED_MEDIA_TYPE")
    read = await _read_body(request)
    if has_too_many_values(read):
        message = f"The body may have at most {MOST_VALUES:,} values."
        raise HttpProblem(413, message, code=ErrorCode.LIMIT_EXCEEDED.value)
    try:
        body = orjson.loads(read)
    except orjson.JSONDecodeError as error:
        raise HttpProblem(400, f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise HttpProblem(400, "The body must be a JSON object.")
    return _check(body)


async def _read_body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BODY_BYTES:
            raise HttpProblem(413, "The body may take at most 1 MB.", code="LIMIT_EXCEEDED")
        chunks.append(chunk)
    return b"".join(chunks)


def _from_query(parameters: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = dict(parameters)
    for name in ("variables", "extensions"):
        if name in found:
            try:
                found[name] = orjson.loads(found[name])
            except orjson.JSONDecodeError as error:
                raise HttpProblem(400, f"{name} is not JSON: {error}") from error
    return found


def _check(parameters: dict[str, Any]) -> Ask:
    query, name = parameters.get("query"), parameters.get("operationName")
    document_id = parameters.get("documentId")
    if not isinstance(document_id, str | None):
        raise HttpProblem(400, "The parameter `documentId` must be a text.")
    if not (isinstance(query, str) and query) and (query is not None or document_id is None):
        raise HttpProblem(400, "The parameter `query` must be a text.")
    if name is not None and not isinstance(name, str):
        raise HttpProblem(400, "The parameter `operationName` must be a text.")
    for each in ("variables", "extensions"):
        if not isinstance(parameters.get(each), dict | None):
            raise HttpProblem(400, f"The parameter `{each}` must be an object.")
    return Ask(query, parameters.get("variables"), name, document_id)


def _wrong_way(operation_type: OperationType) -> HttpProblem:
    if operation_type is OperationType.MUTATION:
        return HttpProblem(405, "A mutation is sent by POST.", Allow="POST")
    return HttpProblem(400, f"Subscribe over a WebSocket, or by POST with Accept: {EVENT_STREAM}.")


def _respond(result: ExecutionResult, accepted: str, standing: Standing | None = None) -> Response:
    errors = [format_error(error) for error in result.errors or ()]
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = errors
    if not is_request_error(result):
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    is_refused = is_request_error(result) and accepted == RESPONSE_JSON
    return _json(body, accepted, status=400 if is_refused else 200, headers=_told(standing))


def _told(standing: Standing | None) -> dict[str, str]:
    """Return the headers that say how often somebody may still ask."""
    if standing is None:
        return {}
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset_seconds),
    }


def _address_of(request: Request) -> str | None:
    client = request.scope.get("client")
    return None if client is None else str(client[0])


def is_request_error(result: ExecutionResult) -> bool:
    """Return whether nothing was executed: the fault is in the request."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and all(error.path is None for error in result.errors or ())


def _fault(error: Exception) -> Response:
    """Return the answer to what nobody expected: masked, with a reference that the log has."""
    shown = format_error(GraphQLError(str(error), original_error=error))
    return _json({"errors": [shown]}, JSON, status=500)


def _refusal(problem: HttpProblem, accepted: str | None) -> Response:
    body = {"errors": [{"message": problem.message, "extensions": {"code": problem.code}}]}
    media_type = RESPONSE_JSON if accepted == RESPONSE_JSON else JSON
    return _json(body, media_type, status=problem.status, headers=problem.headers)


def _json(
    body: object, media_type: str, *, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    return _Answer(encode(body), media_type, status, headers or {})


class _Answer(Response):
    """A JSON answer; its headers are put together from bytes that are there already."""

    def __init__(
        self, body: bytes, media_type: str, status: int, headers: Mapping[str, str]
    ) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            _CONTENT_TYPES[media_type],
            *_FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ]


class _Attendance:
    """Ends an operation whose client hangs up, or that takes too long.

    Most operations are over before anybody could look: only those that are not get a task that
    waits for the client to leave.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._problem: HttpProblem | None = None
        self._watching: asyncio.Task[None] | None = None

    async def wait_for(self, work: Awaitable[Result]) -> Result:
        """Return what the work gives, or raise the problem that ended it."""
        working = asyncio.current_task()
        assert working is not None, "a request is answered in a task"
        beginning = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._begin, working)
        try:
            return await work
        except asyncio.CancelledError:
            if self._problem is None or working.uncancel() > 0:
                raise
            raise self._problem from None
        finally:
            beginning.cancel()
            if self._watching is not None:
                self._watching.cancel()

    def _begin(self, working: asyncio.Task[Any]) -> None:
        self._watching = asyncio.ensure_future(self._watch(working))

    async def _watch(self, working: asyncio.Task[Any]) -> None:
        try:
            async with asyncio.timeout(OPERATION_SECONDS - PATIENCE_SECONDS):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
            self._problem = HttpProblem(499, "The client hung up.", code="CANCELLED")
        except TimeoutError:
            message = f"The operation took longer than {OPERATION_SECONDS:g} s."
            self._problem = HttpProblem(504, message, code="TIMEOUT")
        working.cancel()
