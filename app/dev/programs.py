"""One of our own processes, as the supervisor sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM

from app.dev.child import Child, StopStep, start_child


@dataclass
class Program:
    """A command that is started again when it ends, and stopped with patience."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    # How long it may take to finish its work after SIGTERM.
    stop_wait_seconds: float = 10.0
    _child: Child | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it; its output goes where ours goes."""
        self._child = await start_child(self.command, environment=self.environment)

    async def exited(self) -> int:
        """Wait until it ends and return its exit code."""
        assert self._child is not None
        return await self._child.exited()

    async def stop(self) -> None:
        """Ask it to stop, wait, and kill it when it does not."""
        if self._child is not None:
            await self._child.stop(StopStep(SIGTERM, self.stop_wait_seconds))

    def kill(self) -> None:
        """Do not wait any longer: whoever asked for the stop has asked again."""
        if self._child is not None:
            self._child.send(SIGKILL)
