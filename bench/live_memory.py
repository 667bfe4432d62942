"""The memory of an idle subscription, with its socket: `python -m bench.live_memory`.

Subscribers are another process. The first ones fill caches and pools; what counts is what those
who come after them add to the API process. RSS; a process of its own shares nothing that grows.
"""

import asyncio
from contextlib import AsyncExitStack

import psutil

from bench.figures import Row, print_table
from bench.instance import running_instance
from bench.live import SHARED
from bench.live_clients import Crowd, subscribing

_FIRST = 300
_STEPS = (500, 1_000)
_SETTLE_SECONDS = 2.0


def main() -> None:
    """Print the memory that subscribers add."""
    asyncio.run(_measure())


async def _measure() -> None:
    rows: list[Row] = []
    async with running_instance() as instance, AsyncExitStack() as stack:
        await instance.stop_workers()
        api = psutil.Process(instance.pids["api"])
        total, before = 0, 0
        for subscribers in (_FIRST, *_STEPS):
            crowd = Crowd(instance.url, instance.token, SHARED, subscribers)
            await stack.enter_async_context(subscribing(crowd))
            await asyncio.sleep(_SETTLE_SECONDS)
            total += subscribers
            now = api.memory_info().rss
            each = (now - before) / subscribers / 1e3 if before else "-"
            rows.append([f"{total:,}", now / 1e6, each])
            before = now
    print_table(["subscribers", "API MB", "kB each"], rows)


if __name__ == "__main__":
    main()
