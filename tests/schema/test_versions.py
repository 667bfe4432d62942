"""Each change of a schedule is a version; an earlier one can be had again."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.core.clock import utc_now
from app.services.firing import fire_due
from tests.schema.api import ERRORS, SCHEDULE, Api
from tests.schema.test_mutations import ARCHIVE, PAUSE, RESUME, UPDATE

ROLLBACK = f"""mutation($input: ScheduleRollbackInput!) {{
    scheduleRollback(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
VERSIONS = """query($id: ID!, $first: Int, $after: String) { schedule(id: $id) {
    versions(first: $first, after: $after) {
        pageInfo { hasNextPage endCursor } edges { cursor }
        nodes { id version at change comment by { kind name } snapshot
                diff { path before after } } } } }"""


async def versions(api: Api, schedule_id: str, **page: Any) -> list[dict[str, Any]]:
    """Return a schedule's history, the newest first."""
    data = await api.data(VERSIONS, id=schedule_id, first=50, **page)
    nodes: list[dict[str, Any]] = data["schedule"]["versions"]["nodes"]
    return nodes


async def change(api: Api, mutation: str, **given: Any) -> dict[str, Any]:
    """Make a change that is accepted and return the schedule."""
    (payload,) = (await api.data(mutation, input=given)).values()
    assert payload["errors"] == [], payload
    schedule: dict[str, Any] = payload["schedule"]
    return schedule


def paths(version: dict[str, Any]) -> set[str]:
    """Return which fields a version changed."""
    return {each["path"] for each in version["diff"]}


async def test_every_change_is_a_version_with_who_why_and_what(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 1 * * *")
    id_ = schedule["id"]
    await change(
        api,
        UPDATE,
        id=id_,
        fields={"timezone": "Europe/Berlin", "jitter": "PT5M"},
        comment="The office moved.",
    )
    await change(api, PAUSE, id=id_, reason="Too loud")
    await change(api, RESUME, id=id_)
    await change(api, ARCHIVE, id=id_, reason="Done")
    archived, resumed, paused, updated, created = await versions(api, id_)
    assert [created["change"], updated["change"], paused["change"]] == [
        "CREATED",
        "UPDATED",
        "PAUSED",
    ]
    assert [resumed["change"], archived["change"]] == ["RESUMED", "ARCHIVED"]
    assert [row["version"] for row in (created, updated, paused, resumed, archived)] == [
        1,
        2,
        2,
        2,
        3,
    ]
    assert created["diff"] == []
    assert created["snapshot"]["timezone"] == "UTC"
    assert created["by"] == {"kind": "TOKEN", "name": "admin"}
    assert updated["comment"] == "The office moved."
    assert updated["diff"] == [
        {"path": "jitter", "before": "PT0S", "after": "PT5M"},
        {"path": "timezone", "before": "UTC", "after": "Europe/Berlin"},
    ]
    assert paused["comment"] == "Too loud"
    assert {"state", "pausedAt", "pausedBy", "stateReason"} <= paths(paused)
    assert archived["comment"] == "Done"
    assert len({row["id"] for row in (created, updated, paused, resumed, archived)}) == 5


async def test_a_change_that_changes_nothing_is_no_version(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 1 * * *")
    await change(api, UPDATE, id=schedule["id"], fields={"timezone": "UTC"})
    assert len(await versions(api, schedule["id"])) == 1


async def test_versions_are_paged_without_gap_or_double(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    for number in range(6):
        await change(api, UPDATE, id=schedule["id"], fields={"priority": number})
    seen, after = [], None
    for _ in range(4):
        data = await api.data(VERSIONS, id=schedule["id"], first=2, after=after)
        page = data["schedule"]["versions"]
        seen += [node["version"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_rollback_is_a_new_version_equal_to_the_old_one(api: Api) -> None:
    schedule = await api.create_schedule(
        await api.create_job(), cron="0 1 * * *", parameters={"a": 1}, tags=[]
    )
    id_ = schedule["id"]
    fields = {
        "timings": [{"cron": {"expression": "30 2 * * *"}}],
        "endAt": "2090-01-01T00:00:00Z",
        "parameters": {"a": 2},
        "overlap": "ALLOW",
    }
    edited = await change(api, UPDATE, id=id_, fields=fields)
    back = await change(
        api, ROLLBACK, id=id_, toVersion=1, expectedVersion=2, comment="It was right."
    )
    assert edited["nextRunAt"][11:16] == "02:30"
    assert (back["version"], back["nextRunAt"]) == (3, schedule["nextRunAt"])
    assert back["parameters"] == {"a": 1}
    rolled_back, _, created = await versions(api, id_)
    assert (rolled_back["change"], rolled_back["comment"]) == ("ROLLED_BACK", "It was right.")
    assert rolled_back["snapshot"] == created["snapshot"]
    assert paths(rolled_back) == {"timings", "endAt", "parameters", "overlap"}


async def test_rollback_of_a_paused_schedule_leaves_it_paused(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 1 * * *")
    await change(api, UPDATE, id=schedule["id"], fields={"timezone": "Europe/Berlin"})
    await change(api, PAUSE, id=schedule["id"], reason="Wait")
    back = await change(api, ROLLBACK, id=schedule["id"], toVersion=1, expectedVersion=2)
    assert (back["state"], back["timezone"], back["nextRunAt"]) == ("PAUSED", "UTC", None)


async def test_rollback_is_refused_when_it_cannot_hold(api: Api) -> None:
    job_id = await api.create_job()
    schedule = await api.create_schedule(job_id, cron="0 1 * * *")
    id_ = schedule["id"]
    await change(api, UPDATE, id=id_, fields={"timings": [{"frequency": "HOURLY"}]})

    async def refused(**given: Any) -> dict[str, Any]:
        payload = (await api.data(ROLLBACK, input={"id": id_, **given}))["scheduleRollback"]
        (error,) = payload["errors"]
        return dict(error)

    assert (await refused(toVersion=1, expectedVersion=1))["code"] == "VERSION_CONFLICT"
    unknown = await refused(toVersion=9, expectedVersion=2)
    assert (unknown["code"], unknown["path"]) == ("NOT_FOUND", ["toVersion"])
    await api.create_schedule(job_id, "twin", cron="0 1 * * *")
    twin = await refused(toVersion=1, expectedVersion=2)
    assert (twin["code"], twin["path"]) == ("INVALID", ["toVersion"])
    assert "'twin'" in twin["message"]


async def test_end_of_a_window_is_a_version_by_the_system(api: Api) -> None:
    soon = utc_now() + timedelta(hours=1)
    schedule = await api.create_schedule(
        await api.create_job(), cron="* * * * *", endAt=soon.isoformat()
    )
    await fire_due(api.runtime, as_of=soon + timedelta(minutes=2))
    expired, _ = await versions(api, schedule["id"])
    assert (expired["change"], expired["by"]["kind"]) == ("EXPIRED", "SYSTEM")
    assert expired["snapshot"]["state"] == "EXPIRED"


async def test_a_thousand_new_schedules_write_their_versions_in_one_statement(api: Api) -> None:
    job_id = await api.create_job()
    inputs = [
        {
            "jobId": job_id,
            "key": f"bulk-{number}",
            "fields": {"timings": [{"frequency": "DAILY"}], "parameters": {"n": number}},
        }
        for number in range(1_000)
    ]
    bulk = "mutation($i: [ScheduleCreateInput!]!) { schedulesCreate(inputs: $i) { matched } }"
    assert (await api.data(bulk, i=inputs))["schedulesCreate"]["matched"] == 1_000
    async with api.runtime.database.reading(None) as connection:
        counted = await connection.execute(
            text(
                "SELECT count(*), count(DISTINCT schedule_id), max(sequence) FROM schedule_version"
            )
        )
        assert tuple(counted.one()) == (1_000, 1_000, 1)
