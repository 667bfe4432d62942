"""HTTP jobs: how late they start and how many a worker gets through, beside the client alone.

    python -m bench.http [runs]

Runs are due at the same instant, each a POST to a server on this machine. They are put into the
queue beforehand by one statement: firing is what `herd` measures. "runs/s" is from that instant to
the end of the last run, so lateness is in it. Beside it, in the same run: the requests alone, from
one process without PostgreSQL, with the client that workers use and, where it is installed, with
httpx2. As many requests are under way as a worker has slots.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.util import find_spec
from multiprocessing import get_context

import aiohttp
import uvloop

from app.core.clock import elapsed_seconds
from bench.figures import medians, percentile, print_table
from bench.http_target import running_target
from bench.instance import Instance, running_instance

RUNS = 5_000
ROUNDS = 3
SLOTS = 200
OPEN = {"TICKWHEEL_HTTP_ALLOW_NETWORKS": "127.0.0.1/32"}
_AHEAD_SECONDS = 5.0
_PATIENCE_SECONDS = 180.0
_BODY = b'{"day":"monday"}'
_QUEUE = """
INSERT INTO run (
    id, project_id, job_id, state, cause, overlap, scheduled_for, due_at, next_attempt_at,
    parameters, tags, queue, priority, max_attempts, revision, attempt, crash_count, created_at)
SELECT gen_random_uuid(), job.project_id, job.id, 'QUEUED', 'MANUAL', 'ALLOW', due.at, due.at,
       due.at, job.parameters, '{}', 'default', 0, 1, 1, 0, 0, now()
  FROM job, generate_series(1, $1), (SELECT now() + make_interval(secs => $2) AS at) AS due
"""
_JOB = """mutation($input: JobCreateInput!) {
    jobCreate(input: $input) { job { id } errors { message } } }"""


def main() -> None:
    """Print the figures of runs, and those of the clients alone."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    asyncio.run(_compare(runs))


async def _compare(runs: int) -> None:
    async with running_target() as origin:
        rounds = [await _round(origin, runs) for _ in range(ROUNDS)]
        names = ["aiohttp", *(["httpx2"] if find_spec("httpx2") else [])]
        alone = {name: await asyncio.to_thread(_alone, name, origin, runs) for name in names}
    print_table(["runs", *rounds[0]], [[f"{runs:,}", *medians(rounds).values()]])
    print(f"\n  medians of {ROUNDS} rounds, each on an instance of its own; {SLOTS} slots\n")
    print_table(["client alone", "requests/s"], [[name, rate] for name, rate in alone.items()])


async def _round(origin: str, runs: int) -> dict[str, float]:
    async with running_instance(**OPEN) as instance:
        await create_http_job(instance, origin)
        due_at = await queue_runs(instance, runs, due_in_seconds=_AHEAD_SECONDS)
        before = instance.processor_seconds()
        await until_ended(instance, runs, patience_seconds=_PATIENCE_SECONDS)
        after = instance.processor_seconds()
        rows = await instance.database.fetch(
            "SELECT extract(epoch FROM started_at - due_at)::float8 AS late, finished_at FROM run"
        )
    lateness = [row["late"] for row in rows]
    took = (max(row["finished_at"] for row in rows) - due_at).total_seconds()
    return {
        "runs/s": runs / took,
        "p50 late ms": percentile(lateness, 50) * 1e3,
        "p99 late ms": percentile(lateness, 99) * 1e3,
        **{f"{name} CPU s": after[name] - before[name] for name in before},
    }


async def create_http_job(instance: Instance, origin: str) -> None:
    """Create a job that asks the target, with a parameter in its address."""
    config = {"url": f"{origin}/days/{{{{ parameters.day }}}}"}
    job = {"key": "http", "kind": "HTTP", "config": config, "parameters": {"day": "monday"}}
    await instance.ask(_JOB, input=job)


async def queue_runs(instance: Instance, runs: int, *, due_in_seconds: float = 0.0) -> datetime:
    """Put runs of the only job into the queue, and return the instant at which they are due."""
    async with instance.database.transaction():
        await instance.database.execute(_QUEUE, runs, due_in_seconds)
        due_at: datetime = await instance.database.fetchval(
            "SELECT now() + make_interval(secs => $1)", due_in_seconds
        )
    return due_at


async def until_ended(instance: Instance, runs: int, *, patience_seconds: float) -> None:
    """Wait until so many runs have ended, all of them well."""
    ended = "SELECT count(*) FROM run WHERE state NOT IN ('QUEUED', 'RUNNING')"
    async with asyncio.timeout(patience_seconds):
        while await instance.database.fetchval(ended) < runs:  # noqa: ASYNC110 - costs little
            await asyncio.sleep(0.25)
    failed = await instance.database.fetch(
        "SELECT state, message FROM run WHERE state <> 'SUCCEEDED' LIMIT 3"
    )
    assert not failed, failed


def _alone(client: str, origin: str, requests: int) -> float:
    """Return the requests a second of one client in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_measure, (client, origin, requests)))


def _measure(client: str, origin: str, requests: int) -> float:
    return uvloop.run(_CLIENTS[client](origin, requests))


async def _with_aiohttp(origin: str, requests: int) -> float:
    connector = aiohttp.TCPConnector(limit=SLOTS)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> None:
            async with session.post(f"{origin}/days/monday", data=_BODY) as response:
                assert response.status == 200
                await response.read()

        return await _rate(ask, requests)


async def _with_httpx2(origin: str, requests: int) -> float:
    import httpx2  # type: ignore[import-not-found] # a measurement of what we do not depend on

    limits = httpx2.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
    async with httpx2.AsyncClient(limits=limits, trust_env=False) as session:

        async def ask() -> None:
            response = await session.post(f"{origin}/days/monday", content=_BODY)
            assert response.status_code == 200

        return await _rate(ask, requests)


async def _rate(ask: Callable[[], Awaitable[None]], requests: int) -> float:
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await ask()

    began = elapsed_seconds()
    await asyncio.gather(*(work() for _ in range(SLOTS)))
    return requests / (elapsed_seconds() - began)


_CLIENTS = {"aiohttp": _with_aiohttp, "httpx2": _with_httpx2}


if __name__ == "__main__":
    main()
