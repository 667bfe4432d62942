"""Lists at a million schedules and ten million runs: search, filters, orders, and page 500.

    python -m bench.pages [--schedules 1000000] [--runs 10000000] [--directory MADE_BY_SEED_RUNS]

For each order and filter: the milliseconds that PostgreSQL itself takes for the first page, for
page 500 behind its cursor, and for the last page, all its statements together, in the slower of
both directions. What takes longer than a statement may is shown as such.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError

from app.config import Settings
from app.core.vocabulary import RunReason, RunState, ScheduleState
from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from app.runtime import Runtime, open_runtime
from app.schema.enums import Direction, RunOrderField, ScheduleOrderField
from app.schema.inputs.filters import RunOrder, ScheduleOrder, run_order, schedule_order
from app.store.filters import RunFilter, ScheduleFilter, TimeRange, TimingKind
from app.store.migrate import upgrade
from app.store.pages import Order, Page, PageRequest, SortKey
from app.store.runs import page_runs, select_runs
from app.store.schedules import ScheduleList, page_schedules
from bench.figures import Row, print_table
from bench.plans import Statement, explain_analyze, recorded
from bench.seed_runs import make_server
from bench.seeding import PROJECT

PAGE = 20
_DEEP = 500 * PAGE
_ROUNDS = 3
_TEAM, _NOBODY = (("team", "team-7"),), (("team", "nobody"),)

SCHEDULES: dict[str, tuple[str | None, ScheduleFilter]] = {
    "all": (None, ScheduleFilter()),
    "search: a (half)": ("a", ScheduleFilter()),
    "search: zebra (10)": ("zebra", ScheduleFilter()),
    "search: archive 77 (one in 1,000)": ("archive 77", ScheduleFilter()),
    "search: no such word": ("unheard", ScheduleFilter()),
    "search: a, PAUSED": ("a", ScheduleFilter(states=(ScheduleState.PAUSED,))),
    "ACTIVE": (None, ScheduleFilter(states=(ScheduleState.ACTIVE,))),
    "PAUSED": (None, ScheduleFilter(states=(ScheduleState.PAUSED,))),
    "QUARANTINED, none": (None, ScheduleFilter(states=(ScheduleState.QUARANTINED,))),
    "a tag (1 %)": (None, ScheduleFilter(tags=_TEAM)),
    "a tag nobody has": (None, ScheduleFilter(tags=_NOBODY)),
    "a zone (a third)": (None, ScheduleFilter(timezones=("Europe/Berlin",))),
    "INTERVAL, none": (None, ScheduleFilter(timing_kinds=(TimingKind.INTERVAL,))),
    "due": (None, ScheduleFilter(due=True)),
    "failing": (None, ScheduleFilter(failing=True)),
    "PAUSED or a tag": (
        None,
        ScheduleFilter(
            any_of=(ScheduleFilter(states=(ScheduleState.PAUSED,)), ScheduleFilter(tags=_TEAM))
        ),
    ),
    "not a tag": (None, ScheduleFilter(none_of=(ScheduleFilter(tags=_TEAM),))),
}


def run_filters(schedule_id: UUID, job_id: UUID, hour: TimeRange) -> dict[str, RunFilter]:
    """Return what runs are narrowed by."""
    return {
        "all": RunFilter(),
        "of a schedule": RunFilter(schedule_id=schedule_id),
        "of a job (5 %)": RunFilter(job_id=job_id),
        "SUCCEEDED": RunFilter(states=(RunState.SUCCEEDED,)),
        "FAILED (2 %)": RunFilter(states=(RunState.FAILED,)),
        "LOST, none": RunFilter(states=(RunState.LOST,)),
        "RUNNING, none": RunFilter(states=(RunState.RUNNING,)),
        "TIMEOUT (0.3 %)": RunFilter(reasons=(RunReason.TIMEOUT,)),
        "a tag (all)": RunFilter(tags=(("team", "ops"),)),
        "a tag (one in 500,000)": RunFilter(tags=(("team", "rare"),)),
        "ended in an hour": RunFilter(finished_at=hour),
        "not FAILED": RunFilter(none_of=(RunFilter(states=(RunState.FAILED,)),)),
    }


@dataclass(frozen=True, slots=True)
class Listing:
    """A list in one order: how a page of it is read, and the place of a row in it."""

    name: str
    order: Order
    search: str | None
    narrowed: RunFilter | ScheduleFilter

    async def read(self, runtime: Runtime, page: PageRequest) -> Page[Any]:
        """Read a page, as the API does."""
        async with runtime.database.reading(PROJECT) as connection:
            if isinstance(self.narrowed, RunFilter):
                query = select_runs(PROJECT, self.narrowed)
                return await page_runs(connection, query, self.order, page, narrowed=self.narrowed)
            listed = ScheduleList(PROJECT, self.narrowed, self.search)
            return await page_schedules(connection, listed, self.order, page)

    def key_of(self, row: Any) -> SortKey:
        """Return where a row stands."""
        column = self.order.column
        if isinstance(self.narrowed, RunFilter):
            return SortKey(None if column is None else getattr(row, column.key), row.id)
        if column is None:
            return SortKey(None, row.schedule.id)
        of = row.counters if hasattr(row.counters, column.key) else row.schedule
        return SortKey(getattr(of, column.key), row.schedule.id)


def schedule_listings() -> Iterator[tuple[str, str, Listing]]:
    """Return every order, filter and list of schedules, in either direction."""
    for field in ScheduleOrderField:
        for name, (search, narrowed) in SCHEDULES.items():
            for direction in Direction:
                _, order = schedule_order(ScheduleOrder(field=field, direction=direction))
                yield field.value, name, Listing(name, order, search, narrowed)


def run_listings(filters: dict[str, RunFilter]) -> Iterator[tuple[str, str, Listing]]:
    """Return the same of runs."""
    for field in RunOrderField:
        for name, narrowed in filters.items():
            for direction in Direction:
                _, order = run_order(RunOrder(field=field, direction=direction))
                yield field.value, name, Listing(name, order, None, narrowed)


async def statements_of(
    runtime: Runtime, listing: Listing, page: PageRequest
) -> tuple[Page[Any], Sequence[Statement]]:
    """Read a page and return it with the statements it took."""
    with recorded(runtime) as statements:
        found = await listing.read(runtime, page)
    return found, list(statements)


async def _spent(
    runtime: Runtime, raw: asyncpg.Connection, listing: Listing, page: PageRequest
) -> float:
    """Return the milliseconds that PostgreSQL takes for a page; infinite if it may not take so."""
    try:
        _, statements = await statements_of(runtime, listing, page)
    except DBAPIError:
        return float("inf")
    rounds = []
    for _ in range(_ROUNDS):
        spent = 0.0
        for statement in statements:
            lines = await explain_analyze(raw, statement, timing=False)
            spent += sum(
                float(line.split()[2]) for line in lines if line.startswith("Execution Time")
            )
        rounds.append(spent)
    return median(rounds)


async def _deep_key(runtime: Runtime, listing: Listing) -> SortKey | None:
    """Return the key of the last row of page 499; None if there are not so many."""
    try:
        found = await listing.read(runtime, PageRequest(_DEEP - PAGE))
    except DBAPIError:
        return None
    return listing.key_of(found.items[-1]) if found.has_next else None


async def _measure_listings(
    runtime: Runtime, raw: asyncpg.Connection, listings: Iterator[tuple[str, str, Listing]]
) -> list[Row]:
    worst: dict[tuple[str, str], list[float]] = {}
    for order, name, listing in listings:
        pages = [PageRequest(PAGE), PageRequest(PAGE, from_end=True)]
        key = await _deep_key(runtime, listing)
        spent = [await _spent(runtime, raw, listing, page) for page in pages]
        deep = 0.0
        if key is not None:
            deep = await _spent(runtime, raw, listing, PageRequest(PAGE, after=key))
        so_far = worst.setdefault((order, name), [0.0] * 3)
        figures = (spent[0], deep, spent[1])
        worst[order, name] = [max(pair) for pair in zip(so_far, figures, strict=True)]
    return [[f"{order}, {name}", *figures] for (order, name), figures in worst.items()]


async def _measure(directory: Path) -> None:
    postgres = EmbeddedPostgres(directory / "postgres")
    redis = EmbeddedRedis(directory / "redis")
    try:
        url = await postgres.start()
        await redis.start()
        # Made by an older release, perhaps.
        await upgrade(url)
        raw = await asyncpg.connect(url)
        await raw.execute("SET jit = off; SET random_page_cost = 1.1; SET timezone = 'UTC'")
        try:
            settings = Settings(database_url=url, redis_url=redis.url)
            async with open_runtime(settings) as runtime:
                await vary(raw)
                await _print(runtime, raw)
        finally:
            await raw.close()
    finally:
        await redis.stop()
        await postgres.stop()


async def vary(raw: asyncpg.Connection) -> None:
    """Let one schedule in twenty be paused, and one in a hundred have failed."""
    await raw.execute(_PAUSE)
    await raw.execute(_FAIL)
    for table in ("schedule", "schedule_counters", "schedule_search", "run", "job"):
        await raw.execute(f"VACUUM (ANALYZE) {table}")


_PAUSE = """
UPDATE schedule SET state = 'PAUSED', next_run_at = NULL
 WHERE state = 'ACTIVE' AND hashtext(key) % 20 = 0
"""
_FAIL = """
UPDATE schedule_counters
   SET failure_count = abs(hashtext(schedule_id::text)) % 7, consecutive_failures = 1,
       last_run_at = now() - make_interval(secs => abs(hashtext(schedule_id::text)) % 1000000)
 WHERE hashtext(schedule_id::text) % 100 = 0
"""


async def run_filters_of(raw: asyncpg.Connection) -> dict[str, RunFilter]:
    """Return what the runs of a database can be narrowed by."""
    row = await raw.fetchrow(
        "SELECT schedule_id, job_id FROM run WHERE project_id = $1 ORDER BY id LIMIT 1", PROJECT
    )
    now = await raw.fetchval("SELECT date_trunc('hour', now())")
    ago = now - timedelta(days=40)
    return run_filters(row["schedule_id"], row["job_id"], TimeRange(ago, ago + timedelta(hours=1)))


async def _print(runtime: Runtime, raw: asyncpg.Connection) -> None:
    header = ["first page", f"page {_DEEP // PAGE}", "last page"]
    count = "SELECT reltuples::bigint FROM pg_class WHERE relname = $1"
    for table, listings in (
        ("schedule", schedule_listings()),
        ("run", run_listings(await run_filters_of(raw))),
    ):
        rows = await _measure_listings(runtime, raw, listings)
        print_table([f"ms, {await raw.fetchval(count, table):,} {table}s", *header], rows)
        print()
    print(f"  medians of {_ROUNDS}, in PostgreSQL; 0: there are not so many")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--directory", type=Path, help="made by bench.seed_runs; it stays")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tickwheel-bench-", dir="/tmp") as temporary:
        directory = given.directory
        if directory is None:
            directory = Path(temporary)
            making = make_server(directory, given.runs, None, schedules=given.schedules, say=False)
            asyncio.run(making)
        asyncio.run(_measure(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
