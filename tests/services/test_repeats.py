"""An occurrence that has been recorded does not come again, wherever its instant has gone.

In most of these an excluded stretch of days, today among them, moves what was due before it to one
day behind it, where the schedule has occurrences of its own between those that were moved.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.core.time import CronTiming
from app.core.vocabulary import (
    CalendarMode,
    CatchUpPolicy,
    OccurrenceAction,
    Outcome,
    ResumeChoice,
    RunState,
    TimeMode,
)
from app.models import Schedule
from app.services.previews import preview_change
from app.services.schedules import (
    OverrideRequest,
    ResumeRequest,
    ScheduleFields,
    override_occurrence,
    pause_schedule,
    resume_schedule,
    update_schedule_definition,
)
from app.services.schedules.timetables import load_calendars
from app.services.schedules.upcoming import upcoming_occurrences
from app.services.schedules.why_not import explain_instant
from tests.services.planning import EDITOR, PROJECT, Planning

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
FOLLOWING = (6, 18)
RECORDED = (12, 20)


class Days:
    """Yesterday and the days around it, all in UTC."""

    def __init__(self, now: datetime) -> None:
        self.today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        self.yesterday = self.today - DAY
        self.target = self.today + 2 * DAY

    @property
    def frozen(self) -> str:
        """Yesterday, today and tomorrow as a calendar has them."""
        return f"{self.yesterday.date()}/{(self.today + DAY).date()}"

    def expressions(self) -> tuple[str, str]:
        """What was due yesterday, and what is due on the target day by itself."""
        return (
            f"0 {','.join(map(str, RECORDED))} * * {self.yesterday:%a}",
            f"0 {','.join(map(str, FOLLOWING))} * * {self.target:%a}",
        )


@pytest.fixture
async def days(planning: Planning) -> Days:
    """Count from PostgreSQL's clock."""
    return Days(await planning.now())


async def test_what_ran_does_not_run_again_between_others_once_a_calendar_moves_it(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where only the first ones to come are looked at, as a cursor would pass them."""
    calendar = await planning.put("freeze")
    schedule = await _following(planning, days, calendar_ids=(calendar.id,))
    await _run_yesterday(planning, schedule, days)
    await planning.put("freeze", days.frozen)
    assert await _upcoming(planning, schedule, days) == FOLLOWING
    async with planning.runtime.database.reading(PROJECT) as connection:
        current = await planning.read(schedule)
        why = await explain_instant(connection, current, days.target + RECORDED[0] * HOUR)
    assert (why.outcome, "recorded before" in why.message) == (Outcome.NOT_AN_OCCURRENCE, True)
    for hour in range(24):
        await planning.fire(days.target + hour * HOUR)
    ran = [run.scheduled_for for run in await planning.runs(schedule)]
    assert ran == [
        *(days.yesterday + hour * HOUR for hour in RECORDED),
        *(days.target + hour * HOUR for hour in FOLLOWING),
    ]


async def test_what_ran_stays_passed_over_whatever_is_done_to_the_schedule_afterwards(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where an edit of the timing does not look again."""
    calendar = await planning.put("freeze", days.frozen)
    schedule = await planning.create(
        "often", *days.expressions(), timezone="UTC", start_at=days.yesterday
    )
    await _run_yesterday(planning, schedule, days)
    follows = ScheduleFields(calendar_ids=(calendar.id,), calendar_mode=CalendarMode.MOVE_NEXT)
    await _check_preview(planning, schedule, follows)
    await _edit(planning, schedule, follows)
    assert await _upcoming(planning, schedule, days) == FOLLOWING
    await _edit(planning, schedule, ScheduleFields(name="Again"))
    assert await _upcoming(planning, schedule, days) == FOLLOWING
    later = tuple(CronTiming(text) for text in (*days.expressions(), "0 0 1 1 *"))
    await _edit(planning, schedule, ScheduleFields(timings=later))
    assert await _upcoming(planning, schedule, days) == FOLLOWING
    await override_occurrence(
        planning.runtime,
        EDITOR,
        schedule.id,
        OverrideRequest(days.target + 18 * HOUR, OccurrenceAction.SKIP, "A test."),
    )
    assert await _upcoming(planning, schedule, days) == FOLLOWING
    await pause_schedule(planning.runtime, EDITOR, schedule.id, reason="A test.")
    await resume_schedule(planning.runtime, EDITOR, schedule.id, ResumeRequest(ResumeChoice.ALL))
    assert await _upcoming(planning, schedule, days) == FOLLOWING


async def test_a_calendar_that_changes_during_a_pause_repeats_nothing_after_it(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where the resume does not look."""
    calendar = await planning.put("freeze")
    schedule = await _following(planning, days, calendar_ids=(calendar.id,))
    await _run_yesterday(planning, schedule, days)
    await pause_schedule(planning.runtime, EDITOR, schedule.id, reason="A test.")
    await planning.put("freeze", days.frozen)
    await resume_schedule(planning.runtime, EDITOR, schedule.id, ResumeRequest(ResumeChoice.SKIP))
    assert await _upcoming(planning, schedule, days) == FOLLOWING


async def test_what_was_missed_in_one_stretch_does_not_come_again_either(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where a stretch is known by its first local time only."""
    calendar = await planning.put("freeze")
    schedule = await _following(
        planning, days, calendar_ids=(calendar.id,), catch_up=CatchUpPolicy.NONE
    )
    await planning.put_back(schedule, days.yesterday, days.yesterday + RECORDED[0] * HOUR)
    await planning.fire(days.today - HOUR)
    (missed,) = await planning.runs(schedule)
    assert (missed.state, missed.range_count) == (RunState.MISSED, len(RECORDED))
    await planning.put("freeze", days.frozen)
    assert await _upcoming(planning, schedule, days) == FOLLOWING


async def test_what_a_calendar_let_run_early_does_not_run_on_its_own_day_as_well(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where only what a calendar moves now is looked at.

    It counts elapsed time, which repeats local times by right, but not those of another day.
    """
    calendar = await planning.put("freeze", days.frozen)
    before = days.yesterday - DAY
    schedule = await planning.create(
        "early",
        timings=(CronTiming(f"0 12 * * {(days.today + DAY):%a}", time_mode=TimeMode.ELAPSED),),
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_PREVIOUS,
    )
    await planning.put_back(schedule, before, before + 12 * HOUR)
    await planning.fire(before + 12 * HOUR)
    (early,) = await planning.runs(schedule)
    assert early.scheduled_local == (days.today + DAY + 12 * HOUR).replace(tzinfo=None).isoformat()
    await planning.put("freeze")
    assert (await planning.read(schedule)).next_run_at == days.today + 8 * DAY + 12 * HOUR


async def test_each_of_several_that_ran_as_one_is_known_to_have_run(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where a run stores one local time only."""
    first, second = days.yesterday - DAY, days.yesterday
    calendar = await planning.put("freeze", first.date().isoformat())
    schedule = await planning.create(
        "merged",
        f"0 12 * * {first:%a},{second:%a}",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    await planning.put_back(schedule, second, second + 12 * HOUR)
    await planning.fire(second + 12 * HOUR)
    (run,) = await planning.runs(schedule)
    assert run.other_locals == [(second + 12 * HOUR).replace(tzinfo=None).isoformat()]
    await planning.put("freeze", f"{first.date()}/{(days.today + DAY).date()}")
    assert (await planning.read(schedule)).next_run_at == first + 7 * DAY + 12 * HOUR


async def test_what_an_edit_lets_run_until_it_takes_effect_does_not_run_after_it(
    planning: Planning, days: Days
) -> None:
    """Tomorrow's occurrence runs before the turn; behind it, a calendar would move it on.

    Seen to fail where only what is recorded by now counts.
    """
    tomorrow = days.today + DAY
    calendar = await planning.put("freeze", tomorrow.date().isoformat())
    schedule = await planning.create("turning", f"0 12 * * {tomorrow:%a}", timezone="UTC")
    await update_schedule_definition(
        planning.runtime,
        EDITOR,
        schedule.id,
        ScheduleFields(calendar_ids=(calendar.id,), calendar_mode=CalendarMode.MOVE_NEXT),
        expected_version=None,
        effective_from=tomorrow + 18 * HOUR,
    )
    assert (await planning.read(schedule)).next_run_at == tomorrow + 12 * HOUR
    await planning.fire(tomorrow + 12 * HOUR)
    following = (await planning.read(schedule)).next_run_at
    assert following == tomorrow + 7 * DAY + 12 * HOUR


async def test_what_was_only_prepared_runs_on_the_day_it_is_moved_to(
    planning: Planning, days: Days
) -> None:
    """Seen to fail where records are read before what is prepared has been withdrawn."""
    calendar = await planning.put("freeze")
    tomorrow = days.today + DAY
    schedule = await planning.create(
        "prepared",
        f"0 12 * * {tomorrow:%a}",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    await planning.fire(tomorrow + 12 * HOUR - timedelta(milliseconds=500))
    assert len(await planning.runs(schedule)) == 1
    await planning.put("freeze", tomorrow.date().isoformat())
    assert await planning.runs(schedule) == []
    assert (await planning.read(schedule)).next_run_at == tomorrow + DAY + 12 * HOUR


async def _following(planning: Planning, days: Days, **fields: Any) -> Schedule:
    return await planning.create(
        "often",
        *days.expressions(),
        timezone="UTC",
        calendar_mode=CalendarMode.MOVE_NEXT,
        **fields,
    )


async def _run_yesterday(planning: Planning, schedule: Schedule, days: Days) -> None:
    await planning.put_back(schedule, days.yesterday, days.yesterday + RECORDED[0] * HOUR)
    for hour in RECORDED:
        await planning.fire(days.yesterday + hour * HOUR)
    assert len(await planning.runs(schedule)) == len(RECORDED)


async def _edit(planning: Planning, schedule: Schedule, fields: ScheduleFields) -> None:
    await update_schedule_definition(
        planning.runtime, EDITOR, schedule.id, fields, expected_version=None
    )


async def _upcoming(planning: Planning, schedule: Schedule, days: Days) -> Sequence[int]:
    """Return at which hours of the target day it is due, as its `upcoming` lists them."""
    current = await planning.read(schedule)
    async with planning.runtime.database.reading(PROJECT) as connection:
        calendars = await load_calendars(connection, current.model_dump())
    found = upcoming_occurrences(
        current, calendars, after=days.target, until=days.target + DAY, limit=100
    )
    return tuple(occurrence.nominal.hour for occurrence in found)


async def _check_preview(planning: Planning, schedule: Schedule, fields: ScheduleFields) -> None:
    """Check that the preview of an edit promises no more on the target day than will come."""
    async with planning.runtime.database.reading(PROJECT) as connection:
        preview = await preview_change(
            planning.runtime,
            connection,
            EDITOR,
            schedule.id,
            fields,
            effective_from=None,
            horizon=3 * DAY,
        )
    assert not preview.errors
    assert [*preview.added, *preview.removed] == []
    assert preview.unchanged == len(FOLLOWING)
