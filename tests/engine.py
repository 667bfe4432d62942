"""Builders for tests of the engine: a runtime on real servers, and rows as the services write them.

Rows are inserted directly, so that a test states exactly what the engine finds.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import event, text
from sqlmodel import SQLModel

from app.config import Settings
from app.core.time import IntervalTiming, Timing, timing_to_json
from app.core.vocabulary import (
    CatchUpPolicy,
    FailureReason,
    JobKind,
    OverlapPolicy,
    RunCause,
    RunState,
)
from app.handlers.execution import SUCCEEDED, Failure, Outcome
from app.models import Chain, Job, Project, Run, Schedule, ScheduleCounters
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.services.claiming import Claim, ClaimedRun, claim_runs
from app.services.finished_attempts import FinishedAttempt
from app.services.finishing import finish_attempts
from app.services.workers import register_worker
from app.store.workers import WorkerIdentity

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
"""An instant long past, for ticks whose clock the test sets."""

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

FAILED = Outcome(
    RunState.FAILED, error=Failure(FailureReason.ERROR, "OnPurpose", "It failed on purpose.")
)
Result = TypeVar("Result")


def every(seconds: float, anchor: datetime = NOON) -> IntervalTiming:
    """Due at the anchor, and so many seconds after and before it, and so on."""
    return IntervalTiming(timedelta(seconds=seconds), anchor)


@dataclass
class Engine:
    """A runtime and one project on it."""

    runtime: Runtime
    project_id: UUID

    async def add(self, *rows: SQLModel) -> None:
        """Commit rows, in order."""
        async with self.runtime.database.transaction() as transaction:
            for row in rows:
                transaction.add(row)
                await transaction.flush()

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run any statement, and return what it returns."""
        async with self.runtime.database.transaction() as transaction:
            connection = await transaction.connection()
            result = await connection.execute(text(sql), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def row(self, sql: str, **parameters: Any) -> dict[str, Any]:
        """Return the only row of a statement."""
        [row] = await self.rows(sql, **parameters)
        return row

    async def now(self) -> datetime:
        """Return PostgreSQL's clock."""
        now: datetime = (await self.row("SELECT now() AS now"))["now"]
        return now

    async def job(self, **columns: Any) -> UUID:
        """Insert a job; without more, one that does nothing."""
        now, job_id = await self.now(), new_id()
        defaults = {"kind": JobKind.PYTHON, "config": {"function": "app.handlers.builtin.noop"}}
        await self.add(
            Job(
                id=job_id,
                project_id=self.project_id,
                key=str(job_id),
                name="A job",
                created_at=now,
                updated_at=now,
                **{**defaults, **columns},
            )
        )
        return job_id

    async def schedule(
        self,
        job_id: UUID | None = None,
        timings: Iterable[Timing] = (every(60),),
        *,
        cursor_at: datetime = NOON - SECOND,
        next_run_at: datetime | None = NOON,
        **columns: Any,
    ) -> UUID:
        """Insert a schedule that has been looked at up to `cursor_at`."""
        schedule_id = new_id()
        defaults = {
            "overlap": OverlapPolicy.SKIP,
            "catch_up": CatchUpPolicy.LATEST,
            "timezone": "UTC",
            "timings": [timing_to_json(timing) for timing in timings],
        }
        await self.add(
            Schedule(
                id=schedule_id,
                project_id=self.project_id,
                job_id=job_id or await self.job(),
                key=str(schedule_id),
                name="A schedule",
                created_at=cursor_at,
                updated_at=cursor_at,
                definition_hash=schedule_id.hex,
                cursor_at=cursor_at,
                next_run_at=next_run_at,
                **{**defaults, **columns},
            ),
            ScheduleCounters(schedule_id=schedule_id),
        )
        return schedule_id

    async def run(
        self, job_id: UUID, schedule_id: UUID | None = None, *, due_at: datetime = NOON, **more: Any
    ) -> UUID:
        """Insert a queued run that is due."""
        run_id: UUID = more.pop("id", None) or new_id()
        defaults = {
            "cause": RunCause.MANUAL if schedule_id is None else RunCause.SCHEDULE,
            "overlap": OverlapPolicy.ALLOW,
            "scheduled_for": due_at,
            "next_attempt_at": due_at,
        }
        await self.add(
            Run(
                id=run_id,
                project_id=self.project_id,
                job_id=job_id,
                schedule_id=schedule_id,
                due_at=due_at,
                created_at=due_at,
                **{**defaults, **more},
            )
        )
        return run_id

    async def worker(self) -> UUID:
        """Register a worker that does nothing by itself."""
        worker = WorkerIdentity(new_id(), host="host", pid=1, version="0", slots=200)
        await register_worker(self.runtime, worker)
        return worker.id

    async def claim(self, worker_id: UUID | None = None, *, limit: int = 200) -> Claim:
        """Claim for a worker, a new one unless given."""
        return await claim_runs(self.runtime, worker_id or await self.worker(), limit=limit)

    async def finish(self, *finished: FinishedAttempt) -> int:
        """Write the ends of attempts."""
        return await finish_attempts(self.runtime, finished, worker="host:1")

    async def state_of(self, run_id: UUID) -> tuple[str, str | None]:
        """Return a run's state and reason."""
        row = await self.row("SELECT state, reason FROM run WHERE id = :id", id=run_id)
        return row["state"], row["reason"]

    async def states(self, schedule_id: UUID) -> list[str]:
        """Return the states of a schedule's runs, oldest first."""
        rows = await self.rows(
            "SELECT state FROM run WHERE schedule_id = :id ORDER BY scheduled_for, id",
            id=schedule_id,
        )
        return [row["state"] for row in rows]

    async def counters(self, schedule_id: UUID) -> dict[str, int]:
        """Return the counts that are not zero."""
        row = await self.row(
            "SELECT run_count AS runs, success_count AS successes, failure_count AS failures,"
            " skip_count AS skips, miss_count AS misses, consecutive_failures AS in_a_row"
            " FROM schedule_counters WHERE schedule_id = :id",
            id=schedule_id,
        )
        return {name: count for name, count in row.items() if count}

    async def changes(self) -> list[tuple[str, str, int]]:
        """Return the recorded events in order: subject, change and number of entities."""
        rows = await self.rows(
            "SELECT subject, change, cardinality(entity_ids) AS size FROM event ORDER BY id"
        )
        return [(row["subject"], row["change"], row["size"]) for row in rows]

    @asynccontextmanager
    async def crashing_at(self, statement: int) -> AsyncIterator[None]:
        """Raise Crash instead of executing the nth statement, counted from 1."""
        engine = self.runtime.database._engine.sync_engine
        executed = 0

        def crash(*_: Any) -> None:
            nonlocal executed
            executed += 1
            if executed == statement:
                raise Crash

        event.listen(engine, "before_cursor_execute", crash)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", crash)


class Crash(BaseException):
    """The process ends here."""


def ended(run: ClaimedRun, outcome: Outcome = SUCCEEDED, **more: Any) -> FinishedAttempt:
    """Return the end of an attempt that took a moment."""
    return FinishedAttempt(run, outcome, entry_seconds=0.01, duration_seconds=0.02, **more)


@asynccontextmanager
async def open_engine(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Engine]:
    """Open a runtime and make a project of its own."""
    settings = Settings(database_url=database_url, redis_url=redis_url, **changes)
    async with open_runtime(settings) as runtime:
        engine = Engine(runtime, new_id())
        now, key = await engine.now(), f"test-{engine.project_id.hex}"
        await engine.add(Project(id=engine.project_id, key=key, name="Test", created_at=now))
        yield engine


async def until_crashes_end(engine: Engine, act: Callable[[], Awaitable[Result]]) -> Result:
    """Crash at the first statement, then at the second, and so on, until `act` gets through."""
    for statement in range(1, 100):
        try:
            async with engine.crashing_at(statement):
                return await act()
        except Crash:
            continue
    raise AssertionError("It never got through.")


async def add_chain(engine: Engine, job_id: UUID, target_id: UUID, **columns: Any) -> UUID:
    """Insert a chain, as `put_chain` leaves it."""
    now, chain_id = await engine.now(), new_id()
    if columns.get("fan_out"):
        columns.setdefault("fan_out_limit", 100)
    await engine.add(
        Chain(
            id=chain_id,
            project_id=engine.project_id,
            job_id=job_id,
            target_id=target_id,
            created_at=now,
            updated_at=now,
            **columns,
        )
    )
    await engine.rows(
        "UPDATE job SET has_chains = true, revision = revision + 1 WHERE id = :id", id=job_id
    )
    return chain_id
