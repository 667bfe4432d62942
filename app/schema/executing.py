"""Execute what was asked: the one way from a request to its result, whatever it travels by.

Strawberry makes the schema; its way of executing runs each request through a stack of extensions
that take longer than a small answer. Here a document comes from memory, is held against the limits
and goes to the executor.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import isawaitable
from pathlib import Path
from typing import Any, TypeGuard, cast

import strawberry
from graphql import (
    ExecutionResult as CoreResult,
)
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    Undefined,
)
from graphql.execution import Executor
from strawberry.execution import optimized_is_awaitable
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.schema.context import Context
from app.schema.documents import Documents, Prepared
from app.schema.executor import PlainFields, TickwheelExecutor
from app.schema.limits import MOST_ROWS, check_cost, check_variables
from app.schema.persisted import PersistedDocuments, read_persisted

BAD_INPUT = "BAD_USER_INPUT"
ANY_TYPE: frozenset[OperationType] = frozenset(OperationType)
_is_awaitable = cast("Callable[[Any], TypeGuard[Awaitable[Any]]]", optimized_is_awaitable)


class WrongType(Exception):
    """An operation of a type that this way of asking does not take."""

    def __init__(self, operation_type: OperationType) -> None:
        super().__init__(operation_type.value)
        self.operation_type = operation_type


@dataclass(frozen=True, slots=True)
class Ready:
    """An operation that passed every check."""

    prepared: Prepared
    operation: OperationDefinitionNode
    variables: Mapping[str, Any] | None
    cost: int

    @property
    def is_subscription(self) -> bool:
        """Return whether it has many results."""
        return self.operation.operation is OperationType.SUBSCRIPTION

    @property
    def is_mutation(self) -> bool:
        """Return whether it changes anything."""
        return self.operation.operation is OperationType.MUTATION


class TickwheelSchema(strawberry.Schema):
    """A schema that executes nothing that is too big.

    An argument that may be left out has no default to be shown: Strawberry would print `= null`,
    which says the same, but a client would send it.
    """

    executor_class: type[Executor[Any]] = TickwheelExecutor
    persisted = PersistedDocuments()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for type_ in self._schema.type_map.values():
            _drop_null_defaults(type_)
        self._schema.extensions[PlainFields.KEY] = PlainFields()

    @cached_property
    def documents(self) -> Documents:
        """Return the documents that were asked before."""
        return Documents(self._schema)

    def persist(self, path: Path, *, only: bool) -> None:
        """Know the documents at a path. Raises `InvalidInput`."""

        def check(text: str) -> GraphQLError | None:
            errors = self.documents.prepare(text).errors
            return errors[0] if errors else None

        self.persisted = read_persisted(path, only=only, check=check)

    def make_ready(
        self,
        query: str | None,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        allowed: Collection[OperationType] = ANY_TYPE,
        *,
        document_id: str | None = None,
    ) -> Ready | PreExecutionError:
        """Return the operation that is asked for, or why it is refused. May raise `WrongType`."""
        text = self.persisted.text_of(query, document_id)
        if isinstance(text, GraphQLError):
            return _refused(text)
        prepared = self.documents.prepare(text)
        if prepared.errors:
            return _refused(*prepared.errors)
        operation = prepared.operation(operation_name)
        if isinstance(operation, GraphQLError):
            return _refused(operation)
        if operation.operation not in allowed:
            raise WrongType(operation.operation)
        cost = prepared.cost(operation, variables)
        problem = check_cost(cost, operation) or check_variables(variables)
        if problem is not None:
            return _refused(problem, cost=cost)
        return Ready(prepared, operation, variables, cost)

    async def run(self, ready: Ready, context: Context) -> ExecutionResult:
        """Return the result of a query or mutation."""
        executor = self.executor(ready, context)
        if isinstance(executor, PreExecutionError):
            return executor
        try:
            result = executor.execute_operation()
            if isawaitable(result):
                result = await result
        except Exception as error:
            return _refused(_fault(error))
        assert isinstance(result, CoreResult), "nothing is deferred"
        return ExecutionResult(result.data, result.errors, extensions=cost_of(ready.cost))

    def executor(self, ready: Ready, context: Context) -> Executor[Any] | PreExecutionError:
        """Return what executes an operation, or what is wrong with its variables."""
        assert ready.prepared.document is not None, "what has no document is not ready"
        name = ready.operation.name
        executor = self.executor_class.build(
            self._schema,
            ready.prepared.document,
            context_value=context,
            raw_variable_values=dict(ready.variables or {}),
            operation_name=name.value if name else None,
            is_awaitable=_is_awaitable,
        )
        if isinstance(executor, Executor):
            return executor
        for error in executor:
            error.extensions = {"code": BAD_INPUT, **(error.extensions or {})}
        return _refused(*executor, cost=ready.cost)


def cost_of(rows: int) -> dict[str, Any]:
    """Return what is announced with a result: rows asked for, and how many may be."""
    return {"cost": {"requested": rows, "limit": MOST_ROWS}}


def _refused(*errors: GraphQLError, cost: int | None = None) -> PreExecutionError:
    extensions = None if cost is None else cost_of(cost)
    return PreExecutionError(data=None, errors=list(errors), extensions=extensions)


def _fault(error: Exception) -> GraphQLError:
    if isinstance(error, GraphQLError):
        return error
    return GraphQLError(str(error), original_error=error)


def _drop_null_defaults(type_: GraphQLNamedType) -> None:
    optional: list[GraphQLArgument | GraphQLInputField] = []
    if isinstance(type_, GraphQLInputObjectType):
        optional.extend(type_.fields.values())
    elif isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
        optional.extend(arg for field in type_.fields.values() for arg in field.args.values())
    for each in optional:
        if each.default_value is None:
            each.default_value = Undefined
