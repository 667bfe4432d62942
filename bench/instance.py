"""A whole Tickwheel to measure: durable PostgreSQL, Redis, an API and a worker as processes."""

import asyncio
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.store.migrate import upgrade

_PATIENCE_SECONDS = 60.0
_JOB = """mutation($input: JobCreateInput!) {
    jobCreate(input: $input) { job { id } errors { message } } }"""
_TRIGGER = """mutation($input: JobTriggerInput!) {
    jobTrigger(input: $input) { run { id } errors { message } } }"""
_SCHEDULES = """mutation($inputs: [ScheduleCreateInput!]!) {
    schedulesCreate(inputs: $inputs) { results { id } errors { message } } }"""


@dataclass(frozen=True)
class Instance:
    """What runs, how to speak to it, and a connection to look behind it."""

    pids: dict[str, int]
    workers: tuple[asyncio.subprocess.Process, ...]
    database_url: str
    redis_url: str
    url: str
    token: str
    client: aiohttp.ClientSession
    database: asyncpg.Connection

    async def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """Return the payload of an operation that must succeed."""
        body = {"query": document, "variables": variables}
        async with self.client.post(self.url, json=body) as response:
            answer = await response.json()
        assert "errors" not in answer, answer
        [payload] = answer["data"].values()
        assert not payload.get("errors"), payload
        return dict(payload)

    async def create_job(self, key: str, function: str = "noop") -> str:
        """Create a job of one of the built-in functions, run inline, and return its id."""
        config = {"function": f"app.handlers.builtin.{function}"}
        payload = await self.ask(_JOB, input={"key": key, "kind": "PYTHON", "config": config})
        return str(payload["job"]["id"])

    async def create_command(self, key: str, argv: list[str]) -> str:
        """Create a job that runs a program, and return its id."""
        payload = await self.ask(
            _JOB, input={"key": key, "kind": "COMMAND", "config": {"argv": argv}}
        )
        return str(payload["job"]["id"])

    async def trigger(self, job_id: str) -> str:
        """Queue a run of a job, and return its id."""
        return str((await self.ask(_TRIGGER, input={"id": job_id}))["run"]["id"])

    async def create_schedules(
        self, job_id: str, keys: list[str], timing: dict[str, Any], **fields: Any
    ) -> None:
        """Create schedules that differ in their keys only, in one request."""
        inputs = [
            {
                "jobId": job_id,
                "key": key,
                "allowDuplicate": True,
                "fields": {"timings": [timing], **fields},
            }
            for key in keys
        ]
        payload = await self.ask(_SCHEDULES, inputs=inputs)
        assert len(payload["results"]) == len(keys)

    async def stop_workers(self) -> None:
        """Let nothing fire or run from now on."""
        for worker in self.workers:
            worker.terminate()
            await worker.wait()

    def processor_seconds(self) -> dict[str, float]:
        """Return the processor time that each process, with its children, has used so far."""
        return {name: _processor_seconds(pid) for name, pid in self.pids.items()}


@asynccontextmanager
async def running_instance(workers: int = 1, /, **settings: str) -> AsyncIterator[Instance]:
    """Start everything, with settings of one's own, and stop and remove everything."""
    directory = Path(tempfile.mkdtemp(prefix="tickwheel-bench-", dir="/tmp"))
    token = secrets.token_hex(32)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        postgres = EmbeddedPostgres(directory / "postgres")
        redis = EmbeddedRedis(directory / "redis")
        for server in (postgres, redis):
            stack.push_async_callback(server.stop)
        database_url, redis_url = await asyncio.gather(postgres.start(), redis.start())
        await upgrade(database_url)
        port = free_port()
        environment = {**_environment(database_url, redis_url, token, port), **settings}
        names = ["worker", *(f"worker {number}" for number in range(2, workers + 1))]
        programs = {
            name: await stack.enter_async_context(_program(name, environment, directory))
            for name in ("api", *names)
        }
        connection = await asyncpg.connect(database_url)
        stack.push_async_callback(connection.close)
        headers = {"Authorization": f"Bearer {token}"}
        client = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        pids = {name: program.pid for name, program in programs.items()}
        instance = Instance(
            pids={**pids, "postgres": postgres.pid, "redis": redis.pid},
            workers=tuple(programs[name] for name in names),
            database_url=database_url,
            redis_url=redis_url,
            url=f"http://127.0.0.1:{port}/graphql",
            token=token,
            client=client,
            database=connection,
        )
        await _until_ready(instance)
        yield instance


@asynccontextmanager
async def _program(
    name: str, environment: dict[str, str], directory: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    with (directory / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            name.split(maxsplit=1)[0],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _environment(database_url: str, redis_url: str, token: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TICKWHEEL_DATABASE_URL": database_url,
        "TICKWHEEL_REDIS_URL": redis_url,
        "TICKWHEEL_ADMIN_TOKEN": token,
        "TICKWHEEL_PORT": str(port),
        "TICKWHEEL_WORKER_PORT": "0",
        # Counted as always, and never reached.
        "TICKWHEEL_RATE_REQUESTS": "100000000",
        "TICKWHEEL_RATE_MUTATIONS": "100000000",
        "TICKWHEEL_RATE_BURST": "1000000",
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _until_ready(instance: Instance) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await _is_ready(instance):  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.05)


async def _is_ready(instance: Instance) -> bool:
    try:
        status = await instance.ask("{ scheduler { workers { id } } }")
    except aiohttp.ClientConnectionError:
        return False
    return len(status["workers"]) >= len(instance.workers)


def _processor_seconds(pid: int) -> float:
    family = [psutil.Process(pid)]
    family += family[0].children(recursive=True)
    own = [process.cpu_times() for process in family]
    ended = own[0].children_user + own[0].children_system
    return float(sum(times.user + times.system for times in own) + ended)
