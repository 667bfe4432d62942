"""Each service's exact command from docker-compose.yml, against real servers with passwords.

What Docker would add is done here: host names become loopback addresses, ports become free ones.
"""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import redis_program
from tests.deploy.compose import ROOT, SECRETS, compose
from tests.dev.processes import PATIENCE_SECONDS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True)
class Deployment:
    """The compose file with its secrets, and where its servers answer here."""

    secrets: dict[str, str]
    services: dict[str, Any]
    postgres_port: int
    redis_port: int
    api_port: int
    worker_port: int

    def environment(self, name: str) -> dict[str, str]:
        """Return what the service's container would have, with addresses of this machine."""
        given = {
            variable: value.replace("@postgres:5432", f"@127.0.0.1:{self.postgres_port}").replace(
                "@redis:6379", f"@127.0.0.1:{self.redis_port}"
            )
            for variable, value in self.services[name]["environment"].items()
        }
        return {
            "PATH": os.environ["PATH"],
            **given,
            "TICKWHEEL_HOST": "127.0.0.1",
            "TICKWHEEL_PORT": str(self.api_port),
            "TICKWHEEL_WORKER_PORT": str(self.worker_port),
        }

    async def run(self, name: str, command: list[str]) -> asyncio.subprocess.Process:
        """Start a command in the service's environment, as its container would."""
        assert command[:3] == ["python", "-m", "app"]
        return await asyncio.create_subprocess_exec(
            sys.executable, *command[1:], env=self.environment(name), cwd=ROOT
        )

    async def start(self, name: str) -> asyncio.subprocess.Process:
        """Start the service's own command."""
        return await self.run(name, [*entry_point(), *self.services[name]["command"]])

    async def is_healthy(self, name: str) -> bool:
        """Return what the service's health check says."""
        how, *command = self.services[name]["healthcheck"]["test"]
        assert how == "CMD"
        check = await self.run(name, command)
        return await asyncio.wait_for(check.wait(), PATIENCE_SECONDS) == 0


def entry_point() -> list[str]:
    """Return the image's ENTRYPOINT, which is JSON."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    [line] = [line for line in dockerfile.splitlines() if line.startswith("ENTRYPOINT")]
    return list(json.loads(line.removeprefix("ENTRYPOINT")))


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture
async def deployment(directory: Path) -> AsyncIterator[Deployment]:
    """PostgreSQL and Redis on loopback ports, each with its password from the compose file."""
    given = {name: secrets.token_hex(32) for name in SECRETS}
    deployment = Deployment(
        secrets=given,
        services=compose(given)["services"],
        postgres_port=free_port(),
        redis_port=free_port(),
        api_port=free_port(),
        worker_port=free_port(),
    )
    async with postgres_server(directory, deployment), redis_server(directory, deployment):
        yield deployment


@asynccontextmanager
async def postgres_server(directory: Path, deployment: Deployment) -> AsyncIterator[None]:
    rules = directory / "pg_hba.conf"
    rules.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    rules.chmod(0o644)
    server = EmbeddedPostgres(
        directory / "postgres",
        durable=False,
        settings={
            "listen_addresses": "127.0.0.1",
            "port": str(deployment.postgres_port),
            "hba_file": str(rules),
        },
    )
    try:
        connection = await asyncpg.connect(await server.start())
        # As the official image does: the user it is told to make is the superuser.
        password = deployment.services["postgres"]["environment"]["POSTGRES_PASSWORD"]
        await connection.execute(f"CREATE ROLE tickwheel SUPERUSER LOGIN PASSWORD '{password}'")
        await connection.close()
        yield
    finally:
        await server.stop()


@asynccontextmanager
async def redis_server(directory: Path, deployment: Deployment) -> AsyncIterator[None]:
    program, *options = deployment.services["redis"]["command"]
    assert program == "redis-server"
    place = ["--bind", "127.0.0.1", "--port", str(deployment.redis_port), "--dir", str(directory)]
    process = await asyncio.create_subprocess_exec(
        redis_program(), *options, *place, stdout=subprocess.DEVNULL
    )
    try:
        await _redis_answers(deployment)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _redis_answers(deployment: Deployment) -> None:
    client: Redis = Redis(port=deployment.redis_port, password=deployment.secrets["REDIS_PASSWORD"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await _ping(client):  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.05)
    await client.aclose()


async def _ping(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisConnectionError:
        return False


@asynccontextmanager
async def healthy(deployment: Deployment, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service, once its own health check is content; it must then stop when asked."""
    process = await deployment.start(name)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await deployment.is_healthy(name):
                assert process.returncode is None, f"{name} ended with {process.returncode}"
        yield process
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def migrated(deployment: Deployment) -> int:
    process = await deployment.start("migrate")
    return await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


async def test_servers_refuse_a_wrong_password(deployment: Deployment) -> None:
    address = f"127.0.0.1:{deployment.postgres_port}"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://tickwheel:wrong@{address}/tickwheel")
    client: Redis = Redis(port=deployment.redis_port, password="wrong")
    with pytest.raises(AuthenticationError):
        await client.ping()
    await client.aclose()


async def test_migrate_ends_well_and_again_when_there_is_nothing_to_do(
    deployment: Deployment,
) -> None:
    assert await migrated(deployment) == 0
    assert await migrated(deployment) == 0


async def test_worker_becomes_healthy_and_stops_when_asked(deployment: Deployment) -> None:
    await migrated(deployment)
    async with healthy(deployment, "worker"):
        pass


async def test_api_becomes_healthy_answers_its_token_only_and_stops(
    deployment: Deployment,
) -> None:
    await migrated(deployment)
    async with healthy(deployment, "api"):
        assert await _typename(deployment, deployment.secrets["TICKWHEEL_ADMIN_TOKEN"]) == "Query"
        assert await _typename(deployment, "wrong" * 8) is None


async def _typename(deployment: Deployment, token: str) -> str | None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client,
        client.post(
            f"http://127.0.0.1:{deployment.api_port}/graphql",
            json={"query": "{ viewer { __typename } __typename }"},
        ) as answer,
    ):
        data = (await answer.json()).get("data") or {}
        return data.get("__typename")
