"""Backfills through the API."""

from datetime import datetime, timedelta
from typing import Any

from app.core.clock import utc_now
from app.services.backfills import advance_backfills
from tests.schema.api import ERRORS, Api

BACKFILL = """backfill { id state from until onlyMissing overlap ratePerMinute total totalIsExact
    done failed message cancelRequestedAt finishedAt revision scheduleVersion
    startedBy { name } schedule { id }
    runs(first: 5) { nodes { id cause } totalCount { value } } }"""
START = f"""mutation($input: BackfillStartInput!) {{ backfillStart(input: $input) {{
    {BACKFILL} planned {{ nominal local }} count countIsExact replayed {ERRORS} }} }}"""
STEER = f"""mutation($id: ID!) {{ backfill%s(id: $id) {{ {BACKFILL} {ERRORS} }} }}"""
RUNS = """query($filter: RunFilter) { runs(filter: $filter, first: 100) {
    nodes { id state cause backfill { id total } } } }"""
HOUR = timedelta(hours=1)


class Hourly:
    """An hourly schedule, and the last hours."""

    def __init__(self, api: Api, id_: str) -> None:
        self.api = api
        self.id = id_
        self.last = utc_now().replace(minute=0, second=0, microsecond=0)

    @classmethod
    async def of(cls, api: Api) -> "Hourly":
        """Create one."""
        job_id = await api.create_job()
        schedule = await api.create_schedule(job_id, cron="0 * * * *", overlap="ALLOW")
        return cls(api, schedule["id"])

    async def start(self, hours: int = 5, **more: Any) -> dict[str, Any]:
        """Ask for a backfill of the last hours, and return the payload."""
        given = {
            "scheduleId": self.id,
            "from": written(self.last - (hours - 1) * HOUR),
            "until": written(self.last),
            **more,
        }
        payload: dict[str, Any] = (await self.api.data(START, input=given))["backfillStart"]
        return payload

    async def steer(self, verb: str, id_: str) -> dict[str, Any]:
        """Pause, resume or cancel, and return the payload."""
        data = await self.api.data(STEER % verb, id=id_)
        payload: dict[str, Any] = data[f"backfill{verb}"]
        return payload


def written(instant: datetime) -> str:
    """Return an instant as the API writes it."""
    return instant.isoformat().replace("+00:00", "Z")


async def test_a_dry_run_says_what_would_run_and_starts_nothing(api: Api) -> None:
    hourly = await Hourly.of(api)
    payload = await hourly.start(dryRun=True)
    assert (payload["backfill"], payload["errors"]) == (None, [])
    assert (payload["count"], payload["countIsExact"]) == (5, True)
    assert [one["nominal"] for one in payload["planned"]] == [
        written(hourly.last - hours * HOUR) for hours in (4, 3, 2, 1, 0)
    ]
    assert (await api.data("{ backfills { id } }"))["backfills"] == []


async def test_a_backfill_is_started_read_and_found_by_its_runs(api: Api) -> None:
    hourly = await Hourly.of(api)
    payload = await hourly.start(idempotencyKey="once")
    assert payload["errors"] == []
    assert (payload["count"], len(payload["planned"]), payload["replayed"]) == (5, 5, False)
    backfill = payload["backfill"]
    assert {name: backfill[name] for name in ("state", "total", "done", "failed")} == {
        "state": "RUNNING",
        "total": 5,
        "done": 0,
        "failed": 0,
    }
    assert (backfill["overlap"], backfill["onlyMissing"]) == ("ALLOW", True)
    assert backfill["schedule"] == {"id": hourly.id}
    assert backfill["runs"]["totalCount"] == {"value": 5}
    again = await hourly.start(idempotencyKey="once")
    assert (again["replayed"], again["backfill"]["id"]) == (True, backfill["id"])
    assert (again["count"], again["countIsExact"], again["planned"]) == (5, True, [])
    runs = (await api.data(RUNS, filter={"backfillId": backfill["id"]}))["runs"]["nodes"]
    assert len(runs) == 5
    assert all(run["backfill"] == {"id": backfill["id"], "total": 5} for run in runs)
    assert (await api.data(RUNS, filter={"cause": ["SCHEDULE"]}))["runs"]["nodes"] == []
    read = await api.data(
        """query($id: ID!, $schedule: ID!) {
            backfill(id: $id) { id } node(id: $id) { id __typename }
            backfills(scheduleId: $schedule) { id } other: backfills { id } }""",
        id=backfill["id"],
        schedule=hourly.id,
    )
    assert read["backfill"] == {"id": backfill["id"]}
    assert read["node"] == {"id": backfill["id"], "__typename": "Backfill"}
    assert read["backfills"] == read["other"] == [{"id": backfill["id"]}]


async def test_it_is_paused_resumed_and_cancelled(api: Api) -> None:
    hourly = await Hourly.of(api)
    started = (await hourly.start())["backfill"]["id"]
    paused = (await hourly.steer("Pause", started))["backfill"]
    assert (paused["state"], paused["message"]) == ("PAUSED", "Paused by admin.")
    assert paused["runs"]["nodes"] == []
    (error,) = (await hourly.steer("Pause", started))["errors"]
    assert (error["code"], error["currentState"], error["allowedStates"]) == (
        "STATE_CONFLICT",
        "PAUSED",
        ["RUNNING"],
    )
    resumed = (await hourly.steer("Resume", started))["backfill"]
    assert (resumed["state"], len(resumed["runs"]["nodes"])) == ("RUNNING", 5)
    cancelled = (await hourly.steer("Cancel", started))["backfill"]
    assert (cancelled["state"], cancelled["done"], cancelled["failed"]) == ("CANCELLED", 5, 0)
    (error,) = (await hourly.steer("Resume", started))["errors"]
    assert error["code"] == "STATE_CONFLICT"
    runs = (await api.data(RUNS, filter={"backfillId": started}))["runs"]["nodes"]
    assert {run["state"] for run in runs} == {"CANCELLED"}


async def test_what_is_wrong_is_said_where_it_is_wrong(api: Api) -> None:
    hourly = await Hourly.of(api)
    until = written(hourly.last - 9 * HOUR)
    payload = await hourly.start(until=until, ratePerMinute=0, overlap="CANCEL_RUNNING")
    assert [(error["code"], error["path"]) for error in payload["errors"]] == [
        ("INVALID", ["until"]),
        ("INVALID", ["ratePerMinute"]),
        ("INVALID", ["overlap"]),
    ]
    (error,) = (await hourly.start(scheduleId="schedule_" + 32 * "0"))["errors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["scheduleId"])
    begins: dict[str, Any] = {"from": "2001-01-01T00:00:00Z"}
    (error,) = (await hourly.start(**begins))["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["from"])
    assert error["hint"].startswith("Begin later")
    (error,) = (await hourly.steer("Cancel", "backfill_" + 32 * "0"))["errors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["id"])
    assert (await api.data("{ backfills { id } }"))["backfills"] == []


async def test_its_runs_are_seen_as_they_come(api: Api) -> None:
    hourly = await Hourly.of(api)
    payload = await hourly.start(ratePerMinute=1)
    started = payload["backfill"]["id"]
    watch = """subscription($filter: RunFilter) { runEvents(filter: $filter) {
        __typename ... on RunSnapshot { runs { id } } ... on RunChange { run { id cause } }
        ... on RunGone { id } } }"""
    async with api.watching(watch, filter={"backfillId": started}) as stream:
        snapshot = await anext(stream)
        assert len(snapshot["runs"]) == 1
        await hourly.steer("Pause", started)
        assert await anext(stream) == {"__typename": "RunGone", "id": snapshot["runs"][0]["id"]}
        await hourly.steer("Resume", started)
        await advance_backfills(api.runtime)
        change = await anext(stream)
        assert (change["__typename"], change["run"]["cause"]) == ("RunChange", "BACKFILL")
