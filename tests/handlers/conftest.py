"""What every test of a handler needs: an attempt, somewhere to write, a worker's handlers."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest

from app.core.ids import Kind, public_id
from app.core.vocabulary import JobKind, LogLevel
from app.handlers.execution import Execution
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers

LOOPBACK = "127.0.0.0/8"
DEADLINE_SECONDS = 20.0


@dataclass
class RecordedOutput:
    """A RunOutput that keeps everything."""

    lines: list[tuple[str, LogLevel, str]] = field(default_factory=list)
    reports: list[tuple[float, str | None]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    room_left: int = 1_000_000
    dropped: int = 0

    def write(
        self,
        text: str,
        *,
        stream: str = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        self.lines.append((stream, level, text))
        self.room_left -= 1
        self.changed.set()

    def room(self) -> int:
        return self.room_left

    def drop(self, lines: int) -> None:
        self.dropped += lines

    def progress(self, fraction: float, message: str | None = None) -> None:
        self.reports.append((fraction, message))
        self.changed.set()

    def texts(self, stream: str) -> list[str]:
        return [text for where, _, text in self.lines if where == stream]

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line that matches."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                for _, _, text in self.lines:
                    if match := re.search(pattern, text):
                        return match
                self.changed.clear()
                await self.changed.wait()


_LEFT: list[str] = []


def _stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Let no socket of this process reach beyond this machine, whatever the code does."""
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
        stays = _is_here(host)
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        stays = _is_asked_of_nobody(host)
    else:
        return
    if not stays:
        _LEFT.append(f"{event} {host}")
        raise PermissionError(f"Tests stay on this machine: {event} {host}")


def _is_here(host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def _is_asked_of_nobody(host: str | bytes | None) -> bool:
    """Return whether a host is an address, in any notation, or our own name."""
    text = (host.decode() if isinstance(host, bytes) else host) or "localhost"
    try:
        socket.inet_aton(text)
    except OSError:
        return text == "localhost" or ":" in text
    return True


sys.addaudithook(_stay_here)


@pytest.fixture(autouse=True)
def nothing_left_the_machine() -> Iterator[None]:
    """Fail a test that has tried to, though it was not let."""
    _LEFT.clear()
    yield
    assert _LEFT == []


@pytest.fixture
def output() -> RecordedOutput:
    return RecordedOutput()


def execution_of(kind: JobKind, config: Mapping[str, Any], /, **changes: Any) -> Execution:
    values: dict[str, Any] = {
        "run_id": uuid4(),
        "attempt": 1,
        "max_attempts": 3,
        "job_key": "nightly",
        "schedule_key": "every-night",
        "project_key": "shop",
        "kind": kind,
        "config": config,
        "parameters": {},
        "scheduled_for": datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        "previous_success_at": None,
        "timeout_seconds": 30.0,
        "lease_token": 1,
    }
    return Execution(**values | changes)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Handlers]:
    """Handlers that may do what tests need, and no more than asked."""
    async with await Handlers.open(HandlerOptions(**options)) as handlers:
        yield handlers


def alive_with_mark(run_id: UUID) -> list[int]:
    """Every living process of a run, wherever it sits in the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("TICKWHEEL_RUN_ID") == public_id(Kind.RUN, run_id)
                and process.pid != os.getpid()
            ):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(*pids: int) -> None:
    """Wait until none of these lives."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - not our children: no event
            await asyncio.sleep(0.02)
