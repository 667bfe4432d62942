"""The engine and its readers on a run table as it is after months.

    python -m bench.history [--runs 1000000] [--directory MADE_BY_SEED_RUNS] [--plans FILE]

For each piece of work: how long the application took for it, and for the statement in it that took
longest, how many pages that one came to and by which scans. The whole plans go to the file. Without
a directory a history is made for the occasion. A run without history is the baseline, so that what
a long one costs is seen.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError

from app.config import Settings
from app.core.clock import elapsed_seconds
from app.core.ids import first_id_at
from app.core.vocabulary import RunReason, RunState
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.handlers.execution import SUCCEEDED
from app.models.columns import new_id
from app.runtime import Runtime, open_runtime
from app.schema.enums import Direction, RunOrderField
from app.schema.inputs.filters import RunOrder, run_order
from app.services.claiming import Claim, claim_runs
from app.services.finished_attempts import FinishedAttempt
from app.services.finishing import finish_attempts
from app.services.firing import fire_batch
from app.services.pruning import prune
from app.services.schedules.why_not import explain_instant
from app.services.sweeping import sweep
from app.services.workers import register_worker
from app.store.backfills import read_done_occurrences
from app.store.filters import RunFilter, TimeRange
from app.store.migrate import upgrade
from app.store.pages import Order, PageRequest, SortKey
from app.store.runs import count_runs, page_runs, select_runs
from app.store.schedules import read_schedule
from app.store.status import read_queues, read_recent
from app.store.workers import WorkerIdentity
from bench.figures import Row, print_table
from bench.plans import Statement, explain_analyze, recorded
from bench.seed_runs import make_server
from bench.seeding import PROJECT

ROUNDS = 5
_BASELINE = 10_000
_DUE = 1_000
_CLAIMED = 200
_PAGE = 20
_NEWEST_FIRST = Order(None, descending=True)
Work = Callable[["Subject"], Awaitable[object]]


@dataclass
class Subject:
    """A database with a history, and what is asked of it."""

    runtime: Runtime
    raw: asyncpg.Connection
    runs: int
    worker_id: UUID
    schedule_id: UUID
    # An instant in the middle of the history, one of the schedule's runs there, and an instant
    # beyond the retention.
    middle_at: datetime
    scheduled_for: datetime
    forgotten_at: datetime
    claimed: Claim | None = None

    async def page(self, narrowed: RunFilter, order: Order = _NEWEST_FIRST, **page: Any) -> object:
        """Read a page of the history, as the API does."""
        async with self.runtime.database.reading(PROJECT) as connection:
            query = select_runs(PROJECT, narrowed)
            return await page_runs(
                connection, query, order, PageRequest(_PAGE, **page), narrowed=narrowed
            )

    async def why(self, at: datetime) -> object:
        """Ask what became of an occurrence."""
        async with self.runtime.database.reading(PROJECT) as connection:
            record = await read_schedule(connection, PROJECT, self.schedule_id)
            assert record is not None
            return await explain_instant(connection, record.schedule, at)

    async def count(self, narrowed: RunFilter) -> object:
        """Count the history, up to the cap of the API."""
        async with self.runtime.database.reading(PROJECT) as connection:
            return await count_runs(connection, select_runs(PROJECT, narrowed), 10_000)

    async def read(self, look: Callable[..., Awaitable[object]], *given: Any) -> object:
        """Read something of the instance."""
        async with self.runtime.database.reading(None) as connection:
            return await look(connection, *given)


@dataclass
class Piece:
    """A piece of work, and what it takes to do it again."""

    name: str
    work: Work
    before: Work | None = None
    # It has to look at every run there is, until the time of a statement is over.
    reads_all: bool = False
    # Why it did not come to an end the last time: the time of a statement was over.
    failure: str | None = None
    seconds: list[float] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    @property
    def is_list(self) -> bool:
        """Return whether it is a page, or a count of what pages there are."""
        return self.name.startswith(("page", "count"))


async def _nothing_due(subject: Subject) -> None:
    await subject.raw.execute(
        "UPDATE schedule SET next_run_at = now() + interval '1 hour'"
        " WHERE next_run_at < now() + interval '1 minute'"
    )


async def _many_due(subject: Subject) -> None:
    """Let many schedules be due since a second ago, each once."""
    await _nothing_due(subject)
    await subject.raw.execute(_DUE_NOW, _DUE)


async def _many_queued(subject: Subject) -> None:
    """Queue runs of as many schedules, so that none waits for another."""
    await subject.raw.execute(
        "UPDATE run SET state = 'CANCELLED', finished_at = now(), lease_expires_at = NULL"
        " WHERE state IN ('QUEUED', 'RUNNING')"
    )
    await subject.raw.execute(_QUEUE, _DUE)


_DUE_NOW = """
UPDATE schedule
   SET timings = jsonb_build_array(jsonb_build_object('interval', jsonb_build_object(
           'everySeconds', 3600, 'anchor', to_char(due.at, 'YYYY-MM-DD"T"HH24:MI:SS+00:00')))),
       cursor_at = due.at - interval '1 second', next_run_at = due.at
  FROM (SELECT date_trunc('second', now()) - interval '1 second' AS at) AS due
 WHERE id IN (SELECT id FROM schedule ORDER BY id DESC LIMIT $1)
"""
_QUEUE = """
INSERT INTO run (id, project_id, job_id, schedule_id, schedule_version, state, cause, overlap,
                 scheduled_for, due_at, next_attempt_at, created_at, parameters, tags, queue,
                 priority, attempt, max_attempts, crash_count, revision)
SELECT uuidv7(), project_id, job_id, id, 1, 'QUEUED', 'SCHEDULE', 'SKIP', now(), now(), now(),
       now(), '{}', '{}', 'default', 0, 0, 1, 0, 1
  FROM schedule ORDER BY id LIMIT $1
"""


async def _claim(subject: Subject) -> None:
    subject.claimed = await claim_runs(subject.runtime, subject.worker_id, limit=_CLAIMED)
    assert len(subject.claimed.runs) == _CLAIMED


async def _finish(subject: Subject) -> None:
    assert subject.claimed is not None
    ended = [FinishedAttempt(run, SUCCEEDED, 0.001, 0.002) for run in subject.claimed.runs]
    assert await finish_attempts(subject.runtime, ended, worker="host:1") == _CLAIMED


async def _queue_and_claim(subject: Subject) -> None:
    await _many_queued(subject)
    await _claim(subject)


def _pieces(subject: Subject) -> list[Piece]:
    """Return what is measured."""
    everything = RunFilter()
    middle = first_id_at(subject.middle_at)
    span = TimeRange(subject.middle_at, subject.middle_at + timedelta(hours=1))
    by_schedule = RunFilter(schedule_id=subject.schedule_id)
    _, finished = run_order(RunOrder(field=RunOrderField.FINISHED_AT, direction=Direction.DESC))
    occurrences = [subject.middle_at + timedelta(minutes=minute) for minute in range(1_000)]
    return [
        Piece("tick, nothing due", lambda s: fire_batch(s.runtime), _nothing_due),
        Piece("tick, 1,000 due", lambda s: fire_batch(s.runtime), _many_due),
        Piece("sweep, nothing lost", lambda s: sweep(s.runtime)),
        Piece("claim 200 of 1,000", _claim, _many_queued),
        Piece("finish 200", _finish, _queue_and_claim),
        Piece("page: newest", lambda s: s.page(everything)),
        Piece(
            "page: deep in the middle",
            lambda s: s.page(everything, after=SortKey(None, middle)),
        ),
        Piece("page: last", lambda s: s.page(everything, from_end=True)),
        Piece("page: FAILED", lambda s: s.page(RunFilter(states=(RunState.FAILED,)))),
        Piece("page: QUEUED, none", lambda s: s.page(RunFilter(states=(RunState.QUEUED,)))),
        Piece("page: LOST, none", lambda s: s.page(RunFilter(states=(RunState.LOST,)))),
        Piece(
            "page: for a rare reason",
            lambda s: s.page(RunFilter(reasons=(RunReason.CIRCUIT_BREAKER,))),
        ),
        Piece("page: of a schedule", lambda s: s.page(by_schedule)),
        Piece(
            "page: of a schedule, FAILED",
            lambda s: s.page(
                RunFilter(schedule_id=s.schedule_id, states=(RunState.FAILED,)),
            ),
        ),
        Piece("page: ended in an hour", lambda s: s.page(RunFilter(finished_at=span))),
        Piece("page: due in an hour", lambda s: s.page(RunFilter(scheduled_for=span))),
        Piece(
            "page: of a tag nobody has",
            lambda s: s.page(RunFilter(tags=(("team", "nobody"),))),
            reads_all=True,
        ),
        Piece("page: by finishedAt", lambda s: s.page(everything, finished)),
        Piece("page: by finishedAt, of a schedule", lambda s: s.page(by_schedule, finished)),
        Piece("page: of an unknown backfill", lambda s: s.page(RunFilter(backfill_id=new_id()))),
        Piece("count, capped", lambda s: s.count(everything)),
        Piece("count of a schedule, capped", lambda s: s.count(by_schedule)),
        Piece("whyNot: a run", lambda s: s.why(s.scheduled_for)),
        Piece("whyNot: no record", lambda s: s.why(s.middle_at)),
        Piece("whyNot: beyond retention", lambda s: s.why(s.forgotten_at)),
        Piece("rates of 15 minutes", lambda s: s.read(read_recent)),
        Piece("queues", lambda s: s.read(read_queues)),
        Piece(
            "backfill: 1,000 occurrences",
            lambda s: s.read(read_done_occurrences, s.schedule_id, occurrences),
        ),
        Piece("retention: 2,000 runs", lambda s: prune(s.runtime, {})),
    ]


async def measure(subject: Subject, rounds: int = ROUNDS) -> list[Piece]:
    """Do each piece of work a few times, and note its statements the last time."""
    pieces = _pieces(subject)
    for piece in pieces:
        for _ in range(rounds):
            if piece.before is not None:
                await piece.before(subject)
            with recorded(subject.runtime) as statements:
                started = elapsed_seconds()
                try:
                    await piece.work(subject)
                except DBAPIError as error:
                    piece.failure = str(error.orig)
                piece.seconds.append(elapsed_seconds() - started)
            piece.statements = list(statements)
            if piece.failure is not None:
                break
    return pieces


async def _plans(subject: Subject, pieces: list[Piece]) -> dict[str, list[tuple[float, str]]]:
    """Return the plan of each statement about runs, with its milliseconds, by piece."""
    found: dict[str, list[tuple[float, str]]] = {}
    for piece in pieces:
        # Its plan would take as long as there are runs, and says that it reads them all.
        if piece.failure is not None:
            continue
        if piece.before is not None:
            await piece.before(subject)
        for statement in piece.statements:
            if " run" not in statement.text:
                continue
            lines = await explain_analyze(subject.raw, statement)
            [spent] = [line for line in lines if line.startswith("Execution Time")]
            shown = "\n".join(("", statement.text.strip(), "", *lines))
            found.setdefault(piece.name, []).append((float(spent.split()[2]), shown))
    return found


@asynccontextmanager
async def open_subject(url: str, redis_url: str) -> AsyncIterator[Subject]:
    """Open the application on a database with a history."""
    raw = await asyncpg.connect(url)
    try:
        async with open_runtime(Settings(database_url=url, redis_url=redis_url)) as runtime:
            worker = WorkerIdentity(new_id(), host="host", pid=1, version="0", slots=_CLAIMED)
            await register_worker(runtime, worker)
            yield await _describe(runtime, raw, worker.id)
    finally:
        await raw.close()


async def _describe(runtime: Runtime, raw: asyncpg.Connection, worker_id: UUID) -> Subject:
    oldest = await raw.fetchval("SELECT scheduled_for FROM run ORDER BY project_id, id LIMIT 1")
    now = await raw.fetchval("SELECT now()")
    span = now - oldest
    # A tenth is older than the retention, however far back the history reaches.
    await raw.execute("UPDATE project SET retention_seconds = $1", int(0.9 * span.total_seconds()))
    await raw.execute("UPDATE schedule SET created_at = $1", oldest - timedelta(days=1))
    runs = await raw.fetchval("SELECT reltuples::bigint FROM pg_class WHERE relname = 'run'")
    middle = (oldest + span / 2).replace(minute=0, second=0, microsecond=0)
    forgotten = (oldest + span / 20).replace(minute=0, second=0, microsecond=0)
    recorded = await raw.fetchrow(
        "SELECT schedule_id, scheduled_for FROM run WHERE project_id = $1 AND id > $2"
        " ORDER BY id LIMIT 1",
        PROJECT,
        first_id_at(middle),
    )
    return Subject(
        runtime, raw, runs, worker_id, middle_at=middle, forgotten_at=forgotten, **recorded
    )


async def _on_directory(directory: Path, plans: Path | None) -> tuple[int, list[Piece]]:
    """Measure the history that is below a directory."""
    postgres = EmbeddedPostgres(directory / "postgres")
    redis = EmbeddedRedis(directory / "redis")
    try:
        url, _ = await postgres.start(), await redis.start()
        # Made by an older release, perhaps.
        await upgrade(url)
        async with open_subject(url, redis.url) as subject:
            pieces = await measure(subject)
            found = await _plans(subject, pieces) if plans is not None else {}
            if plans is not None:
                _write(plans, subject.runs, found)
            return subject.runs, pieces
    finally:
        await redis.stop()
        await postgres.stop()


async def _made_for_it(directory: Path, runs: int) -> None:
    await make_server(directory, runs, None, say=False)


def _write(path: Path, runs: int, found: dict[str, list[tuple[float, str]]]) -> None:
    parts = [f"{runs:,} runs"]
    for name, plans in found.items():
        for spent, shown in plans:
            parts.append(f"\n==== {name}: {spent:,.2f} ms\n{shown}")
    path.write_text("\n".join(parts), encoding="utf-8")


def _compare(baseline: list[Piece], measured: list[Piece], runs: int) -> None:
    rows: list[Row] = [
        [
            after.name,
            median(before.seconds) * 1e3,
            median(after.seconds) * 1e3,
            after.seconds[0] * 1e3,
        ]
        for before, after in zip(baseline, measured, strict=True)
    ]
    print_table(["milliseconds", f"{_BASELINE:,} runs", f"{runs:,} runs", "the first time"], rows)
    for piece in measured:
        if piece.failure is not None:
            print(f"  {piece.name}: {piece.failure}")
    print(f"\n  medians of {ROUNDS}; `the first time` reads what no cache held")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, help="made by bench.seed_runs; it stays")
    parser.add_argument("--plans", type=Path, help="where to write the plans")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tickwheel-bench-", dir="/tmp") as temporary:
        asyncio.run(_made_for_it(Path(temporary) / "small", _BASELINE))
        _, baseline = asyncio.run(_on_directory(Path(temporary) / "small", None))
        directory = given.directory
        if directory is None:
            directory = Path(temporary) / "large"
            asyncio.run(_made_for_it(directory, given.runs))
        runs, measured = asyncio.run(_on_directory(directory, given.plans))
    _compare(baseline, measured, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
