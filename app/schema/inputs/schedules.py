"""Inputs about schedules."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind, split_id
from app.core.time import CalendarIntervalTiming, CronTiming
from app.core.vocabulary import (
    CalendarMode,
    CalendarUnit,
    CatchUpPolicy,
    DayMatch,
    DstFoldPolicy,
    DstGapPolicy,
    Frequency,
    OccurrenceAction,
    OverlapPolicy,
    ResumeChoice,
    TimeMode,
)
from app.schema.ids import from_id
from app.schema.inputs.filters import TagInput, read_tags
from app.schema.inputs.given import given, optional, read
from app.schema.scalars import LocalDateTime, TimeZone
from app.services.schedules import (
    IntervalRequest,
    OnceRequest,
    OverrideRequest,
    ScheduleFields,
    ScheduleRequest,
    TimingRequest,
)

_WHICH = "Which schedule."
_EXPECTED = "Refuse when it has another version."
_KEY = "Repeat a request with it safely, for 24 hours."


@strawberry.input(description="Whenever a cron expression matches.")
class CronTimingInput:
    """A cron timing."""

    expression: str = strawberry.field(description="5 fields, or 6 with seconds first.")
    day_match: DayMatch | None = strawberry.field(
        default=DayMatch.ANY, description="How the two day fields combine."
    )
    time_mode: TimeMode | None = strawberry.field(
        default=TimeMode.AUTO, description="How it behaves when clocks change."
    )

    def read(self) -> CronTiming:
        """Return the core's form."""
        return CronTiming(
            self.expression, self.day_match or DayMatch.ANY, self.time_mode or TimeMode.AUTO
        )


@strawberry.input(description="Every so much elapsed time.")
class IntervalTimingInput:
    """An interval."""

    every: timedelta = strawberry.field(description="At least a second.")
    anchor: datetime | None = strawberry.field(
        default=None,
        description="An instant it is counted from; the schedule's start or creation.",
    )


@strawberry.input(description="Every so many days, weeks, months or years at a local time.")
class CalendarIntervalTimingInput:
    """A calendar interval."""

    every: int = strawberry.field(description="How many units lie between two.")
    unit: CalendarUnit = strawberry.field(description="The unit.")
    anchor: LocalDateTime = strawberry.field(description="A local time it is counted from.")


@strawberry.input(description="A single instant: exactly one of `at`, `local`.")
class OnceTimingInput:
    """One instant."""

    at: datetime | None = strawberry.field(default=None, description="The instant.")
    local: LocalDateTime | None = strawberry.field(
        default=None, description="A local time in the schedule's zone."
    )
    run_if_past: bool | None = strawberry.field(
        default=False, description="Run at once when it has passed already."
    )


@strawberry.input(one_of=True, description="One rule of a schedule: exactly one of these.")
class TimingInput:
    """A timing."""

    cron: CronTimingInput | None = optional("Whenever a cron expression matches.")
    interval: IntervalTimingInput | None = optional("Every so much elapsed time.")
    calendar_interval: CalendarIntervalTimingInput | None = optional(
        "Every so many days, weeks, months or years at a local time."
    )
    once: OnceTimingInput | None = optional("A single instant.")
    frequency: Frequency | None = optional("One of four everyday cron expressions.")

    def read(self) -> TimingRequest:
        """Return the service's form."""
        if self.cron:
            return self.cron.read()
        if self.interval:
            return IntervalRequest(self.interval.every, self.interval.anchor)
        if self.calendar_interval:
            by = self.calendar_interval
            return CalendarIntervalTiming(by.every, by.unit, by.anchor)
        if self.once:
            once = self.once
            return OnceRequest(once.at, once.local, run_if_past=bool(once.run_if_past))
        assert self.frequency, "oneOf holds"
        return self.frequency


@strawberry.input(
    name="ScheduleFields",
    description="What a schedule may be given. Absent = unchanged or default, null = cleared; "
    "nested values replace whole.",
)
class ScheduleFieldsInput:
    """The fields that create, update and preview share."""

    name: str | None = optional("For people; the key, unless given.")
    description: str | None = optional("What it is for.")
    timings: list[TimingInput] | None = optional("Its rules: 1 to 16.")
    timezone: TimeZone | None = optional("The zone its local times are in.")
    dst_gap: DstGapPolicy | None = optional("At local times that do not exist; RUN_AT_GAP_END.")
    dst_fold: DstFoldPolicy | None = optional("At local times that come twice; FIRST.")
    calendar_ids: list[strawberry.ID] | None = optional(
        "The calendars whose days it leaves out, or moves away from."
    )
    calendar_mode: CalendarMode | None = optional("What an excluded occurrence becomes; EXCLUDE.")
    start_at: datetime | None = optional("It fires from here on, inclusive.")
    end_at: datetime | None = optional("It fires up to here, inclusive.")
    max_runs: int | None = optional("How many scheduled runs it makes.")
    jitter: timedelta | None = optional("Delay its runs by up to this.")
    spacing: timedelta | None = optional(
        "Skip a scheduled run that would start sooner than this after another run of it."
    )
    catch_up_limit: int | None = optional("How many missed ones run at most; 100.")
    catch_up_rate_per_minute: int | None = optional(
        "With catchUp ALL: start so many of the missed ones a minute, not all at once."
    )
    overlap: OverlapPolicy | None = optional("What happens while a run is busy; SKIP.")
    overlap_limit: int | None = optional("With QUEUE_ALL: let so many wait; 1,000.")
    catch_up: CatchUpPolicy | None = optional("What happens after an outage; LATEST.")
    catch_up_window: timedelta | None = optional("How late a run may still be; PT15M.")
    pause_after_failures: int | None = optional("Pause after so many failures in a row.")
    probe_after: timedelta | None = optional(
        "So long after it paused itself, let one run through: its success resumes the schedule, "
        "anything else leaves it paused for as long again."
    )
    parameters: JSON | None = optional("Put over those of the job.")
    priority: int | None = optional("Instead of the job's.")
    tags: list[TagInput] | None = optional("Labels; runs carry them, too.")
    owner_id: strawberry.ID | None = optional(
        "Whom its runs act as: the id of an API token, or your own as `viewer` shows it; null and "
        "at first, its creator. To name somebody else takes ADMIN. What fires is refused once the "
        "owner may not trigger it any more."
    )

    def read(self) -> ScheduleFields:
        """Return the service's form."""
        return ScheduleFields(
            name=given(self.name),
            description=given(self.description),
            timings=read(self.timings, lambda timings: tuple(each.read() for each in timings)),
            timezone=given(self.timezone),
            dst_gap=given(self.dst_gap),
            dst_fold=given(self.dst_fold),
            calendar_ids=read(self.calendar_ids, _calendar_ids),
            calendar_mode=given(self.calendar_mode),
            start_at=given(self.start_at),
            end_at=given(self.end_at),
            max_runs=given(self.max_runs),
            jitter=given(self.jitter),
            spacing=given(self.spacing),
            catch_up_limit=given(self.catch_up_limit),
            catch_up_rate_per_minute=given(self.catch_up_rate_per_minute),
            overlap=given(self.overlap),
            overlap_limit=given(self.overlap_limit),
            catch_up=given(self.catch_up),
            catch_up_window=given(self.catch_up_window),
            pause_after_failures=given(self.pause_after_failures),
            probe_after=given(self.probe_after),
            parameters=given(self.parameters),
            priority=given(self.priority),
            tags=read(self.tags, read_tags),
            owner_id=read(self.owner_id, _owner_id),
        )


@strawberry.input(description="A schedule to create.")
class ScheduleCreateInput:
    """A new schedule."""

    job_id: strawberry.ID = strawberry.field(description="What it runs.")
    key: str = strawberry.field(description="Unique among the project's schedules.")
    paused: bool | None = strawberry.field(default=False, description="Whether it begins paused.")
    fields: ScheduleFieldsInput = strawberry.field(description="What it is to be.")
    allow_duplicate: bool | None = strawberry.field(
        default=False,
        description="Also when another schedule does the same at the same times.",
    )
    template_id: strawberry.ID | None = strawberry.field(
        default=None, description="What counts where nothing is given here."
    )
    template_parameters: JSON | None = strawberry.field(
        default=None, description="What the template leaves open."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)

    def read(self) -> ScheduleRequest:
        """Return the service's form."""
        return ScheduleRequest(
            job_id=from_id(Kind.JOB, self.job_id, "jobId"),
            key=self.key,
            fields=self.fields.read(),
            paused=bool(self.paused),
            allow_duplicate=bool(self.allow_duplicate),
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(description="A change of a schedule.")
class ScheduleUpdateInput:
    """A change."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    expected_version: int | None = strawberry.field(default=None, description=_EXPECTED)
    fields: ScheduleFieldsInput = strawberry.field(description="What it is to be.")
    comment: str | None = strawberry.field(
        default=None, description="Why; kept with the version and in the audit."
    )
    effective_from: datetime | None = strawberry.field(
        default=None,
        description="It fires as before until then; for changes of when it fires only.",
    )


@strawberry.input(description="A pause.")
class SchedulePauseInput:
    """A pause."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    expected_version: int | None = strawberry.field(default=None, description=_EXPECTED)
    reason: str = strawberry.field(description="Why, for those who wonder later.")
    until: datetime | None = strawberry.field(default=None, description="When it ends by itself.")
    resume_with: ResumeChoice | None = strawberry.field(
        default=ResumeChoice.SKIP, description="What the end of the pause does with what it missed."
    )


@strawberry.input(description="The end of a pause or of a quarantine.")
class ScheduleResumeInput:
    """A resumption."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    expected_version: int | None = strawberry.field(default=None, description=_EXPECTED)
    missed: ResumeChoice | None = strawberry.field(
        default=ResumeChoice.SKIP, description="What becomes of the occurrences of the pause."
    )
    drip_per_minute: int | None = strawberry.field(
        default=None, description="How many a minute, with DRIP; 60."
    )


@strawberry.input(description="The end of a schedule.")
class ScheduleArchiveInput:
    """An archiving."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    expected_version: int | None = strawberry.field(default=None, description=_EXPECTED)
    reason: str | None = strawberry.field(default=None, description="Why.")


@strawberry.input(description="A return to an earlier definition.")
class ScheduleRollbackInput:
    """A rollback."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    to_version: int = strawberry.field(description="The version to be like again.")
    expected_version: int = strawberry.field(description=_EXPECTED)
    comment: str | None = strawberry.field(default=None, description="Why.")


@strawberry.input(description="A decision about a single occurrence.")
class OccurrenceOverrideInput:
    """An override."""

    schedule_id: strawberry.ID = strawberry.field(description=_WHICH)
    at: datetime = strawberry.field(
        description="Which occurrence, by its nominal instant; with ADD, an instant that is none."
    )
    action: OccurrenceAction = strawberry.field(description="What becomes of it.")
    move_to: datetime | None = strawberry.field(
        default=None, description="With MOVE: when it runs instead, earlier or later."
    )
    reason: str = strawberry.field(description="Why, for those who wonder later.")

    def read(self) -> OverrideRequest:
        """Return the service's form."""
        return OverrideRequest(self.at, self.action, self.reason, self.move_to)


@strawberry.input(description="A run of a schedule, now.")
class ScheduleTriggerInput:
    """A trigger."""

    id: strawberry.ID = strawberry.field(description=_WHICH)
    parameters: JSON | None = strawberry.field(
        default=None, description="Put over those of the schedule and the job."
    )
    force: bool | None = strawberry.field(
        default=False, description="Also when the schedule does not fire."
    )
    overlap: OverlapPolicy | None = strawberry.field(
        default=None, description="Instead of the schedule's policy."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)

    def read_parameters(self) -> dict[str, Any] | None:
        """Return the parameters as they came; the service checks them."""
        return self.parameters  # type: ignore[return-value] # JSON may be anything


def _calendar_ids(given_ids: list[strawberry.ID]) -> tuple[UUID, ...]:
    return tuple(
        from_id(Kind.CALENDAR, id_, "calendarIds", str(index))
        for index, id_ in enumerate(given_ids)
    )


def _owner_id(given_id: strawberry.ID) -> str:
    """Return the id of an actor; a token may be named as `apiTokens` lists it, too."""
    found = split_id(given_id)
    return str(found[1]) if found is not None and found[0] is Kind.TOKEN else given_id


def schedule_id(given_id: str) -> UUID:
    """Return which schedule."""
    return from_id(Kind.SCHEDULE, given_id, "id")
