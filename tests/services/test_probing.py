"""A schedule that paused itself is tried again: one run is let through, and its outcome decides."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from app.core.vocabulary import Role, RunState
from app.handlers.execution import SUCCEEDED, Outcome
from app.services.access import Principal
from app.services.pausing import SYSTEM
from app.services.schedules import ResumeRequest, pause_schedule, resume_schedule
from app.services.schedules.probing import probe_paused_schedules
from tests.engine import FAILED, SECOND, Engine, ended, every, open_engine, until_crashes_end


class Failing:
    """A schedule of every ten seconds that has just paused itself."""

    def __init__(self, engine: Engine, schedule_id: UUID) -> None:
        self.engine = engine
        self.id = schedule_id
        self.principal = Principal(SYSTEM, Role.ADMIN, engine.project_id)

    @classmethod
    async def of(cls, engine: Engine, step: float = 10, **columns: Any) -> "Failing":
        """Let it fail once."""
        now = await engine.now()
        anchor = now - timedelta(microseconds=now.microsecond)
        job_id = await engine.job()
        schedule_id = await engine.schedule(
            job_id,
            [every(step, anchor)],
            cursor_at=now,
            next_run_at=now + step * SECOND,
            **{"pause_after_failures": 1, "probe_after_seconds": 60.0, **columns},
        )
        await engine.run(job_id, schedule_id, due_at=anchor)
        await cls(engine, schedule_id).end(FAILED)
        return cls(engine, schedule_id)

    async def end(self, outcome: Outcome) -> None:
        """Execute what is queued."""
        [run] = (await self.engine.claim()).runs
        await self.engine.finish(ended(run, outcome))

    async def let_pass(self, seconds: float) -> None:
        """Let so much time pass: everything that was is as much longer ago."""
        await self.engine.rows(
            "UPDATE schedule SET cursor_at = cursor_at - step, paused_at = paused_at - step,"
            " probe_at = probe_at - step, timings = jsonb_set(timings, '{0,interval,anchor}',"
            " to_jsonb((timings #>> '{0,interval,anchor}')::timestamptz - step))"
            " FROM make_interval(secs => :seconds) AS step",
            seconds=seconds,
        )
        await self.engine.rows(
            "UPDATE run SET scheduled_for = scheduled_for - step, range_end = range_end - step"
            " FROM make_interval(secs => :seconds) AS step",
            seconds=seconds,
        )

    async def row(self) -> dict[str, Any]:
        """Return the schedule."""
        return await self.engine.row("SELECT * FROM schedule")

    async def ledger(self) -> list[tuple[str, str, int | None]]:
        """Return its runs and records, oldest first."""
        rows = await self.engine.rows(
            "SELECT state, cause, range_count FROM run ORDER BY scheduled_for"
        )
        return [(row["state"], row["cause"], row["range_count"]) for row in rows]


@pytest_asyncio.fixture
async def failing(engine: Engine) -> AsyncIterator[Failing]:
    yield await Failing.of(engine)


async def test_nothing_is_let_through_before_its_time(failing: Failing) -> None:
    row = await failing.row()
    assert row["state"] == "PAUSED"
    assert "After 1 minute one run is let through" in row["state_reason"]
    assert row["probe_at"] - row["paused_at"] == 60 * SECOND
    await failing.let_pass(58)
    assert await probe_paused_schedules(failing.engine.runtime) == 0


async def test_one_run_is_let_through_and_its_success_resumes(failing: Failing) -> None:
    """Made to fail by resuming without looking at the outcome."""
    await failing.let_pass(61)
    assert await probe_paused_schedules(failing.engine.runtime) == 1
    # While it is under way nothing else is let through.
    assert await probe_paused_schedules(failing.engine.runtime) == 0
    row = await failing.row()
    assert (row["state"], row["next_run_at"]) == ("PAUSED", None)
    await failing.end(SUCCEEDED)
    assert await probe_paused_schedules(failing.engine.runtime) == 1
    row = await failing.row()
    assert (row["state"], row["probe_at"], row["probe_run_id"]) == ("ACTIVE", None, None)
    assert row["next_run_at"] > row["cursor_at"]
    first, missed, probe, *rest = await failing.ledger()
    assert first == ("FAILED", "SCHEDULE", None)
    assert (missed[0], missed[2]) == ("MISSED", 5)
    assert probe == ("SUCCEEDED", "CATCH_UP", None)
    assert len(rest) <= 1
    assert (await failing.engine.counters(failing.id)).get("in_a_row", 0) == 0


@pytest.mark.parametrize(
    "outcome", [FAILED, Outcome(RunState.TIMED_OUT), Outcome(RunState.CANCELLED)]
)
async def test_anything_but_a_success_leaves_it_paused_for_as_long_again(
    failing: Failing, outcome: Outcome
) -> None:
    await failing.let_pass(61)
    await probe_paused_schedules(failing.engine.runtime)
    await failing.end(outcome)
    assert await probe_paused_schedules(failing.engine.runtime) == 1
    row = await failing.row()
    assert (row["state"], row["probe_run_id"]) == ("PAUSED", None)
    assert row["state_reason"].startswith("Still paused")
    assert row["probe_at"] > await failing.engine.now() + 55 * SECOND
    await failing.let_pass(61)
    assert await probe_paused_schedules(failing.engine.runtime) == 1
    assert (await failing.row())["probe_run_id"] is not None


async def test_without_an_occurrence_in_the_pause_the_next_one_is_let_through(
    engine: Engine,
) -> None:
    failing = await Failing.of(engine, step=3600)
    await failing.let_pass(61)
    await probe_paused_schedules(engine.runtime)
    row = await failing.row()
    assert row["probe_run_id"] is None
    assert row["probe_at"] > await engine.now() + 3000 * SECOND
    assert await failing.ledger() == [("FAILED", "SCHEDULE", None)]


async def test_what_somebody_decides_by_hand_stands(failing: Failing) -> None:
    """Made to fail by leaving the probe in a pause by hand."""
    runtime = failing.engine.runtime
    await failing.let_pass(61)
    await probe_paused_schedules(runtime)
    await pause_schedule(runtime, failing.principal, failing.id, reason="I look at it myself.")
    await failing.end(SUCCEEDED)
    assert await probe_paused_schedules(runtime) == 0
    assert (await failing.row())["state"] == "PAUSED"
    await resume_schedule(runtime, failing.principal, failing.id, ResumeRequest())
    assert (await failing.row())["state"] == "ACTIVE"


async def test_nothing_is_let_through_while_the_instance_is_halted(failing: Failing) -> None:
    await failing.let_pass(61)
    await failing.engine.rows("UPDATE scheduler_state SET state = 'PAUSED'")
    assert await probe_paused_schedules(failing.engine.runtime) == 0


async def test_a_crash_at_any_statement_neither_loses_a_probe_nor_doubles_it(
    failing: Failing,
) -> None:
    runtime = failing.engine.runtime
    await failing.let_pass(61)
    await until_crashes_end(failing.engine, lambda: probe_paused_schedules(runtime))
    queued = await failing.engine.rows("SELECT id FROM run WHERE state = 'QUEUED'")
    assert len(queued) == 1
    await failing.end(SUCCEEDED)
    await until_crashes_end(failing.engine, lambda: probe_paused_schedules(runtime))
    assert (await failing.row())["state"] == "ACTIVE"


async def test_racing_workers_let_one_run_through(database_url: str, redis_url: str) -> None:
    """Made to fail by reading the schedule without holding it."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        failing = await Failing.of(engine)
        await failing.let_pass(61)
        done = await asyncio.gather(
            *(probe_paused_schedules(at.runtime) for at in (engine, other, engine, other))
        )
        assert sum(done) == 1
        assert len(await engine.rows("SELECT id FROM run WHERE state = 'QUEUED'")) == 1
