"""An engine on a PostgreSQL that has been there for a while.

For its first ten seconds nothing is held against anybody: they may all have been waiting for it.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.engine import Engine, open_engine

_UNTIL_JUDGED = (
    "SELECT pg_sleep(greatest(0, 10.1 - extract(epoch FROM now() - pg_postmaster_start_time())))"
)


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    """Services on real servers, as any process would call them."""
    async with open_engine(database_url, redis_url) as engine:
        await engine.rows(_UNTIL_JUDGED)
        yield engine
