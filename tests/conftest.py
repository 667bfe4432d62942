"""Real PostgreSQL and Redis for every test that asks, and nothing for those that do not.

Each test process (pytest-xdist runs several) starts its own servers when the first of its tests
needs them, on unix sockets of its own, so no two processes can disturb each other. A test gets a
fresh database, copied from a migrated template, and an empty Redis: it may commit, lock, listen
and publish as it likes. Tests that kill a server start one of their own.
"""

import os
import shutil
import tempfile
import zoneinfo
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
import structlog
from redis.asyncio import Redis

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.store.migrate import upgrade
from tests.faults.nursery import Nursery

_TEMPLATE = "tickwheel"

# As every entry point does: zones come from the pinned tzdata package and nowhere else.
zoneinfo.reset_tzpath(())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make faults` ask for the long form of each fault."""
    parser.addoption("--long", action="store_true", help="faults in their long form")


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log tracebacks as text, as production does.

    structlog's own default draws them with every local variable, which takes seconds in a process
    that holds the whole test suite, while a transaction waits.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )


@pytest.fixture(scope="session")
def services_directory() -> Iterator[Path]:
    """A short path for servers' data, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(services_directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """This process's PostgreSQL. Its database `tickwheel` is migrated and is the template."""
    server = EmbeddedPostgres(services_directory / "postgres", durable=False)
    await upgrade(await server.start())
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_server(services_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """This process's Redis."""
    server = EmbeddedRedis(services_directory / "redis")
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh, migrated database; it is dropped afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    yield await postgres.create_database(name, template=_TEMPLATE)
    await postgres.drop_database(name)


@pytest_asyncio.fixture
async def empty_database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh database without tables."""
    name = f"test_{uuid4().hex}"
    yield await postgres.create_database(name)
    await postgres.drop_database(name)


@pytest_asyncio.fixture
async def redis_url(redis_server: EmbeddedRedis) -> str:
    """An empty Redis that no other test uses at the same time."""
    client: Redis = Redis.from_url(redis_server.url)
    await client.flushall()
    await client.aclose()
    return redis_server.url


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where this test process gets its workers from."""
    opened = Nursery()
    yield opened
    opened.close()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name whatever was left out, so that nothing is skipped silently."""
    skipped = _left_out(terminalreporter)
    if skipped:
        terminalreporter.section("Left out")
        for line in skipped:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and _left_out(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_out(reporter: pytest.TerminalReporter) -> list[str]:
    return [f"{report.nodeid}: {_reason(report)}" for report in reporter.stats.get("skipped", [])]


def _reason(report: pytest.TestReport) -> str:
    _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "no reason")
    return str(reason).removeprefix("Skipped: ")
