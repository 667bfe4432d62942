"""Counters are exact, also over an outage too long to be counted while a tick holds its locks."""

from typing import Any
from uuid import UUID

from app.core.vocabulary import ChangeKind
from app.services.counting_ranges import RangeCounter
from app.services.firing import fire_due
from app.store.versions import record_versions
from tests.engine import HOUR, NOON, SECOND, Engine, every, until_crashes_end

DAY = 24 * HOUR


async def after_an_outage(engine: Engine, **columns: Any) -> UUID:
    """Let a schedule of every second miss a day, of which a quarter of an hour is within reach."""
    schedule_id = await engine.schedule(
        timings=[every(1)],
        cursor_at=NOON - DAY - SECOND,
        next_run_at=NOON - DAY,
        **columns,
    )
    async with engine.runtime.database.transaction() as transaction:
        await record_versions(transaction, [schedule_id], ChangeKind.CREATED, by=None)
    await fire_due(engine.runtime, as_of=NOON)
    return schedule_id


async def count_all(engine: Engine, counter: RangeCounter | None = None) -> None:
    """Count until nothing is left to count."""
    counter = counter or RangeCounter(engine.runtime)
    while await counter.step():
        pass


async def test_the_counters_become_exact(engine: Engine) -> None:
    """Made to fail by counting an uncounted range as one, and by counting it twice."""
    schedule_id = await after_an_outage(engine)
    [late, *_] = await engine.rows("SELECT * FROM run ORDER BY scheduled_for")
    assert (late["reason"], late["range_count"]) == ("TOO_LATE", None)
    # One caught up, and of the day all but the last ten seconds: those are just late.
    missed_at_once = 900 - 10 - 1
    assert await engine.counters(schedule_id) == {"misses": missed_at_once}
    await count_all(engine)
    late = await engine.row("SELECT * FROM run WHERE id = :id", id=late["id"])
    assert late["range_count"] == 86_400 - 900
    assert late["range_end"] == NOON - 901 * SECOND
    assert await engine.counters(schedule_id) == {"misses": 86_400 - 10 - 1}
    rows = await engine.row(
        "SELECT sum(coalesce(range_count, 1)) AS instants FROM run WHERE scheduled_for < :noon",
        noon=NOON,
    )
    assert rows["instants"] == 86_400
    assert (await engine.changes())[-2:] == [("RUN", "COUNTED", 1), ("SCHEDULE", "RUN_FINISHED", 1)]


async def test_two_workers_count_a_range_once(engine: Engine) -> None:
    schedule_id = await after_an_outage(engine)
    first, second = RangeCounter(engine.runtime), RangeCounter(engine.runtime)
    await first.step()
    await second.step()
    await count_all(engine, first)
    await count_all(engine, second)
    assert await engine.counters(schedule_id) == {"misses": 86_400 - 10 - 1}


async def test_a_crash_at_any_statement_counts_nothing_twice(engine: Engine) -> None:
    schedule_id = await after_an_outage(engine)
    await until_crashes_end(engine, lambda: count_all(engine))
    assert await engine.counters(schedule_id) == {"misses": 86_400 - 10 - 1}


async def test_a_range_is_counted_by_the_timings_it_was_recorded_with(engine: Engine) -> None:
    """Made to fail by counting with what the schedule is now."""
    schedule_id = await after_an_outage(engine)
    await engine.rows(
        "UPDATE schedule SET version = 2,"
        " timings = jsonb_set(timings, '{0,interval,everySeconds}', '60')"
    )
    await count_all(engine)
    assert await engine.counters(schedule_id) == {"misses": 86_400 - 10 - 1}


async def test_what_cannot_be_counted_holds_up_nobody(engine: Engine) -> None:
    lost = await after_an_outage(engine)
    await engine.rows("DELETE FROM schedule_version WHERE schedule_id = :id", id=lost)
    other = await after_an_outage(engine)
    counter = RangeCounter(engine.runtime)
    await count_all(engine, counter)
    await count_all(engine, counter)
    assert await engine.counters(other) == {"misses": 86_400 - 10 - 1}
