"""Wake those who watch the log of a run.

A bell says only that there may be something to read. Whoever waits takes hold of the next ring
before reading, so that a ring during the read is not missed.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bell:
    """The bell of one run; all who watch it share it."""

    rung: int = 0
    next_ring: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0

    def ring(self) -> None:
        """Wake everybody."""
        self.rung += 1
        self.next_ring.set()
        self.next_ring = asyncio.Event()


class Bells:
    """The bells of a process, by the hexadecimal id of their run."""

    def __init__(self) -> None:
        self._bells: dict[str, Bell] = {}

    def __bool__(self) -> bool:
        return bool(self._bells)

    @contextmanager
    def listening(self, name: str) -> Iterator[Bell]:
        """Hang up a bell for as long as somebody listens."""
        bell = self._bells.setdefault(name, Bell())
        bell.listeners += 1
        try:
            yield bell
        finally:
            bell.listeners -= 1
            if not bell.listeners:
                del self._bells[name]

    def ring(self, names: Iterable[str]) -> None:
        """Ring the bells of these; a name without a bell wakes nobody."""
        for name in names:
            if bell := self._bells.get(name):
                bell.ring()

    def ring_all(self) -> None:
        """Ring every bell."""
        self.ring(list(self._bells))
