"""Redis as seen from outside: messages that are lost, doubled and late.

What the product hands to Redis are rings, hints and changes, each without an answer that matters;
what it gets are ticks each second, rings and hints. All of them go through here.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol
from uuid import UUID

from app.core.changes import Change


class Receiver(Protocol):
    """A worker that hears messages while it is alive."""

    def ring(self) -> None:
        """Wake its runner."""

    def hint(self) -> None:
        """Let it beat at once."""


class Messages:
    """All messages of one simulated cluster."""

    def __init__(self, chance: Random, receivers: Callable[[], Sequence[Receiver]]) -> None:
        self._chance = chance
        self._receivers = receivers
        self.is_healed = False

    def send(self, deliver: Callable[[], object]) -> None:
        """Deliver a message never, once or twice, now or later."""
        loop = asyncio.get_running_loop()
        for _ in range(1 if self.is_healed else self._chance.choice((0, 0, 1, 1, 1, 2))):
            longest = 0.01 if self.is_healed else self._chance.choice((0.01, 0.1, 3.0))
            loop.call_later(self._chance.uniform(0, longest), deliver)

    async def ring(self) -> bool:
        """Ring for any one worker, as arq would."""
        if receivers := self._receivers():
            self.send(self._chance.choice(receivers).ring)
        return True

    async def hint(self) -> bool:
        """Tell every worker to look."""
        for receiver in self._receivers():
            self.send(receiver.hint)
        return True

    async def publish(self, changes: list[Change]) -> bool:
        """Tell subscribers: there are none here."""
        return True

    async def publish_logs(self, run_ids: Sequence[UUID]) -> bool:
        """Tell subscribers of logs: there are none here."""
        return True


def as_edges(messages: Messages) -> dict[str, Any]:
    """Return what stands in for the parts of a runtime that talk to Redis."""
    return {"doorbell": messages, "channel": messages, "worker_channel": messages}
