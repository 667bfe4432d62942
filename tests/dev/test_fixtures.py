"""The ground the other tests stand on."""

import asyncpg
from redis.asyncio import Redis


async def test_database_is_migrated_and_takes_commits(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM schedule") == 0
        await connection.execute("CREATE TABLE mark ()")
    finally:
        await connection.close()


async def test_database_of_another_test_leaves_no_trace(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('mark')") is None
    finally:
        await connection.close()


async def test_empty_database_has_no_tables(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('schedule')") is None
    finally:
        await connection.close()


async def test_redis_starts_empty(redis_url: str) -> None:
    client: Redis = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
        await client.set("mark", "1")
    finally:
        await client.aclose()


async def test_redis_of_another_test_leaves_no_trace(redis_url: str) -> None:
    client: Redis = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
    finally:
        await client.aclose()
