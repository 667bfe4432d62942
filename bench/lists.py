"""A list of 100 schedules, 15 fields each, with job and last run: beside a plain Strawberry app.

    python -m bench.lists

Both are one process under uvicorn, on the same rows of the same PostgreSQL, and are asked in turn
over 8 connections by another process. "CPU ms" is the processor time of the server for one request.
The plain app (`bench.plain_strawberry`) has Strawberry's caches and data loaders, reads the same
columns, and knows neither callers nor limits.
"""

import asyncio
import json

from app.config import Settings
from app.runtime import open_runtime
from bench.figures import medians, print_table
from bench.instance import Instance, running_instance
from bench.load import LoadProcess, Request, load_process
from bench.machine import processor_ms
from bench.peers import Peer, running_peer
from bench.seeding import seed_schedules

ROUNDS, SECONDS, CONNECTIONS, ROWS = 3, 4.0, 8, 100
_FIELDS = """id key name description version state createdAt updatedAt timezone overlap catchUp
    runCount successCount failureCount nextRunAt
    job { id key name } lastRun { id state finishedAt }"""
QUERY = f"{{ schedules(first: {ROWS}) {{ nodes {{ {_FIELDS} }} }} }}"
# Each schedule's last run, which the counters name.
_RUNS = """
WITH made AS (
    INSERT INTO run (
        id, project_id, job_id, schedule_id, schedule_version, state, cause, overlap, scheduled_for,
        due_at, next_attempt_at, created_at, started_at, finished_at, parameters, tags, queue,
        priority, attempt, max_attempts, crash_count, revision)
    SELECT uuidv7(), project_id, job_id, id, 1, 'SUCCEEDED', 'SCHEDULE', 'SKIP', now(), now(),
           now(), now(), now(), now(), '{}', '{}', 'default', 0, 1, 1, 0, 1
      FROM schedule
    RETURNING id, schedule_id)
UPDATE schedule_counters AS counters
   SET last_run_id = made.id, run_count = 1, success_count = 1
  FROM made
 WHERE counters.schedule_id = made.schedule_id
"""


def main() -> None:
    """Print both, and the ratio."""
    asyncio.run(_compare())


async def _compare() -> None:
    async with running_instance() as instance:
        await instance.stop_workers()
        await _seed(instance)
        async with running_peer("bench.plain_strawberry", instance.database_url) as peer:
            await _compare_answers(instance, peer.url)
            with load_process() as load:
                rounds = [
                    await asyncio.to_thread(_round, load, instance, peer) for _ in range(ROUNDS)
                ]
    middle = medians(rounds)
    rows = [
        [name, *(middle[f"{name} {figure}"] for figure in ("per second", "p50", "p99", "CPU"))]
        for name in ("plain Strawberry", "Tickwheel")
    ]
    print_table(["", "requests/s", "p50 ms", "p99 ms", "CPU ms"], rows)
    print(
        f"\n  {middle['ratio']:.2f} times as many; the plain app takes {middle['CPU']:.2f} times "
        f"the processor time for one; medians of {ROUNDS} rounds of {SECONDS:g} s"
    )


async def _seed(instance: Instance) -> None:
    settings = Settings(database_url=instance.database_url, redis_url=instance.redis_url)
    async with open_runtime(settings) as runtime:
        await seed_schedules(runtime, ROWS * 3, jobs=20)
    await instance.database.execute(_RUNS)


async def _compare_answers(instance: Instance, plain: str) -> None:
    """Both must show the same rows, in the same order."""
    keys = []
    for url in (instance.url, plain):
        async with instance.client.post(url, json={"query": QUERY}) as response:
            nodes = (await response.json())["data"]["schedules"]["nodes"]
        assert all(node["job"]["key"] and node["lastRun"]["state"] for node in nodes)
        keys.append([node["key"] for node in nodes])
    assert keys[0] == keys[1]
    assert len(keys[0]) == ROWS


def _round(process: LoadProcess, instance: Instance, peer: Peer) -> dict[str, float]:
    body = json.dumps({"query": QUERY}).encode()
    ours = Request(instance.url, body, instance.client.headers["Authorization"])
    asked = {
        "plain Strawberry": (Request(peer.url, body), peer.pid),
        "Tickwheel": (ours, instance.pids["api"]),
    }
    figures: dict[str, float] = {}
    for name, (request, pid) in asked.items():
        before = processor_ms(pid)
        load = process.put(request, connections=CONNECTIONS, seconds=SECONDS)
        figures[f"{name} CPU"] = (processor_ms(pid) - before) / (load.per_second * SECONDS)
        figures[f"{name} per second"] = load.per_second
        figures[f"{name} p50"], figures[f"{name} p99"] = load.p50_ms, load.p99_ms
    figures["ratio"] = figures["Tickwheel per second"] / figures["plain Strawberry per second"]
    figures["CPU"] = figures["plain Strawberry CPU"] / figures["Tickwheel CPU"]
    return figures


if __name__ == "__main__":
    main()
