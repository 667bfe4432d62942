"""Schedules: when to run a job, and the counters of what came of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlmodel import Field, SQLModel

from app.core.vocabulary import (
    CalendarMode,
    CatchUpPolicy,
    DstFoldPolicy,
    DstGapPolicy,
    OverlapPolicy,
    ResumeChoice,
    ScheduleState,
)
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class Schedule(SQLModel, table=True):
    """When to run a job and with which parameters.

    `cursor_at` is the instant up to which every occurrence is accounted for; `next_run_at` the
    nominal instant at which a tick looks at it again. A tick changes only these two,
    `runs_made` and `revision`; everything else is the definition.
    """

    __table_args__ = (
        CheckConstraint("end_at > start_at", name="schedule_window"),
        CheckConstraint("max_runs > 0", name="schedule_max_runs"),
        CheckConstraint("jitter_seconds >= 0", name="schedule_jitter"),
        CheckConstraint("spacing_seconds > 0", name="schedule_spacing"),
        CheckConstraint("overlap_limit > 0", name="schedule_overlap_limit"),
        CheckConstraint("catch_up_rate_per_minute > 0", name="schedule_catch_up_rate"),
        CheckConstraint("probe_after_seconds > 0", name="schedule_probe_after"),
        CheckConstraint("next_run_at > cursor_at", name="schedule_next_after_cursor"),
        CheckConstraint(
            "state = 'ACTIVE' OR next_run_at IS NULL", name="schedule_only_active_is_due"
        ),
        Index(
            "schedule_key",
            "project_id",
            "key",
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
        # What the tick reads; holds active schedules only.
        Index(
            "schedule_due",
            "next_run_at",
            "id",
            postgresql_where=text("next_run_at IS NOT NULL"),
        ),
        # Timed pauses, which the sweep ends.
        # All the others, by state; what fires costs it nothing.
        Index(
            "schedule_aside",
            "state",
            "project_id",
            "id",
            postgresql_where=text("next_run_at IS NULL"),
        ),
        Index(
            "schedule_paused_until",
            "paused_until",
            postgresql_where=text("state = 'PAUSED' AND paused_until IS NOT NULL"),
        ),
        # What may have a window that has ended without a tick to notice.
        Index(
            "schedule_paused_window",
            "end_at",
            postgresql_where=text(
                "state = 'PAUSED' AND paused_until IS NULL AND end_at IS NOT NULL"
            ),
        ),
        # Probes, which the sweep lets through, and whose outcome it looks for.
        Index(
            "schedule_probe",
            "probe_at",
            postgresql_where=text("state = 'PAUSED' AND probe_at IS NOT NULL"),
        ),
        Index("schedule_list", "project_id", "id"),
        # Those that retention removes for good.
        Index("schedule_archived", "archived_at", postgresql_where=text("archived_at IS NOT NULL")),
        Index("schedule_of_job", "job_id", "id"),
        Index(
            "schedule_same_definition",
            "project_id",
            "definition_hash",
            postgresql_where=text("archived_at IS NULL"),
        ),
        # Whose next instants an edit of a calendar moves; the others are not in it.
        Index(
            "schedule_calendars",
            "calendar_ids",
            postgresql_using="gin",
            postgresql_where=text("calendar_ids <> '{}'"),
        ),
        # Those whose last edit was to take effect later.
        Index(
            "schedule_turn",
            "effective_from",
            postgresql_where=text("effective_from IS NOT NULL"),
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID = Field(foreign_key="project.id")
    job_id: UUID = Field(foreign_key="job.id")
    key: str = Field(max_length=200)
    name: str = Field(max_length=200)
    description: str | None = None
    version: int = 1
    revision: int = 1
    created_at: datetime = Field(sa_type=Instant)
    updated_at: datetime = Field(sa_type=Instant)
    archived_at: datetime | None = Field(default=None, sa_type=Instant)
    created_by: ActorRecord | None = Field(default=None, sa_type=Json)
    updated_by: ActorRecord | None = Field(default=None, sa_type=Json)
    owner: ActorRecord | None = Field(default=None, sa_type=Json)

    state: ScheduleState = Field(
        default=ScheduleState.ACTIVE, sa_type=word_type(ScheduleState, "schedule_state")
    )
    state_reason: str | None = None
    paused_at: datetime | None = Field(default=None, sa_type=Instant)
    paused_by: ActorRecord | None = Field(default=None, sa_type=Json)
    paused_until: datetime | None = Field(default=None, sa_type=Instant)
    resume_with: ResumeChoice | None = Field(
        default=None, sa_type=word_type(ResumeChoice, "schedule_resume_with")
    )
    # Of one that paused itself and has a probe: when one run is let through; once that has been
    # queued, which it is.
    probe_at: datetime | None = Field(default=None, sa_type=Instant)
    probe_run_id: UUID | None = None
    last_error: dict[str, Any] | None = Field(default=None, sa_type=Json)

    # The stored form of core.time's timings.
    timings: list[dict[str, Any]] = Field(sa_type=Json)
    timezone: str = Field(max_length=100)
    dst_gap: DstGapPolicy = Field(
        default=DstGapPolicy.RUN_AT_GAP_END, sa_type=word_type(DstGapPolicy, "schedule_dst_gap")
    )
    dst_fold: DstFoldPolicy = Field(
        default=DstFoldPolicy.FIRST, sa_type=word_type(DstFoldPolicy, "schedule_dst_fold")
    )
    # Which calendars exclude or move its occurrences, and what becomes of those.
    calendar_ids: list[UUID] = Field(
        default_factory=list, sa_type=ARRAY(Uuid), sa_column_kwargs={"server_default": text("'{}'")}
    )
    calendar_mode: CalendarMode = Field(
        default=CalendarMode.EXCLUDE,
        sa_type=word_type(CalendarMode, "schedule_calendar_mode"),
        sa_column_kwargs={"server_default": "EXCLUDE"},
    )
    # An edit may say from when its timing holds; until then the timing before it does, which is
    # kept here as the columns of this table that decide when it fires.
    effective_from: datetime | None = Field(default=None, sa_type=Instant)
    timing_before: dict[str, Any] | None = Field(default=None, sa_type=Json)
    # Instants at which the timing is due and nothing fires: what would be due has been recorded
    # before, at another instant, because a calendar, the zone rules or an edit moved it. In order.
    passed_over: list[datetime] = Field(
        default_factory=list,
        sa_type=ARRAY(Instant),
        sa_column_kwargs={"server_default": text("'{}'")},
    )
    start_at: datetime | None = Field(default=None, sa_type=Instant)
    end_at: datetime | None = Field(default=None, sa_type=Instant)
    max_runs: int | None = None
    jitter_seconds: float = 0.0
    # The least distance between the starts of two runs.
    spacing_seconds: float | None = None
    overlap: OverlapPolicy = Field(
        default=OverlapPolicy.SKIP, sa_type=word_type(OverlapPolicy, "schedule_overlap")
    )
    # How many runs QUEUE_ALL lets wait.
    overlap_limit: int | None = None
    catch_up: CatchUpPolicy = Field(
        default=CatchUpPolicy.LATEST, sa_type=word_type(CatchUpPolicy, "schedule_catch_up")
    )
    catch_up_window_seconds: float = 900.0
    catch_up_limit: int = 100
    catch_up_rate_per_minute: int | None = None
    pause_after_failures: int | None = None
    # How long after it paused itself one run is let through to see whether it works again.
    probe_after_seconds: float | None = None
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    # Without one, the job's.
    priority: int | None = None
    tags: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    # SHA-256 over job, timings, zone and parameters: finds the same schedule made twice.
    definition_hash: str = Field(max_length=64)

    # Whether a tick has to look for overrides: some wait, or lie beyond the cursor.
    has_overrides: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    cursor_at: datetime = Field(sa_type=Instant)
    next_run_at: datetime | None = Field(default=None, sa_type=Instant)
    runs_made: int = 0
    # When a run of it last started; kept only while it has a spacing.
    last_start_at: datetime | None = Field(default=None, sa_type=Instant)


class ScheduleSearch(SQLModel, table=True):
    """What schedules are found by, of their definitions; PostgreSQL writes it (a trigger).

    A table of its own: a tick changes each schedule that fires, and writes it anew into every index
    that the schedule has. Of these it knows nothing.
    """

    __tablename__ = "schedule_search"
    __table_args__ = (
        Index("schedule_name", "project_id", "name", "schedule_id"),
        Index("schedule_words", "words", "facets", postgresql_using="gin"),
    )

    schedule_id: UUID = Field(primary_key=True, foreign_key="schedule.id", ondelete="CASCADE")
    project_id: UUID
    name: str = Field(max_length=200)
    # Those of key, name, description and tags.
    words: Any = Field(sa_type=TSVECTOR, nullable=False)
    # Its tags, its zone and the kinds of its timings: `facet_of_tag` and the like write them.
    facets: list[str] = Field(sa_type=ARRAY(Text), nullable=False)


class ScheduleCounters(SQLModel, table=True):
    """What came of a schedule's runs; written by the batches that finish runs, never by the tick.

    A table of its own, so that finishing a run does not wait for a tick that holds the schedule.
    """

    __tablename__ = "schedule_counters"
    # One success after another touches neither. `last_run_at` has none: every run changes it.
    __table_args__ = (
        Index("schedule_failures", "failure_count", "schedule_id"),
        Index("schedule_failing", "schedule_id", postgresql_where=text("consecutive_failures > 0")),
    )

    schedule_id: UUID = Field(primary_key=True, foreign_key="schedule.id")
    # Added to the schedule's own: the public revision counts changes of both rows.
    revision: int = 0
    run_count: int = 0
    success_count: int = 0
    failure_count: int = 0
    skip_count: int = 0
    miss_count: int = 0
    consecutive_failures: int = 0
    last_run_at: datetime | None = Field(default=None, sa_type=Instant)
    last_run_id: UUID | None = None
    # The occurrence of the newest success: where incremental work goes on.
    last_success_for: datetime | None = Field(default=None, sa_type=Instant)
