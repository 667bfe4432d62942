"""What a process holds open: the database, Redis, and the instance's defaults.

Opened once by an entry point, passed down, closed by it. Nothing below reads settings.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from redis.asyncio import Redis

from app.broker.channel import EventChannel
from app.broker.doorbell import Doorbell
from app.broker.redis import open_redis
from app.broker.worker_channel import WorkerChannel
from app.config import Settings
from app.core.changes import Change
from app.core.defaults import Defaults
from app.core.retry import RetryPolicy
from app.handlers.mail import MailServer
from app.handlers.options import HandlerOptions
from app.metrics import EngineMetrics
from app.sealing import Keyring
from app.store.database import Database


@dataclass(frozen=True, slots=True)
class EngineIntervals:
    """The engine's own intervals."""

    lease_seconds: float
    heartbeat_seconds: float
    sweep_seconds: float
    monitor_seconds: float
    look_ahead_seconds: float


@dataclass(slots=True)
class Revocations:
    """How many tokens this process has taken back: nobody is remembered beyond that."""

    count: int = 0

    def note(self) -> None:
        """Let every caller be looked up again."""
        self.count += 1


@dataclass(frozen=True, slots=True)
class Runtime:
    """The open connections and the defaults of one process."""

    database: Database
    redis: Redis
    channel: EventChannel
    worker_channel: WorkerChannel
    doorbell: Doorbell
    defaults: Defaults
    intervals: EngineIntervals
    handler_options: HandlerOptions
    keyring: Keyring
    event_retention: timedelta
    # Below it lie the files that runs export; None: there are none.
    export_directory: Path | None = None
    # None: notifications are not mailed.
    mail_server: MailServer | None = None
    metrics: EngineMetrics = field(default_factory=EngineMetrics)
    revocations: Revocations = field(default_factory=Revocations)
    _announcements: set[asyncio.Task[object]] = field(default_factory=set)
    _followers: set[Callable[[list[Change]], None]] = field(default_factory=set)

    @contextmanager
    def following(self, follow: Callable[[list[Change]], None]) -> Iterator[None]:
        """Hand on whatever this process announces meanwhile, whether Redis is there or not."""
        self._followers.add(follow)
        try:
            yield
        finally:
            self._followers.discard(follow)

    def announce_soon(self, changes: list[Change], *, ring: bool = False) -> None:
        """Announce without making the caller wait for Redis."""
        if changes or ring:
            self._soon(self.announce(changes, ring=ring))

    def announce_logs_soon(self, run_ids: Sequence[UUID]) -> None:
        """Announce that logs have grown, without making the caller wait for Redis."""
        if run_ids:
            self._soon(self.channel.publish_logs(run_ids))

    def _soon(self, announcement: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(announcement)
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)

    async def announce(self, changes: list[Change], *, ring: bool = False) -> None:
        """Tell the others after a commit. Never raises: the rows are the record."""
        for follow in self._followers:
            follow(changes)
        if ring:
            await self.doorbell.ring()
        await self.channel.publish(changes)

    async def settle(self) -> None:
        """Wait until everything announced so far has gone out."""
        await asyncio.gather(*self._announcements)


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open what the settings name, and close it at the end of the block."""
    database = Database.open(settings.database_url, pool_size=settings.database_pool_size)
    redis = open_redis(settings.redis_url)
    # arq reads bytes, so it has a pool of its own.
    bell_redis = open_redis(settings.redis_url, decode=False)
    try:
        runtime = Runtime(
            database=database,
            redis=redis,
            channel=EventChannel(redis, prefix=settings.redis_prefix),
            worker_channel=WorkerChannel(redis, prefix=settings.redis_prefix),
            doorbell=Doorbell(bell_redis, prefix=settings.redis_prefix),
            defaults=Defaults(
                timezone=settings.default_timezone,
                timeout=settings.default_timeout,
                retry=RetryPolicy(max_attempts=settings.default_max_attempts),
                catch_up_window=settings.catch_up_window,
            ),
            intervals=EngineIntervals(
                lease_seconds=settings.lease_seconds,
                heartbeat_seconds=settings.heartbeat_seconds,
                sweep_seconds=settings.sweep_seconds,
                monitor_seconds=settings.monitor_seconds,
                look_ahead_seconds=settings.look_ahead_seconds,
            ),
            handler_options=handler_options(settings),
            keyring=Keyring.read(settings.secret_keys, settings.secret_keys_file),
            event_retention=timedelta(hours=settings.event_retention_hours),
            export_directory=settings.export_dir,
            mail_server=mail_server(settings),
        )
        yield runtime
        await runtime.settle()
    finally:
        await bell_redis.aclose()
        await redis.aclose()
        await database.close()


def handler_options(settings: Settings) -> HandlerOptions:
    """Return what handlers are allowed here."""
    return HandlerOptions(
        process_slots=settings.process_slots,
        allow_commands=settings.allow_commands,
        allow_shell=settings.allow_shell,
        command_user=settings.command_user,
        cgroup=settings.command_cgroup,
        http_allow_networks=settings.http_allow_networks,
        own_ports=(settings.port, settings.worker_port),
        store_ports=store_ports(settings),
        http_ca_file=None if settings.http_ca_file is None else str(settings.http_ca_file),
        task_modules=settings.tasks,
    )


def mail_server(settings: Settings) -> MailServer | None:
    """Return where mail is handed in, if anywhere."""
    if not settings.smtp_host:
        return None
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.smtp_from,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password,
        ca_file=None if settings.smtp_ca_file is None else str(settings.smtp_ca_file),
    )


def store_ports(settings: Settings) -> tuple[int, ...]:
    """Return the ports of our PostgreSQL and Redis, the usual ones where none is named."""
    database, redis = urlsplit(settings.database_url), urlsplit(settings.redis_url)
    return (database.port or 5432, redis.port or 6379)
