"""Run subscriptions, and execute each change once for all who ask the same and may see the same.

A group is a document, the variables that its selection uses, and what its subscribers may do: their
project and their rights. It is executed in the name of nobody, so nothing in an answer can depend
on who of them came first. The arguments of the subscribed field are each subscriber's own: they
choose what it is told, and never how that looks. An event that only one subscriber is told of (a
snapshot, say) is executed for that one alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Hashable
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, TypeAlias, cast
from weakref import WeakValueDictionary

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    Node,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution import Executor, create_source_event_stream, execute_subscription_event
from strawberry.types.execution import PreExecutionError

from app.runtime import Runtime
from app.schema.context import Context
from app.schema.executing import Ready, TickwheelSchema
from app.schema.results import encode, format_result
from app.schema.types.streams import StreamMessage
from app.services.access import Principal
from app.services.live.hub import FeedHub
from app.services.status import StatusReader
from app.store.outages import is_away

_RETRY_SECONDS = 1.0
Payload: TypeAlias = str
"""A result as JSON: what a `next` message carries."""


class Refused(Exception):
    """Nothing, or nothing more, will come of an operation."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Group:
    """Subscribers for whom every event looks the same."""

    def __init__(self, executor: Executor[Any], context: Context) -> None:
        self._executor = executor
        self._context = context

    async def payload(self, event: object) -> Payload:
        """Return an event as JSON; the others wait for the first who asks for the same one."""
        source = event.source if isinstance(event, StreamMessage) else None
        if source is None:
            return await self._execute(event, self._context.renewed())
        made: Payload | asyncio.Task[Payload] | None = source.made.get(self)
        if made is None:
            # What the changes of one batch refer to is loaded once for all of them.
            context = source.made_for_batch.get(self)
            if context is None:
                context = source.made_for_batch[self] = self._context.renewed()
            made = source.made[self] = asyncio.create_task(self._execute(event, context))
        if isinstance(made, str):
            return made
        # One who leaves does not take it from the others.
        payload = await asyncio.shield(made)
        source.made[self] = payload
        return payload

    async def _execute(self, event: object, context: Context) -> Payload:
        while True:
            executor = self._executor.build_per_event_executor(event)
            executor.context_value = context
            result = execute_subscription_event(executor)
            if isawaitable(result):
                result = await result
            if not any(_is_outage(error) for error in result.errors or ()):
                return encode(format_result(result)).decode()
            # What is told once must not be lost to an outage.
            await asyncio.sleep(_RETRY_SECONDS)
            context = self._context.renewed()


class Groups:
    """The groups of one process."""

    def __init__(
        self,
        schema: TickwheelSchema,
        runtime: Runtime,
        hub: FeedHub,
        status: StatusReader,
        *,
        most_subscriptions: int,
    ) -> None:
        self._schema = schema
        self._runtime = runtime
        self._hub = hub
        self._status = status
        self._most_subscriptions = most_subscriptions
        self._subscriptions: Counter[Hashable] = Counter()
        self._groups: WeakValueDictionary[Hashable, Group] = WeakValueDictionary()

    async def open(
        self, ready: Ready | PreExecutionError, principal: Principal
    ) -> AsyncGenerator[Payload]:
        """Return the results of an operation of any kind. Raises `Refused`, then or later."""
        if isinstance(ready, PreExecutionError):
            raise Refused(ready.errors or [])
        context = Context(self._runtime, self._hub, self._status, principal)
        if not ready.is_subscription:
            return self._answer(ready, context)
        source = create_source_event_stream(self._executor(ready, context))
        if isawaitable(source):
            source = await cast("Awaitable[ExecutionResult | AsyncIterator[object]]", source)
        if isinstance(source, ExecutionResult):
            raise Refused(source.errors or [])
        events = cast("AsyncGenerator[object]", source)
        return self._follow(events, self._join(ready, principal), principal)

    async def _answer(self, ready: Ready, context: Context) -> AsyncGenerator[Payload]:
        """Run what is no subscription."""
        result = await self._schema.run(ready, context)
        if isinstance(result, PreExecutionError):
            raise Refused(result.errors or [])
        yield encode(format_result(result)).decode()

    async def _follow(
        self, events: AsyncGenerator[object], group: Group, principal: Principal
    ) -> AsyncGenerator[Payload]:
        caller = principal.caller
        if self._subscriptions[caller] >= self._most_subscriptions:
            raise Refused([_too_many(self._most_subscriptions)])
        self._subscriptions[caller] += 1
        try:
            async with aclosing(events):
                async for event in events:
                    yield await group.payload(event)
        except Exception as error:
            raise Refused([GraphQLError(str(error), original_error=error)]) from error
        finally:
            self._subscriptions[caller] -= 1
            if not self._subscriptions[caller]:
                del self._subscriptions[caller]

    def _join(self, ready: Ready, principal: Principal) -> Group:
        used = variables_of_selection(ready)
        given = {name: value for name, value in (ready.variables or {}).items() if name in used}
        variables = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
        name = ready.operation.name
        operation_name = name.value if name else None
        key = (ready.prepared.text, operation_name, variables, principal.rights)
        group = self._groups.get(key)
        if group is None:
            context = Context(self._runtime, self._hub, self._status, principal.unnamed())
            group = self._groups[key] = Group(self._executor(ready, context), context)
        return group

    def _executor(self, ready: Ready, context: Context) -> Executor[Any]:
        executor = self._schema.executor(ready, context)
        if isinstance(executor, PreExecutionError):
            raise Refused(executor.errors or [])
        return executor


def variables_of_selection(ready: Ready) -> frozenset[str]:
    """Return the variables that stand anywhere but in the arguments of the subscribed field."""
    document = ready.prepared.document
    assert document is not None, "what has no document is not ready"
    found = _Variables()
    parts: list[Node] = [
        each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
    ]
    for selection in ready.operation.selection_set.selections:
        parts.extend(selection.directives or ())
        if isinstance(selection, FieldNode):
            parts.extend([selection.selection_set] if selection.selection_set else [])
        else:
            parts.append(selection)
    for part in parts:
        visit(part, found)
    return frozenset(found.names)


class _Variables(Visitor):
    """Collects the names of variables."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


def _is_outage(error: GraphQLError) -> bool:
    return error.original_error is not None and is_away(error.original_error)


def _too_many(most: int) -> GraphQLError:
    return GraphQLError(
        f"At most {most:,} subscriptions a caller.", extensions={"code": "LIMIT_EXCEEDED"}
    )
