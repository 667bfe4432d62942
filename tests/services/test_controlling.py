"""Halts account for every instant, and limits of queues hold while workers race.

Breaks that were tried, and which test failed: no `share_control` in the claim, or in the tick
(the two tests of what is under way); no withdrawal (those that take back what was prepared); the
tick ignores halts (the range with its reason); `lock_queues.sql` locks nothing (the race of
claims); the sweep wakes held runs, too (the paused queue); `finish_runs.sql` retries what is
being cancelled (its test).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text

from app.core.errors import Forbidden, Invalid
from app.core.vocabulary import JobKind, ResumeChoice, Role, RunCause, RunState, SchedulerAction
from app.handlers.execution import SUCCEEDED, failed
from app.models import Job, Run
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.services.access import Principal
from app.services.cancelling import cancel_run
from app.services.claiming import ClaimedRun, claim_runs
from app.services.controlling import CONFIRMATION, ControlRequest, control_scheduler
from app.services.finished_attempts import FinishedAttempt
from app.services.finishing import finish_attempts
from app.services.firing import fire_due
from app.services.pausing import SYSTEM
from app.services.queues import QueueRequest, control_queue
from app.services.schedules import (
    IntervalRequest,
    ScheduleFields,
    ScheduleRequest,
    create_schedule,
)
from app.services.sweeping import sweep
from app.store.instants import read_now
from tests.schema.api import settings_for

PROJECT = UUID("01900000-0000-7000-8000-000000000001")
ADMIN = Principal(SYSTEM, Role.ADMIN, PROJECT, governs=True)
PATIENCE_SECONDS = 30.0


class Instance:
    """A runtime, a job, and what a test does with them."""

    def __init__(self, runtime: Runtime, job_id: UUID) -> None:
        self.runtime = runtime
        self.job_id = job_id
        self.worker_id = new_id()

    async def control(self, action: str, **given: Any) -> None:
        """Change the state of the instance."""
        request = ControlRequest(SchedulerAction(action), "test", **given)
        await control_scheduler(self.runtime, ADMIN, request)

    async def schedule(self, key: str, every_seconds: int = 60, **fields: Any) -> UUID:
        """Create a schedule that was last due an hour ago, as if nobody had ticked since."""
        interval = IntervalRequest(timedelta(seconds=every_seconds), None)
        request = ScheduleRequest(
            job_id=self.job_id, key=key, fields=ScheduleFields(timings=(interval,), **fields)
        )
        created = await create_schedule(self.runtime, ADMIN, request)
        return created.result.schedule.id

    async def turn_back(self, schedule_id: UUID, minutes: int) -> None:
        """Let the cursor stand so many minutes in the past."""
        await self.execute(
            "UPDATE schedule SET cursor_at = now() - make_interval(mins => :minutes),"
            " next_run_at = now() - make_interval(mins => :minutes) + interval '1 second'"
            " WHERE id = :id",
            minutes=minutes,
            id=schedule_id,
        )

    async def execute(self, statement: str, **given: Any) -> None:
        """Change rows behind everybody's back."""
        async with self.runtime.database.transaction() as transaction:
            await transaction.execute(text(statement), given)

    async def rows(self, statement: str, **given: Any) -> list[Any]:
        """Read rows."""
        async with self.runtime.database.reading(None) as connection:
            return list((await connection.execute(text(statement), given)).all())

    async def records(self, schedule_id: UUID) -> list[tuple[str, str | None]]:
        """Return state and reason of a schedule's records, in the order of their occurrences."""
        rows = await self.rows(
            "SELECT state, reason FROM run WHERE schedule_id = :id ORDER BY scheduled_for",
            id=schedule_id,
        )
        return [(row.state, row.reason) for row in rows]

    async def queue_runs(self, count: int, *, queue: str = "default", priority: int = 0) -> None:
        """Write queued runs that are due."""
        async with self.runtime.database.transaction(PROJECT) as transaction:
            now = await read_now(transaction)
            transaction.add_all(
                Run(
                    id=new_id(),
                    project_id=PROJECT,
                    job_id=self.job_id,
                    state=RunState.QUEUED,
                    cause=RunCause.MANUAL,
                    scheduled_for=now,
                    due_at=now,
                    next_attempt_at=now,
                    created_at=now,
                    queue=queue,
                    priority=priority,
                )
                for _ in range(count)
            )

    async def claim(self, limit: int = 100) -> list[ClaimedRun]:
        """Claim as a worker of its own."""
        return list((await claim_runs(self.runtime, self.worker_id, limit=limit)).runs)

    async def finish(self, *claimed: ClaimedRun) -> None:
        """End runs well."""
        ended = [FinishedAttempt(run, SUCCEEDED, 0.0, 0.0) for run in claimed]
        await finish_attempts(self.runtime, ended, worker="test")


@pytest_asyncio.fixture
async def instance(database_url: str, redis_url: str) -> AsyncIterator[Instance]:
    """An instance without workers."""
    async with open_runtime(settings_for(database_url, redis_url)) as runtime:
        async with runtime.database.transaction(PROJECT) as transaction:
            now = await read_now(transaction)
            job = Job(
                project_id=PROJECT,
                key="j",
                name="j",
                kind=JobKind.PYTHON,
                created_at=now,
                updated_at=now,
            )
            job_id = job.id
            transaction.add(job)
        yield Instance(runtime, job_id)


@pytest.mark.parametrize(("action", "reason"), [("PAUSE", "PAUSED"), ("STOP", "STOPPED")])
async def test_instants_of_a_halt_are_one_range_with_its_reason(
    instance: Instance, action: str, reason: str
) -> None:
    await instance.control(action)
    schedule_id = await instance.schedule("s")
    await instance.turn_back(schedule_id, 60)
    assert (await fire_due(instance.runtime)).schedules == 0
    assert await instance.records(schedule_id) == []
    await instance.control("START", missed=ResumeChoice.SKIP)
    assert (await fire_due(instance.runtime)).schedules == 1
    assert await instance.records(schedule_id) == [("MISSED", reason)]
    ((count, misses),) = await instance.rows(
        "SELECT run.range_count, counters.miss_count FROM run"
        " JOIN schedule_counters AS counters USING (schedule_id)"
    )
    assert count == misses
    assert 59 <= count <= 60


async def test_start_after_a_stop_follows_the_catch_up_of_each_schedule(instance: Instance) -> None:
    await instance.control("STOP")
    latest, none = await instance.schedule("latest"), await instance.schedule("none", 61)
    await instance.execute("UPDATE schedule SET catch_up = 'NONE' WHERE id = :id", id=none)
    for schedule_id in (latest, none):
        await instance.turn_back(schedule_id, 60)
    await instance.control("START")
    await fire_due(instance.runtime)
    assert await instance.records(latest) == [("MISSED", "STOPPED"), ("QUEUED", None)]
    assert await instance.records(none) == [("MISSED", "STOPPED")]


async def test_start_after_an_emergency_stop_catches_nothing_up_unless_told(
    instance: Instance,
) -> None:
    await instance.control("EMERGENCY_STOP", confirm=CONFIRMATION)
    schedule_id = await instance.schedule("s")
    await instance.turn_back(schedule_id, 5)
    await instance.control("START")
    await fire_due(instance.runtime)
    assert await instance.records(schedule_id) == [("MISSED", "STOPPED")]


async def test_thousands_of_schedules_are_accounted_for_in_batches(instance: Instance) -> None:
    await instance.control("PAUSE")
    first = await instance.schedule("s")
    await instance.turn_back(first, 5)
    await instance.execute(
        "INSERT INTO schedule SELECT (jsonb_populate_record(original, jsonb_build_object("
        " 'id', gen_random_uuid(), 'key', 's' || n))).* FROM schedule AS original,"
        " generate_series(1, 2500) AS n"
    )
    await instance.execute(
        "INSERT INTO schedule_counters SELECT (jsonb_populate_record(original,"
        " jsonb_build_object('schedule_id', schedule.id))).* FROM schedule_counters AS original,"
        " schedule WHERE schedule.id <> original.schedule_id"
    )
    await instance.control("START", missed=ResumeChoice.SKIP)
    assert (await fire_due(instance.runtime)).schedules == 2501
    ((ranges, schedules),) = await instance.rows(
        "SELECT count(*), count(DISTINCT schedule_id) FROM run WHERE reason = 'PAUSED'"
    )
    assert ranges == schedules == 2501


async def test_halt_takes_back_what_was_prepared_and_the_start_fires_it(
    instance: Instance,
) -> None:
    schedule_id = await instance.schedule("s", 1)
    await asyncio.sleep(1.1)
    await fire_due(instance.runtime)
    prepared = await instance.rows("SELECT id FROM run WHERE due_at > now()")
    assert prepared
    await instance.control("PAUSE")
    ((cursor, next_run_at, now),) = await instance.rows(
        "SELECT cursor_at, next_run_at, now() FROM schedule WHERE id = :id", id=schedule_id
    )
    ((newest,),) = await instance.rows("SELECT max(scheduled_for) FROM run")
    assert newest <= now
    assert cursor <= now
    assert cursor < next_run_at
    await instance.control("START", missed=ResumeChoice.SKIP)
    await fire_due(instance.runtime)
    await assert_complete(instance, schedule_id, timedelta(seconds=1))


async def test_schedule_whose_last_occurrence_was_taken_back_is_not_completed(
    instance: Instance,
) -> None:
    schedule_id = await instance.schedule("s", 1)
    # Its window ends with the look-ahead: the next tick prepares its last occurrence.
    await instance.execute(
        "UPDATE schedule SET end_at = now() + interval '1900 milliseconds' WHERE id = :id",
        id=schedule_id,
    )
    await fire_due(instance.runtime)
    assert await instance.rows("SELECT state FROM schedule") == [("EXPIRED",)]
    await instance.control("STOP")
    assert await instance.rows("SELECT state, state_reason FROM schedule") == [("ACTIVE", None)]


async def test_pause_waits_for_the_tick_under_way_and_takes_back_what_it_prepared(
    instance: Instance,
) -> None:
    schedule_id = await instance.schedule("s", 1)
    async with instance.runtime.database.transaction() as transaction:
        await transaction.execute(text("LOCK TABLE run IN SHARE ROW EXCLUSIVE MODE"))
        ticking = asyncio.create_task(fire_due(instance.runtime))
        await waits_for_a_lock(instance, "relation")
        pausing = asyncio.create_task(instance.control("PAUSE"))
        await waits_for_a_lock(instance, "advisory")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(ticking, pausing)
    assert await instance.rows("SELECT id FROM run WHERE scheduled_for > now()") == []
    await assert_complete(instance, schedule_id, timedelta(seconds=1))


async def test_emergency_stop_waits_for_the_claim_under_way_and_cancels_what_it_started(
    instance: Instance,
) -> None:
    await instance.execute("UPDATE job SET concurrency_limit = 5")
    await instance.queue_runs(1)
    async with instance.runtime.database.transaction() as transaction:
        await transaction.execute(text("SELECT id FROM job FOR UPDATE"))
        claiming = asyncio.create_task(instance.claim())
        await waits_for_a_lock(instance, "transactionid")
        stopping = asyncio.create_task(instance.control("EMERGENCY_STOP", confirm=CONFIRMATION))
        await waits_for_a_lock(instance, "advisory")
    async with asyncio.timeout(PATIENCE_SECONDS):
        started, _ = await asyncio.gather(claiming, stopping)
    assert len(started) == 1
    assert await instance.rows("SELECT state, cancel_requested_at IS NULL FROM run") == [
        ("RUNNING", False)
    ]


async def test_nothing_starts_while_stopped_and_all_of_it_afterwards(instance: Instance) -> None:
    await instance.control("STOP")
    await instance.queue_runs(3)
    assert await instance.claim() == []
    await instance.control("PAUSE")
    assert len(await instance.claim()) == 3


async def test_emergency_stop_wants_its_words_and_every_control_its_administrator(
    instance: Instance,
) -> None:
    for confirm in (None, "yes", "Stop Everything"):
        with pytest.raises(Invalid):
            await instance.control("EMERGENCY_STOP", confirm=confirm)
    of_a_project = Principal(SYSTEM, Role.ADMIN, PROJECT)
    with pytest.raises(Forbidden):
        await control_scheduler(
            instance.runtime, of_a_project, ControlRequest(SchedulerAction.STOP, "no")
        )
    with pytest.raises(Forbidden):
        await control_queue(instance.runtime, of_a_project, QueueRequest("q", paused=True))
    assert await instance.rows("SELECT state, version FROM scheduler_state") == [("RUNNING", 1)]


async def test_run_that_fails_before_its_cancel_arrives_is_not_tried_again(
    instance: Instance,
) -> None:
    await instance.execute("""UPDATE job SET retry = '{"maxAttempts": 5}'""")
    await instance.queue_runs(1)
    await instance.execute("UPDATE run SET max_attempts = 5")
    (claimed,) = await instance.claim()
    await cancel_run(instance.runtime, ADMIN, claimed.id, reason="no")
    outcome = failed("ExitCode", "It ended with exit code 1.")
    await finish_attempts(
        instance.runtime, [FinishedAttempt(claimed, outcome, 0.0, 0.0)], worker="test"
    )
    assert await instance.rows("SELECT state, reason, message FROM run") == [
        ("CANCELLED", "CANCEL_REQUESTED", "Cancelled by Tickwheel: no")
    ]


async def test_queue_limit_holds_while_claims_race(instance: Instance) -> None:
    await control_queue(instance.runtime, ADMIN, QueueRequest("narrow", limit=3))
    await instance.queue_runs(40, queue="narrow")
    claims = await asyncio.gather(
        *(claim_runs(instance.runtime, new_id(), limit=5) for _ in range(8))
    )
    started = [run for claim in claims for run in claim.runs]
    while len(started) < 3 and (more := await instance.claim()):
        started += more
    assert len(started) == 3
    assert await instance.claim() == []
    # Each end lets exactly one start, in whatever worker.
    for _ in range(5):
        await instance.finish(started.pop(0))
        started += await instance.claim()
        assert len(started) == 3


async def test_paused_queue_does_not_crowd_the_claim(instance: Instance) -> None:
    status = await control_queue(
        instance.runtime, ADMIN, QueueRequest("closed", paused=True, reason="broken")
    )
    assert (status.paused, status.depth) == (True, 0)
    await instance.queue_runs(250, queue="closed", priority=10)
    await instance.queue_runs(2, queue="open")
    started: list[ClaimedRun] = []
    # A hundred candidates a claim: each that is held is looked at once.
    for _ in range(3):
        started += await instance.claim(100)
    assert len(started) == 2
    assert (await claim_runs(instance.runtime, instance.worker_id, limit=100)).settled == 0
    # The sweep wakes none of them either.
    assert (await sweep(instance.runtime)).unblocked == 0
    status = await control_queue(instance.runtime, ADMIN, QueueRequest("closed", paused=False))
    assert status.depth == 250
    assert len(await instance.claim(300)) == 250


async def test_raised_limit_lets_more_start_at_once(instance: Instance) -> None:
    await control_queue(instance.runtime, ADMIN, QueueRequest("q", limit=1))
    await instance.queue_runs(10, queue="q")
    assert len(await instance.claim()) == 1
    await control_queue(instance.runtime, ADMIN, QueueRequest("q", limit=4))
    assert len(await instance.claim()) == 3
    await control_queue(instance.runtime, ADMIN, QueueRequest("q", limit=None))
    assert len(await instance.claim()) == 6


async def waits_for_a_lock(instance: Instance, kind: str) -> None:
    """Wait until somebody in this database waits for a lock of a kind."""
    statement = (
        "SELECT 1 FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)"
        " WHERE pg_locks.locktype = :kind AND NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await instance.rows(statement, kind=kind):  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0.02)


async def assert_complete(instance: Instance, schedule_id: UUID, every: timedelta) -> None:
    """Every occurrence up to the cursor lies in exactly one row."""
    rows = await instance.rows(
        "SELECT scheduled_for, coalesce(range_end, scheduled_for) AS until FROM run"
        " WHERE schedule_id = :id ORDER BY scheduled_for",
        id=schedule_id,
    )
    covered: list[datetime] = []
    for row in rows:
        at = row.scheduled_for
        while at <= row.until:
            covered.append(at)
            at += every
    assert covered == [covered[0] + n * every for n in range(len(covered))]
