"""Whoever moves a schedule's cursor leaves every instant accounted for."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text

from app.core.errors import Forbidden, StateConflict
from app.core.time import CronTiming
from app.core.vocabulary import (
    JobKind,
    OverlapPolicy,
    ResumeChoice,
    Role,
    RunCause,
    RunReason,
    RunState,
    SchedulerAction,
    ScheduleState,
)
from app.models import Run, Schedule
from app.models.columns import ActorRecord
from app.runtime import Runtime, open_runtime
from app.services.access import Principal
from app.services.controlling import ControlRequest, control_scheduler
from app.services.firing import fire_due
from app.services.jobs import JobFields, JobRequest, create_job
from app.services.schedules import (
    OnceRequest,
    ResumeRequest,
    ScheduleFields,
    ScheduleRequest,
    archive_schedule,
    create_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule_definition,
)
from app.services.schedules.timed_pauses import resume_ended_pauses
from app.store.database import ReadConnection
from app.store.filters import RunFilter
from app.store.live import read_newest_runs
from tests.schema.api import settings_for

PROJECT = UUID("01900000-0000-7000-8000-000000000001")
ADMIN = Principal(ActorRecord(kind="TOKEN", id=None, name="admin"), Role.ADMIN, PROJECT)
EACH_SECOND = CronTiming("* * * * * *")
EACH_MINUTE = CronTiming("* * * * *")
NEW_YEAR = CronTiming("0 0 1 1 *")
GOVERNOR = Principal(ADMIN.actor, Role.ADMIN, ADMIN.project_id, governs=True)


class Bench:
    """A runtime without workers, and one job."""

    def __init__(self, runtime: Runtime, job_id: UUID) -> None:
        self.runtime = runtime
        self.job_id = job_id

    async def schedule(self, timing: CronTiming = EACH_SECOND, **fields: Any) -> Schedule:
        """Create a schedule."""
        request = ScheduleRequest(
            self.job_id, "schedule", ScheduleFields(timings=(timing,), **fields)
        )
        return (await create_schedule(self.runtime, ADMIN, request)).result.schedule

    async def edit(self, schedule: Schedule, **fields: Any) -> Schedule:
        """Change a schedule."""
        accepted = await update_schedule_definition(
            self.runtime, ADMIN, schedule.id, ScheduleFields(**fields), expected_version=None
        )
        return accepted.result.schedule

    async def lag(self, schedule: Schedule, seconds: int) -> None:
        """Let no tick have come for so long."""
        await self.execute(
            "UPDATE schedule SET cursor_at = cursor_at - make_interval(secs => :seconds),"
            " next_run_at = next_run_at - make_interval(secs => :seconds) WHERE id = :id",
            id=schedule.id,
            seconds=seconds,
        )

    async def execute(self, statement: str, **parameters: Any) -> None:
        """Write something in a transaction of its own."""
        async with self.runtime.database.transaction() as transaction:
            await transaction.execute(text(statement), parameters)

    async def runs(self) -> list[Run]:
        """Return every run, the first one first."""
        async with self.runtime.database.reading(PROJECT) as connection:
            runs = await read_newest_runs(connection, PROJECT, RunFilter(), 1_000)
        return sorted(runs, key=lambda run: run.scheduled_for)

    async def now(self) -> datetime:
        """Return PostgreSQL's clock."""
        async with self.runtime.database.reading(PROJECT) as connection:
            return await _now(connection)


async def _now(connection: ReadConnection) -> datetime:
    now: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
    return now


@pytest_asyncio.fixture
async def bench(database_url: str, redis_url: str) -> AsyncIterator[Bench]:
    async with open_runtime(settings_for(database_url, redis_url)) as runtime:
        config = {"function": "app.handlers.builtin.noop"}
        request = JobRequest("job", JobKind.PYTHON, JobFields(config=config))
        job = (await create_job(runtime, ADMIN, request)).result
        yield Bench(runtime, job.id)


def instants(runs: list[Run]) -> list[datetime]:
    """Return every instant that runs and ranges of a schedule each second stand for."""
    found: list[datetime] = []
    for run in runs:
        instant = run.scheduled_for
        while instant <= (run.range_end or run.scheduled_for):
            found.append(instant)
            instant += timedelta(seconds=1)
    return found


def is_gapless(found: list[datetime]) -> bool:
    """Return whether each second has exactly one record."""
    expected = [found[0] + timedelta(seconds=n) for n in range(len(found))]
    return found == expected


async def test_every_second_from_creation_over_pause_to_archive_has_one_record(
    bench: Bench,
) -> None:
    schedule = await bench.schedule()
    await bench.lag(schedule, 120)
    await fire_due(bench.runtime)
    await pause_schedule(bench.runtime, ADMIN, schedule.id, reason="Test")
    await bench.execute(
        "UPDATE run SET scheduled_for = scheduled_for - interval '40 s',"
        " range_end = range_end - interval '40 s'"
    )
    await bench.lag(schedule, 40)
    await resume_schedule(bench.runtime, ADMIN, schedule.id, ResumeRequest(ResumeChoice.LATEST))
    await fire_due(bench.runtime)
    await archive_schedule(bench.runtime, ADMIN, schedule.id)
    found = instants(await bench.runs())
    assert len(found) >= 160
    assert is_gapless(found)


async def test_prepared_runs_are_withdrawn_by_pause_edit_and_archive(bench: Bench) -> None:
    schedule = await bench.schedule()

    async def prepared() -> int:
        now = await bench.now()
        return sum(run.scheduled_for > now for run in await bench.runs())

    async def prepare() -> None:
        # The look-ahead of two seconds reaches at least one instant that is still to come.
        while not await prepared():
            await fire_due(bench.runtime)

    await prepare()
    await bench.edit(schedule, timings=(NEW_YEAR,))
    assert await prepared() == 0
    await bench.edit(schedule, timings=(EACH_SECOND,))
    await prepare()
    await pause_schedule(bench.runtime, ADMIN, schedule.id, reason="Test")
    assert await prepared() == 0
    await resume_schedule(bench.runtime, ADMIN, schedule.id, ResumeRequest())
    await prepare()
    await archive_schedule(bench.runtime, ADMIN, schedule.id)
    assert await prepared() == 0


async def test_edit_of_the_times_records_what_no_tick_had_fired(bench: Bench) -> None:
    schedule = await bench.schedule(EACH_MINUTE)
    await bench.lag(schedule, 600)
    edited = await bench.edit(schedule, timings=(NEW_YEAR,))
    (record,) = await bench.runs()
    assert (record.state, record.reason) == (RunState.MISSED, RunReason.TOO_LATE)
    assert record.range_count == 10
    assert record.range_end is not None
    assert record.range_end <= edited.cursor_at


@pytest.mark.parametrize(
    ("action", "reason"),
    [(SchedulerAction.PAUSE, RunReason.PAUSED), (SchedulerAction.STOP, RunReason.STOPPED)],
)
async def test_edit_while_the_instance_is_halted_says_that_it_was(
    bench: Bench, action: SchedulerAction, reason: RunReason
) -> None:
    """No worker came too late: none was to fire."""
    schedule = await bench.schedule(EACH_MINUTE)
    await control_scheduler(bench.runtime, GOVERNOR, ControlRequest(action, reason="Test"))
    await bench.lag(schedule, 600)
    await bench.edit(schedule, timings=(NEW_YEAR,))
    (record,) = await bench.runs()
    assert (record.state, record.reason, record.range_count) == (RunState.MISSED, reason, 10)


async def test_edit_of_anything_else_leaves_overdue_instants_to_the_tick(bench: Bench) -> None:
    schedule = await bench.schedule(EACH_MINUTE)
    await bench.lag(schedule, 600)
    await bench.edit(schedule, name="Renamed", parameters={"a": 1})
    assert await bench.runs() == []
    await fire_due(bench.runtime)
    runs = await bench.runs()
    caught_up = [run for run in runs if run.cause is RunCause.CATCH_UP]
    assert [run.parameters for run in caught_up] == [{"a": 1}]


async def test_edit_never_fires_retroactively(bench: Bench) -> None:
    schedule = await bench.schedule(NEW_YEAR)
    await bench.execute("UPDATE schedule SET cursor_at = cursor_at - interval '1 day'")
    edited = await bench.edit(schedule, timings=(EACH_SECOND,))
    assert edited.next_run_at is not None
    assert edited.next_run_at > edited.cursor_at
    await fire_due(bench.runtime)
    assert all(run.scheduled_for > edited.cursor_at for run in await bench.runs())


async def test_paused_schedule_stays_paused_through_an_edit(bench: Bench) -> None:
    schedule = await bench.schedule()
    await pause_schedule(bench.runtime, ADMIN, schedule.id, reason="Test")
    edited = await bench.edit(schedule, name="New")
    assert (edited.state, edited.next_run_at) == (ScheduleState.PAUSED, None)


async def test_edit_and_resume_end_a_quarantine(bench: Bench) -> None:
    schedule = await bench.schedule(EACH_MINUTE)
    broken = (
        "UPDATE schedule SET state = 'QUARANTINED', next_run_at = NULL, timings = :timings,"
        " cursor_at = cursor_at - interval '10 min' WHERE id = :id"
    )
    await bench.execute(broken, timings='[{"cron": {"expression": "x"}}]', id=schedule.id)
    edited = await bench.edit(schedule, timings=(EACH_MINUTE,))
    assert edited.state is ScheduleState.ACTIVE
    await bench.execute(broken, timings='[{"cron": {"expression": "* * * * *"}}]', id=schedule.id)
    accepted = await resume_schedule(bench.runtime, ADMIN, schedule.id, ResumeRequest())
    assert accepted.result.schedule.state is ScheduleState.ACTIVE
    (record,) = await bench.runs()
    assert record.reason is RunReason.QUARANTINED


async def test_completed_schedule_becomes_active_again_by_an_edit(bench: Bench) -> None:
    schedule = await bench.schedule()
    schedule = await bench.edit(
        schedule, timings=(OnceRequest(await bench.now() + timedelta(hours=1)),)
    )
    schedule = await bench.edit(schedule, end_at=await bench.now() + timedelta(seconds=30))
    assert schedule.state is ScheduleState.EXPIRED
    edited = await bench.edit(schedule, end_at=None)
    assert edited.state is ScheduleState.ACTIVE
    await bench.execute("UPDATE schedule SET runs_made = 5")
    assert (await bench.edit(schedule, max_runs=5)).state is ScheduleState.COMPLETED
    assert (await bench.edit(schedule, max_runs=6)).state is ScheduleState.ACTIVE


async def test_pause_that_has_ended_resumes_by_itself_with_its_plan(bench: Bench) -> None:
    schedule = await bench.schedule()
    until = await bench.now() + timedelta(hours=1)
    await pause_schedule(
        bench.runtime,
        ADMIN,
        schedule.id,
        reason="Test",
        until=until,
        resume_with=ResumeChoice.LATEST,
    )
    assert await resume_ended_pauses(bench.runtime) == 0
    await bench.execute(
        "UPDATE schedule SET paused_until = now(), cursor_at = cursor_at - interval '20 s'"
    )
    assert await resume_ended_pauses(bench.runtime) == 1
    assert await resume_ended_pauses(bench.runtime) == 0
    runs = await bench.runs()
    assert [run.cause for run in runs] == [RunCause.SCHEDULE, RunCause.CATCH_UP]
    assert is_gapless(instants(runs))


@pytest.mark.parametrize(
    ("missed", "overlaps"),
    [
        (ResumeChoice.LATEST, [OverlapPolicy.SKIP]),
        (ResumeChoice.ALL, [OverlapPolicy.QUEUE_ALL] * 20),
        (ResumeChoice.DRIP, [OverlapPolicy.QUEUE_ALL] * 20),
    ],
)
async def test_all_of_a_pause_run_one_after_the_other_though_overlap_skips(
    bench: Bench, missed: ResumeChoice, overlaps: list[OverlapPolicy]
) -> None:
    """Somebody asked for all of them: the first must not make the others be skipped."""
    schedule = await bench.schedule(EACH_SECOND)
    await pause_schedule(bench.runtime, ADMIN, schedule.id, reason="Test")
    await bench.execute(
        "UPDATE schedule SET cursor_at = date_trunc('second', now()) - interval '20 s'"
    )
    await resume_schedule(bench.runtime, ADMIN, schedule.id, ResumeRequest(missed))
    runs = [run for run in await bench.runs() if run.cause is RunCause.CATCH_UP]
    assert [run.overlap for run in runs][: len(overlaps)] == overlaps


async def test_schedule_that_fires_is_not_resumed(bench: Bench) -> None:
    schedule = await bench.schedule()
    with pytest.raises(StateConflict):
        await resume_schedule(bench.runtime, ADMIN, schedule.id, ResumeRequest())


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_roles_below_editor_do_not_change_definitions(bench: Bench, role: Role) -> None:
    schedule = await bench.schedule()
    caller = Principal(ADMIN.actor, role, PROJECT)
    with pytest.raises(Forbidden):
        await archive_schedule(bench.runtime, caller, schedule.id)
    if role is Role.OPERATOR:
        await pause_schedule(bench.runtime, caller, schedule.id, reason="Allowed")
    else:
        with pytest.raises(Forbidden):
            await pause_schedule(bench.runtime, caller, schedule.id, reason="Not allowed")
