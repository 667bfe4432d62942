"""An engine on a database of its own for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.engine import Engine, open_engine


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    """Services on real servers, as a worker would call them."""
    async with open_engine(database_url, redis_url) as engine:
        yield engine
