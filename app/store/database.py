"""The one door to PostgreSQL.

Reads take a `ReadConnection`, writes a `Transaction`: a signature shows which a function needs.
A read connection is bound to one project and PostgreSQL refuses any write through it. A
transaction commits when its block ends and rolls back when the block raises; nothing is announced
before that.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import CursorResult, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as SqlAlchemySession
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.clock import elapsed_seconds
from app.store.statements import statement

_FRESH_SECONDS = 1.0
_ANSWER_SECONDS = 5.0


class ReadConnection(AsyncSession):
    """Reads of one project. `project_id` is None only for the instance's own reads."""

    project_id: UUID | None = None
    # Set once PostgreSQL was told so, for the one transaction that this is.
    plans_for_values: bool = False

    # SQLModel's session deprecates `execute` in favour of `exec`, which takes no plain statements.
    execute = SqlAlchemySession.execute

    async def run_file(self, name: str, parameters: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute `sql/<name>.sql`."""
        connection = await self.connection()
        return await connection.execute(statement(name), parameters)


class Transaction(ReadConnection):
    """One unit of work; it may write."""


def is_refused(error: Exception) -> bool:
    """Return whether a write failed over its values, so that repeating it cannot help.

    PostgreSQL refuses them, or its driver, or they could not even be encoded. Everything else
    (a server that is away, a deadlock, a time-out) may be tried again.
    """
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        unencodable = isinstance(getattr(error.orig, "__cause__", None), ValueError | TypeError)
        return state[:2] in {"22", "23"} or unencodable
    return isinstance(error, StatementError) or not isinstance(error, SQLAlchemyError | OSError)


def _to_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _read_json_as_it_comes(connection: Any, _: Any) -> None:
    """Read `jsonb` from the bytes that came; SQLAlchemy makes two copies of each value first."""

    def set_codec(driver: Any) -> Any:
        return driver.set_type_codec(
            "jsonb",
            # One byte before the text says which format it is.
            encoder=lambda text: b"\x01" + text.encode(),
            decoder=lambda value: orjson.loads(memoryview(value)[1:]),
            schema="pg_catalog",
            format="binary",
        )

    connection.run_async(set_codec)


def _find_dead_connections(engine: AsyncEngine) -> None:
    """Let no connection out of the pool that a restarted PostgreSQL has left dead.

    SQLAlchemy's own ping takes three round trips, more than most reads. One that was used within
    the last second is not asked: a PostgreSQL that restarted since then is not back yet.
    """
    dialect = engine.dialect

    def note_use(_: Any, record: Any) -> None:
        record.info["used_at"] = elapsed_seconds()

    def check(connection: Any, record: Any, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        if elapsed_seconds() - record.info.get("used_at", elapsed_seconds()) > _FRESH_SECONDS:
            try:
                dialect.do_ping(connection)
            except Exception as error:
                raise DisconnectionError from error

    event.listen(engine.sync_engine.pool, "checkin", note_use)
    event.listen(engine.sync_engine.pool, "checkout", check)


class Database:
    """A pool of connections."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(postgresql_readonly=True)

    @classmethod
    def open(
        cls, url: str, *, pool_size: int = 10, statement_timeout_seconds: float = 30.0
    ) -> "Database":
        """Prepare a pool; connections are made when first needed.

        `url` is `postgresql://…`; a unix socket is given as `?host=/directory`.
        """
        engine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            # Those used last know their statements and have warm caches.
            pool_use_lifo=True,
            # Parameters and results of jobs do not belong into our log.
            hide_parameters=True,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": 5,
                # PostgreSQL ends a statement by its own time-out. An answer that has still not
                # come after that will not: the network has lost the connection and told nobody.
                "command_timeout": statement_timeout_seconds + _ANSWER_SECONDS,
                "server_settings": {
                    "application_name": "tickwheel",
                    "timezone": "UTC",
                    "jit": "off",
                    # What is hot is in memory: rows that are named are looked up, however few
                    # PostgreSQL believes there are beside them.
                    "random_page_cost": "1.1",
                    "statement_timeout": str(int(statement_timeout_seconds * 1000)),
                    # A process that is stopped in the middle of a transaction holds what the
                    # others are waiting for: less than the ten seconds after which it is late.
                    "idle_in_transaction_session_timeout": "5000",
                },
            },
        )
        _find_dead_connections(engine)
        event.listen(engine.sync_engine.pool, "connect", _read_json_as_it_comes)
        return cls(engine)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self, project_id: UUID | None) -> AsyncIterator[ReadConnection]:
        """Open a read-only connection for one project."""
        async with ReadConnection(self._reading, expire_on_commit=False) as connection:
            connection.project_id = project_id
            yield connection

    @asynccontextmanager
    async def transaction(self, project_id: UUID | None = None) -> AsyncIterator[Transaction]:
        """Open a transaction; commit at the end of the block, roll back if it raises."""
        async with Transaction(self._engine, expire_on_commit=False) as transaction:
            transaction.project_id = project_id
            async with transaction.begin():
                yield transaction
