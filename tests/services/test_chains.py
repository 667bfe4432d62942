"""Chained runs against a real PostgreSQL: written with the end of the run before, or not at all."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import event

from app.core.vocabulary import ChainOn, OnWorkerLost, RunState
from app.handlers.execution import Outcome, timed_out
from app.services.finishing import finish_attempts
from app.services.reserving import reserve_runs, start_reserved
from app.services.sweeping import requeue_lost_runs
from tests.engine import FAILED, NOON, SECOND, Engine, add_chain, ended, until_crashes_end


async def followers(engine: Engine, run_id: UUID) -> list[dict[str, Any]]:
    """Return what a run's end has started, by item."""
    return await engine.rows(
        "SELECT * FROM run WHERE chained_from_id = :id ORDER BY chain_id, chain_item", id=run_id
    )


async def end(engine: Engine, job_id: UUID, outcome: Outcome, **more: Any) -> UUID:
    """Run a job and return its run."""
    run_id = await engine.run(job_id, **more)
    [run] = [run for run in (await engine.claim()).runs if run.id == run_id]
    assert await engine.finish(ended(run, outcome)) == 1
    return run_id


async def test_a_success_starts_the_next_job_with_what_came_of_it(engine: Engine) -> None:
    first = await engine.job()
    second = await engine.job(
        queue="slow", priority=7, tags={"a": "b"}, parameters={"kept": 1, "rows": 0}
    )
    chain_id = await add_chain(
        engine, first, second, parameters={"rows": "{{ result.rows }}", "of": "{{ run.state }}"}
    )
    run_id = await end(engine, first, Outcome(RunState.SUCCEEDED, result={"rows": 3}))
    (row,) = await followers(engine, run_id)
    assert row["parameters"] == {"kept": 1, "rows": 3, "of": "SUCCEEDED"}
    assert (row["job_id"], row["chain_id"], row["cause"]) == (second, chain_id, "CHAIN")
    assert (row["state"], row["queue"], row["priority"]) == ("QUEUED", "slow", 7)
    assert (row["chain_depth"], row["scheduled_for"], row["tags"]) == (1, NOON, {"a": "b"})
    assert ("RUN", "CREATED", 1) in await engine.changes()
    [following] = (await engine.claim()).runs
    assert following.id == row["id"]


async def test_failures_start_what_waits_for_them_and_skip_what_does_not(engine: Engine) -> None:
    for outcome in (FAILED, timed_out(3)):
        first = await engine.job()
        wanted = {after: await engine.job() for after in ChainOn}
        for after, target_id in wanted.items():
            await add_chain(engine, first, target_id, after=after)
        rows = {
            row["job_id"]: row for row in await followers(engine, await end(engine, first, outcome))
        }
        skipped = rows[wanted[ChainOn.SUCCEEDED]]
        assert (skipped["state"], skipped["reason"]) == ("SKIPPED", "DEPENDENCY")
        assert outcome.state in skipped["message"]
        assert skipped["finished_at"] is not None
        assert rows[wanted[ChainOn.FAILED]]["state"] == "QUEUED"
        assert rows[wanted[ChainOn.ANY]]["state"] == "QUEUED"
        await engine.rows("DELETE FROM run")


async def test_a_cancelled_run_starts_nothing(engine: Engine) -> None:
    first, second = await engine.job(), await engine.job()
    await add_chain(engine, first, second, after=ChainOn.ANY)
    run_id = await end(engine, first, Outcome(RunState.CANCELLED))
    assert await engine.state_of(run_id) == ("CANCELLED", "CANCEL_REQUESTED")
    assert await followers(engine, run_id) == []


async def test_only_the_last_attempt_starts_anything(engine: Engine) -> None:
    first, second = await engine.job(retry={"maxAttempts": 2}), await engine.job()
    await add_chain(engine, first, second, after=ChainOn.ANY)
    run_id = await end(engine, first, FAILED, max_attempts=2)
    assert (await engine.state_of(run_id))[0] == "QUEUED"
    assert await followers(engine, run_id) == []
    await engine.rows("UPDATE run SET next_attempt_at = now() WHERE id = :id", id=run_id)
    [again] = (await engine.claim()).runs
    await engine.finish(ended(again))
    assert len(await followers(engine, run_id)) == 1


async def test_a_run_lost_for_good_counts_as_a_failure(engine: Engine) -> None:
    """Made to fail by taking `start_chained` out of the sweep."""
    first, second = await engine.job(on_worker_lost=OnWorkerLost.FAIL), await engine.job()
    await add_chain(engine, first, second, after=ChainOn.FAILED)
    run_id = await engine.run(first)
    await engine.claim()
    # Not within a lease of PostgreSQL's start: leases of nothing pass at once.
    object.__setattr__(engine.runtime.intervals, "lease_seconds", 0.001)
    await engine.rows("UPDATE run SET lease_expires_at = now() - interval '1 second'")
    assert await requeue_lost_runs(engine.runtime) == 1
    assert await engine.state_of(run_id) == ("LOST", "WORKER_LOST")
    assert [row["state"] for row in await followers(engine, run_id)] == ["QUEUED"]


async def test_a_list_is_fanned_out_up_to_its_limit(engine: Engine) -> None:
    first, second = await engine.job(), await engine.job()
    await add_chain(
        engine,
        first,
        second,
        fan_out="files",
        fan_out_limit=2,
        parameters={"file": "{{ item.name }}"},
    )
    files = [{"name": "a"}, {"nameless": 1}, {"name": "c"}, {"name": "d"}]
    run_id = await end(engine, first, Outcome(RunState.SUCCEEDED, result={"files": files}))
    good, bad, rest = await followers(engine, run_id)
    assert (good["state"], good["parameters"]) == ("QUEUED", {"file": "a"})
    assert (bad["state"], bad["reason"]) == ("SKIPPED", "REJECTED")
    assert "name" in bad["message"]
    assert (rest["state"], rest["reason"]) == ("SKIPPED", "LIMIT")
    assert "the last 2 do not run" in rest["message"]
    nothing = await end(engine, first, Outcome(RunState.SUCCEEDED, result={"files": 1}))
    (refused,) = await followers(engine, nothing)
    assert (refused["state"], refused["reason"]) == ("SKIPPED", "REJECTED")


async def test_a_crash_leaves_both_or_neither(engine: Engine) -> None:
    """Made to fail by starting the chained runs in a transaction of their own."""
    first, second, third = [await engine.job() for _ in range(3)]
    await add_chain(engine, first, second)
    await add_chain(engine, first, third, fan_out="$")
    run_id = await engine.run(first)
    [run] = (await engine.claim()).runs
    finished = ended(run, Outcome(RunState.SUCCEEDED, result=[{}, {}]))
    seen = set()

    async def finish() -> None:
        state, _ = await engine.state_of(run_id)
        seen.add((state, len(await followers(engine, run_id))))
        await finish_attempts(engine.runtime, [finished], worker="host:1")

    await until_crashes_end(engine, finish)
    await finish()
    assert seen <= {("RUNNING", 0), ("SUCCEEDED", 3)}
    assert ("RUNNING", 0) in seen
    assert len(await followers(engine, run_id)) == 3


async def test_an_end_that_is_written_twice_at_once_starts_one_run(engine: Engine) -> None:
    first, second = await engine.job(), await engine.job()
    await add_chain(engine, first, second)
    run_id = await engine.run(first)
    [run] = (await engine.claim()).runs
    await asyncio.gather(*(engine.finish(ended(run)) for _ in range(4)))
    assert len(await followers(engine, run_id)) == 1


async def test_a_reserved_run_leads_on_and_a_new_chain_ends_its_reservation(
    engine: Engine,
) -> None:
    """Made to fail by not reading `job_has_chains` with the reservation."""
    first, second = await engine.job(), await engine.job()
    await add_chain(engine, first, second)
    worker_id, soon = await engine.worker(), await engine.now() + 2 * SECOND
    schedule_id = await engine.schedule(first)
    runs = [
        await engine.run(first, schedule_id, due_at=soon + number * timedelta(milliseconds=1))
        for number in range(2)
    ]
    one, other = await reserve_runs(engine.runtime, runs)
    await engine.rows("UPDATE run SET next_attempt_at = now(), due_at = now()")
    [run] = (await start_reserved(engine.runtime, worker_id, [one], limit=10)).runs
    assert run.has_chains
    await engine.finish(ended(run))
    assert len(await followers(engine, run.id)) == 1
    await add_chain(engine, first, await engine.job())
    assert (await start_reserved(engine.runtime, worker_id, [other], limit=10)).runs == ()


async def test_a_job_without_chains_asks_nothing_more_at_its_end(engine: Engine) -> None:
    """The flag that comes with the claim decides: no statement looks for chains."""
    await engine.run(await engine.job())
    [run] = (await engine.claim()).runs
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    sync_engine = engine.runtime.database._engine.sync_engine
    event.listen(sync_engine, "before_cursor_execute", note)
    try:
        await engine.finish(ended(run))
    finally:
        event.remove(sync_engine, "before_cursor_execute", note)
    assert not any("chain" in statement for statement in statements)
    assert statements
