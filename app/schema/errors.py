"""Errors as data: the one place where the errors of `app.core` become public ones.

In mutations they are part of the payload. A query has no place for them: there an expected failure
is a GraphQL error with its code, path and message. Everything else is a fault: its message is
masked, and the log has it under a reference.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import strawberry
import structlog
from graphql import GraphQLError

from app.core import errors as core
from app.core.errors import ErrorCode
from app.store.outages import is_away

AWAY_MESSAGE = "The database is away; try again shortly."
_log = structlog.get_logger(__name__)


@strawberry.interface(
    description="An expected failure. `path` points into the input, e.g. "
    '["timings","0","cron","expression"].'
)
class UserError:
    """An expected failure."""

    code: ErrorCode = strawberry.field(description="Stable; a client may branch on it.")
    message: str = strawberry.field(description="What is wrong and what to do, for a person.")
    path: list[str] | None = strawberry.field(description="Where in the input.")


@strawberry.type(description="The input breaks a rule.")
class ValidationError(UserError):
    """See `core.Invalid`."""

    hint: str | None = strawberry.field(description="A likely correction.")
    column: int | None = strawberry.field(description="The position inside a text, from 1.")


@strawberry.type(description="There is no such thing, or it is not yours to see.")
class NotFoundError(UserError):
    """See `core.NotFound`."""

    id: strawberry.ID | None = strawberry.field(description="The id that was looked up.")


@strawberry.type(description="Somebody changed it since you read it.")
class VersionConflictError(UserError):
    """See `core.VersionConflict`."""

    expected_version: int = strawberry.field(description="The version you named.")
    current_version: int = strawberry.field(description="The version it has.")


@strawberry.type(description="Not possible in the state it is in.")
class StateConflictError(UserError):
    """See `core.StateConflict`."""

    current_state: str = strawberry.field(description="The state it is in.")
    allowed_states: list[str] = strawberry.field(description="The states in which it is possible.")


@strawberry.type(description="Any other expected failure; see its code.")
class GenericError(UserError):
    """Every other error of `core`."""

    retry_after: timedelta | None = strawberry.field(
        description="When to try again, if that may help."
    )


def to_user_errors(error: core.TickwheelError) -> list[UserError]:
    """Return the public form of an error, or of each one of several."""
    if isinstance(error, core.InvalidInput):
        return [public for each in error.errors for public in to_user_errors(each)]
    path = list(error.path) or None
    match error:
        case core.Invalid():
            return [
                ValidationError(
                    code=error.code,
                    message=error.message,
                    path=path,
                    hint=error.hint,
                    column=error.column,
                )
            ]
        case core.NotFound():
            id_ = None if error.id is None else strawberry.ID(error.id)
            return [NotFoundError(code=error.code, message=error.message, path=path, id=id_)]
        case core.VersionConflict():
            return [
                VersionConflictError(
                    code=error.code,
                    message=error.message,
                    path=path,
                    expected_version=error.expected,
                    current_version=error.current,
                )
            ]
        case core.StateConflict():
            return [
                StateConflictError(
                    code=error.code,
                    message=error.message,
                    path=path,
                    current_state=error.current,
                    allowed_states=list(error.allowed),
                )
            ]
    retry_after = getattr(error, "retry_after", None)
    return [
        GenericError(code=error.code, message=error.message, path=path, retry_after=retry_after)
    ]


@asynccontextmanager
async def collected_errors() -> AsyncIterator[list[UserError]]:
    """Collect the expected failure of a block as data, also that the database is away."""
    found: list[UserError] = []
    try:
        yield found
    except core.TickwheelError as error:
        found.extend(to_user_errors(error))
    except Exception as error:
        if not is_away(error):
            raise
        _log.warning("database.away", error=str(error))
        away = core.DependencyUnavailable(AWAY_MESSAGE, retry_after=timedelta(seconds=1))
        found.extend(to_user_errors(away))


def to_graphql_error(error: GraphQLError) -> GraphQLError:
    """Return what a caller may see of an error in the answer's `errors`."""
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error
    if isinstance(cause, core.TickwheelError):
        return _expected(error, cause)
    if is_away(cause):
        _log.warning("database.away", error=str(cause))
        return _expected(error, core.DependencyUnavailable(AWAY_MESSAGE))
    reference = uuid4().hex[:12]
    _log_fault(error, cause, reference=reference)
    return GraphQLError(
        f"Something went wrong on our side. Reference: {reference}",
        nodes=error.nodes,
        path=error.path,
        extensions={"code": "INTERNAL", "reference": reference},
    )


def _expected(error: GraphQLError, cause: core.TickwheelError) -> GraphQLError:
    extensions: dict[str, object] = {"code": cause.code.value}
    if cause.path:
        extensions["path"] = list(cause.path)
    return GraphQLError(cause.message, nodes=error.nodes, path=error.path, extensions=extensions)


def _log_fault(error: GraphQLError, cause: BaseException, *, reference: str) -> None:
    _log.error(
        "graphql.fault",
        reference=reference,
        path=".".join(str(step) for step in error.path or ()),
        exc_info=(type(cause), cause, cause.__traceback__),
    )
