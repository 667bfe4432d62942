"""GraphQL over WebSocket: the protocol graphql-transport-ws, and no other.

Strawberry's handler runs the protocol; this subclass checks what it takes for granted. A malformed
message closes the socket with 4400, a document that is not right ends only its own operation,
nobody subscribes before `connection_init` said who they are, and a token is looked at again while
the socket lives.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

from graphql import GraphQLError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
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

from app.core.errors import ErrorCode, TickwheelError
from app.metrics import ApiMetrics
from app.schema.errors import AWAY_MESSAGE, to_graphql_error
from app.schema.executing import Ready, TickwheelSchema
from app.schema.groups import Groups, Payload, Refused
from app.schema.http import RATE_LIMITED, UNCOUNTED_MESSAGE
from app.schema.results import encode
from app.schema.sessions import session_of
from app.schema.visits import Visit, Visits
from app.services.access import Credentials, Doorkeeper, Principal, Unauthenticated
from app.services.rates import Rate, Rates, RatesUnknown, TooMany
from app.store.outages import is_away

MOST_OPERATIONS = 100
INIT_TIMEOUT = timedelta(seconds=10)


class SocketContext:
    """What is known of one socket: where it came from and, once it said so, who it is."""

    __slots__ = ("principal", "websocket")

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.principal: Principal | None = None


class SocketOperation(Operation[SocketContext, None]):
    """One operation of a socket."""

    __slots__ = ("_head", "document_id")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set where the document is named instead of sent.
        self.document_id: str | None = None
        self._head = f'{{"id":{encode(self.id).decode()},"type":"next","payload":'

    async def send_initial_errors(self, errors: list[GraphQLError]) -> None:
        """Send why nothing, or nothing more, comes of it."""
        await super().send_initial_errors([to_graphql_error(error) for error in errors])

    async def send_payload(self, payload: Payload) -> None:
        """Send one result, as text: bytes would make a binary frame."""
        if not self.completed:
            text = f"{self._head}{payload}}}"
            await self.handler.context.websocket.send({"type": "websocket.send", "text": text})


class SocketHandler(BaseGraphQLTransportWSHandler[SocketContext, None]):
    """One socket."""

    view: "SocketView"
    context: SocketContext

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._visit: Visit | None = None
        self._closing: asyncio.Task[None] | None = None

    async def handle(self) -> None:
        """Run the protocol until the socket closes."""
        try:
            with self.view.metrics.sockets.track_inprogress():
                await super().handle()
        finally:
            if self._visit is not None:
                self._visit.end()

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
        credentials = self._credentials(message.get("payload") or {})
        try:
            principal = await self.view.doorkeeper.identify(credentials)
        except (Unauthenticated, TickwheelError) as error:
            self.connection_init_received = True
            await self._forbid(str(error))
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
        self._visit = self.view.visits.begin(credentials, principal, self._dismiss)
        await super().handle_connection_init({"type": "connection_init", "payload": {}})

    def _dismiss(self, reason: str) -> None:
        self._closing = asyncio.create_task(self._forbid(reason))
        self._closing.add_done_callback(self._task_done)

    async def _forbid(self, reason: str) -> None:
        await self.websocket.close(code=4403, reason=f"Forbidden: {reason}"[:120])

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
        operation = SocketOperation(
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
            await self._run(operation)
        except Exception as error:
            fault = GraphQLError(str(error), original_error=error)
            with suppress(Exception):
                await operation.send_initial_errors([fault])
            self.operations.pop(operation.id, None)

    async def _run(self, operation: Operation[SocketContext, None]) -> None:
        assert isinstance(operation, SocketOperation)
        assert self.context.principal is not None
        try:
            payloads = await self._open(operation, self.context.principal)
            async with aclosing(payloads):
                async for payload in payloads:
                    await operation.send_payload(payload)
        except Refused as refused:
            await operation.send_initial_errors(refused.errors)
            return
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _open(
        self, operation: SocketOperation, principal: Principal
    ) -> AsyncGenerator[Payload]:
        ready = self.view.checked.make_ready(
            operation.query or None,
            operation.variables,
            operation.operation_name,
            document_id=operation.document_id,
        )
        if isinstance(ready, Ready) and (problem := await self._uncounted(principal, ready)):
            raise Refused([problem])
        # It may stay for long: what was sent is not needed any more.
        operation.query, operation.variables = "", None
        return await self.view.groups.open(ready, principal)

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
        groups: Groups,
        doorkeeper: Doorkeeper,
        visits: Visits,
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
        self.groups = groups
        self.doorkeeper = doorkeeper
        self.visits = visits
        self.metrics = metrics
        self.rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the protocol on one connection."""
        await self.run(WebSocket(scope, receive, send))

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
