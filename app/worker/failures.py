"""What a loop does with what went wrong: it says so, waits longer each time, and goes on.

A loop never ends over an exception. A worker that dies takes the runs it has in hand with it, and
a defect that one row provokes would do so in every worker, one after the other.
"""

import asyncio

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from structlog.typing import FilteringBoundLogger

_LONGEST_TEXT = 300


def note_failure(log: FilteringBoundLogger, event: str, error: Exception) -> None:
    """Log one line for a server that is away, the whole story for a defect.

    Raises CancelledError instead if the loop was told to end: what tidies up after a cancellation
    may fail over a broken connection, and that error then hides the cancellation. A loop that went
    on would never end, since a task group cancels its members only once.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
    # Without the statement, which SQLAlchemy's own text repeats.
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = f"{type(cause).__name__}: {cause}"[:_LONGEST_TEXT]
    if isinstance(error, SQLAlchemyError | OSError):
        log.warning(event, error=text)
    else:
        log.error(event, error=text, exc_info=error)


class GrowingDelay:
    """Seconds to wait before the next try: from `first`, twice as long each time, to `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def grow(self) -> float:
        """Return the present delay; the next one is twice as long."""
        delay = self._next
        self._next = min(delay * 2, self._longest)
        return delay

    def reset(self) -> None:
        """Begin with the first delay again."""
        self._next = self._first
