"""Queries that look ahead: previews, upcoming occurrences, forecasts, conflicts, presets."""

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from app.core.errors import LimitExceeded, TickwheelError
from app.core.ids import Kind
from app.core.time import CRON_PRESETS, known_timezones
from app.core.vocabulary import ResumeChoice, Severity
from app.schema.context import Info
from app.schema.ids import from_id
from app.schema.inputs.filters import ScheduleFilter
from app.schema.inputs.schedules import ScheduleFieldsInput
from app.schema.scalars import TimeZone
from app.schema.types.cron import CronPreset
from app.schema.types.previews import (
    Conflict,
    ConflictReport,
    Forecast,
    ResumePlan,
    ScheduleChangePreview,
    SchedulePreview,
    UpcomingOccurrences,
)
from app.schema.types.schedules import Schedule
from app.schema.types.timings import Occurrence
from app.services.conflicts import Stretch, find_conflicts
from app.services.outlook import Question, read_forecast, read_upcoming
from app.services.previews import (
    ChangePreview,
    Preview,
    PreviewQuestion,
    plan_resume,
    preview_change,
    preview_schedule,
)
from app.services.schedules import ScheduleFields
from app.store.instants import read_now

_WEEK = timedelta(days=7)
_MONTH = timedelta(days=30)
_HOUR = timedelta(hours=1)
_USUALLY_PREVIEWED, _USUALLY_LISTED = 20, 500
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

From = Annotated[
    datetime | None, strawberry.argument(name="from", description="Later than this; now.")
]
Until = Annotated[datetime | None, strawberry.argument(description="Not later than this.")]
Fields = Annotated[ScheduleFieldsInput, strawberry.argument(description="What it is to be.")]
Horizon = Annotated[
    timedelta | None, strawberry.argument(description="How far to look; at most a year.")
]
LeastSeverity = Annotated[
    Severity | None, strawberry.argument(description="Leave out what matters less.")
]
Narrowed = Annotated[ScheduleFilter | None, strawberry.argument(description="Of which schedules.")]
Limit = Annotated[int | None, strawberry.argument(description="How many; at most 1,000.")]


@strawberry.type
class PreviewQueries:
    """Reads."""

    @strawberry.field(description="What a schedule would do if it were created now.")
    async def schedule_preview(
        self,
        info: Info,
        fields: Fields,
        job_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="What it is to run: conflicts need to know."),
        ] = None,
        key: Annotated[
            str | None, strawberry.argument(description="Its key, for H and jitter.")
        ] = None,
        from_: From = None,
        until: Until = None,
        count: Annotated[
            int | None, strawberry.argument(description="How many; at most 500.")
        ] = _USUALLY_PREVIEWED,
    ) -> SchedulePreview:
        """Preview a creation."""
        try:
            given = _read(fields)
        except TickwheelError as error:
            return SchedulePreview.of(Preview(errors=[error]))
        question = PreviewQuestion(
            fields=given,
            job_id=None if job_id is None else from_id(Kind.JOB, job_id, "jobId"),
            key=key,
            after=from_,
            until=until,
            count=_USUALLY_PREVIEWED if count is None else count,
        )
        context = info.context
        async with context.reading() as connection:
            preview = await preview_schedule(
                context.runtime, connection, context.principal, question
            )
        return SchedulePreview.of(preview)

    @strawberry.field(description="What an edit of a schedule would change.")
    async def schedule_change_preview(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which schedule.")],
        fields: Fields,
        effective_from: Annotated[
            datetime | None, strawberry.argument(description="It fires as before until then.")
        ] = None,
        horizon: Horizon = _MONTH,
    ) -> ScheduleChangePreview:
        """Preview an edit."""
        context = info.context
        try:
            given = _read(fields)
        except TickwheelError as error:
            return ScheduleChangePreview.of(ChangePreview(errors=[error]))
        async with context.reading() as connection:
            preview = await preview_change(
                context.runtime,
                connection,
                context.principal,
                from_id(Kind.SCHEDULE, id, "id"),
                given,
                effective_from=effective_from,
                horizon=_MONTH if horizon is None else horizon,
            )
        return ScheduleChangePreview.of(preview)

    @strawberry.field(description="What resuming a schedule now would do with what it missed.")
    async def resume_plan(
        self,
        info: Info,
        schedule_id: Annotated[strawberry.ID, strawberry.argument(description="Which schedule.")],
        missed: Annotated[
            ResumeChoice, strawberry.argument(description="What is to become of them.")
        ] = ResumeChoice.SKIP,
    ) -> ResumePlan:
        """Plan."""
        wanted = from_id(Kind.SCHEDULE, schedule_id, "scheduleId")
        async with info.context.reading() as connection:
            plan = await plan_resume(connection, info.context.principal.project_id, wanted, missed)
        return ResumePlan.of(plan)

    @strawberry.field(
        description="The next occurrences over all schedules, the earliest first, with what was "
        "moved or added by hand where it runs; `willRun` is false for what a calendar excludes or "
        "somebody skips. A bounded read whose list cannot say that a bound was reached: "
        "`upcomingOccurrences` can, by `truncated`."
    )
    async def upcoming(
        self,
        info: Info,
        from_: From = None,
        until: Until = None,
        filter: Narrowed = None,
        limit: Limit = _USUALLY_LISTED,
    ) -> list[Occurrence]:
        """Return the occurrences alone."""
        return (await _upcoming(info, from_, until, filter, limit)).occurrences

    @strawberry.field(description="As `upcoming`, and by `truncated` whether that is all.")
    async def upcoming_occurrences(
        self,
        info: Info,
        from_: From = None,
        until: Until = None,
        filter: Narrowed = None,
        limit: Limit = _USUALLY_LISTED,
    ) -> UpcomingOccurrences:
        """Return them with what bounds were reached."""
        return await _upcoming(info, from_, until, filter, limit)

    @strawberry.field(
        description="How many occurrences and how much work lie ahead, after what was skipped, "
        "moved or added by hand. A bounded read: see `truncated`."
    )
    async def forecast(
        self,
        info: Info,
        from_: Annotated[
            datetime | None,
            strawberry.argument(name="from", description="Where it begins; the present bucket."),
        ] = None,
        until: Annotated[
            datetime | None, strawberry.argument(description="Where it ends; a week later.")
        ] = None,
        bucket: Annotated[
            timedelta | None, strawberry.argument(description="How long each stretch is.")
        ] = _HOUR,
    ) -> Forecast:
        """Count."""
        bucket = _HOUR if bucket is None else bucket
        if bucket < timedelta(minutes=1):
            raise LimitExceeded("A bucket lasts at least a minute.", path=("bucket",))
        async with info.context.reading() as connection:
            as_of = await read_now(connection)
            start = from_ or as_of - (as_of - _EPOCH) % bucket
            forecast = await read_forecast(
                connection,
                info.context.principal.project_id,
                start=start,
                until=until or start + _WEEK,
                bucket=bucket,
                counted_from=start if from_ else as_of,
            )
        return Forecast.of(forecast)

    @strawberry.field(
        description="Schedules that get into each other's way, the worst first. A bounded read "
        "whose list cannot say that a bound was reached: `conflictReport` can, by `truncated`."
    )
    async def conflicts(
        self,
        info: Info,
        horizon: Horizon = _WEEK,
        min_severity: LeastSeverity = Severity.WARNING,
    ) -> list[Conflict]:
        """Return the conflicts alone."""
        return (await _conflicts(info, horizon, min_severity)).conflicts

    @strawberry.field(description="As `conflicts`, and by `truncated` whether that is all.")
    async def conflict_report(
        self,
        info: Info,
        horizon: Horizon = _WEEK,
        min_severity: LeastSeverity = Severity.WARNING,
    ) -> ConflictReport:
        """Return them with what bounds were reached."""
        return await _conflicts(info, horizon, min_severity)

    @strawberry.field(description="Ready-made expressions to begin with.")
    def cron_presets(self) -> list[CronPreset]:
        """List them."""
        return [
            CronPreset(name=preset.name, expression=preset.expression) for preset in CRON_PRESETS
        ]

    @strawberry.field(description="Every zone that is accepted.")
    def timezones(
        self,
        search: Annotated[
            str | None, strawberry.argument(description="A part of the name, in any case.")
        ] = None,
    ) -> list[TimeZone]:
        """Search by a part of the name."""
        wanted = (search or "").strip().replace(" ", "_").casefold()
        return [TimeZone(name) for name in known_timezones() if wanted in name.casefold()]


async def _upcoming(
    info: Info,
    after: datetime | None,
    until: datetime | None,
    narrowed: ScheduleFilter | None,
    limit: int | None,
) -> UpcomingOccurrences:
    principal = info.context.principal
    async with info.context.reading() as connection:
        as_of = await read_now(connection)
        after = max(after or as_of, as_of)
        found = await read_upcoming(
            connection,
            principal.project_id,
            Question(
                after,
                until or after + _WEEK,
                _USUALLY_LISTED if limit is None else limit,
                None if narrowed is None else narrowed.read(),
            ),
            as_of=as_of,
        )
    return UpcomingOccurrences(
        occurrences=[
            Occurrence.of(each.occurrence, schedule=Schedule.of(each.record, principal))
            for each in found.planned
        ],
        truncated=found.truncated,
        elapsed_seconds=found.elapsed_seconds,
    )


def _read(fields: ScheduleFieldsInput) -> ScheduleFields:
    """Read what a schedule is to be; what is wrong with it says where under `fields`."""
    try:
        return fields.read()
    except TickwheelError as error:
        error.under("fields")
        raise


async def _conflicts(
    info: Info, horizon: timedelta | None, least: Severity | None
) -> ConflictReport:
    async with info.context.reading() as connection:
        stretch = Stretch.of(await read_now(connection), _WEEK if horizon is None else horizon)
        found = await find_conflicts(
            connection,
            info.context.principal.project_id,
            stretch,
            least=least or Severity.INFO,
        )
    return ConflictReport(
        conflicts=[Conflict.of(conflict) for conflict in found.found],
        truncated=found.truncated,
        elapsed_seconds=found.elapsed_seconds,
    )
