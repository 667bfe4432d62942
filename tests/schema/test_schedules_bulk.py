"""The same for many schedules at once."""

from typing import Any

from tests.schema.api import Api

BULK = """mutation($input: ScheduleBulkInput!) { schedulesBulk(input: $input) { matched
    results { index id key ok errors { code message path } } errors { code message path } } }"""
STATES = "{ schedules(first: 100) { nodes { key state stateReason timezone priority } } }"


async def bulk(api: Api, **given: Any) -> dict[str, Any]:
    """Return the payload, which has no errors of its own."""
    payload: dict[str, Any] = (await api.data(BULK, input=given))["schedulesBulk"]
    assert payload["errors"] == [], payload
    return payload


async def refused(api: Api, **given: Any) -> dict[str, Any]:
    """Return the only reason why nothing was done."""
    payload = (await api.data(BULK, input=given))["schedulesBulk"]
    assert (payload["matched"], payload["results"]) == (0, [])
    [error] = payload["errors"]
    reason: dict[str, Any] = error
    return reason


async def states(api: Api, field: str = "state") -> dict[str, Any]:
    """Return a field of every schedule that is not archived, by key."""
    nodes = (await api.data(STATES))["schedules"]["nodes"]
    return {node["key"]: node[field] for node in nodes}


async def three(api: Api) -> list[str]:
    """Create three schedules, two of them in Berlin, and return their ids."""
    job_id = await api.create_job()
    zones = {"a": "Europe/Berlin", "b": "Europe/Berlin", "c": "UTC"}
    made = [await api.create_schedule(job_id, key, timezone=zone) for key, zone in zones.items()]
    return [schedule["id"] for schedule in made]


async def test_filter_picks_those_for_which_the_action_is_possible(api: Api) -> None:
    await three(api)
    in_berlin = {"timezone": ["Europe/Berlin"]}
    paused = await bulk(api, filter=in_berlin, action="PAUSE", reason="Move")
    assert {item["key"] for item in paused["results"]} == {"a", "b"}
    assert await states(api) == {"a": "PAUSED", "b": "PAUSED", "c": "ACTIVE"}
    assert (await states(api, "stateReason"))["a"] == "Move"
    resumed = await bulk(api, filter={}, action="RESUME")
    assert {item["key"] for item in resumed["results"]} == {"a", "b"}
    assert set((await states(api)).values()) == {"ACTIVE"}


async def test_each_id_gets_its_answer_and_one_that_cannot_does_not_keep_the_others(
    api: Api,
) -> None:
    a, b, c = await three(api)
    await bulk(api, ids=[b], action="ARCHIVE", reason="Done")
    unknown = "schedule_" + "0" * 32
    payload = await bulk(api, ids=[a, b, unknown, c, a], action="PAUSE", reason="Move")
    assert [item["ok"] for item in payload["results"]] == [True, False, False, True]
    codes = [item["errors"][0]["code"] for item in payload["results"] if not item["ok"]]
    assert codes == ["STATE_CONFLICT", "NOT_FOUND"]
    assert await states(api) == {"a": "PAUSED", "c": "PAUSED"}


async def test_dry_run_says_what_would_be_wrong_and_changes_nothing(api: Api) -> None:
    a, b, c = await three(api)
    before = await states(api, "timezone")
    fields = {"timezone": "Asia/Tokyo"}
    dry = await bulk(api, ids=[a, c], action="UPDATE", fields=fields, dryRun=True)
    assert [item["ok"] for item in dry["results"]] == [True, True]
    wrong = {"timings": [{"cron": {"expression": "0 0 31 2 *"}}]}
    dry = await bulk(api, ids=[a, b], action="UPDATE", fields=wrong, dryRun=True)
    assert [item["ok"] for item in dry["results"]] == [False, False]
    assert dry["results"][0]["errors"][0]["path"][-3:] == ["0", "cron", "expression"]
    dry = await bulk(api, filter={}, action="PAUSE", reason="x", dryRun=True)
    assert dry["matched"] == 3
    assert await states(api, "timezone") == before
    assert set((await states(api)).values()) == {"ACTIVE"}


async def test_update_changes_all_and_trigger_returns_the_runs(api: Api) -> None:
    ids = await three(api)
    await bulk(api, ids=ids, action="UPDATE", fields={"priority": 5}, reason="Urgent")
    assert set((await states(api, "priority")).values()) == {5}
    triggered = await bulk(api, ids=ids, action="TRIGGER")
    runs = (await api.data("{ runs { nodes { id cause } } }"))["runs"]["nodes"]
    assert {run["id"] for run in runs} == {item["id"] for item in triggered["results"]}
    assert {run["cause"] for run in runs} == {"MANUAL"}


async def test_nothing_is_done_when_more_match_than_expected(api: Api) -> None:
    ids = await three(api)
    by_filter: dict[str, Any] = {"filter": {}}
    for which in (by_filter, {"ids": ids}):
        error = await refused(api, action="ARCHIVE", maxAffected=2, **which)
        assert (error["code"], error["path"]) == ("LIMIT_EXCEEDED", ["maxAffected"])
    assert set((await states(api)).values()) == {"ACTIVE"}


async def test_request_that_contradicts_itself_is_refused(api: Api) -> None:
    ids = await three(api)
    for given, path in (
        ({"action": "PAUSE", "reason": "x"}, ["ids"]),
        ({"action": "PAUSE", "reason": "x", "ids": ids, "filter": {}}, ["ids"]),
        ({"action": "PAUSE", "ids": ids}, ["reason"]),
        ({"action": "PAUSE", "ids": ids, "reason": "x", "fields": {"priority": 1}}, ["fields"]),
        ({"action": "UPDATE", "ids": ids}, ["fields"]),
        ({"action": "ARCHIVE", "ids": ids, "maxAffected": 0}, ["maxAffected"]),
    ):
        error = await refused(api, **given)
        assert (error["code"], error["path"]) == ("INVALID", path)
