"""A project with a job, and the ways to plan it that several tests need."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.core.time import CronTiming
from app.core.vocabulary import ActorKind, JobKind, Role
from app.models import Calendar, Run, Schedule
from app.models.columns import ActorRecord
from app.runtime import Runtime
from app.services.access import Principal
from app.services.calendars import CalendarRequest, put_calendar
from app.services.firing import fire_due
from app.services.jobs import JobFields, JobRequest, create_job
from app.services.recording import Fired
from app.services.schedules import ScheduleFields, ScheduleRequest, create_schedule
from app.store.filters import RunFilter
from app.store.pages import Order, PageRequest
from app.store.runs import page_runs, select_runs
from app.store.schedules import read_schedule

PROJECT = UUID("01900000-0000-7000-8000-000000000001")
EDITOR = Principal(
    ActorRecord(kind=ActorKind.USER.value, id=None, name="Ada"), Role.EDITOR, PROJECT
)


class Planning:
    """One job, and schedules of it."""

    def __init__(self, runtime: Runtime, job_id: UUID) -> None:
        self.runtime = runtime
        self.job_id = job_id

    @classmethod
    async def begin(cls, runtime: Runtime) -> "Planning":
        """Create the job."""
        config = {"function": "app.handlers.builtin.noop", "isolation": "inline"}
        request = JobRequest("job", JobKind.PYTHON, JobFields(config=config))
        return cls(runtime, (await create_job(runtime, EDITOR, request)).result.id)

    async def create(self, key: str, *expressions: str, **fields: Any) -> Schedule:
        """Create a schedule of cron expressions."""
        timings = tuple(CronTiming(expression) for expression in expressions)
        given = ScheduleFields(**{"timings": timings, **fields})
        request = ScheduleRequest(self.job_id, key, given, allow_duplicate=True)
        return (await create_schedule(self.runtime, EDITOR, request)).result.schedule

    async def put(self, key: str, *dates: str, **rules: Any) -> Calendar:
        """Put a calendar."""
        request = CalendarRequest(key, key.capitalize(), dates, rules)
        return (await put_calendar(self.runtime, EDITOR, request)).result

    async def read(self, schedule: Schedule) -> Schedule:
        """Return the schedule as it is now."""
        async with self.runtime.database.reading(PROJECT) as connection:
            record = await read_schedule(connection, PROJECT, schedule.id)
        assert record is not None
        return record.schedule

    async def runs(self, schedule: Schedule) -> list[Run]:
        """Return every record of the schedule, the earliest occurrence first."""
        narrowed = RunFilter(schedule_id=schedule.id)
        query = select_runs(PROJECT, narrowed)
        async with self.runtime.database.reading(PROJECT) as connection:
            page = await page_runs(
                connection,
                query,
                Order(None, descending=False),
                PageRequest(1_000),
                narrowed=narrowed,
            )
        return sorted(page.items, key=lambda run: run.scheduled_for)

    async def fire(self, as_of: datetime | None = None) -> Fired:
        """Tick once, at an instant of our choice."""
        return await fire_due(self.runtime, as_of=as_of)

    async def put_back(
        self, schedule: Schedule, cursor_at: datetime, next_run_at: datetime
    ) -> None:
        """Pretend that everything up to an instant has been accounted for, and no more."""
        await self.execute(
            "UPDATE schedule SET cursor_at = :cursor_at, next_run_at = :next_run_at WHERE id = :id",
            id=schedule.id,
            cursor_at=cursor_at,
            next_run_at=next_run_at,
        )

    async def execute(self, statement: str, **parameters: Any) -> None:
        """Write behind the services' back."""
        async with self.runtime.database.transaction() as transaction:
            await transaction.execute(text(statement), parameters)

    async def now(self) -> datetime:
        """Return PostgreSQL's clock."""
        async with self.runtime.database.reading(PROJECT) as connection:
            found: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
        return found


def at(value: str) -> datetime:
    """Return an instant."""
    return datetime.fromisoformat(value)


MICROSECOND = timedelta(microseconds=1)
