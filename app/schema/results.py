"""What an operation gives, as every transport sends it."""

from typing import Any

import orjson
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError
from strawberry.types import ExecutionResult

from app.schema.errors import to_graphql_error


def encode(value: object) -> bytes:
    """Return a value as JSON."""
    return orjson.dumps(value, default=str)


def format_error(error: GraphQLError) -> dict[str, Any]:
    """Return what a caller may see of an error."""
    return dict(to_graphql_error(error).formatted)


def format_result(result: ExecutionResult | CoreResult) -> dict[str, Any]:
    """Return one result of a stream as a message's payload."""
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [format_error(error) for error in result.errors]
    return payload
