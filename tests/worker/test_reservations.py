"""What a worker has reserved, and how well it knows PostgreSQL's clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from app.core.vocabulary import OverlapPolicy
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers
from app.worker.reservations import Reservations
from app.worker.runner import Runner
from app.worker.server_clock import ServerClock
from tests.engine import SECOND, Engine, open_engine
from tests.faults.cluster import eventually

NINE = datetime(2025, 1, 1, 9, tzinfo=UTC)
"""What PostgreSQL's clock shows at moment 100 of this process."""


@pytest_asyncio.fixture
async def engine(database_url: str, redis_url: str) -> AsyncIterator[Engine]:
    """Services on real servers."""
    async with open_engine(database_url, redis_url) as engine:
        yield engine


def at(seconds: float) -> datetime:
    """Return an instant so many seconds after nine."""
    return NINE + timedelta(seconds=seconds)


def test_a_clock_that_was_never_asked_tells_nothing() -> None:
    assert ServerClock().seconds_until(NINE, moment=100.0) is None


def test_an_instant_comes_when_it_comes_for_postgresql() -> None:
    """This machine may be hours off: only its sense of duration counts."""
    clock = ServerClock()
    clock.note(NINE, asked_at=99.999, answered_at=100.001)
    assert clock.seconds_until(at(5), moment=100.0) == pytest.approx(5)
    assert clock.seconds_until(at(5), moment=105.5) == pytest.approx(-0.5)


def test_a_slow_answer_does_not_replace_a_quick_one() -> None:
    """Made to fail by keeping the newest answer."""
    clock = ServerClock()
    clock.note(NINE, asked_at=99.999, answered_at=100.001)
    clock.note(at(1), asked_at=101.0, answered_at=101.5)
    assert clock.seconds_until(at(5), moment=102.0) == pytest.approx(3)


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    """Made to fail by keeping the quickest answer whatever a later one says."""
    clock = ServerClock()
    clock.note(NINE, asked_at=99.999, answered_at=100.001)
    clock.note(at(3600), asked_at=101.0, answered_at=101.1)
    assert clock.seconds_until(at(3605), moment=101.05) == pytest.approx(5)
    clock.note(at(2), asked_at=102.0, answered_at=102.2)
    assert clock.seconds_until(at(5), moment=102.1) == pytest.approx(3)


def test_an_old_answer_is_replaced_even_by_a_slower_one() -> None:
    """Two clocks drift apart."""
    clock = ServerClock()
    clock.note(NINE, asked_at=99.999, answered_at=100.001)
    clock.note(at(60.04), asked_at=160.0, answered_at=160.06)
    assert clock.seconds_until(at(61.04), moment=160.03) == pytest.approx(1)


async def _prepared(engine: Engine, due_at: datetime, **columns: int) -> UUID:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, cursor_at=due_at, next_run_at=due_at + 60 * SECOND)
    return await engine.run(
        job_id, schedule_id, due_at=due_at, overlap=OverlapPolicy.SKIP, **columns
    )


async def test_reserved_runs_come_out_when_due_in_the_order_of_the_queue(engine: Engine) -> None:
    now = await engine.now()
    clock = ServerClock()
    reservations = Reservations(engine.runtime, clock, worker_id=await engine.worker())
    later = await _prepared(engine, now + 40 * SECOND)
    low = await _prepared(engine, now + 30 * SECOND)
    high = await _prepared(engine, now + 30 * SECOND, priority=1)
    reading = asyncio.create_task(reservations.run())
    reservations.add([later, low])
    reservations.add([high])
    clock.note(now + 50 * SECOND, asked_at=50.0, answered_at=50.0)
    found: list[UUID] = []

    async def all_read() -> bool:
        found.extend(run.id for run in reservations.take_due(1, moment=50.0))
        return len(found) == 3

    try:
        # Nothing is due for a clock that is not there yet, however much is reserved.
        assert reservations.take_due(10, moment=20.0) == []
        await eventually(lambda: _has(reservations, 3))
        await eventually(all_read)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    assert found == [high, low, later]


async def _has(reservations: Reservations, size: int) -> bool:
    return len(reservations._reserved) == size


async def test_a_worker_that_drains_forgets_what_it_has_reserved(engine: Engine) -> None:
    run_id = await _prepared(engine, await engine.now() + 60 * SECOND)
    async with await Handlers.open(HandlerOptions()) as handlers:
        runner = Runner(
            engine.runtime, handlers, worker_id=await engine.worker(), worker="host:1", slots=10
        )
        running = asyncio.create_task(runner.run())
        try:
            runner.reserve([run_id])
            await eventually(lambda: _has(runner._reservations, 1))
            runner.stop_claiming()
            assert await _has(runner._reservations, 0)
            runner.reserve([run_id])
            assert runner._reservations._unread == []
        finally:
            running.cancel()
            await asyncio.wait([running])
