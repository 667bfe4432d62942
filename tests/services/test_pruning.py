"""What is kept for a time only goes when its time is over, and not before."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.core.health import Observation
from app.core.ids import first_id_at
from app.core.vocabulary import (
    FindingCode,
    Outcome,
    OverlapPolicy,
    RunState,
    ScheduleState,
    Severity,
)
from app.models import Attempt, Backfill, RunLogChunk
from app.services import pruning
from app.services.health.findings import settle_findings
from app.services.pruning import FINDINGS_LIFETIME, IDEMPOTENCY_LIFETIME, Positions, prune
from app.services.schedules.why_not import explain_instant
from app.store.pruning import hold_pruning
from app.store.schedules import read_schedule
from tests.engine import MINUTE, Engine, every

_EVENT = text(
    "INSERT INTO event (project_id, subject, change, entity_ids, revisions, at)"
    " VALUES (:project_id, 'RUN', :change, '{}', '{}', now() - cast(:age AS interval))"
)
_KEY = text(
    "INSERT INTO idempotency (project_id, key, operation, content_hash, result_id, created_at)"
    " VALUES (:project_id, :key, 'jobCreate', 'hash', :project_id, now() - cast(:age AS interval))"
)


async def test_old_events_and_keys_go_and_young_ones_stay(engine: Engine) -> None:
    second, project_id = timedelta(seconds=30), uuid4()
    async with engine.runtime.database.transaction() as transaction:
        for name, lead in (("old", second), ("young", -second)):
            event_age = engine.runtime.event_retention + lead
            await transaction.execute(
                _EVENT, {"project_id": project_id, "change": name, "age": event_age}
            )
            key_age = IDEMPOTENCY_LIFETIME + lead
            await transaction.execute(_KEY, {"project_id": project_id, "key": name, "age": key_age})
    assert (await prune(engine.runtime, {})).removed == 2
    async with engine.runtime.database.reading(None) as connection:
        events = await connection.execute(
            text("SELECT change FROM event WHERE project_id = :id"), {"id": project_id}
        )
        keys = await connection.execute(
            text("SELECT key FROM idempotency WHERE project_id = :id"), {"id": project_id}
        )
        assert [*events.scalars(), *keys.scalars()] == ["young", "young"]
    assert (await prune(engine.runtime, {})).removed == 0


async def test_findings_go_a_while_after_their_end(engine: Engine) -> None:
    now = await engine.now()
    observed = [
        Observation(FindingCode.CLOCK_SKEW, Severity.WARNING, now, "Wrong.", subject=host)
        for host in ("old", "young", "open")
    ]
    await settle_findings(engine.runtime, observed=observed, standing=[])
    for host, lead in (("old", timedelta(minutes=1)), ("young", -timedelta(minutes=1))):
        await engine.rows(
            "UPDATE health_finding SET resolved_at = :at WHERE subject = :host",
            at=now - FINDINGS_LIFETIME - lead,
            host=host,
        )
    assert (await prune(engine.runtime, {})).removed == 1
    rows = await engine.rows("SELECT subject FROM health_finding ORDER BY id")
    assert sorted(row["subject"] for row in rows) == ["open", "young"]


DAY = timedelta(days=1)
RETENTION = 90 * DAY


async def aged_run(
    engine: Engine,
    job_id: UUID,
    schedule_id: UUID | None = None,
    *,
    age: timedelta,
    state: RunState = RunState.SUCCEEDED,
    **more: Any,
) -> UUID:
    """Insert a run that was made, and has ended, so long ago; with an attempt and a log."""
    at = await engine.now() - age
    run_id = UUID(int=first_id_at(at).int + uuid4().int % 2**64)
    over = {} if state in (RunState.QUEUED, RunState.RUNNING) else {"finished_at": at}
    await engine.run(job_id, schedule_id, id=run_id, due_at=at, state=state, **{**over, **more})
    await engine.add(
        Attempt(run_id=run_id, number=1, state=RunState.FAILED, started_at=at, finished_at=at),
        RunLogChunk(
            run_id=run_id, sequence=1, line_count=1, attempt=1, lines=[[0, "INFO", "", ""]]
        ),
    )
    return run_id


async def left(engine: Engine) -> set[UUID]:
    """Return the runs that are left, which are those whose attempts and logs are."""
    runs = {row["id"] for row in await engine.rows("SELECT id FROM run")}
    assert runs == {row["run_id"] for row in await engine.rows("SELECT run_id FROM attempt")}
    assert runs == {row["run_id"] for row in await engine.rows("SELECT run_id FROM run_log")}
    return runs


async def test_runs_go_with_their_attempts_and_logs_when_they_are_older_than_the_retention(
    engine: Engine,
) -> None:
    """Fails if anything is removed by when it was made, or the logs are left to a cascade that
    does not come.
    """
    job_id = await engine.job()
    await aged_run(engine, job_id, age=RETENTION + MINUTE)
    young = await aged_run(engine, job_id, age=RETENTION - MINUTE)
    # Made long ago, and over since a moment; made long ago, and not over.
    just_over = await aged_run(
        engine, job_id, age=RETENTION + DAY, finished_at=await engine.now() - DAY
    )
    waiting = await aged_run(engine, job_id, age=RETENTION + DAY, state=RunState.QUEUED)
    positions: Positions = {}
    assert (await prune(engine.runtime, positions)).removed == 1
    assert await left(engine) == {young, just_over, waiting}
    assert (await prune(engine.runtime, {})).removed == 0


async def test_each_project_has_its_own_retention(engine: Engine) -> None:
    job_id = await engine.job()
    await aged_run(engine, job_id, age=2 * DAY)
    await engine.rows(
        "UPDATE project SET retention_seconds = 86400 WHERE id <> :id", id=engine.project_id
    )
    assert (await prune(engine.runtime, {})).removed == 0
    await engine.rows("UPDATE project SET retention_seconds = 86400")
    assert (await prune(engine.runtime, {})).removed == 1


async def test_many_runs_go_a_bite_at_a_time_and_those_passed_over_stop_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if a bite begins again at the oldest, which here are all under way."""
    monkeypatch.setattr(pruning, "RUNS_AT_ONCE", 3)
    job_id = await engine.job()
    stuck = {
        await aged_run(engine, job_id, age=RETENTION + 9 * DAY, state=RunState.QUEUED)
        for _ in range(4)
    }
    for _ in range(7):
        await aged_run(engine, job_id, age=RETENTION + DAY)
    positions: Positions = {}
    removed = []
    for _ in range(20):
        pruned = await prune(engine.runtime, positions)
        removed.append(pruned.removed)
        if not pruned.has_more:
            break
    assert sum(removed) == 7
    assert max(removed) <= 3
    assert await left(engine) == stuck


async def test_the_counters_stay_and_the_ledger_says_that_it_does_not_know(
    engine: Engine,
) -> None:
    job_id, now = await engine.job(), await engine.now()
    at = (now - RETENTION - DAY).replace(second=0, microsecond=0)
    schedule_id = await engine.schedule(
        job_id, [every(60, at)], cursor_at=now, next_run_at=now + DAY
    )
    await engine.rows(
        "UPDATE schedule SET created_at = :at WHERE id = :id",
        at=at - DAY,
        id=schedule_id,
    )
    await engine.rows("UPDATE schedule_counters SET run_count = 5, success_count = 5")
    await aged_run(engine, job_id, schedule_id, age=now - at, scheduled_for=at)
    assert await why(engine, schedule_id, at) is Outcome.RAN
    assert (await prune(engine.runtime, {})).removed == 1
    assert await why(engine, schedule_id, at) is Outcome.UNKNOWN
    assert await engine.counters(schedule_id) == {"runs": 5, "successes": 5}


async def why(engine: Engine, schedule_id: UUID, at: datetime) -> Outcome:
    """Ask what became of an instant."""
    async with engine.runtime.database.reading(engine.project_id) as connection:
        record = await read_schedule(connection, engine.project_id, schedule_id)
        assert record is not None
        return (await explain_instant(connection, record.schedule, at)).outcome


async def test_one_worker_prunes_at_a_time(engine: Engine) -> None:
    """Fails if the lock is not asked for: two would remove, and wait for, the same rows."""
    job_id = await engine.job()
    await aged_run(engine, job_id, age=RETENTION + DAY)
    async with engine.runtime.database.transaction() as transaction:
        assert await hold_pruning(transaction)
        assert (await prune(engine.runtime, {})).removed == 0
    assert (await prune(engine.runtime, {})).removed == 1


async def test_a_backfill_of_what_is_missing_keeps_what_it_has_still_to_look_at(
    engine: Engine,
) -> None:
    job_id, now = await engine.job(), await engine.now()
    schedule_id = await engine.schedule(job_id, cursor_at=now, next_run_at=now + DAY)
    begin = now - RETENTION - 2 * DAY
    await engine.add(
        Backfill(
            id=(backfill_id := uuid4()),
            project_id=engine.project_id,
            schedule_id=schedule_id,
            schedule_version=1,
            created_at=now,
            from_at=begin,
            until_at=now,
            overlap=OverlapPolicy.ALLOW,
            counted_at=now,
            cursor_at=begin,
            settled_at=begin,
            next_due_at=now,
            step_at=now,
        )
    )
    await aged_run(engine, job_id, schedule_id, age=RETENTION + DAY)
    assert (await prune(engine.runtime, {})).removed == 0
    await engine.rows("UPDATE backfill SET state = 'PAUSED', step_at = NULL")
    assert (await prune(engine.runtime, {})).removed == 1
    await engine.rows(
        "UPDATE backfill SET state = 'CANCELLED', finished_at = now() - interval '91 days'"
        " WHERE id = :id",
        id=backfill_id,
    )
    assert (await prune(engine.runtime, {})).removed == 1
    assert await engine.rows("SELECT 1 FROM backfill") == []


async def test_archived_schedules_and_jobs_go_for_good_once_their_runs_have_gone(
    engine: Engine,
) -> None:
    """Fails if they are to go with the archiving alone: PostgreSQL refuses that, and none goes."""
    job_id, now = await engine.job(), await engine.now()
    schedule_id = await engine.schedule(
        job_id, cursor_at=now, next_run_at=None, state=ScheduleState.ARCHIVED
    )
    empty = await engine.schedule(
        job_id, cursor_at=now, next_run_at=None, state=ScheduleState.ARCHIVED
    )
    living = await engine.schedule(cursor_at=now, next_run_at=now + DAY)
    run_id = await aged_run(engine, job_id, schedule_id, age=RETENTION - MINUTE)
    await engine.rows(
        "UPDATE schedule SET archived_at = now() - interval '91 days' WHERE id IN (:id, :empty)",
        id=schedule_id,
        empty=empty,
    )
    await engine.rows(
        "UPDATE job SET archived_at = now() - interval '91 days' WHERE id = :id", id=job_id
    )
    assert (await prune(engine.runtime, {})).removed == 1
    assert [row["id"] for row in await engine.rows("SELECT id FROM schedule ORDER BY id")] == [
        schedule_id,
        living,
    ]
    await engine.rows("UPDATE run SET finished_at = finished_at - interval '1 hour'")
    await engine.rows("UPDATE project SET retention_seconds = retention_seconds - 3600")
    assert (await prune(engine.runtime, {})).removed == 3
    assert await left(engine) == set()
    assert [row["id"] for row in await engine.rows("SELECT id FROM schedule")] == [living]
    assert await engine.rows("SELECT 1 FROM job WHERE id = :id", id=job_id) == []
    audit = await engine.rows("SELECT action, actor FROM audit ORDER BY id")
    assert [(row["action"], row["actor"]["kind"]) for row in audit] == [
        ("schedulePurge", "SYSTEM"),
        ("schedulePurge", "SYSTEM"),
        ("jobPurge", "SYSTEM"),
    ]
    assert run_id


async def test_what_was_archived_lately_stays(engine: Engine) -> None:
    await engine.schedule(
        cursor_at=await engine.now(), next_run_at=None, state=ScheduleState.ARCHIVED
    )
    await engine.rows("UPDATE schedule SET archived_at = now() - interval '89 days'")
    await engine.rows("UPDATE job SET archived_at = now() - interval '89 days'")
    assert (await prune(engine.runtime, {})).removed == 0
    assert len(await engine.rows("SELECT 1 FROM schedule")) == 1
