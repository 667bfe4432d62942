"""What the tables say and what was seen outside, side by side, on one clock.

Everything is a plain value: a test of the invariants makes its evidence by hand, the simulation
and the clusters of real processes collect theirs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.engine import Engine
from tests.faults.journal import Change, read_journal
from tests.faults.witness import END, START, Line

FINAL = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLED", "LOST", "SKIPPED", "MISSED"})


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the run table."""

    id: UUID
    job_id: UUID
    state: str
    scheduled_for: datetime
    due_at: datetime
    schedule_id: UUID | None = None
    queue: str = "default"
    cause: str = "MANUAL"
    overlap: str = "ALLOW"
    reason: str | None = None
    range_end: datetime | None = None
    range_count: int | None = None
    attempt: int = 0
    max_attempts: int = 1
    crash_count: int = 0
    finished_at: datetime | None = None
    result: Any = None
    chained_from_id: UUID | None = None
    chain_id: UUID | None = None
    chain_item: int | None = None

    @property
    def is_over(self) -> bool:
        """Return whether nothing can follow."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """A row of the chain table; it was there before the first run."""

    id: UUID
    job_id: UUID
    target_id: UUID
    after: str = "SUCCEEDED"
    fan_out: str | None = None
    fan_out_limit: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A row of the attempt table: an attempt whose end was written."""

    run_id: UUID
    number: int
    state: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt as it was seen outside; times are seconds since the epoch.

    `ended` is None while it is alive. `released` is when the run was taken from it because its
    lease had expired: what it does after that it does as a zombie.
    """

    run_id: UUID
    attempt: int
    pid: int
    began: float
    ended: float | None
    released: float | None = None

    @property
    def held_until(self) -> float:
        """Return until when it counts as the run's live attempt."""
        ends = [end for end in (self.ended, self.released) if end is not None]
        return min(ends, default=float("inf"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All there is to judge by."""

    records: Mapping[UUID, Record]
    attempts: Sequence[AttemptRecord] = ()
    lines: Sequence[Line] = ()
    changes: Sequence[Change] = ()
    # When processes were seen to end, by process id.
    deaths: Mapping[int, float] = field(default_factory=dict)
    job_limits: Mapping[UUID, int] = field(default_factory=dict)
    queue_limits: Mapping[str, int] = field(default_factory=dict)
    # Up to which instant each schedule has been accounted for.
    cursors: Mapping[UUID, datetime] = field(default_factory=dict)
    chains: Sequence[ChainRecord] = ()

    def tries(self) -> list[Try]:
        """Pair starts with ends. A try ends at the latest with its process."""
        ends = {(line.run_id, line.attempt): line.at for line in self.lines if line.what == END}
        released = {
            (change.run_id, change.attempt): change.at.timestamp()
            for change in self.changes
            if change.state_before == "RUNNING" and change.state != "RUNNING"
            # A worker that ends its own attempt has ended it outside before.
            if change.lease_had_expired
        }
        tries = []
        for line in self.lines:
            if line.what == START:
                key = (line.run_id, line.attempt)
                known = [at for at in (ends.get(key), self.deaths.get(line.pid)) if at is not None]
                tries.append(
                    Try(*key, line.pid, line.at, min(known, default=None), released.get(key))
                )
        return tries

    def of_schedules(self, schedule_ids: Iterable[UUID]) -> "Evidence":
        """Return what there is about the runs of these schedules alone."""
        wanted = set(schedule_ids)
        records = {
            id_: record for id_, record in self.records.items() if record.schedule_id in wanted
        }
        lines = [line for line in self.lines if line.run_id in records]
        return replace(self, records=records, lines=lines)

    def tries_of(self) -> dict[UUID, list[Try]]:
        """Return the tries of each run, in the order in which they began."""
        found: defaultdict[UUID, list[Try]] = defaultdict(list)
        for one in sorted(self.tries(), key=lambda one: one.began):
            found[one.run_id].append(one)
        return found


async def collect(
    engine: Engine, lines: Iterable[Line], deaths: Mapping[int, float] | None = None
) -> Evidence:
    """Read the tables of an engine's project."""
    runs = await engine.rows("SELECT * FROM run WHERE project_id = :id", id=engine.project_id)
    attempts = await engine.rows(
        "SELECT attempt.* FROM attempt JOIN run ON run.id = run_id WHERE project_id = :id",
        id=engine.project_id,
    )
    jobs = await engine.rows(
        "SELECT id, concurrency_limit FROM job"
        " WHERE project_id = :id AND concurrency_limit IS NOT NULL",
        id=engine.project_id,
    )
    queues = await engine.rows("SELECT name, concurrency_limit FROM queue")
    cursors = await engine.rows(
        "SELECT id, cursor_at FROM schedule WHERE project_id = :id", id=engine.project_id
    )
    chains = await engine.rows(
        "SELECT * FROM chain WHERE project_id = :id ORDER BY id", id=engine.project_id
    )
    return Evidence(
        records={row["id"]: _record(row) for row in runs},
        attempts=[_of(AttemptRecord, row) for row in attempts],
        lines=list(lines),
        changes=await read_journal(engine),
        deaths=deaths or {},
        job_limits={row["id"]: row["concurrency_limit"] for row in jobs},
        queue_limits={
            row["name"]: row["concurrency_limit"]
            for row in queues
            if row["concurrency_limit"] is not None
        },
        cursors={row["id"]: row["cursor_at"] for row in cursors},
        chains=[_of(ChainRecord, row) for row in chains],
    )


def _record(row: Mapping[str, Any]) -> Record:
    record: Record = _of(Record, row)
    return record


def _of(kind: Any, row: Mapping[str, Any]) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def every_so_often(
    seconds: int, *, anchor: datetime, after: datetime, until: datetime
) -> list[datetime]:
    """Return the instants of an interval in (after, until], by arithmetic of our own."""
    step = timedelta(seconds=seconds)
    first = (after - anchor) // step + 1
    last = (until - anchor) // step
    return [anchor + number * step for number in range(first, last + 1)]


def instant(seconds: float) -> datetime:
    """Return seconds since the epoch as an instant."""
    return datetime.fromtimestamp(seconds, UTC)
