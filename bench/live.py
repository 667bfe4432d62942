"""Subscriptions: how late a change reaches its subscribers, and what a delivery costs.

    python -m bench.live

Real sockets over loopback; the subscribers are another process. A change is a transaction that
bumps a run and writes its event, announced on Redis as services do; latency is from its commit to
the arrival at each subscriber. "one group": everybody sends the same document. "each alone": an
alias makes every document one of its kind, so that the same server executes each change once for
each subscriber; that is the baseline, at the same rate. Beside others who do not read: as many
changes reach those who do, and how the memory of the process grows.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import psutil
from redis.asyncio import Redis

from app.core.clock import elapsed_seconds
from bench.figures import Row, medians, percentile, print_table
from bench.instance import Instance, running_instance
from bench.live_clients import Crowd, subscribing

ROUNDS = 3
SECONDS = 3.0
RUNS = 2_000
_LOOK_SECONDS, _MOST_LOOKS = 1.0, 10
_RUN = (
    "job { key } id revision state reason message dueAt startedAt finishedAt duration attempt"
    " schedule { key }"
)
SHARED = (
    "subscription { runEvents(snapshot: false) { __typename ... on StreamMessage { cursor }"
    f" ... on RunChange {{ coalesced run {{ {_RUN} }} }} ... on RunGone {{ id }} }} }}"
)
ALONE = SHARED.replace("run { job", "run { s{number}: __typename job")
# One statement and one event, whatever the number of runs.
_CHANGE = """
WITH changed AS (
    UPDATE run SET revision = $2, priority = 1 - priority WHERE id = ANY($1)
    RETURNING id, project_id, revision, schedule_id)
INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
SELECT project_id, 'RUN', 'CHANGED', array_agg(id), array_agg(revision), array_agg(schedule_id)
  FROM changed GROUP BY project_id
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
    """Print latency and cost, and what those who do not read do to the others."""
    asyncio.run(_measure())


async def _measure() -> None:
    async with running_instance() as instance:
        await instance.create_job("watched")
        await instance.stop_workers()
        ids = [row["id"] for row in await instance.database.fetch(_QUEUE, RUNS)]
        stage = Stage(instance, ids)
        rows: list[Row] = []
        for name, document, subscribers, rate in (
            ("1,000 subscribers, one group, 10/s", SHARED, 1_000, 10),
            ("100 subscribers, one group, 100/s", SHARED, 100, 100),
            ("100 subscribers, one group, 10/s", SHARED, 100, 10),
            ("100 subscribers, each alone, 10/s", ALONE, 100, 10),
        ):
            figures = await stage.play(document, subscribers, rate)
            rows.append([name, *figures.values()])
        print_table(["", *figures], rows)
        print(f"\n  medians of {ROUNDS} rounds of {SECONDS:g} s; latency from commit to arrival\n")
        rows = []
        for stalled in (0, 50):
            figures = await stage.play(SHARED, 10, 10, runs_at_once=50, stalled=stalled)
            rows.append([f"10 who read, 500/s, {stalled} who do not", *figures.values()])
        print_table(["", *figures], rows)


@dataclass(frozen=True, slots=True)
class Round:
    """When it began, when each revision was committed, and what the API process took."""

    began: float
    commits: dict[int, float]
    used: float
    grown: float


class Stage:
    """An instance whose runs are changed at a steady rate."""

    def __init__(self, instance: Instance, ids: Sequence[object]) -> None:
        self._instance = instance
        self._ids = ids
        self._next = 0
        self._revision = 1
        self._api = psutil.Process(instance.pids["api"])

    async def play(
        self,
        document: str,
        subscribers: int,
        rate: int,
        *,
        runs_at_once: int = 1,
        stalled: int = 0,
    ) -> dict[str, float]:
        """Change runs before the eyes of subscribers, and return what it was like."""
        url, token = self._instance.url, self._instance.token
        async with AsyncExitStack() as stack:
            if stalled:
                crowd = Crowd(url, token, SHARED, stalled, receive_buffer=4_096)
                deaf = await stack.enter_async_context(subscribing(crowd))
                os.kill(deaf.pid, signal.SIGSTOP)
            watching = await stack.enter_async_context(
                subscribing(Crowd(url, token, document, subscribers))
            )
            rounds = [await self._round(rate, runs_at_once) for _ in range(ROUNDS)]
            found = await watching.arrivals()
        arrivals = list(zip(map(int, found[::2]), found[1::2], strict=True))
        expected = subscribers * runs_at_once
        return medians([_figures(each, arrivals, expected) for each in rounds])

    async def _round(self, rate: int, runs_at_once: int) -> Round:
        used, memory, began = self._used(), self._memory(), elapsed_seconds()
        commits = await self._change(rate, runs_at_once)
        await self._until_idle()
        return Round(began, commits, self._used() - used, self._memory() - memory)

    async def _until_idle(self) -> None:
        """Wait until the API process has nothing left to send."""
        for _ in range(_MOST_LOOKS):
            used = self._used()
            await asyncio.sleep(_LOOK_SECONDS)
            if self._used() - used <= _LOOK_SECONDS / 20:
                return

    def _used(self) -> float:
        times = self._api.cpu_times()
        return float(times.user + times.system)

    def _memory(self) -> float:
        return float(self._api.memory_info().rss) / 1e6

    async def _change(self, rate: int, runs_at_once: int) -> dict[int, float]:
        """Commit changes at a steady rate, and return when each one was."""
        commits: dict[int, float] = {}
        redis: Redis = Redis.from_url(self._instance.redis_url)
        began = elapsed_seconds()
        for number in range(int(rate * SECONDS)):
            await asyncio.sleep(max(0.0, began + number / rate - elapsed_seconds()))
            self._revision += 1
            ids = self._ids[self._next : self._next + runs_at_once]
            self._next = (self._next + runs_at_once) % len(self._ids)
            await self._instance.database.execute(_CHANGE, ids, self._revision)
            commits[self._revision] = elapsed_seconds()
            await redis.publish("tickwheel:events", "{}")
        await redis.aclose()
        return commits


def _figures(
    round_: Round, arrivals: Sequence[tuple[int, float]], expected: int
) -> dict[str, float]:
    mine = [(revision, at) for revision, at in arrivals if revision in round_.commits]
    late = [(at - round_.commits[revision]) * 1e3 for revision, at in mine] or [float("inf")]
    last = max((at for _, at in mine), default=float("inf"))
    return {
        "deliveries/s": len(mine) / (last - round_.began),
        "missing": len(round_.commits) * expected - len(mine),
        "p50 ms": percentile(late, 50),
        "p99 ms": percentile(late, 99),
        "API CPU s": round_.used,
        "deliveries/CPU s": len(mine) / round_.used,
        "API MB grown": round_.grown,
    }


if __name__ == "__main__":
    main()
