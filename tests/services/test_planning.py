"""What schedules of a batch share is planned once; what a schedule has of its own never is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.time import CronTiming
from app.core.vocabulary import CatchUpPolicy, DstFoldPolicy, DstGapPolicy, OccurrenceAction
from app.models import OccurrenceOverride
from app.services.planning import Batch, plan_into
from app.store.firing import claim_due_schedules
from app.store.overrides import read_overrides_to_plan
from tests.engine import HOUR, MINUTE, NOON, Engine

USUAL: dict[str, Any] = {
    "timings": [CronTiming("*/7 * * * *")],
    "cursor_at": NOON - 3 * HOUR,
    "next_run_at": NOON - MINUTE,
    "catch_up": CatchUpPolicy.ALL,
    "catch_up_window_seconds": 3_600,
    "catch_up_limit": 5,
}
# Each has one thing of its own, and another plan because of it.
OF_THEIR_OWN: list[dict[str, Any]] = [
    {"timings": [CronTiming("*/8 * * * *")]},
    {"timings": [CronTiming("H(1-6) * * * *")]},
    {"timezone": "Asia/Kathmandu"},
    {"start_at": NOON - HOUR},
    {"end_at": NOON - MINUTE},
    {"cursor_at": NOON - 2 * HOUR},
    {"catch_up": CatchUpPolicy.NONE},
    {"catch_up_window_seconds": 60.0},
    {"catch_up_limit": 4},
    {"catch_up_rate_per_minute": 2},
    {"jitter_seconds": 200.0},
    {"has_overrides": True},
]


async def test_a_plan_made_with_others_is_the_plan_made_alone(engine: Engine) -> None:
    """Breaks it: leaving `cursor_at` out of `_SHARED`, or `has_overrides` out of `_shared`."""
    job_id = await engine.job()
    for columns in ({}, *OF_THEIR_OWN, {}):
        schedule_id = await engine.schedule(job_id, **{**USUAL, **columns})
        if columns.get("has_overrides"):
            await engine.add(skipped(schedule_id))
    async with engine.runtime.database.transaction() as transaction:
        claimed = await claim_due_schedules(
            transaction, limit=100, look_ahead_seconds=1.0, as_of=NOON
        )
        overrides = await read_overrides_to_plan(transaction, [row["id"] for row in claimed])
    together = Batch({}, (), overrides)
    planned = []
    for schedule in claimed:
        apart = Batch({}, (), overrides)
        plan_into(apart, schedule, timedelta(seconds=1))
        first = len(together.rows)
        plan_into(together, schedule, timedelta(seconds=1))
        assert told(together.rows[first:]) == told(apart.rows)
        assert together.advanced[-1] == apart.advanced[0]
        planned.append((told(apart.rows), apart.advanced[0].next_run_at))
    assert len(claimed) == len(OF_THEIR_OWN) + 2
    assert not any(row.last_error for row in together.advanced)
    # They do differ, but for the first and the last, which share their plan.
    assert len({str(plan) for plan in planned}) == len(OF_THEIR_OWN) + 1


async def test_schedules_that_differ_in_their_daylight_saving_policies_share_no_plan(
    engine: Engine,
) -> None:
    job_id = await engine.job()
    for columns in ({}, {"dst_gap": DstGapPolicy.SKIP}, {"dst_fold": DstFoldPolicy.BOTH}):
        await engine.schedule(job_id, **USUAL, **columns)
    async with engine.runtime.database.transaction() as transaction:
        claimed = await claim_due_schedules(
            transaction, limit=100, look_ahead_seconds=1.0, as_of=NOON
        )
    batch = Batch({}, ())
    for schedule in claimed:
        plan_into(batch, schedule, timedelta(seconds=1))
    assert len(batch.plans) == 3


def told(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return what rows say of their occurrences."""
    return [(row.state, row.reason, row.scheduled_for, row.due_at, row.range_end) for row in rows]


def skipped(schedule_id: UUID) -> OccurrenceOverride:
    """Return the override of the newest occurrence."""
    return OccurrenceOverride(
        schedule_id=schedule_id,
        at=NOON - 4 * MINUTE,
        action=OccurrenceAction.SKIP,
        fires_at=NOON - 4 * MINUTE,
        reason="Not this one.",
        created_at=NOON - HOUR,
    )
