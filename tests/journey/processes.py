"""Our commands as processes, in an environment as bare as a new user's."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from tempfile import NamedTemporaryFile

import aiohttp
import psutil

from tests.dev.processes import PATIENCE_SECONDS, eventually

_TICKWHEEL = Path(sys.executable).with_name("tickwheel")
# Generous: it bounds a hang, it measures nothing.
_STOP_SECONDS = 60.0
# A worker with these is taken for dead after two seconds.
SOON_MISSED = {"lease_seconds": 2, "heartbeat_seconds": 0.5, "sweep_seconds": 0.5}


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, no two the same."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Command:
    """A running `tickwheel …`; all it says is kept in a file."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def said(self) -> str:
        """Return its output so far."""
        return self._output.read_text(errors="replace")

    async def says(self, words: str) -> str:
        """Wait until it has said `words` and return all it said."""

        def has_said() -> bool:
            assert self.process.returncode is None, self.said
            return words in self.said

        await eventually(has_said)
        return self.said

    async def kill(self) -> None:
        """Kill it (SIGKILL), as a crash would."""
        await self.stop(SIGKILL)

    async def kill_part(self, name: str) -> None:
        """Kill the child process that runs `tickwheel NAME`."""
        [part] = [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if child.cmdline()[-1:] == [name]
        ]
        part.kill()

    async def stop(self, signal: Signals = SIGTERM) -> int:
        """Ask it to stop, see that it does, and return its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal)
        return await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)


async def until_ready(port: int) -> None:
    """Wait until `/readyz` on this port is content."""
    async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession() as client:
        while not await _is_ready(client, port):  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.05)


async def _is_ready(client: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with client.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


@asynccontextmanager
async def running(name: str, directory: Path, **settings: object) -> AsyncIterator[Command]:
    """`tickwheel NAME` with these settings, for as long as the block lasts."""
    given = {f"TICKWHEEL_{setting.upper()}": str(value) for setting, value in settings.items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with NamedTemporaryFile(dir=directory, prefix=f"{name}-", delete=False) as file:
        process = await asyncio.create_subprocess_exec(
            _TICKWHEEL, name, env=kept | given, stdout=file, stderr=subprocess.STDOUT
        )
    command = Command(process, Path(file.name))
    try:
        yield command
    finally:
        try:
            await command.stop()
        except TimeoutError:
            await command.kill()
            raise
