"""What happens all the time finds its rows by an index, however many there are.

Breaks that were tried: each of the indexes `schedule_name`, `schedule_words`, `schedule_failures`
and `schedule_due` dropped.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from app.store.filters import RunFilter
from app.store.live import read_newest_runs
from app.store.pages import Order, PageRequest
from app.store.runs import count_runs, page_runs, read_newest_ids, select_runs
from bench.history import Subject, measure, open_subject
from bench.pages import Listing, schedule_listings, statements_of, vary
from bench.plans import explain, explain_any, indexes, scans
from bench.seed_runs import seed_history
from bench.seeding import PROJECT

RUNS = 100_000
"""So many that PostgreSQL would rather use an index than read them all, where there is one."""


# What is rare must be found where it is: read from the newest run on, it would be found at the end.
INDEXES = {
    "page: LOST, none": {"run_unsuccessful"},
    "page: QUEUED, none": {"run_queue", "run_blocked"},
    "page: for a rare reason": {"run_reason"},
    "page: ended in an hour": {"run_finished"},
    "page: due in an hour": {"run_times"},
    "backfill: 1,000 occurrences": {"run_occurrence", "run_again"},
    "page: of an unknown backfill": {"run_of_backfill"},
}


@pytest.mark.timeout(300)
async def test_no_statement_of_the_engine_or_of_a_page_reads_the_whole_run_table(
    database_url: str, redis_url: str
) -> None:
    """The engine's statements are planned for any values, too: they are executed all the time."""
    await seed_history(database_url, redis_url, RUNS, say=False)
    async with open_subject(database_url, redis_url) as subject:
        pieces = await measure(subject, rounds=1)
        plans = {
            piece.name: [
                await look(subject.raw, statement)
                for statement in piece.statements
                for look in ((explain,) if piece.is_list else (explain, explain_any))
            ]
            for piece in pieces
        }
        await check_lists_are_planned_for_their_values(subject)
        await check_no_list_reads_all_schedules(subject)
    assert not [piece for piece in pieces if piece.failure is not None]
    kinds = {
        name: {kind for plan in each for kind in scans(plan, "run")} for name, each in plans.items()
    }
    reading_all = {name for name, found in kinds.items() if "Seq Scan" in found}
    assert reading_all <= {piece.name for piece in pieces if piece.reads_all}
    # Each of them was looked at, not only planned for nothing.
    assert all(kinds[piece.name] for piece in pieces if piece.is_list)
    for name, expected in INDEXES.items():
        for plan in plans[name]:
            assert set(indexes(plan)) <= expected, name


async def check_lists_are_planned_for_their_values(subject: Subject) -> None:
    """Look at the setting that a page and a count leave in their transaction."""
    query = select_runs(PROJECT, RunFilter())
    order, page = Order(None, descending=True), PageRequest(1)
    for read in (
        lambda connection: page_runs(connection, query, order, page, narrowed=RunFilter()),
        lambda connection: count_runs(connection, query, 1),
        lambda connection: read_newest_runs(connection, PROJECT, RunFilter(), 1),
        lambda connection: read_newest_ids(connection, PROJECT, RunFilter(), limit=1),
    ):
        async with subject.runtime.database.reading(PROJECT) as connection:
            await read(connection)
            mode = await connection.execute(text("SHOW plan_cache_mode"))
            assert mode.scalar_one() == "force_custom_plan"


# By which index a list of schedules comes in its order.
ORDERS = {
    "NAME": "schedule_name",
    "NEXT_RUN_AT": "schedule_due",
    "CREATED_AT": "schedule_list",
    "FAILURE_COUNT": "schedule_failures",
}
# By which index the rare are found; and what is in no index: docs/decisions/0026.
RARE = {
    "search: zebra (10)": "schedule_words",
    "search: no such word": "schedule_words",
    "a tag nobody has": "schedule_words",
    "INTERVAL, none": "schedule_words",
    "QUARANTINED, none": "schedule_aside",
}


async def check_no_list_reads_all_schedules(subject: Subject) -> None:
    """Plan the first page, the last one and one in the middle of each list in each order."""
    await vary(subject.raw)
    await subject.raw.execute("SET random_page_cost = 1.1; SET constraint_exclusion = on")
    wrong = [
        (field, name, listing.order.descending, complaint)
        for field, name, listing in schedule_listings()
        for complaint in complaints(await plans_of(subject, listing), field, name)
    ]
    assert not wrong


def complaints(plans: list[dict[str, Any]], field: str, name: str) -> Iterator[str]:
    """Return what is wrong with the plans of a list."""
    used = {index for plan in plans for index in indexes(plan)}
    if name in RARE and RARE[name] not in used:
        yield f"not by {RARE[name]}"
    if field not in ORDERS:
        return
    for table in ("schedule", "schedule_search", "schedule_counters"):
        if any("Seq Scan" in scans(plan, table) for plan in plans):
            yield f"reads all of {table}"
    if name == "all" and (ORDERS[field] not in used or any(sorts(plan) for plan in plans)):
        yield f"not in the order of {ORDERS[field]}"


async def plans_of(subject: Subject, listing: Listing) -> list[dict[str, Any]]:
    """Read a first page, the one behind it and the last one; return how they are planned."""
    found, first = await statements_of(subject.runtime, listing, PageRequest(20))
    statements = [*first]
    if found.has_next:
        after = listing.key_of(found.items[-1])
        statements += (await statements_of(subject.runtime, listing, PageRequest(20, after=after)))[
            1
        ]
    statements += (await statements_of(subject.runtime, listing, PageRequest(20, from_end=True)))[1]
    return [await explain(subject.raw, statement) for statement in statements]


def sorts(plan: dict[str, Any]) -> bool:
    """Return whether a plan sorts anything."""
    return "Sort" in plan["Node Type"] or any(sorts(part) for part in plan.get("Plans", ()))
