"""Schedules."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.clock import utc_now
from app.core.errors import Invalid
from app.core.ids import Kind
from app.core.time import timing_from_json
from app.core.vocabulary import (
    CalendarMode,
    CatchUpPolicy,
    DstFoldPolicy,
    DstGapPolicy,
    OverlapPolicy,
    Role,
    ScheduleState,
)
from app.models import Job as JobRow
from app.models import Schedule as ScheduleRow
from app.models import ScheduleCounters
from app.schema.connections import DEFAULT_SIZE, Window, page_info
from app.schema.context import Context, Info
from app.schema.ids import to_id
from app.schema.inputs.arguments import After, First
from app.schema.inputs.filters import RunFilter, ScheduleFilter, ScheduleOrder, schedule_order
from app.schema.inputs.statistics import Window as StatsWindow
from app.schema.inputs.statistics import window_of
from app.schema.relations import UNKNOWN, Relation, at_first, attributes_of, follows, lazily
from app.schema.scalars import TimeZone
from app.schema.types.calendars import Calendar
from app.schema.types.common import Actor, Count, Node, PageInfo, Permission, Tag
from app.schema.types.explanations import Explanation
from app.schema.types.overrides import OccurrenceOverride
from app.schema.types.runs import Run, RunConnection, RunError
from app.schema.types.scheduler import Lateness
from app.schema.types.statistics import RunStats
from app.schema.types.timings import Occurrence, Timing, timing_of
from app.schema.types.versions import ScheduleVersionConnection
from app.services.access import Principal
from app.services.conflicts import Stretch, find_conflicts_of
from app.services.schedules.timetables import Calendars, calendar_ids_of, known_calendars
from app.services.schedules.upcoming import next_run, upcoming_occurrences
from app.services.schedules.why_not import explain_instant
from app.store import filters as store
from app.store.instants import read_now
from app.store.pages import SortKey
from app.store.schedules import (
    ScheduleList,
    ScheduleRecord,
    count_schedules,
    page_schedules,
)
from app.store.statistics import Of

if TYPE_CHECKING:
    from app.schema.types.jobs import Job
    from app.schema.types.previews import Conflict

_WEEK = timedelta(days=7)
_MOST_UPCOMING = 500


@strawberry.type(description="What the caller may do with a schedule.")
class SchedulePermissions:
    """Permissions."""

    update: Permission = strawberry.field(description="Change its definition.")
    pause: Permission = strawberry.field(description="Pause it, or resume it.")
    trigger: Permission = strawberry.field(description="Run it now.")
    archive: Permission = strawberry.field(description="End it for good.")

    @classmethod
    def of(cls, principal: Principal, state: ScheduleState) -> "SchedulePermissions":
        """Return what this caller may do in this state."""
        archived = "The schedule is archived." if state is ScheduleState.ARCHIVED else None
        over = (ScheduleState.COMPLETED, ScheduleState.EXPIRED)
        ended = "The schedule does not fire any more." if state in over else archived
        return cls(
            update=Permission.of(principal, Role.EDITOR, obstacle=archived),
            pause=Permission.of(principal, Role.OPERATOR, obstacle=ended),
            trigger=Permission.of(principal, Role.OPERATOR, obstacle=archived),
            archive=Permission.of(principal, Role.EDITOR, obstacle=archived),
        )


def _show_job(row: JobRow | None, _: Context) -> "Job":
    from app.schema.types.jobs import Job

    assert row is not None, "a job outlives its schedules"
    return Job.of(row)


_JOB: Relation["Schedule", "Job"] = Relation(
    lambda loaders: loaders.jobs, lambda schedule: schedule.record.schedule.job_id, _show_job
)
_LAST_RUN: Relation["Schedule", Run | None] = Relation(
    lambda loaders: loaders.runs,
    lambda schedule: schedule.record.counters.last_run_id,
    lambda row, _: None if row is None else Run.of(row),
)


def _is_as_planned(schedule: ScheduleRow) -> bool:
    """Return whether the stored instant holds: nothing excludes or moves it."""
    if schedule.next_run_at is None:
        return True
    follows_calendars = bool(schedule.calendar_ids) or schedule.timing_before is not None
    return not schedule.has_overrides and not follows_calendars


def _planned_next_run(schedule: "Schedule") -> Any:
    row = schedule.record.schedule
    return row.next_run_at if _is_as_planned(row) else UNKNOWN


_READS: dict[str, Callable[[Any], Any]] = {
    **attributes_of(
        "record.schedule",
        "key",
        "name",
        "description",
        "version",
        "created_at",
        "updated_at",
        "state",
        "state_reason",
        "paused_at",
        "paused_until",
        "dst_gap",
        "dst_fold",
        "start_at",
        "end_at",
        "calendar_mode",
        "effective_from",
        "max_runs",
        "overlap",
        "overlap_limit",
        "catch_up",
        "catch_up_limit",
        "catch_up_rate_per_minute",
        "pause_after_failures",
        "priority",
    ),
    **attributes_of(
        "record.counters",
        "last_run_at",
        "run_count",
        "success_count",
        "failure_count",
        "skip_count",
        "miss_count",
        "consecutive_failures",
    ),
    "id": lambda shown: to_id(Kind.SCHEDULE, shown.record.schedule.id),
    "revision": lambda shown: shown.record.revision,
    "created_by": lambda shown: Actor.of(shown.record.schedule.created_by),
    "updated_by": lambda shown: Actor.of(shown.record.schedule.updated_by),
    "owner": lambda shown: Actor.of(shown.record.schedule.owner),
    "paused_by": lambda shown: Actor.of(shown.record.schedule.paused_by),
    "last_error": lambda shown: RunError.of(shown.record.schedule.last_error),
    "timezone": lambda shown: TimeZone(shown.record.schedule.timezone),
    "jitter": lambda shown: timedelta(seconds=shown.record.schedule.jitter_seconds),
    "spacing": lambda shown: _duration(shown.record.schedule.spacing_seconds),
    "catch_up_window": lambda shown: timedelta(
        seconds=shown.record.schedule.catch_up_window_seconds
    ),
    "probe_after": lambda shown: _duration(shown.record.schedule.probe_after_seconds),
    "parameters": lambda shown: JSON(shown.record.schedule.parameters),
    "tags": lambda shown: Tag.list_of(shown.record.schedule.tags),
    "success_rate": lambda shown: _rate(
        shown.record.counters.success_count, shown.record.counters.run_count
    ),
}


@lazily(_READS)
@strawberry.type(description="When to run a job and with which parameters.")
class Schedule(Node):
    """A schedule."""

    key: str = strawberry.field(description="Unique among the project's schedules.")
    name: str = strawberry.field(description="For people.")
    description: str | None = strawberry.field(description="What it is for.")
    version: int = strawberry.field(description="Counts definitions: the edit lock.")
    revision: int = strawberry.field(description="Counts any change.")
    created_at: datetime = strawberry.field(description="When it was created.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    created_by: Actor | None = strawberry.field(description="Who created it.")
    updated_by: Actor | None = strawberry.field(description="Who changed its definition last.")
    owner: Actor | None = strawberry.field(description="Whom its runs act as.")
    state: ScheduleState = strawberry.field(description="Whether it fires, and if not, why.")
    state_reason: str | None = strawberry.field(description="The reason of the state in words.")
    paused_at: datetime | None = strawberry.field(description="Since when it is paused.")
    paused_by: Actor | None = strawberry.field(description="Who paused it.")
    paused_until: datetime | None = strawberry.field(description="When the pause ends by itself.")
    last_error: RunError | None = strawberry.field(description="Why it could not be planned.")
    timezone: TimeZone = strawberry.field(description="The zone its local times are in.")
    dst_gap: DstGapPolicy = strawberry.field(
        description="What happens at local times that do not exist."
    )
    dst_fold: DstFoldPolicy = strawberry.field(
        description="What happens at local times that come twice."
    )
    start_at: datetime | None = strawberry.field(description="It fires from here on, inclusive.")
    end_at: datetime | None = strawberry.field(description="It fires up to here, inclusive.")
    calendar_mode: CalendarMode = strawberry.field(
        description="What becomes of occurrences that a calendar excludes."
    )
    effective_from: datetime | None = strawberry.field(
        description="From when on its timings hold, where an edit has said so."
    )
    max_runs: int | None = strawberry.field(description="How many scheduled runs it makes.")
    jitter: timedelta = strawberry.field(description="Its runs are delayed by up to this.")
    spacing: timedelta | None = strawberry.field(
        description="A scheduled run is skipped that would start sooner after another run of it."
    )
    overlap: OverlapPolicy = strawberry.field(description="What happens while a run is busy.")
    overlap_limit: int | None = strawberry.field(
        description="How many runs QUEUE_ALL lets wait, if not 1,000."
    )
    catch_up: CatchUpPolicy = strawberry.field(description="What happens after an outage.")
    catch_up_window: timedelta = strawberry.field(description="How late a run may still be.")
    catch_up_limit: int = strawberry.field(description="How many missed ones run at most.")
    catch_up_rate_per_minute: int | None = strawberry.field(
        description="How many of the missed ones start a minute, if not all at once."
    )
    pause_after_failures: int | None = strawberry.field(
        description="It pauses itself after so many failures in a row."
    )
    probe_after: timedelta | None = strawberry.field(
        description="How long after it paused itself one run is let through, to see whether it "
        "works again."
    )
    parameters: JSON = strawberry.field(description="Put over those of the job.")
    priority: int | None = strawberry.field(description="Instead of the job's.")
    tags: list[Tag] = strawberry.field(description="Labels; runs carry them, too.")
    last_run_at: datetime | None = strawberry.field(description="When a run last ended.")
    run_count: int = strawberry.field(description="How many runs have ended.")
    success_count: int = strawberry.field(description="How many succeeded.")
    failure_count: int = strawberry.field(description="How many failed.")
    skip_count: int = strawberry.field(description="How many were skipped.")
    miss_count: int = strawberry.field(description="How many were missed.")
    consecutive_failures: int = strawberry.field(description="How many failed since a success.")
    success_rate: float | None = strawberry.field(description="Successes by ended runs.")
    record: strawberry.Private[ScheduleRecord]
    principal: strawberry.Private[Principal]

    @strawberry.field(description="What it runs.")
    @follows(_JOB)
    async def job(self, info: Info) -> Annotated["Job", strawberry.lazy("app.schema.types.jobs")]:
        """Load the job."""
        return await _JOB.follow(self, info)

    @strawberry.field(description="Its rules.")
    def timings(self) -> list[Timing]:
        """Read the stored timings."""
        schedule = self.record.schedule
        return [timing_of(timing_from_json(each), schedule.timezone) for each in schedule.timings]

    @strawberry.field(description="The calendars whose days it leaves out, or moves away from.")
    async def calendars(self, info: Info) -> list[Calendar]:
        """Load the calendars."""
        ids = self.record.schedule.calendar_ids
        rows = await info.context.loaders.calendars.load_many(ids)
        return [Calendar.of(row) for row in rows if row is not None]

    @strawberry.field(description="The next instant at which it runs, before jitter.")
    @at_first(_planned_next_run)
    async def next_run_at(self, info: Info) -> datetime | None:
        """Return the next instant that no calendar excludes and nobody skips."""
        schedule = self.record.schedule
        if _is_as_planned(schedule):
            return schedule.next_run_at
        calendars = await _calendars_of(info, schedule)
        overrides = await info.context.loaders.overrides.load(schedule.id)
        return next_run(schedule, calendars, overrides or ())

    @strawberry.field(description="Its last run that ended.")
    @follows(_LAST_RUN)
    async def last_run(self, info: Info) -> Run | None:
        """Load the run."""
        return await _LAST_RUN.follow(self, info)

    @strawberry.field(description="Its next occurrences, as long as nobody changes it.")
    async def upcoming(
        self,
        info: Info,
        first: Annotated[
            int | None, strawberry.argument(description="How many; at most 500.")
        ] = 10,
        from_: Annotated[
            datetime | None, strawberry.argument(name="from", description="Later than this; now.")
        ] = None,
        until: Annotated[
            datetime | None, strawberry.argument(description="Not later than this.")
        ] = None,
    ) -> list[Occurrence]:
        """Compute them."""
        first = 10 if first is None else first
        if not 0 <= first <= _MOST_UPCOMING:
            raise Invalid(f"first lies between 0 and {_MOST_UPCOMING}.", path=("first",))
        schedule = self.record.schedule
        overrides = await info.context.loaders.overrides.load(schedule.id)
        found = upcoming_occurrences(
            schedule,
            await _calendars_of(info, schedule),
            after=from_ or utc_now(),
            until=until,
            limit=first,
            overrides=overrides or (),
        )
        return [Occurrence.of(occurrence, schedule=self) for occurrence in found]

    @strawberry.field(description="Where it gets into its own way, or that of its job's others.")
    async def conflicts(
        self,
        info: Info,
        horizon: Annotated[
            timedelta | None, strawberry.argument(description="How far to look; at most a year.")
        ] = _WEEK,
    ) -> list[Annotated["Conflict", strawberry.lazy("app.schema.types.previews")]]:
        """Look for conflicts."""
        from app.schema.types.previews import Conflict

        if self.record.schedule.next_run_at is None:
            return []
        async with info.context.reading() as connection:
            stretch = Stretch.of(await read_now(connection), horizon or _WEEK)
            found = await find_conflicts_of(connection, self.record.schedule, stretch)
        return [Conflict.of(conflict) for conflict in found]

    @strawberry.field(description="Run, skip or miss of each occurrence: the decision ledger.")
    async def runs(
        self,
        info: Info,
        first: First = DEFAULT_SIZE,
        after: After = None,
        filter: Annotated[RunFilter | None, strawberry.argument(description="Which ones.")] = None,
    ) -> RunConnection:
        """Return one page."""
        return await RunConnection.read(
            info.context,
            Window(first, after),
            narrowed=filter,
            schedule_id=self.record.schedule.id,
        )

    @strawberry.field(
        description="What happened, or will happen, at this instant, and why: from its runs and "
        "records, and from what the schedule was then."
    )
    async def why_not(
        self,
        info: Info,
        at: Annotated[datetime, strawberry.argument(description="Any instant, past or future.")],
    ) -> Explanation:
        """Explain."""
        async with info.context.reading() as connection:
            return Explanation.of(await explain_instant(connection, self.record.schedule, at))

    @strawberry.field(
        description="Single occurrences that somebody skipped, moved or added, the earliest "
        "first; of many, the last 200."
    )
    async def overrides(self, info: Info) -> list[OccurrenceOverride]:
        """Load them."""
        rows = await info.context.loaders.overrides.load(self.record.schedule.id)
        return [OccurrenceOverride.of(row) for row in rows or ()]

    @strawberry.field(description="What it was before, the newest first: who changed it, and why.")
    async def versions(
        self, info: Info, first: First = DEFAULT_SIZE, after: After = None
    ) -> ScheduleVersionConnection:
        """Return one page."""
        return await ScheduleVersionConnection.read(
            info.context, Window(first, after), schedule_id=self.record.schedule.id
        )

    @strawberry.field(description="What the caller may do with it.")
    def permissions(self) -> SchedulePermissions:
        """Judge by role and state."""
        return SchedulePermissions.of(self.principal, self.state)

    @strawberry.field(
        description="How late its runs started, over its 200 newest records; null: none has."
    )
    async def lateness(self, info: Info) -> Lateness | None:
        """Load it."""
        return Lateness.of(await info.context.loaders.lateness.load(self.record.schedule.id))

    @strawberry.field(description="What became of its runs in a window.")
    async def stats(self, info: Info, window: StatsWindow = None) -> RunStats:
        """Load them."""
        key = (Of.SCHEDULE, self.record.schedule.id, window_of(window))
        return RunStats.of(await info.context.loaders.run_statistics.load(key))

    @classmethod
    def of(cls, record: ScheduleRecord, principal: Principal) -> "Schedule":
        """Return the public form."""
        shown = cls.__new__(cls)
        shown.record, shown.principal = record, principal
        return shown


async def _calendars_of(info: Info, schedule: ScheduleRow) -> Calendars:
    ids = sorted(calendar_ids_of(schedule.model_dump()))
    rows = await info.context.loaders.calendars.load_many(ids)
    return known_calendars(row for row in rows if row is not None)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@strawberry.type(description="A schedule in a list.")
class ScheduleEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: Schedule = strawberry.field(description="The schedule.")


@strawberry.type(description="One page of schedules.")
class ScheduleConnection:
    """A connection."""

    edges: list[ScheduleEdge] = strawberry.field(description="The schedules with their positions.")
    nodes: list[Schedule] = strawberry.field(description="The schedules.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    listed: strawberry.Private[ScheduleList]

    @strawberry.field(description="How many there are.")
    async def total_count(
        self,
        info: Info,
        cap: Annotated[int | None, strawberry.argument(description="Count no further.")] = 10_000,
    ) -> Count:
        """Count up to the cap."""
        async with info.context.reading() as connection:
            value, exact = await count_schedules(connection, self.listed, Count.bounded(cap))
        return Count(value=value, exact=exact)

    @classmethod
    async def read(
        cls,
        context: Context,
        window: Window,
        *,
        narrowed: ScheduleFilter | None,
        order: ScheduleOrder | None = None,
        search: str | None = None,
        job_id: UUID | None = None,
    ) -> "ScheduleConnection":
        """Return one page, the newest first unless ordered otherwise."""
        name, stored_order = schedule_order(order)
        whole = store.ScheduleFilter(
            job_id=job_id, all_of=() if narrowed is None else (narrowed.read(),)
        )
        listed = ScheduleList(context.principal.project_id, whole, search)
        async with context.reading() as connection:
            page = await page_schedules(connection, listed, stored_order, window.request(name))
        column = stored_order.column
        cursors, info = page_info(
            page, name, lambda record: SortKey(_value_of(record, column), record.schedule.id)
        )
        nodes = [Schedule.of(record, context.principal) for record in page.items]
        edges = [
            ScheduleEdge(cursor=cursor, node=node)
            for cursor, node in zip(cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=info, listed=listed)


def _value_of(record: ScheduleRecord, column: Any) -> Any:
    if column is None:
        return None
    row = record.counters if column.class_ is ScheduleCounters else record.schedule
    return getattr(row, column.key)
