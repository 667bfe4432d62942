"""A server, and the services its workers share with it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.schema.api import Api, running_api
from tests.worker.control import Services


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """Return a client of a running server, which is the instance's administrator."""
    async with running_api(database_url, redis_url) as client:
        yield client


@pytest.fixture
def services(database_url: str, redis_url: str, tmp_path: Path) -> Services:
    """Return what a worker needs."""
    return Services(database_url, redis_url, tmp_path)
