"""Real worker processes, and the truth about what they did.

Workers are started as an operator would, with short leases; a test waits for what it expects with
a bound, and kills only what it started. What jobs leave in a file outside is then matched against
the tables.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from tests.engine import Engine

PATIENCE_SECONDS = 60.0
LEASE_SECONDS, HEARTBEAT_SECONDS, SWEEP_SECONDS = 2.0, 0.5, 0.5
_ROOT = Path(__file__).parents[2]

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found]]) -> Found:
    """Return what `look` finds as soon as it is true. A server may be away meanwhile."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if found := await look():
                    return found
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
            await asyncio.sleep(0.02)


class Line(NamedTuple):
    """What a job left outside."""

    run_id: UUID
    attempt: int
    pid: int
    what: str
    at: float


@dataclass
class Worker:
    """A worker process."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()


@dataclass
class Cluster:
    """Workers on one database and one Redis, and the file in which their jobs bear witness."""

    engine: Engine
    environment: dict[str, str]
    directory: Path
    workers: list[Worker] = field(default_factory=list)

    @property
    def truth(self) -> Path:
        """Return the file of the witnesses."""
        return self.directory / "truth"

    async def start(self, count: int = 1) -> Worker:
        """Start workers, wait until they have registered, and return the last."""
        workers = [await self._launch() for _ in range(count)]
        for worker in workers:
            await self.until("SELECT 1 FROM worker WHERE pid = :pid", pid=worker.pid)
        return workers[-1]

    async def _launch(self) -> Worker:
        log = self.directory / f"worker-{len(self.workers)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app",
                "worker",
                cwd=_ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def worker_of(self, line: Line) -> Worker:
        """Return the worker that wrote a line."""
        [worker] = [worker for worker in self.workers if worker.pid == line.pid]
        return worker

    async def stop(self) -> None:
        """Kill what is left."""
        for worker in self.workers:
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()

    async def job(self, function: str, **parameters: Any) -> UUID:
        """Insert a job that bears witness."""
        columns = parameters.pop("columns", {})
        return await self.engine.job(
            config={"function": f"tests.worker.tasks.{function}"},
            parameters={"path": str(self.truth), **parameters},
            **columns,
        )

    async def until(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a query as soon as it has some."""
        return await eventually(lambda: self.engine.rows(sql, **parameters))

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

    def lines(self) -> list[Line]:
        """Return what the jobs have left."""
        if not self.truth.exists():
            return []
        parts = [line.split() for line in self.truth.read_text().splitlines()]
        return [
            Line(UUID(r.removeprefix("run_")), int(a), int(p), what, float(at))
            for r, a, p, what, at in parts
        ]

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

    async def check(self) -> None:
        """Match the file against the tables.

        Every effect belongs to a run; an attempt begins once; what succeeded has begun and ended
        in its last attempt; no occurrence has two records.
        """
        rows = {row["id"]: row for row in await self.engine.rows("SELECT * FROM run")}
        lines = self.lines()
        seen = Counter((line.run_id, line.attempt, line.what) for line in lines)
        assert not [key for key, count in seen.items() if count > 1]
        for line in lines:
            assert line.attempt <= rows[line.run_id]["attempt"]
        for run_id, row in rows.items():
            if row["state"] == "SUCCEEDED":
                assert (run_id, row["attempt"], "start") in seen
                assert (run_id, row["attempt"], "end") in seen
            if row["state"] in ("SKIPPED", "MISSED"):
                assert (run_id, 1, "start") not in seen
        keys = Counter(
            (row["schedule_id"], row["scheduled_for"])
            for row in rows.values()
            if row["schedule_id"]
        )
        assert set(keys.values()) <= {1}


@asynccontextmanager
async def cluster_on(
    engine: Engine, database_url: str, redis_url: str, directory: Path
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
        "TICKWHEEL_TASKS": "tests.worker.tasks",
        "TICKWHEEL_LOG_FORMAT": "json",
    }
    cluster = Cluster(engine, environment, directory)
    try:
        yield cluster
    finally:
        await cluster.stop()
        # Shown by pytest when the test has failed.
        for worker in cluster.workers:
            print(f"{worker.log.name}, process {worker.pid}:\n{worker.log.read_text()[-4_000:]}")
