"""Reads over all schedules: right, and bounded."""

from datetime import datetime, timedelta

import pytest

from app.core.errors import Invalid, LimitExceeded
from app.core.vocabulary import ConflictKind, OccurrenceAction, Severity
from app.models import Schedule
from app.services import outlook
from app.services.conflicts import Conflict, Stretch, find_conflicts, find_conflicts_of
from app.services.outlook import Budget, Question, read_forecast, read_upcoming
from app.services.schedules import OverrideRequest, override_occurrence
from app.store.filters import ScheduleFilter
from bench.seeding import seed_schedules
from tests.services.planning import EDITOR, PROJECT, Planning

MANY = 20_000
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


async def test_upcoming_is_in_order_over_all_schedules(planning: Planning) -> None:
    await planning.create("noon", "0 12 * * *", timezone="UTC")
    await planning.create("six-hourly", "30 */6 * * *", timezone="UTC")
    await planning.create("once-more", "0 12 * * *", timezone="UTC", max_runs=1)
    now = await planning.now()
    found = await _upcoming(planning, now, now + DAY, 100)
    instants = [each.occurrence.nominal for each in found.planned]
    keys = sorted(each.record.schedule.key for each in found.planned)
    assert instants == sorted(instants)
    assert keys == ["noon", "once-more"] + ["six-hourly"] * 4
    assert not found.truncated


async def test_a_later_stretch_shows_the_same_as_its_schedules_do(planning: Planning) -> None:
    await planning.create("noon", "0 12 * * *", timezone="UTC")
    await planning.create("own-slot", "H H * * *", timezone="UTC")
    await planning.create("once", "0 6 * * *", timezone="UTC", max_runs=1)
    start = (await planning.now()) + 10 * DAY
    found = await _upcoming(planning, start, start + 2 * DAY, 100)
    keys = sorted(each.record.schedule.key for each in found.planned)
    assert keys[:2] == ["noon", "noon"]
    assert keys.count("own-slot") == 2
    narrowed = await _upcoming(
        planning, start, start + 2 * DAY, 100, ScheduleFilter(timezones=("Asia/Tokyo",))
    )
    assert narrowed.planned == []


async def test_a_limit_cuts_the_list_and_says_so(planning: Planning) -> None:
    await seed_schedules(planning.runtime, MANY)
    now = await planning.now()
    for start in (now, now + 7 * DAY):
        found = await _upcoming(planning, start, start + 7 * DAY, 50)
        assert len(found.planned) == 50
        assert found.truncated
    with pytest.raises(Invalid):
        await _upcoming(planning, now, now + DAY, outlook.MOST_OCCURRENCES + 1)


async def test_a_forecast_counts_every_occurrence_of_many_schedules(planning: Planning) -> None:
    # Each of them is due once a day, and no clocks change within the three days.
    await seed_schedules(planning.runtime, MANY)
    start = datetime.fromisoformat("2027-06-01T00:00:00+00:00")
    async with planning.runtime.database.reading(PROJECT) as connection:
        found = await read_forecast(
            connection, PROJECT, start=start, until=start + 3 * DAY, bucket=HOUR, counted_from=start
        )
    assert not found.truncated
    assert [bucket.at for bucket in found.buckets] == [start + hour * HOUR for hour in range(72)]
    assert sum(bucket.occurrences for bucket in found.buckets) == 3 * MANY


async def test_a_spent_budget_ends_the_read_with_what_is_complete(planning: Planning) -> None:
    await seed_schedules(planning.runtime, MANY)
    now = await planning.now()
    async with planning.runtime.database.reading(PROJECT) as connection:
        found = await read_forecast(
            connection,
            PROJECT,
            start=now,
            until=now + 300 * DAY,
            bucket=DAY,
            counted_from=now,
            budget=Budget(seconds=0.0),
        )
        report = await find_conflicts(
            connection, PROJECT, Stretch.of(now, DAY), budget=Budget(seconds=0.0)
        )
    assert found.truncated
    assert len(found.buckets) < 300
    assert report.truncated


async def test_definitions_beyond_the_bound_are_counted_by_a_sample(
    planning: Planning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "MOST_DEFINITIONS", 10)
    await seed_schedules(planning.runtime, MANY)
    start = datetime.fromisoformat("2027-06-01T00:00:00+00:00")
    async with planning.runtime.database.reading(PROJECT) as connection:
        found = await read_forecast(
            connection, PROJECT, start=start, until=start + DAY, bucket=DAY, counted_from=start
        )
    assert found.truncated
    assert sum(bucket.occurrences for bucket in found.buckets) == pytest.approx(MANY, rel=0.2)


async def test_a_forecast_has_so_many_buckets_and_expects_what_runs_took(
    planning: Planning,
) -> None:
    schedule = await planning.create("noon", "0 12 * * *", timezone="UTC")
    for number in range(5):
        await _ran(planning, schedule.id, number, seconds=90)
    now = await planning.now()
    async with planning.runtime.database.reading(PROJECT) as connection:
        found = await read_forecast(
            connection, PROJECT, start=now, until=now + DAY, bucket=DAY, counted_from=now
        )
        with pytest.raises(LimitExceeded):
            await read_forecast(
                connection,
                PROJECT,
                start=now,
                until=now + 30 * DAY,
                bucket=timedelta(minutes=1),
                counted_from=now,
            )
    (bucket,) = found.buckets
    assert bucket.occurrences == 1
    assert bucket.expected_busy_seconds == pytest.approx(90)


async def test_conflicts_are_found_with_their_schedules_and_a_way_out(planning: Planning) -> None:
    twins = [await planning.create(f"twin-{n}", "0 3 * * *", timezone="UTC") for n in range(2)]
    other = await planning.create("other", "0 */3 * * *", timezone="UTC")
    slow = await planning.create("slow", "5-59/10 * * * *", timezone="UTC")
    for number in range(6):
        await _ran(planning, slow.id, number, seconds=900)
    found = await _conflicts(planning)
    by_kind = {each.kind: each for each in found}
    duplicate = by_kind[ConflictKind.DUPLICATE]
    assert set(duplicate.schedule_ids) == {twin.id for twin in twins}
    meeting = by_kind[ConflictKind.SAME_JOB_SAME_INSTANT]
    assert other.id in meeting.schedule_ids
    assert meeting.at.hour == 3
    overlap = by_kind[ConflictKind.OVERLAP_WITH_SELF]
    assert (list(overlap.schedule_ids), overlap.severity) == ([slow.id], Severity.CRITICAL)


async def test_a_herd_is_found_and_a_quiet_minute_suggested(planning: Planning) -> None:
    for number in range(12):
        await planning.create(f"herd-{number}", "0 9 * * *", timezone="UTC")
    await planning.create("alone", "30 9 * * *", timezone="UTC")
    (herd,) = [each for each in await _conflicts(planning) if each.kind is ConflictKind.HERD]
    assert (herd.at.hour, herd.at.minute) == (9, 0)
    assert "12 schedules" in herd.message
    assert "Minute 29" in (herd.suggestion or "")


@pytest.mark.parametrize("days", [0, 10], ids=["next", "later"])
async def test_upcoming_shows_what_somebody_skipped_moved_and_added(
    planning: Planning, days: int
) -> None:
    """Seen to fail without the overrides in `courses_of`, for what is next and what is later."""
    await planning.create("other", "0 18 * * *", timezone="UTC")
    noon = await planning.create("noon", "0 12 * * *", timezone="UTC", max_runs=200)
    now = await planning.now()
    start = (now + (days + 1) * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    first = start + 12 * HOUR
    await _decide(planning, noon, first, OccurrenceAction.SKIP)
    moved = await _decide(planning, noon, first + DAY, OccurrenceAction.MOVE, HOUR * 2)
    added = first + 2 * DAY + timedelta(minutes=7)
    await _decide(planning, noon, added, OccurrenceAction.ADD)
    found = await _upcoming(planning, start if days else now, start + 3 * DAY, 100)
    shown = [
        (each.occurrence.nominal, each.occurrence.at, each.occurrence.will_run)
        for each in found.planned
        if each.record.schedule.key == "noon" and each.occurrence.at > start
    ]
    assert shown == [
        (first, first, False),
        (first + DAY, moved, True),
        (first + 2 * DAY, first + 2 * DAY, True),
        (added, added, True),
    ]
    (skipped,) = [each.occurrence for each in found.planned if not each.occurrence.will_run]
    assert skipped.note == "Skipped by hand: A test."
    order = [each.occurrence.at for each in found.planned]
    assert order == sorted(order)


async def test_a_skipped_occurrence_keeps_its_place_among_the_first(planning: Planning) -> None:
    # Each of five skips its next one: the first that runs belongs to the sixth.
    now = await planning.now()
    first = (now + 2 * DAY).replace(hour=12, minute=0, second=0, microsecond=0)
    for number in range(5):
        skipping = await planning.create(f"skips-{number}", "0 12 */9 * *", timezone="UTC")
        following = skipping.next_run_at
        assert following is not None
        await _decide(planning, skipping, following, OccurrenceAction.SKIP)
    await planning.create("runs", f"0 13 {first.day} {first.month} *", timezone="UTC")
    found = await _upcoming(planning, now, now + 300 * DAY, 6)
    instants = [each.occurrence.at for each in found.planned]
    assert instants == sorted(instants)
    assert "runs" in {each.record.schedule.key for each in found.planned}


async def test_a_forecast_counts_what_runs_after_all_that_was_decided(planning: Planning) -> None:
    noon = await planning.create("noon", "0 12 * * *", timezone="UTC")
    await planning.create("same", "0 12 * * *", timezone="UTC")
    start = ((await planning.now()) + 3 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    first = start + 12 * HOUR
    await _decide(planning, noon, first, OccurrenceAction.SKIP)
    await _decide(planning, noon, first + DAY, OccurrenceAction.MOVE, DAY + HOUR)
    await _decide(planning, noon, first + 5 * HOUR, OccurrenceAction.ADD)
    async with planning.runtime.database.reading(PROJECT) as connection:
        found = await read_forecast(
            connection, PROJECT, start=start, until=start + 3 * DAY, bucket=DAY, counted_from=start
        )
    # Day by day: one of both and the added one; one of both; both, and the one that was moved.
    assert [bucket.occurrences for bucket in found.buckets] == [2, 1, 3]
    assert not found.truncated


async def test_conflicts_follow_what_somebody_moved(planning: Planning) -> None:
    noon = await planning.create("noon", "0 12 * * *", timezone="UTC")
    other = await planning.create("other", "0 15 * * *", timezone="UTC")
    assert await _conflicts(planning) == []
    following = noon.next_run_at
    assert following is not None
    moved = await _decide(planning, noon, following, OccurrenceAction.MOVE, 3 * HOUR)
    (meeting,) = await _conflicts(planning)
    assert (meeting.kind, meeting.at) == (ConflictKind.SAME_JOB_SAME_INSTANT, moved)
    assert set(meeting.schedule_ids) == {noon.id, other.id}
    for schedule in (noon, other):
        stretch = Stretch.of(await planning.now(), 2 * DAY)
        async with planning.runtime.database.reading(PROJECT) as connection:
            found = await find_conflicts_of(connection, await planning.read(schedule), stretch)
        assert [each.at for each in found] == [moved]
    await _decide(planning, other, moved, OccurrenceAction.SKIP)
    assert await _conflicts(planning) == []


async def _decide(
    planning: Planning,
    schedule: Schedule,
    at: datetime,
    action: OccurrenceAction,
    later: timedelta = timedelta(0),
) -> datetime:
    """Decide about an occurrence; return where it stands then."""
    move_to = at + later if later else None
    request = OverrideRequest(at, action, "A test.", move_to)
    await override_occurrence(planning.runtime, EDITOR, schedule.id, request)
    return move_to or at


async def _upcoming(
    planning: Planning,
    after: datetime,
    until: datetime,
    limit: int,
    narrowed: ScheduleFilter | None = None,
) -> outlook.Upcoming:
    question = Question(after, until, limit, narrowed)
    async with planning.runtime.database.reading(PROJECT) as connection:
        return await read_upcoming(connection, PROJECT, question, as_of=await planning.now())


async def _conflicts(planning: Planning) -> list[Conflict]:
    now = await planning.now()
    async with planning.runtime.database.reading(PROJECT) as connection:
        report = await find_conflicts(connection, PROJECT, Stretch.of(now, 2 * DAY))
    assert not report.truncated
    return list(report.found)


async def _ran(planning: Planning, schedule_id: object, number: int, *, seconds: int) -> None:
    await planning.execute(
        """INSERT INTO run (id, project_id, job_id, schedule_id, state, cause, scheduled_for,
               due_at, next_attempt_at, created_at, started_at, finished_at, overlap, parameters,
               tags, queue, priority, attempt, max_attempts, crash_count, revision)
           SELECT gen_random_uuid(), :project, job_id, id, 'SUCCEEDED', 'SCHEDULE', at, at, at, at,
                  at, at + make_interval(secs => :seconds), 'ALLOW', '{}', '{}', 'default', 0, 1, 1,
                  0, 1
             FROM schedule, (SELECT now() - make_interval(hours => 2 + :number) AS at) AS began
            WHERE id = :id""",
        project=PROJECT,
        id=schedule_id,
        number=number,
        seconds=seconds,
    )
