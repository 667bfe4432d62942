"""Runs, their attempts and their logs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, text
from sqlmodel import Field, SQLModel

from app.core.vocabulary import OverlapPolicy, RunCause, RunReason, RunState
from app.models.columns import ActorRecord, Instant, Json, new_id, word_type


class Run(SQLModel, table=True):
    """The record of one occurrence, or of one manual, backfill or chained trigger.

    It grows for ever, so every index is partial or earns its keep on each insert.
    """

    __table_args__ = (
        CheckConstraint("finished_at >= started_at", name="run_ends_after_start"),
        CheckConstraint(
            "(state IN ('QUEUED', 'RUNNING')) = (finished_at IS NULL)", name="run_finished_is_over"
        ),
        CheckConstraint(
            "state <> 'RUNNING' OR (fencing_token IS NOT NULL AND lease_expires_at IS NOT NULL"
            " AND started_at IS NOT NULL)",
            name="run_running_has_lease",
        ),
        CheckConstraint("range_end >= scheduled_for", name="run_range"),
        CheckConstraint(
            "chained_from_id IS NULL"
            " OR (chain_id IS NOT NULL AND chain_item IS NOT NULL AND chain_depth > 0)",
            name="run_chained",
        ),
        CheckConstraint(
            "attempt <= max_attempts + crash_count + given_back_count", name="run_attempts"
        ),
        # One record for each occurrence, whoever fires it: what makes a second ticker harmless.
        Index(
            "run_occurrence",
            "schedule_id",
            "scheduled_for",
            unique=True,
            postgresql_where=text("cause IN ('SCHEDULE', 'CATCH_UP')"),
        ),
        # The range that may cover an instant is the last one that begins before it: ranges of a
        # schedule never overlap.
        Index(
            "run_range",
            "schedule_id",
            text("scheduled_for DESC"),
            postgresql_include=["range_end", "id"],
            postgresql_where=text("range_end IS NOT NULL"),
        ),
        # As above, for each backfill.
        Index(
            "run_of_backfill",
            "backfill_id",
            "scheduled_for",
            unique=True,
            postgresql_where=text("backfill_id IS NOT NULL"),
        ),
        # Those of a backfill that have not ended.
        Index(
            "run_busy_backfill",
            "backfill_id",
            "scheduled_for",
            postgresql_where=text("state IN ('QUEUED', 'RUNNING') AND backfill_id IS NOT NULL"),
        ),
        # Further runs of an occurrence: a backfill asks which has succeeded.
        Index(
            "run_again",
            "schedule_id",
            "scheduled_for",
            postgresql_where=text("cause IN ('RERUN', 'BACKFILL')"),
        ),
        # One run for each item of each chain of a run: what makes a second finisher harmless.
        Index(
            "run_of_chain",
            "chained_from_id",
            "chain_id",
            "chain_item",
            unique=True,
            postgresql_where=text("chained_from_id IS NOT NULL"),
        ),
        # What the claim reads: the queue.
        Index(
            "run_queue",
            "tier",
            text("priority DESC"),
            "next_attempt_at",
            "id",
            postgresql_where=text("state = 'QUEUED' AND blocked_at IS NULL"),
        ),
        # Queued runs that wait for their schedule or their job, so that they never crowd the queue.
        Index(
            "run_blocked",
            "schedule_id",
            "job_id",
            postgresql_where=text("state = 'QUEUED' AND blocked_at IS NOT NULL"),
        ),
        # Those of them that wait for their queue, in the order in which it lets them go.
        Index(
            "run_held",
            "queue",
            "tier",
            text("priority DESC"),
            "next_attempt_at",
            "id",
            postgresql_where=text(
                "state = 'QUEUED' AND blocked_at IS NOT NULL AND blocked_on_queue"
            ),
        ),
        # Ranges that were too long to be counted when they were recorded: the sweep counts them.
        # Of damaged timings there is nothing to count.
        Index(
            "run_uncounted",
            "id",
            postgresql_where=text(
                "range_end IS NOT NULL AND range_count IS NULL"
                " AND reason IS DISTINCT FROM 'CIRCUIT_BREAKER'"
            ),
        ),
        # Whether a schedule is busy.
        Index(
            "run_busy",
            "schedule_id",
            "next_attempt_at",
            postgresql_where=text("state IN ('QUEUED', 'RUNNING') AND schedule_id IS NOT NULL"),
        ),
        # What runs: whether a job is at its limit, and what the sweep and the statistics read.
        Index("run_busy_job", "job_id", postgresql_where=text("state = 'RUNNING'")),
        # Rates, lateness, and lists by when runs ended; a run enters it once, when it ends.
        Index(
            "run_finished",
            "project_id",
            "finished_at",
            "id",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        # Stretches of occurrences: runs are due about where they lie, so a summary must do.
        Index(
            "run_times",
            "scheduled_for",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
        ),
        Index("run_list", "project_id", "id"),
        # The few that did not simply succeed: what people look for, and might have to look for
        # among millions. Those that have not ended are in the indexes of the engine.
        Index(
            "run_unsuccessful",
            "project_id",
            "state",
            "id",
            postgresql_where=text(
                "state IN ('FAILED', 'TIMED_OUT', 'CANCELLED', 'LOST', 'SKIPPED', 'MISSED')"
            ),
        ),
        Index(
            "run_reason",
            "project_id",
            "reason",
            "id",
            postgresql_where=text("reason IS NOT NULL"),
        ),
        Index(
            "run_of_schedule", "schedule_id", "id", postgresql_where=text("schedule_id IS NOT NULL")
        ),
        Index("run_of_job", "job_id", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    project_id: UUID
    job_id: UUID = Field(foreign_key="job.id")
    schedule_id: UUID | None = Field(default=None, foreign_key="schedule.id")
    schedule_version: int | None = None
    rerun_of_id: UUID | None = None
    backfill_id: UUID | None = None
    # The run whose end started this one, by which chain, for which item of its list (0 without
    # one), and how many runs stand before it; null where nothing was chained.
    chained_from_id: UUID | None = None
    chain_id: UUID | None = None
    chain_item: int | None = None
    chain_depth: int | None = None
    revision: int = 1

    state: RunState = Field(default=RunState.QUEUED, sa_type=word_type(RunState, "run_state"))
    reason: RunReason | None = Field(default=None, sa_type=word_type(RunReason, "run_reason"))
    message: str | None = None
    cause: RunCause = Field(sa_type=word_type(RunCause, "run_cause"))
    triggered_by: ActorRecord | None = Field(default=None, sa_type=Json)
    # Of the request that asked for it by hand.
    idempotency_key: str | None = Field(default=None, max_length=200)
    overlap: OverlapPolicy = Field(
        default=OverlapPolicy.ALLOW, sa_type=word_type(OverlapPolicy, "run_overlap")
    )

    # The nominal occurrence; for a manual run the instant asked for.
    scheduled_for: datetime = Field(sa_type=Instant)
    # The nominal local time, as text: after a change of zone rules it does not fire again.
    scheduled_local: str | None = Field(default=None, max_length=32)
    # The other local times that coalesced into the occurrence, the same way; mostly there are none.
    other_locals: list[str] | None = Field(default=None, sa_type=Json)
    due_at: datetime = Field(sa_type=Instant)
    # A recorded range: its last occurrence, inclusive, and how many it holds; null until the
    # sweep has counted one that was too long to be counted at once.
    range_end: datetime | None = Field(default=None, sa_type=Instant)
    range_count: int | None = None
    previous_success_for: datetime | None = Field(default=None, sa_type=Instant)

    created_at: datetime = Field(sa_type=Instant)
    # While queued: when it may start, `due_at` at first and later the end of the backoff.
    next_attempt_at: datetime = Field(sa_type=Instant)
    # When it was found that its schedule is busy or its job at its limit; it is looked at again
    # when one of their runs ends, and by the sweep.
    blocked_at: datetime | None = Field(default=None, sa_type=Instant)
    # What a blocked run waits for: its queue, or else its schedule or job.
    blocked_on_queue: bool = Field(
        default=False, sa_column_kwargs={"server_default": text("false")}
    )
    started_at: datetime | None = Field(default=None, sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)

    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    result: Any = Field(default=None, sa_type=Json, nullable=True)
    error: dict[str, Any] | None = Field(default=None, sa_type=Json)
    tags: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    queue: str = Field(default="default", max_length=200)
    # Before any priority: what is live (0) goes first, then what is caught up (1), then backfills
    # (2). A trigger derives it from the cause, so that whoever inserts a run cannot put it into the
    # wrong one; a generated column would cost as much again on each update as the update itself.
    tier: int = Field(
        default=0, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("0")}
    )
    priority: int = 0
    attempt: int = 0
    max_attempts: int = 1
    # Attempts lost to a dead worker: counted apart, they are not the job's fault.
    crash_count: int = 0
    # Attempts that a leaving worker gave back: they count against nothing.
    given_back_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    progress: float | None = None
    progress_message: str | None = None

    worker_id: UUID | None = None
    fencing_token: int | None = Field(default=None, sa_type=BigInteger)
    lease_expires_at: datetime | None = Field(default=None, sa_type=Instant)
    cancel_requested_at: datetime | None = Field(default=None, sa_type=Instant)
    # The cancel gives the run no time to end by itself.
    cancel_is_forced: bool = Field(
        default=False, sa_column_kwargs={"server_default": text("false")}
    )
    # When the first attempt started: what lateness is measured from.
    first_started_at: datetime | None = Field(default=None, sa_type=Instant)


class Attempt(SQLModel, table=True):
    """One finished try at a run; the one under way is told by the run itself."""

    __table_args__ = (
        CheckConstraint("finished_at >= started_at", name="attempt_ends_after_start"),
        CheckConstraint("state NOT IN ('QUEUED', 'RUNNING')", name="attempt_is_over"),
    )

    run_id: UUID = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    state: RunState = Field(sa_type=word_type(RunState, "attempt_state"))
    worker: str | None = None
    started_at: datetime = Field(sa_type=Instant)
    finished_at: datetime = Field(sa_type=Instant)
    error: dict[str, Any] | None = Field(default=None, sa_type=Json)
    exit_code: int | None = None
    http_status: int | None = None


class RunLogChunk(SQLModel, table=True):
    """Some lines of a run's log, written together.

    `lines` is a list of `[at (epoch milliseconds), level, stream, text]`; `sequence` is the number
    of the first of them, counting from 1 over all attempts.
    """

    __tablename__ = "run_log"

    run_id: UUID = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    sequence: int = Field(primary_key=True)
    line_count: int
    attempt: int
    dropped: int = 0
    lines: list[Any] = Field(sa_type=Json)
