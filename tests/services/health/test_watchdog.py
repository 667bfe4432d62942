"""What a watchdog sees in PostgreSQL, and that a finding is one whoever sees it.

Breaks that were tried, and which test failed: no `ON CONFLICT` in open_findings.sql (watchdogs
that race); resolving by code and subject instead of by id (a look that is out of date).
"""

import asyncio
from datetime import timedelta
from typing import Any

from app.core.clock import utc_now
from app.core.health import Observation
from app.core.vocabulary import FindingChange, FindingCode, Severity
from app.services.health.findings import FindingEvent, settle_findings
from app.services.health.watchdog import Watchdog
from app.store.findings import read_open_findings
from tests.engine import Engine

OPENED, RESOLVED, CHANGED = FindingChange.OPENED, FindingChange.RESOLVED, FindingChange.CHANGED


def told(events: list[FindingEvent]) -> list[tuple[FindingChange, str, str]]:
    return [(event.change, event.finding.code, event.finding.severity) for event in events]


async def open_rows(engine: Engine) -> list[dict[str, Any]]:
    return await engine.rows(
        "SELECT code, subject, severity, revision FROM health_finding"
        " WHERE resolved_at IS NULL ORDER BY code"
    )


async def ticking_worker(engine: Engine, *, tick_age: float = 0) -> None:
    worker_id = await engine.worker()
    await engine.rows(
        "UPDATE worker SET last_tick_at = now() - make_interval(secs => :age) WHERE id = :id",
        age=tick_age,
        id=worker_id,
    )


async def test_silent_ticker_opens_escalates_with_its_true_age_and_resolves(
    engine: Engine,
) -> None:
    watchdog = Watchdog(engine.runtime)
    await ticking_worker(engine, tick_age=20)
    assert told(await watchdog.look()) == [(OPENED, "TICKER_SILENT", "WARNING")]
    assert await watchdog.look() == []
    await engine.rows("UPDATE worker SET last_tick_at = last_tick_at - interval '20 seconds'")
    assert told(await watchdog.look()) == [(CHANGED, "TICKER_SILENT", "CRITICAL")]
    await engine.rows("UPDATE worker SET last_tick_at = now()")
    assert told(await watchdog.look()) == [(RESOLVED, "TICKER_SILENT", "CRITICAL")]
    assert [change for change in await engine.changes() if change[0] == "FINDING"] == [
        ("FINDING", "OPENED", 1),
        ("FINDING", "CHANGED", 1),
        ("FINDING", "RESOLVED", 1),
    ]


async def test_overdue_schedules_are_one_finding_of_the_instance(engine: Engine) -> None:
    await ticking_worker(engine)
    now = await engine.now()
    for _ in range(3):
        await engine.schedule(
            cursor_at=now - timedelta(hours=1), next_run_at=now - timedelta(minutes=1)
        )
    (event,) = await Watchdog(engine.runtime).look()
    assert (event.finding.code, event.finding.schedule_id) == (FindingCode.OVERDUE, None)
    assert event.finding.message == "3 schedules are overdue by more than 10 seconds."
    assert event.finding.since == now - timedelta(minutes=1)


async def test_leases_that_nobody_sweeps_are_found(engine: Engine) -> None:
    await ticking_worker(engine)
    run_id = await engine.run(await engine.job())
    await engine.claim()
    await engine.rows(
        "UPDATE run SET lease_expires_at = now() - interval '1 minute' WHERE id = :id", id=run_id
    )
    assert told(await Watchdog(engine.runtime).look()) == [(OPENED, "LEASES_NOT_SWEPT", "WARNING")]


async def test_wrong_clock_is_its_machines_finding_and_only_that_one_ends_it(
    engine: Engine,
) -> None:
    await ticking_worker(engine)
    fast = Watchdog(engine.runtime, clock=lambda: utc_now() + timedelta(hours=1), host="fast")
    right = Watchdog(engine.runtime, host="right")
    assert told(await fast.look()) == [(OPENED, "CLOCK_SKEW", "CRITICAL")]
    (row,) = await open_rows(engine)
    assert row["subject"] == "fast"
    assert await right.look() == []
    repaired = Watchdog(engine.runtime, host="fast")
    assert told(await repaired.look()) == [(RESOLVED, "CLOCK_SKEW", "CRITICAL")]


async def test_wrong_clock_of_a_machine_that_is_gone_is_forgotten(engine: Engine) -> None:
    await ticking_worker(engine)
    gone = Watchdog(engine.runtime, clock=lambda: utc_now() + timedelta(hours=1), host="gone")
    await gone.look()
    other = Watchdog(engine.runtime, host="other")
    await engine.rows("UPDATE health_finding SET seen_at = now() - interval '2 minutes'")
    # It is there, and says so now and then.
    assert await gone.look() == []
    assert await other.look() == []
    await engine.rows("UPDATE health_finding SET seen_at = now() - interval '4 minutes'")
    assert told(await other.look()) == [(RESOLVED, "CLOCK_SKEW", "CRITICAL")]


async def test_one_finding_is_open_however_many_watchdogs_race(engine: Engine) -> None:
    await ticking_worker(engine, tick_age=60)
    now = await engine.now()
    await engine.schedule(cursor_at=now - timedelta(hours=2), next_run_at=now - timedelta(hours=1))
    for _ in range(5):
        watchdogs = [Watchdog(engine.runtime) for _ in range(8)]
        looks = await asyncio.gather(*(watchdog.look() for watchdog in watchdogs))
        assert sorted(told([event for events in looks for event in events])) == [
            (OPENED, "OVERDUE", "CRITICAL"),
            (OPENED, "TICKER_SILENT", "CRITICAL"),
        ]
        assert [(row["code"], row["revision"]) for row in await open_rows(engine)] == [
            ("OVERDUE", 1),
            ("TICKER_SILENT", 1),
        ]
        await engine.rows("UPDATE health_finding SET resolved_at = now(), revision = 2")


async def test_racing_watchdogs_resolve_and_tell_once(engine: Engine) -> None:
    await ticking_worker(engine, tick_age=60)
    await Watchdog(engine.runtime).look()
    await engine.rows("UPDATE worker SET last_tick_at = now()")
    looks = await asyncio.gather(*(Watchdog(engine.runtime).look() for _ in range(8)))
    assert told([event for events in looks for event in events]) == [
        (RESOLVED, "TICKER_SILENT", "CRITICAL")
    ]


async def test_look_that_is_out_of_date_does_not_end_what_was_opened_after_it(
    engine: Engine,
) -> None:
    silent = Observation(FindingCode.TICKER_SILENT, Severity.WARNING, await engine.now(), "Silent.")
    await settle_findings(engine.runtime, observed=[silent], standing=[])
    async with engine.runtime.database.reading(None) as connection:
        standing = await read_open_findings(connection)
    # Between this look and its writing somebody else ends the finding, and a third opens the next.
    await settle_findings(engine.runtime, observed=[], standing=standing)
    await settle_findings(engine.runtime, observed=[silent], standing=[])
    assert await settle_findings(engine.runtime, observed=[], standing=standing) == []
    assert [row["code"] for row in await open_rows(engine)] == ["TICKER_SILENT"]
