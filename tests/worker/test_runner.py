"""The runner inside one process: what it does when others hold what is due, and at its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import event, text

import tests.faults.tasks  # noqa: F401 - registers the functions
from app.core.vocabulary import OnWorkerLost, OverlapPolicy
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers
from app.services.claiming import claim_runs
from app.worker import runner as runner_module
from app.worker.main import _until_stopped
from app.worker.runner import Runner
from tests.engine import NOON, SECOND, Engine, open_engine
from tests.faults.cluster import eventually


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    """Services on real servers."""
    async with open_engine(database_url, redis_url) as engine:
        yield engine


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Runner]:
    """Run a runner of ten slots; end it at the end."""
    async with await Handlers.open(HandlerOptions()) as handlers:
        runner = Runner(
            engine.runtime, handlers, worker_id=await engine.worker(), worker="host:1", slots=10
        )
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()
            await asyncio.wait([task])


async def state(engine: Engine, run_id: UUID, wanted: str) -> dict[str, Any]:
    """Wait for a run's state."""
    rows = await eventually(
        lambda: engine.rows(
            "SELECT * FROM run WHERE id = :id AND state = :state", id=run_id, state=wanted
        )
    )
    return rows[0]


async def sleeper(engine: Engine, seconds: float = 60, **columns: Any) -> UUID:
    """Insert a job that sleeps, and a run of it that is due."""
    job_id = await engine.job(config={"function": "app.handlers.builtin.sleep"}, **columns)
    return await engine.run(job_id, parameters={"seconds": seconds})


async def test_a_runner_does_not_spin_while_somebody_else_holds_what_is_due(
    engine: Engine,
) -> None:
    """A worker that is stopped in the middle of a claim may hold it for seconds."""
    await engine.run(await engine.job())
    claims = 0

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal claims
        claims += "WITH startable" in statement

    event.listen(engine.runtime.database._engine.sync_engine, "before_cursor_execute", count)
    async with engine.runtime.database.transaction() as transaction:
        await transaction.execute(text("SELECT 1 FROM run FOR UPDATE"))
        async with running(engine):
            await asyncio.sleep(1.0)  # How often it asks in a while is what is measured.
            assert 1 <= claims < 20
    assert claims < 20


async def test_a_waiting_run_starts_as_soon_as_the_one_before_it_has_ended(engine: Engine) -> None:
    """No ring, no sweep: the runner that wrote the end looks again."""
    job_id = await engine.job(config={"function": "app.handlers.builtin.sleep"}, parameters={})
    schedule_id = await engine.schedule(job_id)
    runs = [
        await engine.run(
            job_id,
            schedule_id,
            due_at=NOON + n * SECOND,
            overlap=OverlapPolicy.QUEUE_ALL,
            parameters={"seconds": 0.01},
        )
        for n in range(3)
    ]
    async with running(engine):
        for run_id in runs:
            await state(engine, run_id, "SUCCEEDED")


async def test_a_drain_gives_back_what_does_not_end_in_time(engine: Engine) -> None:
    again = await sleeper(engine)
    once = await sleeper(engine, on_worker_lost=OnWorkerLost.FAIL)
    async with running(engine) as runner:
        await state(engine, again, "RUNNING")
        await state(engine, once, "RUNNING")
        await eventually(lambda: _is(runner.busy == 2))
        await runner.drain(timeout_seconds=0.1)
        assert runner.held == {}
    assert await engine.state_of(again) == ("QUEUED", None)
    assert await engine.state_of(once) == ("LOST", "WORKER_LOST")


async def test_a_run_whose_cancel_comes_with_every_heartbeat_is_told_once(engine: Engine) -> None:
    run_id = await sleeper(engine)
    async with running(engine) as runner:
        await eventually(lambda: _is(run_id in runner.held and runner.busy))
        token = runner.held[run_id]
        for _ in range(3):
            runner.cancel(run_id, token)
        row = await state(engine, run_id, "CANCELLED")
    assert row["reason"] == "CANCEL_REQUESTED"


async def test_a_run_that_comes_back_to_the_same_worker_runs_once(engine: Engine) -> None:
    """It slept, its lease was taken, and it claims the run anew while the old attempt still runs.

    Made to fail by keeping runs by their id alone: the old attempt is never ended.
    """
    run_id = await sleeper(engine)
    async with running(engine) as runner:
        await eventually(lambda: _is(run_id in runner.held and runner.busy))
        old = runner.held[run_id]
        await engine.rows(
            "UPDATE run SET state = 'QUEUED', lease_expires_at = NULL, crash_count = 1"
        )
        runner.wake()
        await eventually(lambda: _is(runner.held.get(run_id, old) != old))
        await eventually(lambda: _is(runner.busy == 1))
        assert (await state(engine, run_id, "RUNNING"))["fencing_token"] == runner.held[run_id]


async def test_a_result_that_cannot_be_stored_ends_its_run_and_holds_up_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handlers see to it that results can be stored; this is for the day they fail to."""
    good = [await engine.run(await engine.job()) for _ in range(3)]
    bad = await engine.run(
        await engine.job(config={"function": "app.handlers.builtin.echo"}), parameters={"a": "b"}
    )
    execute = Handlers.execute

    async def poisoned(self: Handlers, execution: Any, output: Any) -> Any:
        outcome = await execute(self, execution, output)
        if execution.run_id == bad:
            object.__setattr__(outcome, "result", {"a": "\ud800"})
        return outcome

    monkeypatch.setattr(Handlers, "execute", poisoned)
    async with running(engine):
        for run_id in good:
            await state(engine, run_id, "SUCCEEDED")
        row = await state(engine, bad, "FAILED")
    assert row["error"]["type"] == "EndRefused"
    assert row["attempt"] == 1


async def test_a_claim_that_fails_in_an_unforeseen_way_does_not_end_the_runner(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = claim_runs, 0

    async def failing(*args: Any, **options: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures < 3:
            raise KeyError("a defect")
        return await claim(*args, **options)

    monkeypatch.setattr(runner_module, "claim_runs", failing)
    run_id = await engine.run(await engine.job())
    async with running(engine):
        await state(engine, run_id, "SUCCEEDED")


async def test_a_loop_that_ends_by_itself_ends_the_worker_with_an_error() -> None:
    async def ends() -> None:
        return None

    defect = await _until_stopped(asyncio.Event(), [asyncio.create_task(ends())])
    assert isinstance(defect, RuntimeError)


async def test_a_statement_that_was_cancelled_leaves_the_pool_usable(engine: Engine) -> None:
    """As a heartbeat does that took too long."""
    for _ in range(15):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await engine.rows("SELECT pg_sleep(30)")
    assert await asyncio.gather(*(engine.rows("SELECT 1 AS one") for _ in range(10)))


async def _is(fact: object) -> bool:
    return bool(fact)
