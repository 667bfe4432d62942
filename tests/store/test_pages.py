"""Pages of runs that ended, or were due, in a stretch of time long ago."""

from uuid import UUID

import pytest

from app.core.vocabulary import RunState
from app.store.filters import RunFilter, TimeRange
from app.store.pages import Order, PageRequest, SortKey
from app.store.runs import page_runs, read_newest_ids, select_runs
from tests.engine import HOUR, MINUTE, NOON, Engine, open_engine

BY_ID = Order(None, descending=True)


async def pages(engine: Engine, narrowed: RunFilter, size: int, order: Order = BY_ID) -> list[UUID]:
    """Read on, page by page, to the end."""
    found: list[UUID] = []
    after: SortKey | None = None
    while True:
        async with engine.runtime.database.reading(engine.project_id) as connection:
            page = await page_runs(
                connection,
                select_runs(engine.project_id, narrowed),
                order,
                PageRequest(size, after=after),
                narrowed=narrowed,
            )
        found += [run.id for run in page.items]
        if not page.has_next:
            return found
        after = SortKey(None, found[-1])


@pytest.mark.parametrize("name", ["scheduled_for", "finished_at"])
async def test_a_stretch_long_ago_is_paged_in_the_order_of_all_others(
    database_url: str, redis_url: str, name: str
) -> None:
    """Fails if what is sorted by itself comes in another order than what an index has."""
    async with open_engine(database_url, redis_url) as engine:
        job_id = await engine.job()
        inside = [
            await engine.run(
                job_id, due_at=(at := NOON + n * MINUTE), finished_at=at, state=RunState.SUCCEEDED
            )
            for n in (7, 3, 11, 0, 5, 9, 1)
        ]
        for at in (NOON - MINUTE, NOON + HOUR):
            await engine.run(job_id, due_at=at, finished_at=at, state=RunState.SUCCEEDED)
        stretch = TimeRange(NOON, NOON + HOUR)
        narrowed = (
            RunFilter(scheduled_for=stretch)
            if name == "scheduled_for"
            else RunFilter(finished_at=stretch)
        )
        whole = RunFilter(all_of=(narrowed,))
        assert whole.is_apart(await engine.now())
        newest_first = sorted(inside, reverse=True)
        assert await pages(engine, whole, 3) == newest_first
        assert await pages(engine, whole, 100) == newest_first
        async with engine.runtime.database.reading(engine.project_id) as connection:
            ids = await read_newest_ids(connection, engine.project_id, whole, limit=2)
        assert ids == newest_first[:2]
