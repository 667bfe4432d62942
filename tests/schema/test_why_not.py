"""`whyNot` answers for any instant: what happened, what will, and why."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.services.firing import fire_due
from tests.schema.api import Api
from tests.schema.test_backfills import START
from tests.schema.test_mutations import ARCHIVE, PAUSE, RESUME, UPDATE
from tests.schema.test_overrides import HOUR, MINUTE, Hourly, next_hours, written
from tests.schema.test_versions import change

WHY_NOT = """query($id: ID!, $at: DateTime!) { schedule(id: $id) { whyNot(at: $at) {
    at isOccurrence outcome reason message nearest { at }
    run { id state rangeEnd rangeCount } } } }"""
DAY = timedelta(days=1)


async def why(api: Api, schedule_id: str, at: datetime) -> dict[str, Any]:
    """Ask."""
    data = await api.data(WHY_NOT, id=schedule_id, at=written(at))
    answer: dict[str, Any] = data["schedule"]["whyNot"]
    assert answer["at"] == written(at)
    assert answer["message"]
    return answer


def verdict(answer: dict[str, Any]) -> tuple[str, str | None, bool]:
    """Return the answer without its words."""
    return answer["outcome"], answer["reason"], answer["isOccurrence"]


async def age(api: Api, days: int) -> timedelta:
    """Let everything have happened so many days ago; return how long that is."""
    async with api.runtime.database.transaction() as transaction:
        for table, columns in _INSTANTS.items():
            values = ", ".join(
                f"{name} = {name} - make_interval(days => :days)" for name in columns
            )
            await transaction.execute(text(f"UPDATE {table} SET {values}"), {"days": days})
        await transaction.execute(
            text(
                "UPDATE schedule_version SET snapshot = jsonb_set(snapshot, '{paused_at}',"
                " to_jsonb((snapshot ->> 'paused_at')::timestamptz - make_interval(days => :days)))"
                " WHERE snapshot ->> 'paused_at' IS NOT NULL"
            ),
            {"days": days},
        )
    return timedelta(days=days)


_INSTANTS = {
    "schedule": ("created_at", "cursor_at", "next_run_at", "paused_at", "archived_at"),
    "schedule_version": ("at",),
    "run": ("scheduled_for", "due_at", "range_end", "next_attempt_at", "created_at"),
    "occurrence_override": ("at", "fires_at", "move_to"),
}


async def test_what_is_no_occurrence_names_the_nearest(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    answer = await why(api, hourly.id, first + MINUTE)
    assert verdict(answer) == ("NOT_AN_OCCURRENCE", None, False)
    assert [one["at"] for one in answer["nearest"]] == [written(first), written(second)]
    long_ago = await why(api, hourly.id, first - 1_000 * DAY)
    assert verdict(long_ago) == ("BEFORE_CREATION", None, False)


async def test_the_future_is_told_as_it_stands(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second, third = next_hours(3)
    assert verdict(await why(api, hourly.id, first)) == ("WILL_RUN", None, True)
    await hourly.decide("SKIP", second)
    await hourly.decide("MOVE", third, moveTo=written(third + MINUTE))
    await hourly.decide("ADD", third + 2 * MINUTE)
    skipped = await why(api, hourly.id, second)
    assert verdict(skipped) == ("WILL_SKIP", "OVERRIDDEN", True)
    assert skipped["message"] == "admin decided that it does not run: Stocktaking"
    moved = await why(api, hourly.id, third)
    assert verdict(moved) == ("WILL_RUN", None, True)
    assert "moved it to" in moved["message"]
    assert verdict(await why(api, hourly.id, third + 2 * MINUTE)) == ("WILL_RUN", None, True)
    assert verdict(await why(api, hourly.id, third + MINUTE)) == ("NOT_AN_OCCURRENCE", None, False)


async def test_window_and_number_of_runs_end_the_future(api: Api) -> None:
    first, *_ = next_hours(1)
    job_id = await api.create_job()
    windowed = await api.create_schedule(
        job_id, "windowed", cron="0 * * * *", endAt=written(first + HOUR)
    )
    assert (await why(api, windowed["id"], first + HOUR))["outcome"] == "WILL_RUN"
    outside = await why(api, windowed["id"], first + 2 * HOUR)
    assert verdict(outside) == ("OUTSIDE_WINDOW", "OUTSIDE_WINDOW", False)
    limited = await api.create_schedule(job_id, "limited", cron="0 * * * *", maxRuns=2)
    verdicts = [verdict(await why(api, limited["id"], first + n * HOUR))[:2] for n in range(3)]
    assert verdicts == [("WILL_RUN", None), ("WILL_RUN", None), ("WILL_SKIP", "LIMIT")]


async def test_what_ran_what_was_skipped_and_what_was_missed_is_told(api: Api) -> None:
    hourly = await Hourly.of(api)
    hours = next_hours(12)
    await hourly.decide("SKIP", hours[1])
    await hourly.tick(hours[0])
    await hourly.tick(hours[1])
    # Then nobody ticks for hours.
    await hourly.tick(hours[10] + 30 * MINUTE)
    past = await age(api, 1)
    queued = await why(api, hourly.id, hours[0] - past)
    assert verdict(queued) == ("WILL_RUN", None, True)
    assert "no worker has taken it" in queued["message"]
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "UPDATE run SET state = 'SUCCEEDED', attempt = 1, started_at = due_at,"
                " first_started_at = due_at, finished_at = due_at WHERE state = 'QUEUED'"
            )
        )
    ran = await why(api, hourly.id, hours[0] - past)
    assert verdict(ran) == ("RAN", None, True)
    assert ran["run"]["state"] == "SUCCEEDED"
    skipped = await why(api, hourly.id, hours[1] - past)
    assert verdict(skipped) == ("SKIPPED", "OVERRIDDEN", True)
    assert "Stocktaking" in skipped["message"]
    for hour in (hours[2], hours[5], hours[9]):
        missed = await why(api, hourly.id, hour - past)
        assert verdict(missed) == ("MISSED", "TOO_LATE", True)
        assert missed["run"]["rangeEnd"] == written(hours[10] - past)
    inside = await why(api, hourly.id, hours[5] + MINUTE - past)
    assert verdict(inside) == ("NOT_AN_OCCURRENCE", None, False)
    not_yet = await why(api, hourly.id, hours[11] - past)
    assert (not_yet["outcome"], not_yet["isOccurrence"]) == ("UNKNOWN", True)
    assert "no worker has fired it yet" in not_yet["message"]


async def test_a_pause_is_told_while_it_lasts_and_after_it_ended(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await change(api, PAUSE, id=hourly.id, reason="The disk is full")
    open_pause = await why(api, hourly.id, first)
    assert verdict(open_pause) == ("PAUSED", "PAUSED", True)
    assert "admin paused the schedule" in open_pause["message"]
    assert "The disk is full." in open_pause["message"]
    past = await age(api, 2)
    assert (await why(api, hourly.id, second - past))["outcome"] == "PAUSED"
    await change(api, RESUME, id=hourly.id)
    ended = await why(api, hourly.id, second - past)
    assert verdict(ended) == ("MISSED", "PAUSED", True)
    assert "The disk is full." in ended["message"]
    assert (await why(api, hourly.id, first))["outcome"] == "WILL_RUN"


async def test_a_timed_pause_ends_before_what_lies_behind_it(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await change(api, PAUSE, id=hourly.id, reason="Wait", until=written(first + MINUTE))
    assert (await why(api, hourly.id, first))["outcome"] == "PAUSED"
    assert (await why(api, hourly.id, second))["outcome"] == "WILL_RUN"


async def test_a_halt_of_the_whole_scheduler_is_told(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    halt = """mutation { schedulerControl(input: { action: STOP, reason: "Moving house" }) {
        errors { message } } }"""
    assert (await api.data(halt))["schedulerControl"]["errors"] == []
    assert "nothing fires" in (await why(api, hourly.id, first))["message"]
    past = await age(api, 1)
    answer = await why(api, hourly.id, first - past)
    assert verdict(answer) == ("PAUSED", "STOPPED", True)
    assert "Moving house" in answer["message"]


async def test_the_past_is_told_by_the_timings_of_that_time(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    past = await age(api, 3)
    half_past = {"timings": [{"cron": {"expression": "30 * * * *"}}]}
    await change(api, UPDATE, id=hourly.id, fields=half_past)
    before = first - past
    assert verdict(await why(api, hourly.id, before)) == ("MISSED", "TOO_LATE", True)
    answer = await why(api, hourly.id, before + 30 * MINUTE)
    assert verdict(answer) == ("NOT_AN_OCCURRENCE", None, False)
    assert "by the timings it had at that time" in answer["message"]
    assert (await why(api, hourly.id, first + 30 * MINUTE))["outcome"] == "WILL_RUN"
    assert (await why(api, hourly.id, first))["outcome"] == "NOT_AN_OCCURRENCE"


async def test_what_retention_removed_is_unknown(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await hourly.tick(first)
    past = await age(api, 100)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("DELETE FROM run"))
    answer = await why(api, hourly.id, first - past)
    assert verdict(answer) == ("UNKNOWN", None, True)
    assert "removed" in answer["message"]
    assert second


async def test_after_the_end_nothing_runs(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    await change(api, ARCHIVE, id=hourly.id, reason="Replaced by another")
    future = await why(api, hourly.id, first)
    assert verdict(future) == ("WILL_SKIP", "ARCHIVED", True)
    assert "Replaced by another" in future["message"]
    past = await age(api, 5)
    assert verdict(await why(api, hourly.id, first - past))[:2] == ("SKIPPED", "ARCHIVED")


async def test_a_schedule_that_cannot_be_planned_says_so(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text("""UPDATE schedule SET timings = '[{"cron": {"expression": "nonsense"}}]'""")
        )
    await fire_due(api.runtime, as_of=first)
    answer = await why(api, hourly.id, first)
    assert verdict(answer)[:2] == ("UNKNOWN", "QUARANTINED")


async def test_the_range_over_an_instant_is_found_in_the_index_alone(api: Api) -> None:
    hourly = await Hourly.of(api)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "INSERT INTO run (id, project_id, job_id, schedule_id, revision, state, reason,"
                " cause, overlap, scheduled_for, due_at, next_attempt_at, range_end, range_count,"
                " created_at, finished_at, parameters, tags, queue, priority, attempt,"
                " max_attempts, crash_count)"
                " SELECT gen_random_uuid(), project_id, job_id, id, 1, 'MISSED', 'PAUSED',"
                " 'SCHEDULE', 'SKIP', at, at, at, at + interval '5 hours', 6, at, at, '{}', '{}',"
                " 'default', 0, 0, 1, 0 FROM schedule,"
                " generate_series(now() - interval '2000 days', now(), interval '1 day') AS at"
            )
        )
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("ANALYZE run"))
        plan = await transaction.execute(
            text(
                "EXPLAIN SELECT id, range_end FROM run WHERE schedule_id ="
                " (SELECT id FROM schedule) AND range_end IS NOT NULL"
                " AND scheduled_for <= now() - interval '500 days'"
                " ORDER BY scheduled_for DESC LIMIT 1"
            )
        )
        assert "Index Only Scan using run_range" in "\n".join(plan.scalars())
    assert hourly.id


async def test_what_its_circuit_breaker_stopped_is_told(api: Api) -> None:
    hourly = await Hourly.of(api)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "UPDATE schedule SET next_run_at = now(), cursor_at = now() - interval '1 s',"
                " timings = jsonb_build_array(jsonb_build_object('interval', jsonb_build_object("
                "'everySeconds', 0.001, 'anchor', now())))"
            )
        )
    await fire_due(api.runtime)
    async with api.runtime.database.transaction() as transaction:
        stopped_at = (await transaction.execute(text("SELECT scheduled_for FROM run"))).scalar_one()
    stopped = await why(api, hourly.id, stopped_at)
    assert verdict(stopped) == ("MISSED", "CIRCUIT_BREAKER", True)
    later = await why(api, hourly.id, stopped_at + HOUR)
    assert verdict(later) == ("WILL_SKIP", "CIRCUIT_BREAKER", True)
    assert "mend it by an edit" in later["message"]


async def test_a_pause_that_will_be_probed_says_when(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, *_ = next_hours(1)
    await api.data(PAUSE, input={"id": hourly.id, "reason": "Failing."})
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "UPDATE schedule SET probe_at = now() + interval '1 hour', probe_after_seconds = 60"
            )
        )
    waiting = await why(api, hourly.id, first)
    assert verdict(waiting) == ("PAUSED", "PAUSED", True)
    assert "one run is let through" in waiting["message"]


async def test_what_was_skipped_for_spacing_or_at_a_limit_is_told(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await hourly.tick(first)
    await hourly.tick(second)
    async with api.runtime.database.transaction() as transaction:
        for instant, reason in ((first, "SPACING"), (second, "LIMIT")):
            await transaction.execute(
                text(
                    "UPDATE run SET state = 'SKIPPED', reason = :reason, finished_at = now()"
                    " WHERE scheduled_for = :instant"
                ),
                {"reason": reason, "instant": instant},
            )
    spaced, limited = await why(api, hourly.id, first), await why(api, hourly.id, second)
    assert verdict(spaced) == ("SKIPPED", "SPACING", True)
    assert "spacing" in spaced["message"]
    assert verdict(limited) == ("SKIPPED", "LIMIT", True)
    assert "maxRuns" in limited["message"]


async def test_what_a_backfill_ran_is_told_whatever_the_schedule_was_then(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 * * * *", overlap="ALLOW")
    hour = next_hours(1)[0] - 3 * HOUR
    given = {"scheduleId": schedule["id"], "from": written(hour), "until": written(hour)}
    payload = (await api.data(START, input=given))["backfillStart"]
    assert (payload["errors"], payload["count"]) == ([], 1)
    answer = await why(api, schedule["id"], hour)
    assert verdict(answer) == ("WILL_RUN", None, True)
    assert answer["message"].startswith("A backfill took it up: It has been waiting")
    [run] = payload["backfill"]["runs"]["nodes"]
    assert answer["run"]["id"] == run["id"]
    before = await why(api, schedule["id"], hour - HOUR)
    assert verdict(before) == ("BEFORE_CREATION", None, False)

    # Beside what became of it by itself.
    await written_off(api, hour)
    answer = await why(api, schedule["id"], hour)
    assert verdict(answer) == ("MISSED", "TOO_LATE", True)
    assert "A backfill took it up: It has been waiting" in answer["message"]


async def written_off(api: Api, at: datetime) -> None:
    """Record that an occurrence was missed."""
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "INSERT INTO run (id, project_id, job_id, schedule_id, schedule_version, revision,"
                " state, reason, cause, overlap, scheduled_for, due_at, next_attempt_at,"
                " created_at, finished_at, parameters, tags, queue, priority, attempt,"
                " max_attempts, crash_count) SELECT uuidv7(), project_id, job_id, schedule_id, 1,"
                " 1, 'MISSED', 'TOO_LATE', 'SCHEDULE', overlap, scheduled_for, due_at, due_at,"
                " created_at, now(), '{}', '{}', queue, 0, 0, 1, 0 FROM run"
                " WHERE scheduled_for = :at"
            ),
            {"at": at},
        )
