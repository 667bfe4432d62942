"""PostgreSQL and Redis as children of a process that may die at any moment."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.store.migrate import upgrade
from tests.dev.processes import eventually, is_alive, ordinary_user


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path that ordinary users may enter."""
    path = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def running(directory: Path, **options: Any) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(directory, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def running_redis(directory: Path) -> AsyncIterator[EmbeddedRedis]:
    server = EmbeddedRedis(directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def service_host(
    directory: Path, *options: str, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, int]]]:
    """A process with both services; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.dev.service_host",
        directory,
        *options,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def value(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_data_is_there_after_a_clean_restart(directory: Path) -> None:
    async with running(directory) as server:
        await execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with running(directory) as server:
        assert await value(server.url, "SELECT answer FROM kept") == 42


async def test_committed_data_survives_a_killed_postmaster(directory: Path) -> None:
    async with running(directory) as server:
        await execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await server.kill()
        await server.start()
        assert await value(server.url, "SELECT answer FROM kept") == 42


async def test_committed_data_survives_an_immediate_stop(directory: Path) -> None:
    async with running(directory) as server:
        await execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await server.stop_immediately()
        await server.start()
        assert await value(server.url, "SELECT answer FROM kept") == 42


async def test_settings_are_those_of_a_durable_server_without_a_network(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    async with running(directory) as server:
        await upgrade(server.url)  # SQLAlchemy reads the URL in its own way.
        query = "SELECT current_setting($1)"
        connection = await asyncpg.connect(server.url)
        shown = {
            name: await connection.fetchval(query, name)
            for name in ("listen_addresses", "fsync", "synchronous_commit", "jit", "TimeZone")
        }
        version = connection.get_server_version()
        await connection.close()
    assert shown == {
        "listen_addresses": "",
        "fsync": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "TimeZone": "UTC",
    }
    assert version.major == 18


async def test_socket_and_data_are_closed_to_others(directory: Path) -> None:
    async with running(directory) as server:
        for path in (directory / "data", directory / "run"):
            assert path.stat().st_mode & 0o777 == 0o700
        assert psutil.Process(server.pid).uids().effective != 0


async def test_database_is_made_once_and_copied_from_a_template(directory: Path) -> None:
    async with running(directory, durable=False) as server:
        await execute(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        copy = await server.create_database("copy", template="tickwheel")
        assert await server.create_database("copy") == copy
        assert await value(copy, "SELECT answer FROM kept") == 42
        await server.drop_database("copy")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(copy)


async def test_path_too_long_for_a_socket_still_works(directory: Path) -> None:
    deep = directory / ("deep" * 20) / ("deeper" * 10)
    async with running(deep / "postgres", durable=False) as server:
        url = server.url
        assert await value(url, "SELECT 1") == 1
        await server.kill()
        assert await server.start() == url  # Whoever was told the URL finds it again.
        socket_directory = url.partition("?host=")[2].partition("&")[0]
        assert os.stat(socket_directory).st_mode & 0o777 == 0o700
    with pytest.raises(FileNotFoundError):
        os.stat(socket_directory)
    async with running_redis(deep / "redis") as redis:
        assert await _ping(redis)


async def test_path_with_spaces_and_punctuation_works(directory: Path) -> None:
    odd = directory / "My Data, 100% 'mine' & more?"
    async with running(odd / "postgres", durable=False) as server:
        await upgrade(server.url)
        assert await value(server.url, "SELECT 1") == 1
    async with running_redis(odd / "redis") as redis:
        assert await _ping(redis)


async def test_half_made_cluster_is_made_again(directory: Path) -> None:
    unfinished = directory / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    async with running(directory, durable=False) as server:
        assert await value(server.url, "SELECT 1") == 1


async def test_pid_file_of_a_crash_that_names_another_process_blocks_nothing(
    directory: Path,
) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "600", cwd="/")
    try:
        async with running(directory / "postgres", durable=False):
            pass
        content = f"{bystander.pid}\n{directory / 'postgres/data'}\n1\n5432\n\n\n\nready\n"
        (directory / "postgres/data/postmaster.pid").write_text(content)
        (directory / "redis/data").mkdir(parents=True)
        (directory / "redis/data/redis.pid").write_text(f"{bystander.pid}\n")
        async with running(directory / "postgres", durable=False) as server:
            assert await value(server.url, "SELECT 1") == 1
        async with running_redis(directory / "redis") as redis:
            assert await _ping(redis)
        assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


@pytest.mark.parametrize("content", ["", "garbage\n", "99999999999999999999\n"])
async def test_damaged_pid_file_blocks_nothing(directory: Path, content: str) -> None:
    async with running(directory, durable=False):
        pass
    (directory / "data/postmaster.pid").write_text(content)
    async with running(directory, durable=False) as server:
        assert await value(server.url, "SELECT 1") == 1


async def test_services_end_with_a_killed_parent(directory: Path) -> None:
    async with service_host(directory) as (process, pids):
        process.kill()
        await eventually(lambda: not is_alive(pids["postgres"]) and not is_alive(pids["redis"]))


async def test_start_right_after_the_parent_was_killed_works(directory: Path) -> None:
    async with service_host(directory) as (process, _):
        await execute(_postgres_url(directory), "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        await process.wait()
    async with service_host(directory):
        assert await value(_postgres_url(directory), "SELECT answer FROM kept") == 42


async def test_services_that_outlived_their_parent_are_replaced(directory: Path) -> None:
    async with service_host(directory, "--promise-nothing") as (process, first):
        process.kill()
        await process.wait()
    assert is_alive(first["postgres"])
    assert is_alive(first["redis"])
    async with service_host(directory) as (_, second):
        assert not is_alive(first["postgres"])
        assert not is_alive(first["redis"])
        assert await value(_postgres_url(directory), "SELECT 1") == 1
        assert second["postgres"] != first["postgres"]


async def test_services_run_as_an_ordinary_user(directory: Path) -> None:
    uid = ordinary_user()
    os.chown(directory, uid, -1)
    async with service_host(directory, BECOME=str(uid)) as (_, pids):
        assert pids["uid"] == uid
        for name in ("postgres", "redis"):
            assert psutil.Process(pids[name]).uids().effective == uid


async def test_root_takes_over_what_an_ordinary_user_began(directory: Path) -> None:
    uid = ordinary_user()
    os.chown(directory, uid, -1)
    async with service_host(directory, BECOME=str(uid)):
        pass
    async with service_host(directory) as (_, pids):
        assert psutil.Process(pids["postgres"]).uids().effective == uid
        assert await value(_postgres_url(directory), "SELECT 1") == 1


async def test_redis_starts_again_after_a_kill(directory: Path) -> None:
    async with running_redis(directory) as server:
        pid, url = server.pid, server.url
        os.kill(pid, signal.SIGKILL)
        assert await server.exited() == -signal.SIGKILL
        assert await server.start() == url
        assert server.pid != pid
        assert await _ping(server)


async def test_redis_begins_empty_and_listens_on_no_port(directory: Path) -> None:
    async with running_redis(directory) as server:
        client: Redis = Redis.from_url(server.url)
        await client.set("kept", "no")
        assert (await client.config_get("port"))["port"] == "0"
        await client.aclose()
    async with running_redis(directory) as server:
        client = Redis.from_url(server.url)
        assert await client.dbsize() == 0
        await client.aclose()


def _postgres_url(directory: Path) -> str:
    return f"postgresql://postgres@/tickwheel?host={directory / 'postgres/run'}"


async def _ping(server: EmbeddedRedis) -> bool:
    client: Redis = Redis.from_url(server.url)
    try:
        return bool(await client.ping())
    finally:
        await client.aclose()
