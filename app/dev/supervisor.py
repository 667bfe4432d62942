"""Keep a few services running, and stop them in order.

A service that ends is started again: at once the first time, then after a delay that doubles up
to ten seconds, until it has run well for a while. Stopping goes through the services in the
reverse of the order in which they were given, and each stop is bounded in time.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from app.core.clock import elapsed_seconds
from app.core.errors import TickwheelError

_FIRST_DELAY_SECONDS = 0.25
_LONGEST_DELAY_SECONDS = 10.0
_RAN_WELL_SECONDS = 30.0
_log = structlog.get_logger(__name__)


class Service(Protocol):
    """What can be supervised: PostgreSQL, Redis, or a program of ours."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    async def start(self) -> object:
        """Start it and return when it is of use."""
        ...

    async def exited(self) -> int:
        """Wait until it ends."""
        ...

    async def stop(self) -> None:
        """Stop it within bounded time; without effect when it has ended."""
        ...


class Supervisor:
    """Starts services, keeps them running, stops them in reverse order."""

    def __init__(self) -> None:
        self._started: list[Service] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, services: Sequence[Service]) -> None:
        """Start these at the same time, after all that were started before, and keep them."""
        self._started += services  # First: one that fails half-way is stopped, too.
        try:
            async with asyncio.TaskGroup() as group:
                for service in services:
                    group.create_task(service.start())
        except* TickwheelError as failures:
            raise _first(failures) from None
        self._keepers += [asyncio.create_task(keep_running(service)) for service in services]

    async def stop(self) -> None:
        """Stop everything, the last started first. Never raises for one service's sake."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for service in reversed(self._started):
            try:
                await service.stop()
            except Exception:
                _log.exception("service.stop_failed", service=service.name)


async def keep_running(service: Service) -> None:
    """Start `service` again whenever it ends, for ever."""
    delay_seconds = 0.0
    while True:
        started_at_seconds = elapsed_seconds()
        code = await service.exited()
        if elapsed_seconds() - started_at_seconds > _RAN_WELL_SECONDS:
            delay_seconds = 0.0
        _log.warning(
            "service.ended",
            service=service.name,
            exit_code=code,
            delay_seconds=delay_seconds,
        )
        await asyncio.sleep(delay_seconds)
        delay_seconds = min(max(delay_seconds * 2, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
        try:
            await service.start()
        except (TickwheelError, OSError) as error:
            _log.error("service.start_failed", service=service.name, error=str(error))


def _first(failures: BaseExceptionGroup[TickwheelError]) -> TickwheelError:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
