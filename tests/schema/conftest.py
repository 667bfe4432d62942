"""A server with a database and a Redis of its own for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.schema.api import Api, running_api


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """Return a client of a running server, which is the instance's administrator."""
    async with running_api(database_url, redis_url) as client:
        yield client
