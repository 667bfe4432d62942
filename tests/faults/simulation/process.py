"""Processes that crash, stand still and come back: workers, and whoever operates the instance.

A worker here is made of the product's own runner, ticker, sweeper and heartbeat. What a crash
leaves is what is committed; its tasks are gone, its connections cut.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from app.config import Settings
from app.core.vocabulary import FailureReason, RunState
from app.handlers.execution import Execution, Failure, Outcome, RunOutput
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.services.workers import register_worker
from app.store.workers import WorkerIdentity
from app.worker.heartbeat import Heartbeat
from app.worker.runner import Runner
from app.worker.sweeper import Sweeper
from app.worker.ticker import Ticker
from tests.faults.simulation.clock import VirtualLoop
from tests.faults.simulation.messages import as_edges
from tests.faults.simulation.wire import Line, ride
from tests.faults.witness import END, START
from tests.faults.witness import Line as Witness

if TYPE_CHECKING:
    from tests.faults.simulation.world import World

IDLE_IN_TRANSACTION_SECONDS = 5.0
LONGEST_DEATH_SECONDS = 1.5
_CRASH, _STALL = 1 / 80, 1 / 160
_STEP_SECONDS = 0.25

# Which process, by its id, something is done for.
_LIFE: ContextVar[int] = ContextVar("life", default=0)


class Process:
    """One place at which a process runs, crashes and is started again."""

    world: "World"

    def __init__(self, name: str, loop: VirtualLoop) -> None:
        self.name = name
        self.loop = loop
        self.connections: set[Line] = set()
        self.spare: list[Line] = []
        self.pid = 0
        self.is_alive = False
        self._stalled_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._dying: asyncio.Task[None] | None = None
        self._runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """Return its runtime, as open as it ever is."""
        assert self._runtime is not None
        return self._runtime

    @property
    def is_stalled(self) -> bool:
        """Return whether it stands still."""
        return self._stalled_until > self.loop.time() and not self.world.is_healed

    async def open(self, settings: Settings) -> Callable[[], Coroutine[Any, Any, None]]:
        """Open its runtime for all its lives; return what closes it."""
        context = open_runtime(settings)
        runtime = await context.__aenter__()
        self._engine = runtime.database._engine
        ride(self._engine, self)
        self._runtime = runtime

        async def close() -> None:
            await context.__aexit__(None, None, None)
            for line in self.spare:
                await line.close()

        return close

    def enter(self, world: "World") -> None:
        """Take part in a world that is about to run."""
        self.world = world
        self._runtime = replace(self.runtime, _announcements=set(), **as_edges(self.world.messages))
        self.start()

    def start(self) -> None:
        """Begin a life."""
        self.pid = self.world.next_pid()
        self.is_alive = True
        self._stalled_until = 0.0
        self.world.tell(f"{self.name} starts as {self.pid}")
        self.spawn(self.live())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with the process."""
        context = copy_context()
        context.run(_LIFE.set, self.pid)
        task = self.loop.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def live(self) -> None:
        """Do what this process is for."""
        raise NotImplementedError

    async def before_exchange(self) -> None:
        """Take the time of an exchange; crash or stand still, should the seed say so."""
        self._check_alive()
        await self._meet_fate()
        await asyncio.sleep(self.world.chance.uniform(0.0001, 0.004))
        await self.until_it_goes_on()
        self._check_alive()

    async def until_it_goes_on(self) -> None:
        """Wait while it stands still."""
        while self.is_stalled:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(min(_STEP_SECONDS, self._stalled_until - self.loop.time()))

    async def after_exchange(self) -> None:
        """Crash before the answer is heard, should the seed say so."""
        self._check_alive()
        await self._meet_fate()

    async def _meet_fate(self) -> None:
        chance = self.world.chance
        if self.world.is_healed:
            return
        drawn = chance.random()
        if drawn < _CRASH / 2:
            self.crash()
            # Nothing that follows has an effect: connections are cut, tasks are about to end.
            self._check_alive()
        elif drawn > 1 - _STALL:
            self.stall(chance.uniform(0.5, 3 * self.world.lease_seconds))

    def _check_alive(self) -> None:
        # What an earlier life has left may still be tidying up.
        if not self.is_alive or _LIFE.get() != self.pid:
            raise ConnectionResetError("This process has crashed.")

    def stall(self, seconds: float) -> None:
        """Hold up whatever it has to say to the outside, as if it were stopped."""
        self._stalled_until = self.loop.time() + seconds
        self.world.tell(f"{self.name} stands still for {seconds:.1f} s")
        self.loop.call_later(IDLE_IN_TRANSACTION_SECONDS, self._cut_idle_transactions)

    def _cut_idle_transactions(self) -> None:
        """Do what PostgreSQL does with a session that waits in a transaction for too long."""
        if not self.is_stalled:
            return
        if pids := [line.pid for line in self.connections if line.is_in_transaction]:
            self.world.observer.terminate(pids)

    def crash(self) -> None:
        """End at once: only what is committed stays."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.world.tell(f"{self.name} crashes")
        self.world.deaths[self.pid] = self.loop.instant.timestamp()
        self._dying = self.loop.create_task(self._die_and_rise(self._hang_up()))

    def _hang_up(self) -> list[Line]:
        """Cut every connection, and return those that a later life may use."""
        self._engine.sync_engine.dispose(close=False)
        cut = [line for line in self.connections if line.is_open and not line.take_away()]
        left = [line for line in self.connections if line.is_open and line not in cut]
        self.connections.clear()
        self._terminate(cut)
        return left

    def _terminate(self, lines: Sequence[Line]) -> None:
        """End sessions in the middle of a statement."""
        pids = [line.pid for line in lines]
        for line in lines:
            line.terminate()
        if pids:
            self.world.observer.terminate(pids)
            self.loop.awaited.difference_update(pids)

    async def _end_tasks(self) -> None:
        while tasks := [*self._tasks, *self.runtime._announcements, *self.inner_tasks()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.001)

    async def _die_and_rise(self, left: Sequence[Line]) -> None:
        await self._die(left)
        if not self.world.is_over:
            await asyncio.sleep(self.world.chance.uniform(0.1, LONGEST_DEATH_SECONDS))
            self.start()

    async def _die(self, left: Sequence[Line]) -> None:
        for line in left:
            await line.roll_back()
        await self._end_tasks()
        self.spare += left

    def inner_tasks(self) -> list[asyncio.Task[Any]]:
        """Return tasks that others have started for this process."""
        return []

    async def leave(self) -> None:
        """End with the world, and for good."""
        if self._dying is not None:
            await self._dying
        self.is_alive = False
        await self._die(self._hang_up())


class SimulatedWorker(Process):
    """A worker: it ticks, sweeps, claims, executes and beats."""

    runner: Runner | None = None

    def __init__(self, name: str, loop: VirtualLoop) -> None:
        super().__init__(name, loop)
        self._hinted = asyncio.Event()

    async def live(self) -> None:
        """Register, then run every loop."""
        worker_id = new_id()
        identity = WorkerIdentity(worker_id, self.name, self.pid, "0", slots=4)
        await until_it_works(lambda: register_worker(self.runtime, identity))
        runner = Runner(
            self.runtime,
            SimulatedHandlers(self),  # type: ignore[arg-type] # It has the one method that counts.
            worker_id=worker_id,
            worker=identity.name,
            slots=identity.slots,
        )
        self.runner = runner
        ticker = Ticker(self.runtime, runner, worker_id=worker_id)
        heartbeat = Heartbeat(
            lambda: self.runtime.database,
            runner,
            worker_id=worker_id,
            intervals=self.runtime.intervals,
            on_orders=lambda _: None,
        )
        self.spawn(runner.run())
        self.spawn(ticker.run())
        self.spawn(self._tick_by_arq(ticker))
        self.spawn(Sweeper(self.runtime, runner).run())
        self.spawn(self._beat(heartbeat))

    def ring(self) -> None:
        """Hear the bell, if there is anybody."""
        if self.is_alive and self.runner is not None:
            self.runner.wake()

    def hint(self) -> None:
        """Hear that something was asked."""
        if self.is_alive:
            self._hinted.set()

    def inner_tasks(self) -> list[asyncio.Task[Any]]:
        """Return the runs it has in hand."""
        return [] if self.runner is None else list(self.runner._tasks.values())

    async def _tick_by_arq(self, ticker: Ticker) -> None:
        """Tick each second, as far as Redis lets the message through."""
        while True:
            await asyncio.sleep(1.0 - self.loop.time() % 1.0)
            self.world.messages.send(partial(self._tick_if_same, self.pid, ticker))

    def _tick_if_same(self, pid: int, ticker: Ticker) -> None:
        async def tick() -> None:
            await ticker.tick()

        if self.is_alive and self.pid == pid:
            self.spawn(tick())

    async def _beat(self, heartbeat: Heartbeat) -> None:
        while True:
            await self.until_it_goes_on()
            self._hinted.clear()
            pause_seconds = await heartbeat.beat_once(self.runtime.database)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._hinted.wait()


class SimulatedHandlers:
    """Jobs that take a while by the seed and bear witness to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pid = process.pid

    async def execute(self, execution: Execution, output: RunOutput) -> Outcome:
        """Make an attempt: some take longer than a lease, some fail."""
        chance = self._process.world.chance
        longest = execution.config["seconds"]
        seconds, fails = chance.uniform(0, longest), chance.random() < execution.config["fails"]
        self._bear_witness(execution, START)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._bear_witness(execution, END)
        if fails:
            error = Failure(FailureReason.ERROR, "Chance", "The seed said so.")
            return Outcome(RunState.FAILED, error=error)
        # More items than a chain of this world takes, or none at all.
        result = {"attempt": execution.attempt, "items": [{}] * chance.randint(0, 4)}
        return Outcome(RunState.SUCCEEDED, result=result)

    def _bear_witness(self, execution: Execution, what: str) -> None:
        process = self._process
        # What a dead process would do, it does not.
        if not process.is_alive or process.pid != self._pid:
            return
        self._process.world.lines.append(
            Witness(
                execution.run_id,
                execution.attempt,
                execution.scheduled_for,
                self._pid,
                what,
                process.loop.instant.timestamp(),
            )
        )


async def until_it_works(act: Callable[[], Awaitable[Any]]) -> None:
    """Try again and again, as whoever starts a process would."""
    while True:
        try:
            await act()
            return
        except Exception:
            await asyncio.sleep(0.2)
