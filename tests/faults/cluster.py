"""Real worker processes, and the truth about what they did.

Workers run as an operator would start them, with short leases; a test waits for what it expects
with a bound, and kills only what it started. What jobs leave in a file outside, and the journal
that the database keeps, are then judged against the tables.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from redis.asyncio import Redis

from app.core.vocabulary import OverlapPolicy, Role
from app.dev.redis import EmbeddedRedis
from app.services.access import Principal
from app.services.auditing import verify_audit
from app.services.pausing import SYSTEM
from app.services.schedules.control import pause_schedule
from tests.engine import NOON, SECOND, Engine, every
from tests.faults import invariants
from tests.faults.evidence import Evidence, collect, every_so_often
from tests.faults.journal import keep_journal
from tests.faults.nursery import Nursery
from tests.faults.witness import Line, read_lines

# Bounds a hang on a machine that is busy with other things; it measures nothing.
PATIENCE_SECONDS = 90.0
LEASE_SECONDS, HEARTBEAT_SECONDS, SWEEP_SECONDS = 2.0, 0.5, 0.5

Found = TypeVar("Found")


async def eventually(
    look: Callable[[], Awaitable[Found]], *, patience_seconds: float = PATIENCE_SECONDS
) -> Found:
    """Return what `look` finds as soon as it is true. A server may be away meanwhile."""
    async with asyncio.timeout(patience_seconds):
        while True:
            try:
                if found := await look():
                    return found
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
            await asyncio.sleep(0.1)


@dataclass
class Worker:
    """A worker process."""

    pid: int
    end: Future[int]
    log: Path

    @property
    def is_running(self) -> bool:
        """Return whether it has not been seen to end."""
        return not self.end.done()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.wrap_future(self.end)

    async def says(self, words: str) -> None:
        """Wait until its log holds these words."""

        async def look() -> bool:
            return words in self.log.read_text()

        await eventually(look)


@dataclass
class Cluster:
    """Workers on one database and one Redis, and the file in which their jobs bear witness."""

    engine: Engine
    nursery: Nursery
    environment: dict[str, str]
    directory: Path
    workers: list[Worker] = field(default_factory=list)
    deaths: dict[int, float] = field(default_factory=dict)
    # Schedules of every second, by id: up to which instant they had been looked at when made.
    regular: dict[UUID, datetime] = field(default_factory=dict)

    # Pauses at the end, by schedule: those that were asked for, and those that were confirmed.
    tried: Counter[UUID] = field(default_factory=Counter)
    accepted: Counter[UUID] = field(default_factory=Counter)

    @property
    def truth(self) -> Path:
        """Return the file of the witnesses."""
        return self.directory / "truth"

    @property
    def running(self) -> list[Worker]:
        """Return the workers that have not ended."""
        return [worker for worker in self.workers if worker.is_running]

    async def start(self, count: int = 1, **settings: object) -> Worker:
        """Start workers, wait until they have registered, and return the last."""
        workers = [self.launch(**settings) for _ in range(count)]
        for worker in workers:
            await self.registered(worker)
        return workers[-1]

    def launch(self, **settings: object) -> Worker:
        """Start a worker with settings of its own, and do not wait for it."""
        given = {f"TICKWHEEL_{name.upper()}": str(value) for name, value in settings.items()}
        environment = self.environment | given
        log = self.directory / f"worker-{len(self.workers)}.log"
        pid, end = self.nursery.launch(environment, log)
        worker = Worker(pid, end, log)
        self.workers.append(worker)
        return worker

    def launch_apart(self, **environment: str) -> Worker:
        """Start a worker by a program of its own, for what only a program's start can set."""
        log = self.directory / f"worker-{len(self.workers)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "worker"],
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        end: Future[int] = Future()
        threading.Thread(target=lambda: end.set_result(process.wait()), daemon=True).start()
        self.workers.append(worker := Worker(process.pid, end, log))
        return worker

    async def registered(self, worker: Worker) -> None:
        """Wait until the tables know a worker."""
        await self.until("SELECT 1 FROM worker WHERE pid = :pid", pid=worker.pid)

    async def kill(self, worker: Worker) -> None:
        """Kill a worker (SIGKILL), and note when it was gone."""
        worker.send(signal.SIGKILL)
        await worker.ended()
        self.deaths[worker.pid] = time.time()

    def worker_of(self, line: Line) -> Worker:
        """Return the worker that wrote a line."""
        [worker] = [worker for worker in self.workers if worker.pid == line.pid]
        return worker

    async def stop(self) -> None:
        """Kill what is left."""
        for worker in self.running:
            with suppress(ProcessLookupError):
                await self.kill(worker)

    async def job(self, function: str, **parameters: Any) -> UUID:
        """Insert a job that bears witness."""
        columns = parameters.pop("columns", {})
        return await self.engine.job(
            config={"function": f"tests.faults.tasks.{function}"},
            parameters={"path": str(self.truth), **parameters},
            **columns,
        )

    async def every_second(self, *, job_id: UUID | None = None, **columns: Any) -> UUID:
        """Insert a schedule of every second from now on, of a job that bears witness."""
        second = (await self.engine.now()).replace(microsecond=0)
        schedule_id = await self.engine.schedule(
            job_id or await self.job("witnessed"),
            [every(1)],
            cursor_at=second,
            next_run_at=second + SECOND,
            **{"overlap": OverlapPolicy.ALLOW, **columns},
        )
        self.regular[schedule_id] = second
        return schedule_id

    async def until(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a query as soon as it has some."""
        return await eventually(lambda: self.engine.rows(sql, **parameters))

    async def succeed(self, more: int) -> None:
        """Wait until so many more scheduled runs have succeeded that are due from now on."""
        now = await eventually(self.engine.now)
        await self.until(
            "SELECT count(*) FROM run WHERE state = 'SUCCEEDED' AND cause = 'SCHEDULE'"
            " AND scheduled_for > :now HAVING count(*) >= :more",
            now=now,
            more=more,
        )

    async def run_now(self, job_id: UUID) -> UUID:
        """Queue a run that is due, with its job's parameters, and tell nobody."""
        job = await self.engine.row("SELECT parameters FROM job WHERE id = :id", id=job_id)
        return await self.engine.run(
            job_id, due_at=await self.engine.now(), parameters=job["parameters"]
        )

    async def state(self, run_id: UUID, state: str) -> dict[str, Any]:
        """Wait until a run is in a state, and return its row."""
        [row] = await self.until(
            "SELECT * FROM run WHERE id = :id AND state = :state", id=run_id, state=state
        )
        return row

    async def all_over(self) -> None:
        """Wait until every run has ended, also what is prepared for the next seconds."""
        await self.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM run WHERE state IN ('QUEUED', 'RUNNING'))"
        )

    def lines(self) -> list[Line]:
        """Return what the jobs have left."""
        return read_lines(self.truth)

    async def witnessed(self, run_id: UUID, what: str, *, attempt: int = 1) -> Line:
        """Wait until an attempt has borne witness."""

        async def look() -> Line | None:
            found = [
                line
                for line in self.lines()
                if (line.run_id, line.attempt, line.what) == (run_id, attempt, what)
            ]
            return found[0] if found else None

        found = await eventually(look)
        assert found is not None
        return found

    async def pause_schedules(self) -> bool:
        """Let no schedule fire from here on, so that what has fired can be counted."""
        active = await self.engine.rows("SELECT id FROM schedule WHERE state = 'ACTIVE'")
        principal = Principal(SYSTEM, Role.ADMIN, self.engine.project_id)
        for row in active:
            self.tried[row["id"]] += 1
            await pause_schedule(self.engine.runtime, principal, row["id"], reason="The end")
            self.accepted[row["id"]] += 1
        return True

    async def check(self) -> Evidence:
        """Judge everything so far: the invariants that hold at any moment, and each second."""
        evidence = await collect(self.engine, self.lines(), self.deaths)
        found = invariants.broken(evidence)
        for schedule_id, after in self.regular.items():
            until = evidence.cursors[schedule_id]
            seconds = every_so_often(1, anchor=NOON, after=after, until=until)
            assert seconds
            found += invariants.complete(evidence, schedule_id, seconds)
        assert found == []
        return evidence

    async def check_end(self) -> Evidence:
        """Stop firing, wait for what is under way, and judge all of it (with I4 and I9)."""
        await eventually(self.pause_schedules)
        await self.all_over()
        evidence = await self.check()
        due_until = await self.engine.now()
        assert invariants.all_over(evidence, due_until=due_until) == []
        assert await self._audited() == []
        return evidence

    async def _audited(self) -> invariants.Violations:
        """I9, of the pauses that have ended all firing."""
        rows = await self.engine.rows(
            "SELECT subject_id, count(*) AS entries FROM audit"
            " WHERE action = 'schedulePause' GROUP BY subject_id"
        )
        return invariants.audited(
            {row["subject_id"]: row["entries"] for row in rows},
            accepted=self.accepted,
            tried=self.tried,
            chain_holds=(await verify_audit(self.engine.runtime.database)).ok,
        )


@asynccontextmanager
async def cluster_on(
    engine: Engine, nursery: Nursery, database_url: str, redis_url: str, directory: Path
) -> AsyncIterator[Cluster]:
    """Make a cluster without workers; those it gets are gone at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKWHEEL_")}
    environment = kept | {
        "TICKWHEEL_DATABASE_URL": database_url,
        "TICKWHEEL_REDIS_URL": redis_url,
        "TICKWHEEL_WORKER_PORT": "0",
        "TICKWHEEL_LEASE_SECONDS": str(LEASE_SECONDS),
        "TICKWHEEL_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        "TICKWHEEL_SWEEP_SECONDS": str(SWEEP_SECONDS),
        "TICKWHEEL_TASKS": "tests.faults.tasks",
        "TICKWHEEL_LOG_FORMAT": "json",
    }
    await keep_journal(engine)
    cluster = Cluster(engine, nursery, environment, directory)
    try:
        yield cluster
    finally:
        await cluster.stop()
        # Shown by pytest when the test has failed.
        for worker in cluster.workers:
            print(f"{worker.log.name}, process {worker.pid}:\n{worker.log.read_text()[-4_000:]}")


@asynccontextmanager
async def talking_to(server: EmbeddedRedis) -> AsyncIterator[Any]:
    """Return a client for as long as the block lasts."""
    client: Redis = Redis.from_url(server.url)
    try:
        yield client
    finally:
        await client.aclose()
