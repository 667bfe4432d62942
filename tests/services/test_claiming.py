"""Claims against a real PostgreSQL: no run twice, no limit exceeded, whoever races."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import text

from app.core.vocabulary import (
    OnWorkerLost,
    OverlapPolicy,
    RunCause,
    RunState,
    ScheduleState,
)
from app.handlers.execution import Outcome
from app.models import QueueControl
from app.services.claiming import claim_runs
from app.services.sweeping import sweep
from app.store.queue import lock_startable_runs
from app.store.statements import statement
from tests.engine import NOON, SECOND, Engine, ended, open_engine, until_crashes_end


async def test_a_claim_gives_a_lease_and_a_token_and_says_so(engine: Engine) -> None:
    job_id = await engine.job(config={"function": "echo"}, timeout_seconds=7.0)
    run_id = await engine.run(job_id, parameters={"a": 1})
    worker_id = await engine.worker()
    claim = await engine.claim(worker_id)
    [run] = claim.runs
    assert (run.id, run.attempt, run.execution.parameters) == (run_id, 1, {"a": 1})
    assert run.execution.config == {"function": "echo"}
    assert (claim.settled, claim.exhausted) == (1, True)
    row = await engine.row("SELECT *, lease_expires_at - now() AS lease FROM run")
    assert (row["state"], row["worker_id"], row["fencing_token"]) == (
        "RUNNING",
        worker_id,
        run.fencing_token,
    )
    assert 10 < row["lease"].total_seconds() <= 15
    assert await engine.changes() == [("RUN", "STARTED", 1)]


async def test_nothing_starts_before_it_is_due_on_the_clock_of_postgresql(engine: Engine) -> None:
    await engine.run(await engine.job(), due_at=await engine.now() + 60 * SECOND)
    claim = await engine.claim()
    assert (claim.runs, claim.settled, claim.exhausted) == ((), 0, True)


async def test_priority_goes_first_and_then_who_was_due_first(engine: Engine) -> None:
    job_id = await engine.job()
    late = await engine.run(job_id, due_at=NOON + SECOND)
    early = await engine.run(job_id, due_at=NOON)
    urgent = await engine.run(job_id, due_at=NOON + 2 * SECOND, priority=1)
    claim = await engine.claim(limit=2)
    assert [run.id for run in claim.runs] == [urgent, early]
    assert not claim.exhausted
    assert [run.id for run in (await engine.claim()).runs] == [late]


async def test_live_runs_go_before_caught_up_ones_and_those_before_backfills(
    engine: Engine,
) -> None:
    """Made to fail by a claim that sorts by priority alone."""
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, overlap=OverlapPolicy.ALLOW)
    filled, caught_up, live = [
        await engine.run(
            job_id, schedule_id, due_at=NOON + late * SECOND, cause=cause, priority=priority
        )
        for late, cause, priority in [
            (0, RunCause.BACKFILL, 9),
            (1, RunCause.CATCH_UP, 5),
            (2, RunCause.SCHEDULE, 0),
        ]
    ]
    manual = await engine.run(job_id, due_at=NOON + 3 * SECOND)
    claimed = [[run.id for run in (await engine.claim(limit=1)).runs] for _ in range(4)]
    assert claimed == [[live], [manual], [caught_up], [filled]]


async def test_a_queue_lets_live_runs_go_before_caught_up_ones(engine: Engine) -> None:
    """Made to fail by releasing held runs by priority alone."""
    job_id = await engine.job(queue="narrow")
    schedule_id = await engine.schedule(job_id, overlap=OverlapPolicy.ALLOW)
    await engine.add(QueueControl(name="narrow", paused=True, changed_at=NOON))
    caught_up = await engine.run(
        job_id, schedule_id, cause=RunCause.CATCH_UP, queue="narrow", priority=5
    )
    live = await engine.run(job_id, schedule_id, due_at=NOON + SECOND, queue="narrow")
    assert (await engine.claim()).runs == ()
    await engine.rows("UPDATE queue SET paused = false, concurrency_limit = 1")
    await sweep(engine.runtime)
    [first] = (await engine.claim()).runs
    assert first.id == live
    await engine.finish(ended(first))
    [second] = (await engine.claim()).runs
    assert second.id == caught_up


async def test_the_claim_reads_the_queue_in_its_order_from_the_index(engine: Engine) -> None:
    """However long the backlog: no sort, and no look at runs that are not in the queue."""
    job_id = await engine.job()
    await engine.rows(
        "INSERT INTO run (id, project_id, job_id, revision, state, cause, overlap, scheduled_for,"
        " due_at, next_attempt_at, created_at, parameters, tags, queue, priority, attempt,"
        " max_attempts, crash_count)"
        " SELECT gen_random_uuid(), :project_id, :job_id, 1, 'QUEUED',"
        " CASE WHEN number % 2 = 0 THEN 'MANUAL' ELSE 'CATCH_UP' END, 'ALLOW', at, at, at, at,"
        " '{}', '{}', 'default', number % 3, 0, 1, 0"
        " FROM generate_series(1, 20000) AS number,"
        " LATERAL (SELECT now() - number * interval '1 second') AS due (at)",
        project_id=engine.project_id,
        job_id=job_id,
    )
    await engine.rows("ANALYZE run")
    claim = statement("lock_startable_runs").text
    rows = await engine.rows(f"EXPLAIN {claim}", worker_id=await engine.worker(), limit=200)
    plan = "\n".join(row["QUERY PLAN"] for row in rows)
    reading, scan, _ = plan.partition("Index Scan using run_queue on run")
    assert scan
    assert "Sort" not in reading.split("CTE startable")[1]


async def test_racing_workers_never_share_a_run(database_url: str, redis_url: str) -> None:
    """Made to fail by taking the row lock from the claim, and `state = 'QUEUED'` from the start."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        job_id = await engine.job()
        runs = {await engine.run(job_id) for _ in range(60)}

        async def work(at: Engine) -> list[UUID]:
            worker_id, mine = await engine.worker(), list[UUID]()
            while claim := (await at.claim(worker_id, limit=3)).runs:
                mine += [run.id for run in claim]
            return mine

        claimed = await asyncio.gather(*(work(at) for at in (engine, other, engine, other)))
    counted = Counter(run_id for mine in claimed for run_id in mine)
    assert counted == Counter(runs)


async def test_a_crash_in_a_claim_leaves_its_runs_in_the_queue(engine: Engine) -> None:
    job_id = await engine.job(concurrency_limit=2)
    schedule_id = await engine.schedule(job_id, max_runs=5, overlap=OverlapPolicy.ALLOW)
    run_id = await engine.run(job_id, schedule_id)
    worker_id = await engine.worker()

    async def claim() -> list[UUID]:
        row = await engine.row("SELECT state, attempt, fencing_token FROM run")
        assert tuple(row.values()) == ("QUEUED", 0, None)
        return [run.id for run in (await engine.claim(worker_id)).runs]

    assert await until_crashes_end(engine, claim) == [run_id]
    assert (await engine.row("SELECT runs_made FROM schedule"))["runs_made"] == 1


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        (OverlapPolicy.SKIP, ["RUNNING", "SKIPPED", "SKIPPED"]),
        (OverlapPolicy.ALLOW, ["RUNNING", "RUNNING", "RUNNING"]),
        (OverlapPolicy.QUEUE_ONE, ["RUNNING", "QUEUED", "SKIPPED"]),
        (OverlapPolicy.QUEUE_ALL, ["RUNNING", "QUEUED", "QUEUED"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 200])
async def test_overlap_is_judged_when_a_run_is_due_to_start(
    engine: Engine, overlap: OverlapPolicy, states: list[str], limit: int
) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    for seconds in range(3):
        await engine.run(job_id, schedule_id, due_at=NOON + seconds * SECOND, overlap=overlap)
    while not (await engine.claim(limit=limit)).exhausted:
        pass
    assert await engine.states(schedule_id) == states
    skips = states.count("SKIPPED")
    assert await engine.counters(schedule_id) == ({"skips": skips} if skips else {})
    reasons = await engine.rows("SELECT reason FROM run WHERE state = 'SKIPPED'")
    assert [row["reason"] for row in reasons] == ["OVERLAP"] * skips


async def test_waiting_runs_start_one_after_the_other_in_their_order(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    runs = [
        await engine.run(
            job_id, schedule_id, due_at=NOON + n * SECOND, overlap=OverlapPolicy.QUEUE_ALL
        )
        for n in range(4)
    ]
    worker_id = await engine.worker()
    order = []
    for _ in runs:
        [run] = (await engine.claim(worker_id)).runs
        order.append(run.id)
        await engine.finish(ended(run))
    assert order == runs


async def test_the_end_of_a_run_wakes_only_as_many_as_can_start(engine: Engine) -> None:
    """Else a thousand waiting runs are judged and set aside again at the end of each."""
    job_id = await engine.job(concurrency_limit=2)
    schedule_id = await engine.schedule(job_id)
    for n in range(10):
        await engine.run(
            job_id, schedule_id, due_at=NOON + n * SECOND, overlap=OverlapPolicy.QUEUE_ALL
        )
    for n in range(10):
        await engine.run(job_id, due_at=NOON + n * SECOND)
    [scheduled, manual] = (await engine.claim()).runs
    while not (await engine.claim()).exhausted:
        pass
    waiting = "SELECT count(*) AS size FROM run WHERE state = 'QUEUED' AND blocked_at IS NULL"
    assert (await engine.row(waiting))["size"] == 0
    await engine.finish(ended(scheduled), ended(manual))
    assert 2 <= (await engine.row(waiting))["size"] <= 3
    assert len((await engine.claim()).runs) == 2


async def test_cancel_running_ends_what_runs_and_what_waits_for_a_retry(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    cancelling = {"overlap": OverlapPolicy.CANCEL_RUNNING}
    running = await engine.run(job_id, schedule_id, due_at=NOON, **cancelling)
    [run] = (await engine.claim()).runs
    retrying = await engine.run(
        job_id,
        schedule_id,
        due_at=NOON - SECOND,
        next_attempt_at=await engine.now() + 60 * SECOND,
        attempt=1,
        max_attempts=2,
        **cancelling,
    )
    newest = await engine.run(job_id, schedule_id, due_at=NOON + SECOND, **cancelling)
    await engine.claim()
    assert await engine.state_of(retrying) == ("CANCELLED", "REPLACED")
    assert await engine.state_of(newest) == ("QUEUED", None)
    row = await engine.row("SELECT cancel_requested_at FROM run WHERE id = :id", id=running)
    assert row["cancel_requested_at"] is not None
    await engine.finish(ended(run, ended_as(RunState.CANCELLED)))
    assert await engine.state_of(running) == ("CANCELLED", "REPLACED")
    assert [run.id for run in (await engine.claim()).runs] == [newest]
    assert [change for _, change, _ in await engine.changes()] == [
        "STARTED",
        "CANCEL_REQUESTED",
        "FINISHED",
        "FINISHED",
        "RUN_FINISHED",
        "STARTED",
    ]


async def test_a_concurrency_limit_holds_under_racing_claims(
    database_url: str, redis_url: str
) -> None:
    """Made to fail by leaving out FOR NO KEY UPDATE in lock_limited_jobs."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        job_id = await engine.job(concurrency_limit=3)
        for _ in range(30):
            await engine.run(job_id)
        most = 0

        async def work(at: Engine) -> int:
            nonlocal most
            worker_id, done = await engine.worker(), 0
            async with asyncio.timeout(60):
                while await count(engine, "QUEUED"):
                    claim = await at.claim(worker_id, limit=5)
                    most = max(most, await count(engine, "RUNNING"))
                    for run in claim.runs:
                        await at.finish(ended(run))
                        done += 1
            return done

        async def count(at: Engine, state: str) -> int:
            row = await at.row("SELECT count(*) AS size FROM run WHERE state = :state", state=state)
            return int(row["size"])

        done = await asyncio.gather(*(work(at) for at in (engine, other, engine, other)))
    assert sum(done) == 30
    assert most == 3


async def test_overlap_holds_under_racing_claims(database_url: str, redis_url: str) -> None:
    """Each race ends with one run started and the others skipped, whoever judges first."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        job_id = await engine.job()
        schedules = [await engine.schedule(job_id) for _ in range(10)]
        for schedule_id in schedules:
            for n in range(4):
                await engine.run(
                    job_id, schedule_id, due_at=NOON + n * SECOND, overlap=OverlapPolicy.SKIP
                )

        async def work(at: Engine) -> None:
            worker_id = await engine.worker()
            for _ in range(40):
                await at.claim(worker_id, limit=2)

        await asyncio.gather(*(work(at) for at in (engine, other, engine, other)))
        for schedule_id in schedules:
            assert sorted(await engine.states(schedule_id)) == ["RUNNING", *["SKIPPED"] * 3]
            assert await engine.counters(schedule_id) == {"skips": 3}


async def test_a_schedule_is_judged_by_one_claim_at_a_time(engine: Engine) -> None:
    """What a claim has started is not to be seen before it commits; an earlier run may come late.

    Made to fail by taking pg_try_advisory_xact_lock away from the claim.
    """
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    skip = {"overlap": OverlapPolicy.SKIP}
    await engine.run(job_id, schedule_id, due_at=NOON, **skip)
    async with engine.runtime.database.transaction() as claiming:
        [row] = await lock_startable_runs(claiming, worker_id=await engine.worker(), limit=1)
        assert row["is_judge"]
        await engine.run(job_id, schedule_id, due_at=NOON - SECOND, **skip)
        claim = await engine.claim()
        assert (claim.runs, claim.settled, claim.exhausted) == ((), 0, False)
    assert len((await engine.claim()).runs) == 1


async def test_max_runs_counts_what_starts_and_completes_the_schedule(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, max_runs=2)
    for n in range(3):
        await engine.run(job_id, schedule_id, due_at=NOON + n * SECOND)
    await engine.run(job_id, schedule_id, due_at=NOON + 9 * SECOND, cause=RunCause.MANUAL)
    await engine.claim()
    assert await engine.states(schedule_id) == ["RUNNING", "RUNNING", "SKIPPED", "RUNNING"]
    row = await engine.row("SELECT state, runs_made, next_run_at FROM schedule")
    assert tuple(row.values()) == ("COMPLETED", 2, None)
    skipped = await engine.row("SELECT reason FROM run WHERE state = 'SKIPPED'")
    assert skipped["reason"] == "LIMIT"
    assert ("SCHEDULE", "COMPLETED", 1) in await engine.changes()


async def test_max_runs_holds_under_racing_claims(database_url: str, redis_url: str) -> None:
    """Made to fail by reading what is left without holding the schedule."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        job_id = await engine.job()
        schedule_id = await engine.schedule(job_id, max_runs=7, overlap=OverlapPolicy.ALLOW)
        for n in range(30):
            await engine.run(job_id, schedule_id, due_at=NOON + n * SECOND)

        async def work(at: Engine) -> int:
            worker_id, started = await engine.worker(), 0
            while (claim := await at.claim(worker_id, limit=2)).settled:
                started += len(claim.runs)
            return started

        started = await asyncio.gather(*(work(at) for at in (engine, other, engine, other)))
        assert sum(started) == 7
        row = await engine.row("SELECT state, runs_made, next_run_at FROM schedule")
        assert tuple(row.values()) == ("COMPLETED", 7, None)
        assert await engine.counters(schedule_id) == {"skips": 23}
        completed = await engine.rows("SELECT 1 FROM schedule_version WHERE change = 'COMPLETED'")
        assert len(completed) == 1


async def test_a_retry_and_what_never_started_do_not_count_against_max_runs(engine: Engine) -> None:
    job_id = await engine.job(retry={"maxAttempts": 2})
    schedule_id = await engine.schedule(job_id, max_runs=1, overlap=OverlapPolicy.ALLOW)
    await engine.run(job_id, schedule_id, max_attempts=2, attempt=1)
    await engine.run(job_id, schedule_id, due_at=NOON + SECOND, cause=RunCause.CATCH_UP)
    assert len((await engine.claim()).runs) == 2
    assert (await engine.row("SELECT runs_made FROM schedule"))["runs_made"] == 1


async def test_a_paused_schedule_that_makes_its_last_run_stays_paused(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(
        job_id, max_runs=1, next_run_at=None, state=ScheduleState.PAUSED
    )
    await engine.run(job_id, schedule_id)
    await engine.claim()
    row = await engine.row("SELECT state, runs_made FROM schedule")
    assert tuple(row.values()) == ("PAUSED", 1)


async def test_spacing_skips_what_comes_too_soon_after_another_run(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, spacing_seconds=60.0, overlap=OverlapPolicy.ALLOW)
    now = await engine.now()
    by_hand = await engine.run(job_id, schedule_id, due_at=now, cause=RunCause.MANUAL)
    too_soon = await engine.run(job_id, schedule_id, due_at=now + 0.001 * SECOND)
    await engine.rows("SELECT pg_sleep(0.01)")
    assert [run.id for run in (await engine.claim()).runs] == [by_hand]
    assert await engine.state_of(too_soon) == ("SKIPPED", "SPACING")
    assert await engine.counters(schedule_id) == {"skips": 1}
    await engine.rows("UPDATE schedule SET last_start_at = last_start_at - interval '1 minute'")
    later = await engine.run(job_id, schedule_id, due_at=now + 0.002 * SECOND)
    assert [run.id for run in (await engine.claim()).runs] == [later]


async def test_spacing_holds_under_racing_claims(database_url: str, redis_url: str) -> None:
    """Made to fail by reading the last start without holding the schedule."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        job_id = await engine.job()
        await engine.schedule(job_id, spacing_seconds=3600.0, overlap=OverlapPolicy.ALLOW)
        [schedule] = await engine.rows("SELECT id FROM schedule")
        for n in range(20):
            await engine.run(job_id, schedule["id"], due_at=NOON + n * SECOND)
        workers = [await engine.worker() for _ in range(4)]
        claims = await asyncio.gather(
            *(
                at.claim(worker, limit=5)
                for at, worker in zip([engine, other] * 2, workers, strict=True)
            )
        )
        assert sum(len(claim.runs) for claim in claims) == 1
        skipped = await engine.rows("SELECT reason FROM run WHERE state = 'SKIPPED'")
        assert [row["reason"] for row in skipped] == ["SPACING"] * 19


async def test_a_schedule_without_limits_is_not_locked_by_a_claim(engine: Engine) -> None:
    """Whoever edits it does not wait for claims, nor they for him."""
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id)
    await engine.run(job_id, schedule_id)
    async with engine.runtime.database.transaction() as edit, asyncio.timeout(5):
        await edit.execute(text("UPDATE schedule SET name = 'Held'"))
        assert len((await engine.claim()).runs) == 1


async def test_the_schedule_says_how_many_may_wait(engine: Engine) -> None:
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, overlap=OverlapPolicy.QUEUE_ALL, overlap_limit=2)
    for n in range(5):
        await engine.run(
            job_id, schedule_id, due_at=NOON + n * SECOND, overlap=OverlapPolicy.QUEUE_ALL
        )
    await engine.claim()
    assert await engine.states(schedule_id) == ["RUNNING", "QUEUED", "QUEUED", "SKIPPED", "SKIPPED"]


async def test_a_limit_that_is_taken_away_during_a_claim_limits_nothing(engine: Engine) -> None:
    """The claim reads `maxRuns` first and locks the schedule later."""
    job_id = await engine.job()
    schedule_id = await engine.schedule(job_id, max_runs=1)
    for n in range(2):
        await engine.run(job_id, schedule_id, due_at=NOON + n * SECOND)
    async with engine.runtime.database.transaction() as edit:
        await edit.execute(text("UPDATE schedule SET max_runs = NULL"))
        claiming = asyncio.create_task(engine.claim())
        await waiting_for_a_lock(engine)
    assert len((await claiming).runs) == 2


async def waiting_for_a_lock(engine: Engine) -> None:
    """Return as soon as a statement waits for somebody's lock."""
    async with asyncio.timeout(10):
        while not await engine.rows(  # noqa: ASYNC110 - a lock sends no event
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


async def test_a_later_token_is_always_higher(database_url: str, redis_url: str) -> None:
    """Each connection draws a thousand numbers of the sequence ahead."""
    async with (
        open_engine(database_url, redis_url) as engine,
        open_engine(database_url, redis_url) as other,
    ):
        await engine.run(await engine.job(retry={"maxAttempts": 100}), max_attempts=100)
        tokens = []
        for n in range(6):
            [run] = (await (engine, other)[n % 2].claim()).runs
            tokens.append(run.fencing_token)
            await engine.rows("UPDATE run SET state = 'QUEUED', lease_expires_at = NULL")
    assert tokens == sorted(set(tokens))


async def test_an_attempt_knows_how_many_lines_the_log_has(engine: Engine) -> None:
    run_id = await engine.run(await engine.job(), attempt=1, max_attempts=2)
    for sequence, lines in ((1, 5), (6, 0)):
        await engine.rows(
            "INSERT INTO run_log (run_id, sequence, line_count, attempt, dropped, lines)"
            " VALUES (:id, :sequence, :lines, 1, 1, '[]')",
            id=run_id,
            sequence=sequence,
            lines=lines,
        )
    [run] = (await engine.claim()).runs
    assert run.log_lines == 6


async def test_at_most_once_comes_from_the_job(engine: Engine) -> None:
    await engine.run(await engine.job(on_worker_lost=OnWorkerLost.FAIL))
    [run] = (await engine.claim()).runs
    assert run.at_most_once


async def test_a_claim_beside_another_that_holds_what_is_due_settles_nothing(
    engine: Engine,
) -> None:
    """The runner must then wait a little instead of asking again at once."""
    await engine.run(await engine.job())
    async with engine.runtime.database.transaction() as transaction:
        await transaction.execute(text("SELECT 1 FROM run FOR UPDATE"))
        claim = await claim_runs(engine.runtime, await engine.worker(), limit=10)
    assert (claim.runs, claim.settled) == ((), 0)


def ended_as(state: RunState) -> Outcome:
    """Return an outcome without words."""
    return Outcome(state)
