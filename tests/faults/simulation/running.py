"""Run seeds, one after the other, on one event loop and one set of connections."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from unittest.mock import patch
from uuid import UUID

from app.config import Settings
from app.models import Project
from app.models.columns import new_id
from app.runtime import open_runtime
from tests.engine import Engine
from tests.faults.journal import keep_journal
from tests.faults.simulation.clock import Observer, VirtualLoop, simulate_clock
from tests.faults.simulation.messages import Messages, as_edges
from tests.faults.simulation.operating import Operator
from tests.faults.simulation.process import SimulatedWorker
from tests.faults.simulation.wire import Line, ride
from tests.faults.simulation.world import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    SWEEP_SECONDS,
    Verdict,
    World,
)

WORKERS = 3


def run_seeds(
    database_url: str,
    seeds: Iterable[int],
    *,
    is_calm: bool = False,
    prepare: str | None = None,
    tell: Callable[[Verdict], bool] = lambda _: True,
) -> list[Verdict]:
    """Run each seed on a database of the simulation's own, until `tell` says that it is enough.

    `prepare` is SQL to run before the first one.
    """
    asyncio.run(simulate_clock(database_url))
    observer = Observer(database_url)
    loop = VirtualLoop(observer)
    settings = Settings(
        database_url=database_url,
        redis_url="redis://127.0.0.1:1/0",  # Never connected to.
        lease_seconds=LEASE_SECONDS,
        heartbeat_seconds=HEARTBEAT_SECONDS,
        sweep_seconds=SWEEP_SECONDS,
    )
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner, _reading(loop):
            return runner.run(_run(settings, loop, observer, seeds, is_calm, prepare, tell))
    finally:
        observer.close()


async def _run(
    settings: Settings,
    loop: VirtualLoop,
    observer: Observer,
    seeds: Iterable[int],
    is_calm: bool,
    prepare: str | None,
    tell: Callable[[Verdict], bool],
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    async with AsyncExitStack() as stack:
        engine = await _open_engine(stack, settings, loop)
        if prepare is not None:
            await engine.rows(prepare)
        processes = [*(SimulatedWorker(f"worker {n}", loop) for n in range(1, WORKERS + 1))]
        for process in (everyone := [*processes, Operator("operator", loop)]):
            stack.push_async_callback(await process.open(settings))
        for seed in seeds:
            taking_part = processes if is_calm else everyone
            world = World(seed, engine, taking_part, loop, observer, is_calm=is_calm)
            verdicts.append(await world.run())
            if not tell(verdicts[-1]):
                break
    return verdicts


async def _open_engine(stack: AsyncExitStack, settings: Settings, loop: VirtualLoop) -> Engine:
    """Open what sets up and judges: it takes no time and never crashes."""
    runtime = await stack.enter_async_context(open_runtime(settings))
    ride(runtime.database._engine, _Bystander(loop))
    silent = Messages(Random(0), list)
    engine = Engine(replace(runtime, **as_edges(silent)), new_id())
    await keep_journal(engine)
    now = await engine.now()
    await engine.add(Project(id=engine.project_id, key="simulation", name="S", created_at=now))
    return engine


class _Bystander:
    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.connections: set[Line] = set()
        self.spare: list[Line] = []

    async def before_exchange(self) -> None:
        pass

    async def after_exchange(self) -> None:
        pass


def _id_at(loop: VirtualLoop, numbers: Iterator[int]) -> UUID:
    """Return ids one after the other, with the simulated time in front as in any version 7."""
    milliseconds = int(loop.instant.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | next(numbers))


@contextmanager
def _reading(loop: VirtualLoop) -> Iterator[None]:
    """Let the product's own clocks read the simulated one, also for ids."""
    with (
        patch("app.core.clock.monotonic", loop.time),
        patch("app.worker.runner.perf_counter", loop.time),
        patch("app.models.columns.uuid7", partial(_id_at, loop, count())),
    ):
        yield
