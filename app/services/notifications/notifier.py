"""The notifier of one process: it gathers and delivers for as long as the process lives.

Every process has one, API and workers, and none leads: so `NO_WORKER` and `TICKER_SILENT` are told
by the very process that has found them, whatever has become of the engine.

It looks when this process has announced something that a rule may want to be told of, and when the
time has come for a message; else only now and then, for what a process that died has left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from app.core.changes import Change
from app.core.clock import elapsed_seconds
from app.core.notifying import MAY_BE_TOLD
from app.handlers.webhook import WebhookSender
from app.runtime import Runtime
from app.services.notifications.delivering import Patience, deliver, seconds_until_due
from app.services.notifications.gathering import PAUSE_SECONDS, gather

_LOOK_SECONDS = 30.0
_REST_SECONDS = 2.0
# What is due may be held by another process, which takes it in this time.
_SHORT_REST_SECONDS = 0.05
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
        rest_seconds: float = _REST_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._patience = patience or Patience()
        self._pause_seconds = pause_seconds
        self._look_seconds = look_seconds
        self._rest_seconds = rest_seconds
        self._to_gather = asyncio.Event()
        self._to_deliver = asyncio.Event()

    def follow(self, changes: Sequence[Change]) -> None:
        """Look soon if any of these may have to be told."""
        if any((change.subject, change.change) in MAY_BE_TOLD for change in changes):
            self._to_gather.set()

    async def run(self) -> None:
        """Gather and deliver until cancelled."""
        sender = WebhookSender.open(self._runtime.handler_options)

        async def deliver_all() -> float | None:
            while await deliver(self._runtime, sender, self._patience):
                pass
            return await seconds_until_due(self._runtime)

        try:
            with self._runtime.following(self.follow):
                await asyncio.gather(
                    # A herd of ends is gathered together.
                    self._repeat(self._gather, self._to_gather, rest_seconds=self._rest_seconds),
                    self._repeat(deliver_all, self._to_deliver, rest_seconds=_SHORT_REST_SECONDS),
                )
        finally:
            await sender.close()

    async def _gather(self) -> float | None:
        gathered = await gather(self._runtime, pause_seconds=self._pause_seconds)
        if gathered is None:
            # Whoever gathers may have begun before what woke this one: look once more.
            return 0
        if gathered.composed:
            self._to_deliver.set()
        return gathered.again_in_seconds

    async def _repeat(
        self,
        act: Callable[[], Awaitable[float | None]],
        wanted: asyncio.Event,
        *,
        rest_seconds: float,
    ) -> None:
        """Act when wanted, when it has said so itself, and now and then; rest in between."""
        while True:
            wanted.clear()
            again_in = None
            try:
                again_in = await act()
            except Exception as error:  # What goes wrong is not the end of it.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from error
                _log.warning("notifier.failed", error=repr(error)[:300])
            rested_at = elapsed_seconds() + rest_seconds
            with suppress(TimeoutError):
                wait_seconds = self._look_seconds if again_in is None else again_in
                await asyncio.wait_for(wanted.wait(), min(wait_seconds, self._look_seconds))
            await asyncio.sleep(max(rested_at - elapsed_seconds(), 0))
