"""Tell that the database is away from everything else that may go wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from asyncpg.exceptions import CannotConnectNowError, PostgresConnectionError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_AWAY = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    # What a connection attempt raises reaches us as the driver's own.
    PostgresConnectionError,
    CannotConnectNowError,
    OSError,
)
# PostgreSQL's classes of errors: insufficient resources, and errors of its machine.
_EXHAUSTED = frozenset({"53", "58"})
_RETRY_SECONDS = 1.0
Result = TypeVar("Result")
_log = structlog.get_logger(__name__)


def is_away(error: BaseException) -> bool:
    """Return whether the database cannot be reached, or has no disk or memory left to answer."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or state[:2] in _EXHAUSTED:
            return True
    return isinstance(error, _AWAY)


async def patiently(read: Callable[[], Awaitable[Result]]) -> Result:
    """Return what a reading gives, as soon as the database is there to give it."""
    while True:
        try:
            return await read()
        except Exception as error:
            if not is_away(error):
                raise
            _log.warning("database.away", error=str(error))
        await asyncio.sleep(_RETRY_SECONDS)
