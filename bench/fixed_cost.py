"""What a trivial query costs, authenticated and with all limits on: beside the bare minimum.

    python -m bench.fixed_cost

Both are one process under uvicorn and are asked in turn, over one connection and over 8, by another
process. The bare one (`bench.bare_graphql`) is Starlette and graphql-core with parsing remembered.
"CPU us" is the processor time of the server for one request.
"""

import asyncio
import json

from bench.figures import medians, print_table
from bench.instance import Instance, running_instance
from bench.load import LoadProcess, Request, load_process
from bench.machine import processor_ms
from bench.peers import running_peer

ROUNDS, SECONDS = 5, 1.5
QUERY = "{ __typename }"


def main() -> None:
    """Print both, and the ratios."""
    asyncio.run(_compare())


async def _compare() -> None:
    async with running_instance() as instance:
        await instance.stop_workers()
        token = await _make_token(instance)
        async with running_peer("bench.bare_graphql") as bare:
            pids = {"bare": bare.pid, "Tickwheel": instance.pids["api"]}
            body = json.dumps({"query": QUERY}).encode()
            requests = {
                "bare": Request(bare.url, body),
                "Tickwheel": Request(instance.url, body, f"Bearer {token}"),
            }
            with load_process() as load:
                rounds = [
                    await asyncio.to_thread(_round, load, requests, pids, number)
                    for number in range(ROUNDS)
                ]
    middle = medians(rounds)
    figures = ("p50 us", "CPU us", "per second")
    print_table(
        ["", *(f"{figure}, {count}" for count in (1, 8) for figure in figures)],
        [
            [name, *(middle[f"{name} {figure} {count}"] for count in (1, 8) for figure in figures)]
            for name in requests
        ],
    )
    print(
        f"\n  {middle['CPU']:.2f} times the processor time, {middle['p50']:.2f} times the time of "
        f"one alone; medians of {ROUNDS} rounds of {SECONDS:g} s"
    )


async def _make_token(instance: Instance) -> str:
    document = """mutation { apiTokenCreate(input: {name: "bench", role: VIEWER}) {
        secret errors { message } } }"""
    return str((await instance.ask(document))["secret"])


def _round(
    process: LoadProcess, requests: dict[str, Request], pids: dict[str, int], number: int
) -> dict[str, float]:
    figures: dict[str, float] = {}
    # Who is asked first may be at an advantage.
    for name in sorted(requests, reverse=bool(number % 2)):
        for connections in (1, 8):
            before = processor_ms(pids[name])
            load = process.put(requests[name], connections=connections, seconds=SECONDS)
            spent = processor_ms(pids[name]) - before
            figures[f"{name} p50 us {connections}"] = load.p50_ms * 1e3
            figures[f"{name} per second {connections}"] = load.per_second
            figures[f"{name} CPU us {connections}"] = spent * 1e3 / (load.per_second * SECONDS)
    figures["CPU"] = figures["Tickwheel CPU us 8"] / figures["bare CPU us 8"]
    figures["p50"] = figures["Tickwheel p50 us 1"] / figures["bare p50 us 1"]
    return figures


if __name__ == "__main__":
    main()
