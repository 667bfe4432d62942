"""Requests that are made to keep a process busy: what refusing each of them costs it.

    python -m bench.hostile

The API runs as a process of its own, with PostgreSQL and Redis. What counts is the processor time
that it has used for one request, from the socket to the answer: the median of a few rounds, and the
worst of them. Each must be refused, and by the median within 50 ms.
"""

import asyncio
from statistics import median

import aiohttp

from bench.figures import print_table
from bench.hostile_requests import HOSTILE, Body
from bench.instance import Instance, running_instance
from bench.machine import processor_ms

LIMIT_MS = 50.0
ROUNDS = 5
_JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Print what each request costs."""
    asyncio.run(_measure())


async def _measure() -> None:
    async with running_instance() as instance:
        await instance.stop_workers()
        plain = [await _cost(instance, b'{"query": "{ __typename }"}') for _ in range(ROUNDS * 4)]
        rows = [await _row(instance, name, body) for name, body in HOSTILE.items()]
    print_table(["request", "CPU ms", "worst", "of limit"], rows)
    print(f"\n  beside {{ __typename }}, which takes {median(plain):.1f} ms; limit {LIMIT_MS:g} ms")
    print(f"  the dearest takes {max(row[1] for row in rows):.1f} ms")


async def _row(instance: Instance, name: str, body: Body) -> tuple[str, float, float, float]:
    costs = [await _refused(instance, body(1, number)) for number in range(ROUNDS)]
    middle = median(costs)
    return name, middle, max(costs), middle / LIMIT_MS


async def _refused(instance: Instance, body: bytes) -> float:
    before = processor_ms(instance.pids["api"])
    answer = await _post(instance, body)
    assert answer.get("errors"), answer
    assert answer.get("data") is None, answer
    return processor_ms(instance.pids["api"]) - before


async def _cost(instance: Instance, body: bytes) -> float:
    before = processor_ms(instance.pids["api"])
    await _post(instance, body)
    return processor_ms(instance.pids["api"]) - before


async def _post(instance: Instance, body: bytes) -> dict[str, object]:
    try:
        async with instance.client.post(instance.url, data=body, headers=_JSON) as response:
            answer: dict[str, object] = await response.json()
            return answer
    except aiohttp.ClientOSError:
        # A body that is too big is answered, and hung up on, before it has all been sent.
        return {"errors": ["hung up"]}


if __name__ == "__main__":
    main()
