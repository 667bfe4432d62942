"""Subscriptions: how late a change reaches its subscribers, and what a delivery costs.

    python -m bench.live

Real sockets over loopback; the subscribers are another process. A change is a transaction that
bumps one run and writes its event, announced on Redis as services do; latency is from its commit
to the arrival at each subscriber. "one group": everybody sends the same document. "each alone":
an alias makes every document one of its kind, so that the same server executes each change once
for each subscriber; that is the baseline. "stalled": subscribers who do not read.
"""

import asyncio
from collections.abc import Sequence

import psutil
from redis.asyncio import Redis

from app.core.clock import elapsed_seconds
from bench.figures import Row, medians, percentile, print_table
from bench.instance import Instance, running_instance
from bench.live_clients import Crowd, subscribing

ROUNDS = 3
SECONDS = 3.0
RUNS = 200
STALLED = 50
_ROW = (
    "job { key } id revision state reason message dueAt startedAt finishedAt duration attempt"
    " schedule { key }"
)
SHARED = (
    "subscription { runEvents(snapshot: false) { __typename ... on StreamMessage { cursor }"
    f" ... on RunChange {{ coalesced run {{ {_ROW} }} }} ... on RunGone {{ id }} }} }}"
)
ALONE = SHARED.replace("{ job", "{ s{number}: __typename job").replace("{{", "{")
_CHANGE = """
WITH changed AS (
    UPDATE run SET revision = $2, priority = 1 - priority WHERE id = $1
    RETURNING id, project_id, revision, schedule_id)
INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
SELECT project_id, 'RUN', 'CHANGED', ARRAY[id], ARRAY[revision], ARRAY[schedule_id] FROM changed
"""
_QUEUE = """
INSERT INTO run (
    id, project_id, job_id, state, cause, overlap, scheduled_for, due_at, next_attempt_at,
    parameters, tags, queue, priority, max_attempts, revision, attempt, crash_count, created_at)
SELECT gen_random_uuid(), project_id, id, 'QUEUED', 'MANUAL', 'ALLOW', now(), now(), now(),
       parameters, '{}', 'default', 0, 1, 1, 0, 0, now()
  FROM job, generate_series(1, $1)
RETURNING id
"""


def main() -> None:
    """Print latency and cost."""
    asyncio.run(_compare())


async def _compare() -> None:
    async with running_instance() as instance:
        await instance.create_job("watched")
        await instance.stop_workers()
        ids = [row["id"] for row in await instance.database.fetch(_QUEUE, RUNS)]
        stage = Stage(instance, ids)
        rows: list[Row] = []
        for subscribers, rate, document, name in (
            (1_000, 10, SHARED, "1,000, one group, 10/s"),
            (100, 100, SHARED, "100, one group, 100/s"),
            (100, 100, ALONE, "100, each alone, 100/s"),
        ):
            rounds = [await stage.play(document, subscribers, rate) for _ in range(ROUNDS)]
            figures = medians(rounds)
            rows.append([name, *figures.values()])
        print_table(["subscribers", *figures], rows)
        print(f"\n  medians of {ROUNDS} rounds of {SECONDS:g} s each; latency from the commit")


class Stage:
    """An instance whose runs are changed at a steady rate."""

    def __init__(self, instance: Instance, ids: Sequence[object]) -> None:
        self._instance = instance
        self._ids = ids
        self._revision = 1
        self._api = psutil.Process(instance.pids["api"])

    async def play(
        self, document: str, subscribers: int, rate: int, *, stalled: int = 0
    ) -> dict[str, float]:
        """Change runs before the eyes of subscribers, and return what it was like."""
        crowd = Crowd(self._instance.url, self._instance.token, document, subscribers)
        async with subscribing(crowd) as watching:
            before = self._processor_seconds()
            began = elapsed_seconds()
            commits = await self._change(rate)
            await asyncio.sleep(1.0)  # For the last ones; what comes later counts as lost.
            used = self._processor_seconds() - before
            arrivals = await watching.arrivals()
        late = [
            (arrived - commits[int(revision)]) * 1e3
            for revision, arrived in zip(arrivals[::2], arrivals[1::2], strict=True)
        ]
        last = max(arrivals[1::2])
        return {
            "deliveries/s": len(late) / (last - began),
            "lost": len(commits) * subscribers - len(late),
            "p50 ms": percentile(late, 50),
            "p99 ms": percentile(late, 99),
            "API CPU s": used,
            "deliveries/CPU s": len(late) / used,
        }

    def _processor_seconds(self) -> float:
        times = self._api.cpu_times()
        return float(times.user + times.system)

    async def _change(self, rate: int) -> dict[int, float]:
        """Commit changes at a steady rate, and return when each one was."""
        commits: dict[int, float] = {}
        redis: Redis = Redis.from_url(self._instance.redis_url)
        began = elapsed_seconds()
        for number in range(int(rate * SECONDS)):
            await asyncio.sleep(max(0.0, began + number / rate - elapsed_seconds()))
            self._revision += 1
            id_ = self._ids[number % len(self._ids)]
            await self._instance.database.execute(_CHANGE, id_, self._revision)
            commits[self._revision] = elapsed_seconds()
            await redis.publish("tickwheel:events", "{}")
        await redis.aclose()
        return commits


if __name__ == "__main__":
    main()
