"""GraphQL over server-sent events, one connection an operation: for those without a WebSocket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from graphql import GraphQLError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from strawberry.types.execution import PreExecutionError

from app.schema.executing import Ready
from app.schema.groups import Groups, Payload, Refused
from app.schema.results import encode, format_error
from app.schema.visits import Visits
from app.services.access import Credentials, Principal

_COMPLETE = b"event: complete\ndata:\n\n"


@dataclass(frozen=True, slots=True)
class EventStreams:
    """Answers with streams of results."""

    groups: Groups
    visits: Visits

    def respond(
        self, ready: Ready | PreExecutionError, credentials: Credentials, principal: Principal
    ) -> StreamingResponse:
        """Return the stream of an operation's results; it ends when the caller may not stay."""
        return _EventStream(
            self._events(ready, credentials, principal),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _events(
        self, ready: Ready | PreExecutionError, credentials: Credentials, principal: Principal
    ) -> AsyncIterator[bytes]:
        dismissed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        visit = self.visits.begin(credentials, principal, dismissed.set_result)
        try:
            payloads = await self.groups.open(ready, principal)
            async with aclosing(_until_dismissed(payloads, dismissed)) as results:
                async for payload in results:
                    yield _next(payload.encode())
        except Refused as refused:
            errors = [format_error(error) for error in refused.errors]
            yield _next(encode({"data": None, "errors": errors}))
        finally:
            visit.end()
        yield _COMPLETE


class _EventStream(StreamingResponse):
    """Ends when the client leaves; Starlette's own notices that when there is something to send."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        sending = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending


def _next(payload: bytes) -> bytes:
    return b"event: next\ndata: " + payload + b"\n\n"


async def _until_dismissed(
    payloads: AsyncGenerator[Payload], dismissed: asyncio.Future[str]
) -> AsyncGenerator[Payload]:
    """Yield what comes until the caller may stay no longer; then raise `Refused`."""
    coming = asyncio.ensure_future(anext(payloads))
    try:
        while True:
            await asyncio.wait((coming, dismissed), return_when=asyncio.FIRST_COMPLETED)
            if dismissed.done():
                extensions = {"code": "UNAUTHENTICATED"}
                raise Refused([GraphQLError(dismissed.result(), extensions=extensions)])
            try:
                payload = coming.result()
            except StopAsyncIteration:
                return
            yield payload
            coming = asyncio.ensure_future(anext(payloads))
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming
        await payloads.aclose()
