"""Statistics over a bounded window: of a project, its jobs or its schedules."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.errors import Invalid, LimitExceeded
from app.core.vocabulary import RunState, ScheduleState
from app.services.status import Lateness
from app.store.database import ReadConnection
from app.store.filters import TimingKind
from app.store.instants import read_now
from app.store.statistics import (
    FAILED,
    BucketFigures,
    Of,
    RunFigures,
    StatsWindow,
    count_schedules,
    read_buckets,
    read_run_figures,
    read_schedule_lateness,
)

LONGEST_WINDOW = timedelta(days=366)
"""How much time one window may hold."""

MOST_BUCKETS = 1_000
"""Into how many buckets a series may divide its window."""

LATENESS_RECORDS = 200
"""The newest records of a schedule from which its lateness is told."""

_USUAL_WINDOW = timedelta(days=1)
_SHORTEST_BUCKET = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window as somebody asks for it: the last so much time, or from an instant to another."""

    last: timedelta | None = None
    since: datetime | None = None
    until: datetime | None = None

    def check(self) -> "WindowRequest":
        """Return this request, or raise what is wrong with it whatever the time is."""
        if self.last is not None and (self.since is not None or self.until is not None):
            raise Invalid("Give last, or from and until, not both.", path=("window", "last"))
        if self.last is not None and self.last <= timedelta(0):
            raise Invalid("last must be longer than nothing.", path=("window", "last"))
        return self

    def at(self, as_of: datetime) -> StatsWindow:
        """Return the window that is meant at this instant."""
        until = as_of if self.until is None else self.until
        length = _USUAL_WINDOW if self.last is None else self.last
        if length > LONGEST_WINDOW:
            raise _too_long("last")
        since = until - length if self.since is None else self.since
        if since >= until:
            raise Invalid("from must lie before until.", path=("window", "from"))
        if until - since > LONGEST_WINDOW:
            raise _too_long("from")
        return StatsWindow(since, until)


def _too_long(part: str) -> LimitExceeded:
    return LimitExceeded(
        f"A window holds at most {LONGEST_WINDOW.days} days.", path=("window", part)
    )


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """What became of the runs that were recorded in a window."""

    of: Of
    subject_id: UUID
    window: StatsWindow
    by_state: dict[RunState, int]
    duration_p50: timedelta | None
    duration_p95: timedelta | None
    duration_p99: timedelta | None
    lateness: Lateness | None

    @property
    def total(self) -> int:
        """Return how many there are, whatever became of them."""
        return sum(self.by_state.values())

    @property
    def success_rate(self) -> float | None:
        """Return which part succeeded of those that succeeded or failed."""
        succeeded = self.by_state.get(RunState.SUCCEEDED, 0)
        judged = succeeded + sum(self.by_state.get(state, 0) for state in FAILED)
        return succeeded / judged if judged else None


@dataclass(frozen=True, slots=True)
class ScheduleCounts:
    """A project's schedules that are not archived."""

    by_state: dict[ScheduleState, int]
    by_kind: dict[TimingKind, int]

    @property
    def total(self) -> int:
        """Return how many there are."""
        return sum(self.by_state.values())


async def read_run_statistics(
    connection: ReadConnection, of: Of, ids: Iterable[UUID], request: WindowRequest
) -> dict[UUID, RunStatistics]:
    """Return the statistics of each of these, also where nothing ran; in two statements."""
    wanted = list(ids)
    window = request.at(await read_now(connection))
    found = await read_run_figures(connection, of, wanted, window)
    nothing = RunFigures({}, None, None)
    return {id_: _statistics(of, id_, window, found.get(id_, nothing)) for id_ in wanted}


def _statistics(
    of: Of, subject_id: UUID, window: StatsWindow, figures: RunFigures
) -> RunStatistics:
    p50, p95, p99 = (timedelta(seconds=each) for each in figures.durations or (0.0,) * 3)
    timed = figures.durations is not None
    return RunStatistics(
        of=of,
        subject_id=subject_id,
        window=window,
        by_state=figures.by_state,
        duration_p50=p50 if timed else None,
        duration_p95=p95 if timed else None,
        duration_p99=p99 if timed else None,
        lateness=None if figures.times is None else Lateness.of(figures.times),
    )


async def read_series(
    connection: ReadConnection, statistics: RunStatistics, bucket: timedelta
) -> list[BucketFigures]:
    """Return the window in buckets, the earliest first, also those in which nothing ran."""
    window = statistics.window
    if bucket < _SHORTEST_BUCKET:
        raise Invalid("A bucket holds at least a second.", path=("bucket",))
    number = -((window.since - window.until) // bucket)
    if number > MOST_BUCKETS:
        raise LimitExceeded(
            f"That would be {number:,} buckets; there may be {MOST_BUCKETS:,}.", path=("bucket",)
        )
    found = await read_buckets(connection, statistics.of, statistics.subject_id, window, bucket)
    filled = {figures.at: figures for figures in found}
    starts = [window.since + index * bucket for index in range(number)]
    return [filled.get(at) or BucketFigures(at, 0, 0, 0, None) for at in starts]


async def read_lateness_of(
    connection: ReadConnection, schedule_ids: Iterable[UUID]
) -> dict[UUID, Lateness]:
    """Return how late each schedule's newest runs started, where any did."""
    rows = await read_schedule_lateness(connection, list(schedule_ids), limit=LATENESS_RECORDS)
    found = {id_: Lateness.of(row) for id_, row in rows.items()}
    return {id_: lateness for id_, lateness in found.items() if lateness is not None}


async def read_schedule_counts(connection: ReadConnection, project_id: UUID) -> ScheduleCounts:
    """Return how many schedules a project has, of which state and kind."""
    return ScheduleCounts(*await count_schedules(connection, project_id))
