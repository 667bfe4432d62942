"""The notifier of one process: it gathers and delivers for as long as the process lives.

Every process has one, API and workers, and none leads: so `NO_WORKER` and `TICKER_SILENT` are told
by the very process that has found them, whatever has become of the engine.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from app.handlers.webhook import WebhookSender
from app.runtime import Runtime
from app.services.notifications.delivering import Patience, deliver
from app.services.notifications.gathering import PAUSE_SECONDS, gather

_LOOK_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Notifier:
    """Two loops: what cannot be delivered does not hold up what is gathered."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        patience: Patience | None = None,
        pause_seconds: float = PAUSE_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._patience = patience or Patience()
        self._pause_seconds = pause_seconds
        self._look_seconds = look_seconds
        self._to_gather = asyncio.Event()
        self._to_deliver = asyncio.Event()

    def wake(self) -> None:
        """Look at once: there is something that cannot wait."""
        self._to_gather.set()

    async def run(self) -> None:
        """Gather and deliver until cancelled."""
        sender = WebhookSender.open(self._runtime.handler_options)

        async def deliver_all() -> None:
            while await deliver(self._runtime, sender, self._patience):
                pass

        try:
            await asyncio.gather(
                self._repeat(self._gather, self._to_gather),
                self._repeat(deliver_all, self._to_deliver),
            )
        finally:
            await sender.close()

    async def _gather(self) -> None:
        await gather(self._runtime, pause_seconds=self._pause_seconds)
        self._to_deliver.set()

    async def _repeat(self, act: Callable[[], Awaitable[None]], wanted: asyncio.Event) -> None:
        while True:
            wanted.clear()
            try:
                await act()
            except Exception as error:  # What goes wrong is not the end of it.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from error
                _log.warning("notifier.failed", error=repr(error)[:300])
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), self._look_seconds)
