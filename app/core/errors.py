"""Every failure a caller is meant to understand.

TickwheelError
├── Invalid               the input breaks a rule; names the field, the value and what is allowed
├── InvalidInput          several of those, found in one pass
├── NotFound              no such thing, or not yours to see
├── AlreadyExists         a unique name is taken
├── VersionConflict       somebody changed it since you read it
├── StateConflict         not possible in the state it is in
├── IdempotencyConflict   the key was used before, with other content
├── Forbidden             your role does not allow it
├── LimitExceeded         a bound was reached; `retry_after` says when to try again, if ever
└── DependencyUnavailable PostgreSQL, Redis or a target is away

All of them are expected: they reach the caller as data and never page anyone. A broken
invariant is an assertion and does.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """Stable codes of the public API; a client may branch on them."""

    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    STATE_CONFLICT = "STATE_CONFLICT"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    FORBIDDEN = "FORBIDDEN"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"


class TickwheelError(Exception):
    """A failure with a stable code, a message a person can act on, and a path into the input."""

    code: ClassVar[ErrorCode]

    def __init__(self, message: str, *, path: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = tuple(path)

    def under(self, *prefix: str) -> "TickwheelError":
        """Return this error with its path moved below `prefix` (in place)."""
        self.path = (*prefix, *self.path)
        return self


class Invalid(TickwheelError):
    """The input breaks a rule. `column` is the 1-based position inside a text."""

    code = ErrorCode.INVALID

    def __init__(
        self,
        message: str,
        *,
        path: Sequence[str] = (),
        hint: str | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.hint = hint
        self.column = column


class InvalidInput(TickwheelError):
    """Several failures found in one pass over an input, so that all can be mended at once."""

    code = ErrorCode.INVALID

    def __init__(self, errors: Iterable[TickwheelError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))

    def under(self, *prefix: str) -> "InvalidInput":
        """Move every error below `prefix`."""
        for error in self.errors:
            error.under(*prefix)
        return self


class NotFound(TickwheelError):
    """No such thing in the caller's project."""

    code = ErrorCode.NOT_FOUND

    def __init__(self, message: str, *, id: str | None = None, path: Sequence[str] = ()) -> None:  # noqa: A002 - the public field is called id
        super().__init__(message, path=path)
        self.id = id


class AlreadyExists(TickwheelError):
    """A name that must be unique is taken."""

    code = ErrorCode.ALREADY_EXISTS


class VersionConflict(TickwheelError):
    """The definition has changed since the caller read it."""

    code = ErrorCode.VERSION_CONFLICT

    def __init__(self, *, expected: int, current: int, path: Sequence[str] = ()) -> None:
        super().__init__(
            f"You expected version {expected}, but it is at version {current}: "
            "read it again and repeat your change.",
            path=path,
        )
        self.expected = expected
        self.current = current


class StateConflict(TickwheelError):
    """The operation is not possible in the present state."""

    code = ErrorCode.STATE_CONFLICT

    def __init__(
        self, message: str, *, current: str, allowed: Sequence[str], path: Sequence[str] = ()
    ) -> None:
        super().__init__(message, path=path)
        self.current = current
        self.allowed = tuple(allowed)


class IdempotencyConflict(TickwheelError):
    """The idempotency key was used before with other content."""

    code = ErrorCode.IDEMPOTENCY_CONFLICT


class Forbidden(TickwheelError):
    """The caller's role does not allow it."""

    code = ErrorCode.FORBIDDEN


class LimitExceeded(TickwheelError):
    """A bound was reached."""

    code = ErrorCode.LIMIT_EXCEEDED

    def __init__(
        self, message: str, *, path: Sequence[str] = (), retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.retry_after = retry_after


class DependencyUnavailable(TickwheelError):
    """Something this needs is away; trying again later may help."""

    code = ErrorCode.DEPENDENCY_UNAVAILABLE

    def __init__(
        self, message: str, *, path: Sequence[str] = (), retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.retry_after = retry_after
