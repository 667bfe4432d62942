"""Edits: never retroactive, and in force from the instant they say."""

from datetime import datetime, timedelta

import pytest

from app.core.errors import Invalid
from app.core.time import CronTiming
from app.core.vocabulary import RunState
from app.models import Schedule
from app.services.schedules import ScheduleFields, update_schedule_definition
from tests.services.planning import EDITOR, Planning

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


async def test_an_edit_fires_nothing_of_the_minute_before_it(planning: Planning) -> None:
    # The new timing has sixty occurrences in the minute that has just passed.
    schedule = await planning.create("yearly", "0 0 1 1 *", timezone="UTC")
    now = await planning.now()
    await planning.put_back(schedule, now - timedelta(minutes=1), _next(schedule))
    edited = await _edit(planning, schedule, timings=(CronTiming("* * * * * *"),))
    await planning.fire()
    fired = [run for run in await planning.runs(schedule) if run.state is RunState.QUEUED]
    assert all(run.scheduled_for > edited.updated_at for run in fired)
    assert (await planning.read(schedule)).cursor_at >= edited.updated_at


async def test_until_an_edit_takes_effect_the_schedule_fires_as_before(planning: Planning) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    noon = _next(schedule)
    turn = noon + HOUR
    edited = await _edit(
        planning, schedule, timings=(CronTiming("0 18 * * *"),), effective_from=turn
    )
    assert (edited.version, edited.effective_from) == (2, turn)
    assert edited.next_run_at == noon
    await planning.fire(noon)
    assert _next(await planning.read(schedule)) == noon + 6 * HOUR
    await planning.fire(noon + 6 * HOUR)
    await planning.fire(noon + 30 * HOUR)
    ran = [run.scheduled_for for run in await planning.runs(schedule)]
    assert ran == [noon, noon + 6 * HOUR, noon + 30 * HOUR]


async def test_an_occurrence_at_the_turn_belongs_to_what_was_before(planning: Planning) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    noon = _next(schedule)
    await _edit(planning, schedule, timings=(CronTiming("0 12 1 1 *"),), effective_from=noon)
    await planning.fire(noon)
    assert [run.scheduled_for for run in await planning.runs(schedule)] == [noon]
    assert _next(await planning.read(schedule)) > noon + HOUR


async def test_another_edit_replaces_one_that_has_not_taken_effect(planning: Planning) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    noon = _next(schedule)
    await _edit(planning, schedule, timings=(CronTiming("0 18 * * *"),), effective_from=noon + DAY)
    kept = await _edit(planning, schedule, description="What it is for.")
    assert (kept.effective_from, kept.next_run_at) == (noon + DAY, noon)
    replaced = await _edit(planning, schedule, timings=(CronTiming("30 12 * * *"),))
    assert (replaced.effective_from, replaced.timing_before) == (None, None)
    assert _next(replaced).minute == 30


async def test_an_edit_reaches_not_back_and_not_half_way(planning: Planning) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    past = (await planning.now()) - timedelta(seconds=1)
    with pytest.raises(Invalid, match="never in the past") as caught:
        await _edit(planning, schedule, jitter=HOUR, effective_from=past)
    assert caught.value.path == ("effectiveFrom",)
    with pytest.raises(Invalid, match="priority"):
        await _edit(planning, schedule, priority=5, effective_from=_next(schedule))
    assert (await planning.read(schedule)).version == 1


async def _edit(
    planning: Planning, schedule: Schedule, effective_from: datetime | None = None, **fields: object
) -> Schedule:
    accepted = await update_schedule_definition(
        planning.runtime,
        EDITOR,
        schedule.id,
        ScheduleFields(**fields),  # type: ignore[arg-type] # as the caller gives them
        expected_version=None,
        effective_from=effective_from,
    )
    return accepted.result.schedule


def _next(schedule: Schedule) -> datetime:
    assert schedule.next_run_at is not None
    return schedule.next_run_at
