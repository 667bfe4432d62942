"""Statistics: what became of runs in a window, and what schedules there are."""

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from app.core.vocabulary import RunState, ScheduleState
from app.schema.context import Info
from app.schema.types.scheduler import Lateness
from app.services.statistics import RunStatistics, ScheduleCounts, read_series
from app.store.filters import TimingKind
from app.store.statistics import BucketFigures


@strawberry.type(description="How many runs are in a state.")
class StateCount:
    """A count."""

    state: RunState = strawberry.field(description="The state.")
    count: int = strawberry.field(description="How many; a recorded range counts as all it holds.")


@strawberry.type(description="What became of the runs of a part of a window.")
class StatsBucket:
    """A bucket."""

    at: datetime = strawberry.field(description="Where it begins.")
    total: int = strawberry.field(description="How many were recorded.")
    succeeded: int = strawberry.field(description="How many of them have succeeded.")
    failed: int = strawberry.field(description="How many have failed, timed out or were lost.")
    duration_p95: timedelta | None = strawberry.field(
        name="durationP95", description="All but one in twenty took no longer."
    )

    @classmethod
    def of(cls, figures: BucketFigures) -> "StatsBucket":
        """Return the public form."""
        p95 = figures.duration_p95
        return cls(
            at=figures.at,
            total=figures.total,
            succeeded=figures.succeeded,
            failed=figures.failed,
            duration_p95=None if p95 is None else timedelta(seconds=p95),
        )


@strawberry.type(
    description="What became of the runs that were recorded in a window: a scheduled run when its "
    "occurrence came up, any other when it was asked for."
)
class RunStats:
    """Statistics of runs."""

    from_: datetime = strawberry.field(name="from", description="Where the window begins.")
    until: datetime = strawberry.field(description="Where it ends, exclusive.")
    total: int = strawberry.field(description="How many runs and records there are.")
    by_state: list[StateCount] = strawberry.field(
        description="How many are in each state now, where there are any."
    )
    success_rate: float | None = strawberry.field(
        description="Which part succeeded of those that have succeeded or failed."
    )
    duration_p50: timedelta | None = strawberry.field(
        name="durationP50", description="Half of the last attempts took no longer."
    )
    duration_p95: timedelta | None = strawberry.field(
        name="durationP95", description="All but one in twenty took no longer."
    )
    duration_p99: timedelta | None = strawberry.field(
        name="durationP99", description="All but one in a hundred took no longer."
    )
    lateness: Lateness | None = strawberry.field(description="How late they started.")
    statistics: strawberry.Private[RunStatistics]

    @strawberry.field(
        description="The window in buckets, the earliest first, also the empty ones: at most 1,000."
    )
    async def series(
        self,
        info: Info,
        bucket: Annotated[
            timedelta, strawberry.argument(description="How long each is; at least a second.")
        ],
    ) -> list[StatsBucket]:
        """Read the buckets."""
        async with info.context.reading() as connection:
            found = await read_series(connection, self.statistics, bucket)
        return [StatsBucket.of(figures) for figures in found]

    @classmethod
    def of(cls, statistics: RunStatistics) -> "RunStats":
        """Return the public form."""
        counts = statistics.by_state
        return cls(
            from_=statistics.window.since,
            until=statistics.window.until,
            total=statistics.total,
            by_state=[
                StateCount(state=state, count=counts[state])
                for state in RunState
                if state in counts
            ],
            success_rate=statistics.success_rate,
            duration_p50=statistics.duration_p50,
            duration_p95=statistics.duration_p95,
            duration_p99=statistics.duration_p99,
            lateness=Lateness.of(statistics.lateness),
            statistics=statistics,
        )


@strawberry.type(description="How many schedules have a kind of timing.")
class FrequencyCount:
    """A count."""

    frequency: TimingKind = strawberry.field(
        description="The kind; a cron timing that was given as a frequency is of that one."
    )
    count: int = strawberry.field(description="How many schedules have such a timing.")


@strawberry.type(description="The project in numbers; archived schedules are left out.")
class Statistics:
    """Statistics of a project."""

    total_schedules: int = strawberry.field(description="How many schedules there are.")
    active_schedules: int = strawberry.field(description="How many of them fire.")
    paused_schedules: int = strawberry.field(description="How many are paused.")
    by_frequency: list[FrequencyCount] = strawberry.field(
        description="How many have each kind of timing; one with several counts for each of them."
    )
    runs: RunStats = strawberry.field(description="What became of its runs.")

    @classmethod
    def of(cls, counts: ScheduleCounts, runs: RunStatistics) -> "Statistics":
        """Return the public form."""
        kinds = counts.by_kind
        return cls(
            total_schedules=counts.total,
            active_schedules=counts.by_state.get(ScheduleState.ACTIVE, 0),
            paused_schedules=counts.by_state.get(ScheduleState.PAUSED, 0),
            by_frequency=[
                FrequencyCount(frequency=kind, count=kinds[kind])
                for kind in TimingKind
                if kind in kinds
            ],
            runs=RunStats.of(runs),
        )
