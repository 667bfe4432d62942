"""An engine, and a project to plan, on a database of their own for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from app.runtime import open_runtime
from tests.engine import Engine, open_engine
from tests.schema.api import settings_for
from tests.services.planning import Planning


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    """Services on real servers, as a worker would call them."""
    async with open_engine(database_url, redis_url) as engine:
        yield engine


@pytest_asyncio.fixture
async def planning(database_url: str, redis_url: str) -> AsyncIterator[Planning]:
    """Return a project with one job."""
    async with open_runtime(settings_for(database_url, redis_url)) as runtime:
        yield await Planning.begin(runtime)
