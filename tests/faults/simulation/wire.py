"""Connections to PostgreSQL on which every exchange takes its time, and may be the last one."""

import asyncio
from functools import partial
from typing import Any, Protocol

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.faults.simulation.clock import VirtualLoop

# What has an effect that others can see. Preparing a statement, say, has none.
_EFFECTS = frozenset({"query", "bind_execute", "bind_execute_many"})
_EXCHANGES = _EFFECTS | {"prepare", "bind", "execute", "close_statement", "close_portal", "close"}


class Passenger(Protocol):
    """Who uses the connections; it may crash or be held up before and after an exchange."""

    loop: VirtualLoop
    connections: set["Line"]
    # What earlier lives have left, rolled back: to be used again.
    spare: list["Line"]

    async def before_exchange(self) -> None:
        """Take the time that the exchange takes to arrive."""

    async def after_exchange(self) -> None:
        """Hear the answer, or not."""


def ride(engine: AsyncEngine, passenger: Passenger) -> None:
    """Let whatever this engine opens from now on be the passenger's."""

    def choose(dialect: Any, _: Any, given: Any, parameters: dict[str, Any]) -> Any:
        if passenger.spare:
            line = passenger.spare.pop()
        else:
            parameters["async_creator_fn"] = open_connection
            line = Line(dialect.loaded_dbapi.connect(*given, **parameters))
        passenger.connections.add(line)
        return line.adapter

    async def open_connection(**parameters: Any) -> Any:
        loop, opening = passenger.loop, object()
        loop.awaited.add(opening)
        try:
            connection = await asyncpg.connect(**parameters, connection_class=_Connection)
        finally:
            loop.awaited.discard(opening)
        connection._protocol = _Wire(connection._protocol, passenger)
        return connection

    def forget(adapter: Any, *_: Any) -> None:
        # asyncpg believes in a transaction that somebody was about to begin when the process ended.
        adapter._connection._top_xact = None

    event.listen(engine.sync_engine, "do_connect", choose)
    # Before the product's own look at what it takes from the pool.
    event.listen(engine.sync_engine.pool, "checkout", forget, insert=True)


class Line:
    """A connection that outlives the processes that use it, though none of them can tell.

    To PostgreSQL and to all others a rollback is what the end of a session is, as nothing here
    is kept in a session; only, nobody has to start a back end and prepare every statement again.
    """

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self._connection = adapter._connection

    @property
    def pid(self) -> int:
        """Return the process id of its back end."""
        found: int = self._connection.get_server_pid()
        return found

    @property
    def is_open(self) -> bool:
        """Return whether it can be used."""
        return not self._connection.is_closed()

    @property
    def is_in_transaction(self) -> bool:
        """Return whether a transaction is under way."""
        return self.is_open and bool(self._connection.is_in_transaction())

    def take_away(self) -> bool:
        """Cut it off from whoever uses it; return whether it can be used again."""
        corpse = self.adapter
        self.adapter = type(corpse)(corpse.dbapi, self._connection)
        self.adapter._prepared_statement_cache = corpse._prepared_statement_cache
        corpse._connection = _Gone()
        return self.is_open and not self._connection.is_busy

    async def roll_back(self) -> None:
        """Do what PostgreSQL does when a session ends."""
        if self.is_in_transaction:
            await self._connection._protocol.say("ROLLBACK")

    def terminate(self) -> None:
        """Close it as it is."""
        self._connection.terminate()

    async def close(self) -> None:
        """Close it in peace."""
        await self._connection.close()


class _Gone:
    """What is left to a process that has crashed."""

    def is_closed(self) -> bool:
        return True

    def terminate(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise ConnectionResetError("This process has crashed.")


class _Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types.
    """One whose cancelled statement is awaited like any other answer, while it lives."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._cancelling: set[object] = set()

    @property
    def is_busy(self) -> bool:
        """Return whether an answer is awaited."""
        return not self._loop.awaited.isdisjoint({self.get_server_pid(), *self._cancelling})

    def _cancel_current_command(self, *waiters: "asyncio.Future[None]") -> None:
        for waiter in waiters:
            token = object()
            self._cancelling.add(token)
            self._loop.awaited.add(token)
            waiter.add_done_callback(partial(self._heard_of, token))
        super()._cancel_current_command(*waiters)

    def _heard_of(self, token: object, _: "asyncio.Future[None]") -> None:
        self._loop.awaited.discard(token)

    def _cleanup(self) -> None:
        self._loop.awaited.difference_update(self._cancelling)
        super()._cleanup()


class _Wire:
    """asyncpg's protocol, with time between the asking and the answer."""

    def __init__(self, protocol: Any, passenger: Passenger) -> None:
        self._protocol = protocol
        self._passenger = passenger

    async def say(self, query: str) -> None:
        """Have something executed that nobody in the story has said."""
        await self._really(self._protocol.query, query, None)

    async def _really(self, member: Any, *arguments: Any, **more: Any) -> Any:
        """Wait for an answer; the clock stands still, unless it waits for a lock."""
        loop, pid = self._passenger.loop, self._protocol.get_server_pid()
        loop.awaited.add(pid)
        try:
            return await member(*arguments, **more)
        finally:
            loop.awaited.discard(pid)
            loop.blocked.discard(pid)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._protocol, name)
        if name not in _EXCHANGES:
            return member
        passenger, is_seen = self._passenger, name in _EFFECTS
        loop = passenger.loop

        async def exchange(*arguments: Any, **more: Any) -> Any:
            if is_seen:
                await passenger.before_exchange()
            if name == "query" and arguments[0].startswith("BEGIN"):
                set_clock = f"SET LOCAL simulation.at = '{loop.instant.isoformat()}'"
                arguments = (f"{arguments[0]} {set_clock}", *arguments[1:])
            answer = await self._really(member, *arguments, **more)
            if is_seen:
                await passenger.after_exchange()
            return answer

        return exchange
