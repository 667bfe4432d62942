"""GraphQL over WebSocket: the protocol graphql-transport-ws, and no other.

Strawberry's handler runs the protocol; this subclass checks what it takes for granted. A malformed
message closes the socket with 4400, a document that is not right ends only its own operation,
nobody subscribes before `connection_init` said who they are, and a token is looked at again while
the socket lives.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

from graphql import GraphQLError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http.exceptions import NonJsonMessageReceived
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.utils.aio import aclosing

from app.core.clock import utc_now
from app.core.errors import ErrorCode, TickwheelError
from app.metrics import ApiMetrics
from app.runtime import Runtime
from app.schema.context import Context
from app.schema.errors import AWAY_MESSAGE, is_away, to_graphql_error
from app.schema.executing import Ready, TickwheelSchema
from app.schema.http import RATE_LIMITED, UNCOUNTED_MESSAGE, encode, format_result
from app.schema.sessions import session_of
from app.services.access import Credentials, Doorkeeper, Principal, Unauthenticated
from app.services.live.hub import FeedHub
from app.services.rates import Rate, Rates, RatesUnknown, TooMany
from app.services.status import StatusReader

MOST_MESSAGE_BYTES = 128_000
MOST_OPERATIONS = 100
INIT_TIMEOUT = timedelta(seconds=10)
RECHECK_SECONDS = 30.0


class SocketContext:
    """What is known of one socket: where it came from and, once it said so, who it is."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.credentials: Credentials | None = None
        self.principal: Principal | None = None


class SizedWebSocket(WebSocket):
    """Bounds the size of a message."""

    async def receive_text(self) -> str:
        """Return the next message, unless it is too big."""
        text = await super().receive_text()
        if len(text) > MOST_MESSAGE_BYTES:
            raise NonJsonMessageReceived
        return text


class MaskedOperation(Operation[SocketContext, None]):
    """An operation whose faults are masked."""

    # Set where the document is named instead of sent.
    document_id: str | None = None

    async def send_initial_errors(self, errors: list[GraphQLError]) -> None:
        """Send why nothing was executed."""
        await super().send_initial_errors([to_graphql_error(error) for error in errors])

    async def send_next(self, execution_result: ExecutionResult) -> None:
        """Send one result."""
        payload = cast("Any", format_result(execution_result))
        await self.send_operation_message({"id": self.id, "type": "next", "payload": payload})


class SocketHandler(BaseGraphQLTransportWSHandler[SocketContext, None]):
    """One socket."""

    view: "SocketView"
    context: SocketContext

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recheck: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        """Run the protocol until the socket closes."""
        with self.view.metrics.sockets.track_inprogress():
            await super().handle()

    async def shutdown(self) -> None:
        """End everything that belongs to the socket."""
        if self._recheck is not None:
            self._recheck.cancel()
            with suppress(asyncio.CancelledError):
                await self._recheck
        await super().shutdown()

    async def handle_message(self, message: Message) -> None:
        """Handle one message that is well formed."""
        problem = malformed(message)
        if problem is not None:
            await self.handle_invalid_message(problem)
            return
        await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Find out who it is."""
        if self.connection_init_received:
            await self.websocket.close(code=4429, reason="Too many initialisation requests")
            return
        self.context.credentials = self._credentials(message.get("payload") or {})
        try:
            principal = await self.view.doorkeeper.identify(self.context.credentials)
        except (Unauthenticated, TickwheelError) as error:
            self.connection_init_received = True
            await self.websocket.close(code=4403, reason=f"Forbidden: {error}"[:120])
            return
        except Exception as error:
            if not is_away(error):
                raise
            self.connection_init_received = True
            # Clients take this one as "try again later", and the 44xx as final.
            await self.websocket.close(code=1013, reason=AWAY_MESSAGE)
            return
        client = self.context.websocket.client
        self.context.principal = principal.requesting(
            uuid4().hex[:16], None if client is None else client.host
        )
        self._recheck = asyncio.create_task(self._check_again())
        await super().handle_connection_init({"type": "connection_init", "payload": {}})

    def _credentials(self, payload: Mapping[str, object]) -> Credentials:
        """Return what the payload says; the headers count where it says nothing."""
        headers = self.context.websocket.headers
        authorization = payload.get("authorization", headers.get("authorization"))
        project = payload.get("project", headers.get("x-tickwheel-project"))
        return Credentials(
            authorization if isinstance(authorization, str) else None,
            project if isinstance(project, str) else None,
            session=session_of(self.context.websocket),
        )

    async def _check_again(self) -> None:
        """Close the socket with 4403 when its token expires or is revoked."""
        while True:
            assert self.context.principal is not None
            assert self.context.credentials is not None
            await asyncio.sleep(_until_next_check(self.context.principal))
            try:
                await self.view.doorkeeper.identify(self.context.credentials)
            except (Unauthenticated, TickwheelError) as error:
                await self.websocket.close(code=4403, reason=f"Forbidden: {error}"[:120])
                return
            except Exception as error:
                if not is_away(error):
                    raise
                await asyncio.sleep(1)

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation."""
        if not self.connection_acknowledged:
            await self.websocket.close(code=4401, reason="Unauthorized")
            return
        id_, payload = message["id"], message["payload"]
        if id_ in self.operations:
            await self.websocket.close(code=4409, reason=f"Subscriber for {id_} already exists")
            return
        if len(self.operations) >= MOST_OPERATIONS:
            error = GraphQLError(
                f"At most {MOST_OPERATIONS} operations a socket.",
                extensions={"code": "LIMIT_EXCEEDED"},
            )
            await self.send_message({"id": id_, "type": "error", "payload": [error.formatted]})
            return
        operation = MaskedOperation(
            self,
            id_,
            payload.get("query", ""),
            payload.get("variables"),
            payload.get("operationName"),
        )
        operation.document_id = cast("dict[str, Any]", payload).get("documentId")
        self.operations[id_] = operation
        operation.task = asyncio.create_task(self.run_operation(operation))
        operation.task.add_done_callback(self._task_done)

    async def run_operation(self, operation: Operation[SocketContext, None]) -> None:
        """Execute one operation in a context of its own, and say when it is over."""
        try:
            assert isinstance(operation, MaskedOperation)
            await self._run(operation)
        except Exception as error:
            fault = GraphQLError(str(error), original_error=error)
            with suppress(Exception):
                await operation.send_initial_errors([fault])
            self.operations.pop(operation.id, None)

    async def _run(self, operation: MaskedOperation) -> None:
        ready = self.view.checked.make_ready(
            operation.query or None,
            operation.variables,
            operation.operation_name,
            document_id=operation.document_id,
        )
        if isinstance(ready, PreExecutionError):
            await operation.send_initial_errors(ready.errors or [])
            return
        assert self.context.principal is not None
        problem = await self._uncounted(self.context.principal, ready)
        if problem is not None:
            await operation.send_initial_errors([problem])
            return
        context = Context(
            self.view.runtime, self.view.hub, self.view.status, self.context.principal
        )
        async with aclosing(self.view.checked.watch(ready, context)) as results:
            await self._send_result_stream(operation, results)
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _uncounted(self, principal: Principal, ready: Ready) -> GraphQLError | None:
        """Return why the caller may not begin another operation now, or None."""
        try:
            await self.view.rates.spend(Rate.REQUESTS, principal.name)
            if ready.is_mutation:
                await self.view.rates.spend(Rate.MUTATIONS, principal.name)
        except TooMany as error:
            seconds = error.standing.reset_seconds
            return GraphQLError(
                str(error), extensions={"code": RATE_LIMITED, "retryAfterSeconds": seconds}
            )
        except RatesUnknown:
            code = ErrorCode.DEPENDENCY_UNAVAILABLE.value
            return GraphQLError(UNCOUNTED_MESSAGE, extensions={"code": code})
        return None


class SocketView(GraphQL[SocketContext, None]):
    """Accepts WebSocket connections to `/graphql`."""

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: TickwheelSchema,
        *,
        runtime: Runtime,
        hub: FeedHub,
        status: StatusReader,
        doorkeeper: Doorkeeper,
        metrics: ApiMetrics,
        rates: Rates,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
        )
        self.checked = schema
        self.runtime = runtime
        self.hub = hub
        self.status = status
        self.doorkeeper = doorkeeper
        self.metrics = metrics
        self.rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the protocol on one connection."""
        await self.run(SizedWebSocket(scope, receive, send))

    async def get_context(self, request: Any, response: Any) -> SocketContext:
        """Return what is known of a new socket."""
        return SocketContext(request)

    def encode_json(self, data: object) -> str:
        """Return text: bytes would make a binary frame."""
        return encode(data).decode()


def malformed(message: object) -> str | None:
    """Return what is wrong with the shape of a message, or None."""
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return "A message is an object with a type"
    kind, payload = message["type"], message.get("payload")
    if kind in ("connection_init", "ping", "pong"):
        return None if isinstance(payload, dict | None) else "The payload must be an object"
    if kind not in ("subscribe", "complete"):
        return "Unknown message type"
    id_ = message.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= 200:
        return "The id must be a text"
    return _malformed_payload(payload) if kind == "subscribe" else None


def _malformed_payload(payload: object) -> str | None:
    if not isinstance(payload, dict):
        return "The payload must be an object"
    document_id = payload.get("documentId")
    if not isinstance(document_id, str | None):
        return "The documentId must be a text"
    if not isinstance(payload.get("query", document_id), str):
        return "The query must be a text"
    if not isinstance(payload.get("operationName"), str | None):
        return "The operationName must be a text"
    for name in ("variables", "extensions"):
        if not isinstance(payload.get(name), dict | None):
            return f"The {name} must be an object"
    return None


def _until_next_check(principal: Principal) -> float:
    if principal.expires_at is None:
        return RECHECK_SECONDS
    left = (principal.expires_at - utc_now()).total_seconds()
    return max(0.05, min(RECHECK_SECONDS, left))
