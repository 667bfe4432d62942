"""Single occurrences are skipped, moved and added, and that is undone, through the API."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.core.clock import utc_now
from app.services.firing import fire_due
from tests.schema.api import ERRORS, SCHEDULE, Api
from tests.schema.test_mutations import PAUSE, RESUME, UPDATE
from tests.schema.test_versions import change, versions

OVERRIDE = f"""mutation($input: OccurrenceOverrideInput!) {{
    occurrenceOverride(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
SEEN = """query($id: ID!) { schedule(id: $id) { state nextRunAt skipCount missCount
    overrides { id at action moveTo reason orphaned by { name } }
    upcoming(first: 4) { at nominal }
    runs(first: 100) { nodes { id scheduledFor dueAt state reason message cause rangeEnd } } } }"""
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def written(instant: datetime) -> str:
    """Return an instant as the API writes it."""
    return instant.isoformat().replace("+00:00", "Z")


def next_hours(count: int) -> list[datetime]:
    """Return the next full hours."""
    first = utc_now().replace(minute=0, second=0, microsecond=0) + HOUR
    # Never within the look-ahead of a tick that a test makes now.
    first += HOUR if first - utc_now() < MINUTE else timedelta(0)
    return [first + number * HOUR for number in range(count)]


class Hourly:
    """An hourly schedule, and what somebody decides about it."""

    def __init__(self, api: Api, id_: str) -> None:
        self.api = api
        self.id = id_

    @classmethod
    async def of(cls, api: Api) -> "Hourly":
        """Create one."""
        schedule = await api.create_schedule(await api.create_job(), cron="0 * * * *")
        return cls(api, schedule["id"])

    async def decide(self, action: str, at: datetime, **more: Any) -> dict[str, Any]:
        """Decide about an occurrence and return the schedule."""
        return await change(self.api, OVERRIDE, **self._input(action, at, **more))

    async def refused(self, action: str, at: datetime, **more: Any) -> dict[str, Any]:
        """Return the one error of a decision that is refused."""
        given = self._input(action, at, **more)
        payload = (await self.api.data(OVERRIDE, input=given))["occurrenceOverride"]
        (error,) = payload["errors"]
        assert payload["schedule"] is None
        return dict(error)

    def _input(self, action: str, at: datetime, **more: Any) -> dict[str, Any]:
        return {
            "scheduleId": self.id,
            "action": action,
            "at": written(at),
            "reason": "Stocktaking",
            **more,
        }

    async def tick(self, as_of: datetime) -> None:
        """Fire as if it were that late."""
        await fire_due(self.api.runtime, as_of=as_of)

    async def seen(self) -> dict[str, Any]:
        """Return the schedule as the API shows it."""
        seen: dict[str, Any] = (await self.api.data(SEEN, id=self.id))["schedule"]
        return seen

    async def records(self) -> dict[str, tuple[str, str | None]]:
        """Return what became of each occurrence."""
        nodes = (await self.seen())["runs"]["nodes"]
        found = {node["scheduledFor"]: (node["state"], node["reason"]) for node in nodes}
        assert len(found) == len(nodes)
        return found


async def test_a_skipped_occurrence_does_not_run_and_says_why(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second, third = next_hours(3)
    after = await hourly.decide("SKIP", second)
    assert after["nextRunAt"] == written(first)
    seen = await hourly.seen()
    assert [one["nominal"] for one in seen["upcoming"][:2]] == [written(first), written(third)]
    (override,) = seen["overrides"]
    assert (override["at"], override["action"], override["reason"]) == (
        written(second),
        "SKIP",
        "Stocktaking",
    )
    assert (override["orphaned"], override["by"]) == (False, {"name": "admin"})
    for hour in (first, second, third):
        await hourly.tick(hour)
    assert await hourly.records() == {
        written(first): ("QUEUED", None),
        written(second): ("SKIPPED", "OVERRIDDEN"),
        written(third): ("QUEUED", None),
    }
    seen = await hourly.seen()
    assert seen["skipCount"] == 1
    assert {node["message"] for node in seen["runs"]["nodes"]} == {None, "Stocktaking"}
    newest, _ = await versions(api, hourly.id)
    assert (newest["change"], newest["version"]) == ("OVERRIDDEN", 1)


async def test_an_occurrence_runs_where_it_was_moved_to_and_keeps_its_key(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second, third = next_hours(3)
    early = first - timedelta(seconds=20)
    await hourly.decide("MOVE", second, moveTo=written(early))
    await hourly.decide("MOVE", first, moveTo=written(second + 20 * MINUTE))
    seen = await hourly.seen()
    assert [one["nominal"] for one in seen["upcoming"][:3]] == [
        written(second),
        written(first),
        written(third),
    ]
    assert seen["nextRunAt"] == seen["upcoming"][0]["at"] == written(early)
    await hourly.tick(early)
    assert await hourly.records() == {written(second): ("QUEUED", None)}
    await hourly.tick(first)
    await hourly.tick(second)
    assert await hourly.records() == {written(second): ("QUEUED", None)}
    await hourly.tick(second + 20 * MINUTE)
    assert set(await hourly.records()) == {written(first), written(second)}
    nodes = (await hourly.seen())["runs"]["nodes"]
    assert {node["dueAt"] for node in nodes} == {written(early), written(second + 20 * MINUTE)}
    assert {node["cause"] for node in nodes} == {"SCHEDULE"}


async def test_an_added_instant_fires_between_the_regular_ones(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    added = first + 30 * MINUTE
    await hourly.decide("ADD", added)
    for instant in (first, added, second):
        await hourly.tick(instant)
    assert set(await hourly.records()) == {written(first), written(added), written(second)}
    assert (await hourly.seen())["nextRunAt"] == written(second + HOUR)


async def test_a_tick_stops_looking_when_no_override_is_left(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await hourly.decide("SKIP", first)
    flags = []
    for instant in (first, second):
        await hourly.tick(instant)
        async with api.runtime.database.reading(None) as connection:
            flag = await connection.execute(text("SELECT has_overrides FROM schedule"))
            flags.append(flag.scalar_one())
    # The cursor may stop short of the first; by the second it has passed it.
    assert flags[-1] is False


async def test_undo_brings_the_occurrence_back(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await hourly.decide("SKIP", first)
    assert (await hourly.seen())["nextRunAt"] == written(second)
    await hourly.decide("UNDO", first)
    assert (await hourly.seen())["nextRunAt"] == written(first)
    await hourly.decide("ADD", first + MINUTE)
    await hourly.decide("UNDO", first + MINUTE)
    assert (await hourly.seen())["overrides"] == []
    await hourly.tick(first)
    await hourly.tick(first + MINUTE)
    assert await hourly.records() == {written(first): ("QUEUED", None)}
    assert (await hourly.seen())["nextRunAt"] == written(second)


async def test_a_decision_replaces_the_one_before(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    await hourly.decide("MOVE", first, moveTo=written(first + 5 * MINUTE))
    await hourly.decide("MOVE", first, moveTo=written(first + 9 * MINUTE))
    (override,) = (await hourly.seen())["overrides"]
    assert override["moveTo"] == written(first + 9 * MINUTE)
    await hourly.decide("SKIP", first)
    await hourly.tick(first + 10 * MINUTE)
    assert await hourly.records() == {written(first): ("SKIPPED", "OVERRIDDEN")}


async def test_undo_after_the_run_is_a_state_conflict(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    early = utc_now() + timedelta(seconds=1)
    await hourly.decide("MOVE", first, moveTo=written(early))
    await hourly.decide("SKIP", second)
    # As if it were two seconds later: the moved one fires, ahead of its own instant.
    await hourly.tick(early + timedelta(seconds=1))
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("UPDATE run SET attempt = 1, max_attempts = 2"))
    error = await hourly.refused("UNDO", first)
    assert (error["code"], error["path"]) == ("STATE_CONFLICT", ["at"])
    assert error["currentState"] == "QUEUED"
    assert (await hourly.refused("SKIP", first))["code"] == "STATE_CONFLICT"


async def test_what_a_tick_has_prepared_is_taken_back_and_fires_again_when_moved(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    await hourly.tick(first - timedelta(seconds=1))
    assert await hourly.records() == {written(first): ("QUEUED", None)}
    await hourly.decide("MOVE", first, moveTo=written(first + 5 * MINUTE))
    assert await hourly.records() == {}
    await hourly.tick(first + 5 * MINUTE - timedelta(seconds=1))
    assert set(await hourly.records()) == {written(first)}
    # The prepared run of an override goes back to its override, not to the cursor.
    await hourly.decide("SKIP", first + 3 * HOUR)
    assert await hourly.records() == {}
    await hourly.tick(first + 5 * MINUTE)
    nodes = (await hourly.seen())["runs"]["nodes"]
    assert [(node["scheduledFor"], node["dueAt"]) for node in nodes] == [
        (written(first), written(first + 5 * MINUTE))
    ]


async def test_an_edit_that_removes_the_occurrence_orphans_the_override(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    await hourly.decide("SKIP", first)
    await hourly.decide("ADD", first + 7 * MINUTE)
    yearly = {"timings": [{"cron": {"expression": "0 0 1 1 *"}}]}
    await change(api, UPDATE, id=hourly.id, fields=yearly)
    orphaned = {one["action"]: one["orphaned"] for one in (await hourly.seen())["overrides"]}
    assert orphaned == {"SKIP": True, "ADD": False}
    back = {"timings": [{"cron": {"expression": "0 * * * *"}}]}
    await change(api, UPDATE, id=hourly.id, fields=back)
    assert not any(one["orphaned"] for one in (await hourly.seen())["overrides"])
    await change(api, UPDATE, id=hourly.id, fields=yearly)
    await hourly.tick(first)
    assert await hourly.records() == {}
    await hourly.tick(first + 7 * MINUTE)
    assert set(await hourly.records()) == {written(first + 7 * MINUTE)}


async def test_a_paused_schedule_keeps_its_overrides_for_later(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    await change(api, PAUSE, id=hourly.id, reason="Wait")
    await hourly.decide("SKIP", first)
    await hourly.decide("ADD", first + MINUTE)
    assert (await hourly.seen())["nextRunAt"] is None
    resumed = await change(api, RESUME, id=hourly.id)
    assert resumed["nextRunAt"] == written(first + MINUTE)
    for instant in (first, first + MINUTE, second):
        await hourly.tick(instant)
    assert await hourly.records() == {
        written(first): ("SKIPPED", "OVERRIDDEN"),
        written(first + MINUTE): ("QUEUED", None),
        written(second): ("QUEUED", None),
    }


async def test_what_lay_in_a_pause_is_recorded_once_whatever_was_decided(api: Api) -> None:
    """The pause covers three hours: one is skipped, one moved out of it, one added."""
    hourly = await Hourly.of(api)
    first, second, third = next_hours(3)
    await hourly.decide("SKIP", second)
    await hourly.decide("ADD", second + MINUTE)
    await hourly.decide("MOVE", third, moveTo=written(third + 9 * HOUR))
    await change(api, PAUSE, id=hourly.id, reason="Wait")
    # Everything was four hours ago.
    past = timedelta(hours=4)
    async with api.runtime.database.transaction() as transaction:
        for statement in (
            "UPDATE schedule SET cursor_at = cursor_at - interval '4 hours'",
            "UPDATE occurrence_override SET at = at - interval '4 hours', fires_at = fires_at -"
            " interval '4 hours', move_to = move_to - interval '4 hours'",
        ):
            await transaction.execute(text(statement))
    await change(api, RESUME, id=hourly.id)
    records = {
        at: state
        for at, state in (await hourly.records()).items()
        if written(first - past) <= at <= written(third - past)
    }
    assert records == {
        written(first - past): ("MISSED", "PAUSED"),
        written(second - past): ("SKIPPED", "OVERRIDDEN"),
        written(second + MINUTE - past): ("MISSED", "PAUSED"),
    }


async def test_impossible_decisions_are_refused_and_write_nothing(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, second = next_hours(2)
    between = first + MINUTE
    not_one = await hourly.refused("SKIP", between)
    assert (not_one["code"], not_one["path"]) == ("INVALID", ["at"])
    assert written(first) in not_one["hint"]
    assert written(second) in not_one["hint"]
    assert (await hourly.refused("ADD", first))["path"] == ["at"]
    assert (await hourly.refused("SKIP", first - 24 * HOUR))["path"] == ["at"]
    assert (await hourly.refused("MOVE", first))["path"] == ["moveTo"]
    assert (await hourly.refused("SKIP", first, moveTo=written(second)))["path"] == ["moveTo"]
    past = written(utc_now() - MINUTE)
    assert (await hourly.refused("MOVE", first, moveTo=past))["path"] == ["moveTo"]
    assert (await hourly.refused("UNDO", first))["code"] == "NOT_FOUND"
    assert (await hourly.refused("SKIP", first, reason=" "))["path"] == ["reason"]
    assert (await hourly.refused("SKIP", first, scheduleId="schedule_" + "0" * 32))["path"] == [
        "scheduleId"
    ]
    seen = await hourly.seen()
    assert (seen["overrides"], seen["runs"]["nodes"]) == ([], [])
    assert len(await versions(api, hourly.id)) == 1


async def test_only_so_many_overrides_wait(api: Api) -> None:
    hourly = await Hourly.of(api)
    first, _ = next_hours(2)
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "INSERT INTO occurrence_override (id, schedule_id, at, action, fires_at, reason,"
                " created_at) SELECT gen_random_uuid(), schedule.id, at, 'ADD', at, '', now()"
                " FROM schedule, generate_series(now() + interval '1 day',"
                " now() + interval '101 days' - interval '1 hour', interval '1 day') AS at"
            )
        )
    assert (await hourly.refused("SKIP", first))["code"] == "LIMIT_EXCEEDED"
