"""Calendars: what they exclude, and what an edit of one moves."""

from datetime import datetime, timedelta

import pytest

from app.core.errors import InvalidInput, NotFound, StateConflict, TickwheelError
from app.core.vocabulary import (
    CalendarMode,
    OccurrenceAction,
    ResumeChoice,
    RunReason,
    RunState,
    ScheduleState,
)
from app.services.calendars import import_calendar, remove_calendar
from app.services.schedules import (
    OverrideRequest,
    ResumeRequest,
    ScheduleFields,
    archive_schedule,
    override_occurrence,
    pause_schedule,
    resume_schedule,
    update_schedule_definition,
)
from tests.services.planning import EDITOR, Planning, at

DAY = timedelta(days=1)


async def test_tick_records_an_excluded_occurrence_as_skipped_with_the_calendars_name(
    planning: Planning,
) -> None:
    # 25 December 2025 was a Thursday; Berlin is at +01:00 then, so 09:00 there is 08:00 UTC.
    calendar = await planning.put("holidays", "2025-12-25")
    schedule = await planning.create(
        "morning", "0 9 * * *", timezone="Europe/Berlin", calendar_ids=(calendar.id,)
    )
    await planning.put_back(schedule, at("2025-12-24T08:00:00Z"), at("2025-12-25T08:00:00Z"))
    await planning.fire(at("2025-12-25T08:00:00Z"))
    (skipped,) = await planning.runs(schedule)
    assert (skipped.state, skipped.reason) == (RunState.SKIPPED, RunReason.CALENDAR)
    assert skipped.scheduled_local == "2025-12-25T09:00:00"
    assert "Holidays" in (skipped.message or "")
    await planning.fire(at("2025-12-26T08:00:00Z"))
    _, ran = await planning.runs(schedule)
    assert ran.state is RunState.QUEUED
    assert ran.scheduled_for == at("2025-12-26T08:00:00Z")


async def test_tick_moves_an_occurrence_to_the_next_allowed_day(planning: Planning) -> None:
    # 1 November 2025 was a Saturday, so the Monday after it was the 3rd.
    weekend = await planning.put("weekend", weekdays=["SAT", "SUN"])
    schedule = await planning.create(
        "monthly",
        "0 12 1 * *",
        timezone="UTC",
        calendar_ids=(weekend.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    await planning.put_back(schedule, at("2025-10-31T12:00:00Z"), at("2025-11-03T12:00:00Z"))
    await planning.fire(at("2025-11-03T12:00:00Z"))
    (run,) = await planning.runs(schedule)
    assert (run.state, run.scheduled_for) == (RunState.QUEUED, at("2025-11-03T12:00:00Z"))


async def test_an_edit_of_a_calendar_moves_the_next_instants_of_its_followers_alone(
    planning: Planning,
) -> None:
    calendar = await planning.put("freeze", "2020-01-01")
    follower = await planning.create(
        "follower",
        "0 12 * * *",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    other = await planning.create("other", "0 12 * * *", timezone="UTC")
    first = _next(follower.next_run_at)
    await planning.put("freeze", first.date().isoformat())
    assert _next((await planning.read(follower)).next_run_at) == first + DAY
    assert _next((await planning.read(other)).next_run_at) == first
    await planning.put("freeze")
    assert _next((await planning.read(follower)).next_run_at) == first


async def test_what_has_run_does_not_run_again_on_the_day_a_calendar_moves_it_to(
    planning: Planning,
) -> None:
    # Yesterday's occurrence has run; then yesterday is excluded, which moves it to today or later.
    calendar = await planning.put("freeze")
    today = (await planning.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    schedule = await planning.create(
        "once-a-week",
        f"59 59 23 * * {(today - DAY):%a}",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    due = today - timedelta(seconds=1)
    following = _next(schedule.next_run_at)
    assert following == due + 7 * DAY
    await planning.put_back(schedule, due - DAY, due)
    await planning.fire(due)
    await planning.put("freeze", due.date().isoformat())
    assert (await planning.read(schedule)).next_run_at == following


async def test_what_has_run_does_not_run_again_when_its_schedule_begins_to_follow_a_calendar(
    planning: Planning,
) -> None:
    """Yesterday's occurrence has run; then its schedule follows a calendar that moves it to today.

    Seen to fail without the passing over in `Edit`, and with a cursor that another edit, an
    override or a resume puts back to now.
    """
    today = (await planning.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    due = today - timedelta(seconds=1)
    calendar = await planning.put("freeze", *((today - n * DAY).date().isoformat() for n in (1, 0)))
    schedule = await planning.create(
        "once-a-week", f"59 59 23 * * {due:%a}", timezone="UTC", start_at=today - 2 * DAY
    )
    following = _next(schedule.next_run_at)
    await planning.put_back(schedule, due - DAY, due)
    await planning.fire(due)
    follows = ScheduleFields(calendar_ids=(calendar.id,), calendar_mode=CalendarMode.MOVE_NEXT)
    await update_schedule_definition(
        planning.runtime, EDITOR, schedule.id, follows, expected_version=None
    )
    assert (await planning.read(schedule)).next_run_at == following
    renamed = ScheduleFields(name="Again")
    await update_schedule_definition(
        planning.runtime, EDITOR, schedule.id, renamed, expected_version=None
    )
    assert (await planning.read(schedule)).next_run_at == following
    await override_occurrence(
        planning.runtime,
        EDITOR,
        schedule.id,
        OverrideRequest(following + 7 * DAY, OccurrenceAction.SKIP, "A test."),
    )
    assert (await planning.read(schedule)).next_run_at == following
    await pause_schedule(planning.runtime, EDITOR, schedule.id, reason="A test.")
    await resume_schedule(planning.runtime, EDITOR, schedule.id, ResumeRequest(ResumeChoice.ALL))
    assert (await planning.read(schedule)).next_run_at == following


async def test_a_calendar_that_moves_by_months_repeats_nothing_either(planning: Planning) -> None:
    now = await planning.now()
    due = (now - 60 * DAY).replace(microsecond=0)
    calendar = await planning.put("freeze")
    schedule = await planning.create(
        "yearly",
        f"{due:%S %M %H %d %m} *",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    following = _next(schedule.next_run_at)
    await planning.put_back(schedule, due - DAY, due)
    await planning.fire(due)
    await planning.put("freeze", f"{due.date()}/{(now + DAY).date()}")
    assert (await planning.read(schedule)).next_run_at == following


async def test_an_edit_of_a_calendar_withdraws_what_a_tick_prepared(planning: Planning) -> None:
    calendar = await planning.put("freeze")
    schedule = await planning.create(
        "noon", "0 12 * * *", timezone="UTC", calendar_ids=(calendar.id,)
    )
    due = _next(schedule.next_run_at)
    # As a tick does that looks a little ahead of the instant.
    await planning.fire(due - timedelta(milliseconds=500))
    (prepared,) = await planning.runs(schedule)
    assert prepared.state is RunState.QUEUED
    await planning.put("freeze", due.date().isoformat())
    assert await planning.runs(schedule) == []
    await planning.fire(due)
    (skipped,) = await planning.runs(schedule)
    assert (skipped.state, skipped.reason) == (RunState.SKIPPED, RunReason.CALENDAR)


async def test_an_edit_of_a_calendar_fires_nothing_of_the_past(planning: Planning) -> None:
    # Every second is excluded until the calendar is emptied; nothing of that time runs then.
    calendar = await planning.put("closed")
    schedule = await planning.create(
        "often", "* * * * * *", timezone="UTC", calendar_ids=(calendar.id,)
    )
    await planning.put("closed", weekdays=["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"])
    now = await planning.now()
    await planning.put_back(schedule, now - timedelta(minutes=1), now - timedelta(seconds=59))
    edited = await planning.put("closed")
    await planning.fire()
    ran = [run for run in await planning.runs(schedule) if run.state is RunState.QUEUED]
    assert all(run.scheduled_for > edited.updated_at for run in ran)
    assert (await planning.read(schedule)).state is ScheduleState.ACTIVE


async def test_a_calendar_in_use_is_not_deleted(planning: Planning) -> None:
    calendar = await planning.put("freeze")
    schedule = await planning.create("noon", "0 12 * * *", calendar_ids=(calendar.id,))
    with pytest.raises(StateConflict, match="noon"):
        await remove_calendar(planning.runtime, EDITOR, "freeze")
    await archive_schedule(planning.runtime, EDITOR, schedule.id)
    await remove_calendar(planning.runtime, EDITOR, "freeze")
    with pytest.raises(NotFound):
        await remove_calendar(planning.runtime, EDITOR, "freeze")


async def test_an_unknown_calendar_is_refused_with_its_place(planning: Planning) -> None:
    calendar = await planning.put("freeze")
    await remove_calendar(planning.runtime, EDITOR, "freeze")
    with pytest.raises(NotFound) as caught:
        await planning.create("noon", "0 12 * * *", calendar_ids=(calendar.id,))
    assert caught.value.path == ("fields", "calendarIds", "0")


async def test_everything_wrong_with_a_calendar_is_said_and_nothing_is_written(
    planning: Planning,
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await planning.put("days", "2026-02-30", "2026-12-31/2026-12-24", weekdays=["SAM"])
    paths = {error.path for error in caught.value.errors}
    assert paths == {("dates", "0"), ("dates", "1"), ("rules", "weekdays", "0")}
    with pytest.raises(NotFound):
        await remove_calendar(planning.runtime, EDITOR, "days")


async def test_an_import_replaces_the_days_and_keeps_name_and_rules(planning: Planning) -> None:
    await planning.put("days", "2020-01-01", yearly=["12-25"])
    ics = "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:-//test//test//EN",
            "BEGIN:VEVENT",
            "UID:1",
            "SUMMARY:Freeze",
            "DTSTART;VALUE=DATE:20270301",
            "DTEND;VALUE=DATE:20270303",
            "END:VEVENT",
            "END:VCALENDAR",
        ]
    )
    calendar = (await import_calendar(planning.runtime, EDITOR, "days", ics)).result
    assert calendar.dates == ["2027-03-01", "2027-03-02"]
    assert (calendar.name, calendar.rules, calendar.version) == ("Days", {"yearly": ["12-25"]}, 2)
    with pytest.raises(TickwheelError) as caught:
        await import_calendar(planning.runtime, EDITOR, "days", "no calendar")
    assert caught.value.path == ("ics",)


async def test_a_schedule_resumed_after_a_calendars_edit_follows_it(planning: Planning) -> None:
    calendar = await planning.put("freeze")
    schedule = await planning.create(
        "noon",
        "0 12 * * *",
        timezone="UTC",
        calendar_ids=(calendar.id,),
        calendar_mode=CalendarMode.MOVE_NEXT,
    )
    first = _next(schedule.next_run_at)
    await pause_schedule(planning.runtime, EDITOR, schedule.id, reason="A test.")
    await planning.put("freeze", first.date().isoformat())
    assert (await planning.read(schedule)).next_run_at is None
    request = ResumeRequest(ResumeChoice.SKIP)
    await resume_schedule(planning.runtime, EDITOR, schedule.id, request)
    assert (await planning.read(schedule)).next_run_at == first + DAY


async def test_an_edit_adds_and_clears_calendars(planning: Planning) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    first = _next(schedule.next_run_at)
    calendar = await planning.put("freeze", first.date().isoformat())
    changed = await update_schedule_definition(
        planning.runtime,
        EDITOR,
        schedule.id,
        ScheduleFields(calendar_ids=(calendar.id,), calendar_mode=CalendarMode.MOVE_NEXT),
        expected_version=1,
    )
    assert changed.result.schedule.next_run_at == first + DAY
    cleared = await update_schedule_definition(
        planning.runtime,
        EDITOR,
        schedule.id,
        ScheduleFields(calendar_ids=None, calendar_mode=None),
        expected_version=2,
    )
    assert cleared.result.schedule.calendar_ids == []
    assert cleared.result.schedule.next_run_at == first


def _next(instant: datetime | None) -> datetime:
    assert instant is not None
    return instant
