"""Connections to PostgreSQL on which every exchange takes its time, and may be the last one."""

import asyncio
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
    connections: set[Any]

    async def before_exchange(self) -> None:
        """Take the time that the exchange takes to arrive."""

    async def after_exchange(self) -> None:
        """Hear the answer, or not."""


def ride(engine: AsyncEngine, passenger: Passenger) -> None:
    """Let whatever this engine opens from now on be the passenger's.

    Without the pool's pings: a connection is only ever lost together with its process here.
    """
    engine.sync_engine.pool._pre_ping = False

    def choose(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["async_creator_fn"] = open_connection

    async def open_connection(**parameters: Any) -> Any:
        loop, opening = passenger.loop, object()
        loop.awaited.add(opening)
        try:
            connection = await asyncpg.connect(**parameters, connection_class=_Connection)
        finally:
            loop.awaited.discard(opening)
        connection._protocol = _Wire(connection._protocol, passenger)
        passenger.connections.add(connection)
        return connection

    event.listen(engine.sync_engine, "do_connect", choose)


class _Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types.
    """One whose cancelled statement is awaited like any other answer, while it lives."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._cancelling: set[object] = set()

    def _cancel_current_command(self, waiter: "asyncio.Future[None]") -> None:
        token = object()
        self._cancelling.add(token)
        self._loop.awaited.add(token)
        waiter.add_done_callback(lambda _: self._loop.awaited.discard(token))
        super()._cancel_current_command(waiter)

    def _cleanup(self) -> None:
        self._loop.awaited.difference_update(self._cancelling)
        super()._cleanup()


class _Wire:
    """asyncpg's protocol, with time between the asking and the answer."""

    def __init__(self, protocol: Any, passenger: Passenger) -> None:
        self._protocol = protocol
        self._passenger = passenger

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._protocol, name)
        if name not in _EXCHANGES:
            return member
        passenger, is_seen = self._passenger, name in _EFFECTS
        loop, backend = passenger.loop, self._protocol.get_server_pid

        async def exchange(*arguments: Any, **more: Any) -> Any:
            if is_seen:
                await passenger.before_exchange()
            if name == "query" and arguments[0].startswith("BEGIN"):
                set_clock = f"SET LOCAL simulation.at = '{loop.instant.isoformat()}'"
                arguments = (f"{arguments[0]} {set_clock}", *arguments[1:])
            pid = backend()
            loop.awaited.add(pid)
            try:
                answer = await member(*arguments, **more)
            finally:
                loop.awaited.discard(pid)
                loop.blocked.discard(pid)
            if is_seen:
                await passenger.after_exchange()
            return answer

        return exchange
