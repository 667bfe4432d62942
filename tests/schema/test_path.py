"""The thin path: create, schedule, list, watch."""

from tests.schema.api import Api

RUN_EVENTS = """
subscription($after: Cursor, $filter: RunFilter, $scheduleId: ID) {
    runEvents(after: $after, filter: $filter, scheduleId: $scheduleId) {
        __typename
        ... on StreamMessage { cursor serverTime }
        ... on RunSnapshot { hasMore runs { id state } }
        ... on RunChange { coalesced run { id state revision job { key } schedule { key } } }
        ... on RunGone { id }
        ... on StreamReset { reason } } }
"""
TRIGGER = """
mutation($input: ScheduleTriggerInput!) {
    scheduleTrigger(input: $input) {
        replayed run { id state cause parameters } errors { code message path } } }
"""


async def test_a_job_and_a_schedule_are_created_and_listed(api: Api) -> None:
    job_id = await api.create_job("nightly-report")
    schedule = await api.create_schedule(job_id, "nightly", cron="0 3 * * *")
    data = await api.data(
        """{ schedules { totalCount { value exact } pageInfo { hasNextPage } edges { cursor }
             nodes { key job { key } timings { ... on CronTiming { expression description } }
                     upcoming(first: 2) { at } permissions { trigger { allowed } } } }
             jobs(search: "night rep") { nodes { key schedules { nodes { key } } } }
             viewer { role actor { name } project { key } }
             scheduler { state healthy problems dependencies { name healthy } } }"""
    )
    assert schedule["state"] == "ACTIVE"
    (listed,) = data["schedules"]["nodes"]
    assert listed["job"]["key"] == "nightly-report"
    assert listed["upcoming"][0]["at"] == schedule["nextRunAt"]
    assert data["jobs"]["nodes"][0]["schedules"]["nodes"] == [{"key": "nightly"}]
    assert data["viewer"]["project"]["key"] == "default"


async def test_a_subscriber_sees_a_triggered_run(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    async with api.watching(RUN_EVENTS) as stream:
        assert (await anext(stream))["__typename"] == "RunSnapshot"
        payload = (await api.data(TRIGGER, input={"id": schedule["id"]}))["scheduleTrigger"]
        change = await anext(stream)
    assert payload["errors"] == []
    assert change["run"]["id"] == payload["run"]["id"]
    assert change["run"]["job"]["key"] == "job"
    assert change["run"]["state"] == "QUEUED"


async def test_anything_is_found_by_its_id(api: Api) -> None:
    job_id = await api.create_job()
    schedule = await api.create_schedule(job_id)
    ids = [schedule["id"], "run_" + "0" * 32, "nonsense", job_id]
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    found = (await api.data(query, ids=ids))["nodes"]
    assert found == [
        {"__typename": "Schedule", "id": schedule["id"]},
        None,
        None,
        {"__typename": "Job", "id": job_id},
    ]
