"""Workers, and servers of a test's own to kill."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.store.migrate import upgrade
from tests.engine import open_engine
from tests.faults.cluster import Cluster, cluster_on
from tests.faults.nursery import Nursery
from tests.faults.rows import NAME


@pytest_asyncio.fixture
async def cluster(
    nursery: Nursery, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Workers on the servers of this test process, which nobody kills."""
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, nursery, database_url, redis_url, tmp_path) as cluster,
    ):
        yield cluster


@pytest_asyncio.fixture
async def own_redis(services_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of this test's own, to kill."""
    server = EmbeddedRedis(services_directory / "redis-to-kill")
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def own_postgres(services_directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of this test's own, to kill; durable, as in production."""
    # A directory of its own, too: the invariants judge everything that is in the database.
    directory = services_directory / f"to-kill-{uuid4().hex[:8]}"
    server = EmbeddedPostgres(directory, durable=True)
    await upgrade(await server.start())
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def mortal(
    nursery: Nursery, own_postgres: EmbeddedPostgres, own_redis: EmbeddedRedis, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Workers on servers of their own, each of which may be killed."""
    async with (
        open_engine(own_postgres.url, own_redis.url) as engine,
        cluster_on(engine, nursery, own_postgres.url, own_redis.url, tmp_path) as cluster,
    ):
        yield cluster


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", f"{NAME}(fault, judges): a row of the table of faults")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is the long form of a fault, as `make faults` runs it."""
    return bool(request.config.getoption("--long"))
