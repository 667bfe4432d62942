"""Lists: nothing repeated, nothing skipped, whatever the order and the size of the pages."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.schema.api import Api

SCHEDULES = """
query($first: Int, $after: String, $last: Int, $before: String, $orderBy: ScheduleOrder,
      $filter: ScheduleFilter, $search: String) {
    schedules(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy,
              filter: $filter, search: $search) {
        totalCount { value exact } edges { cursor node { key } } nodes { key }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""
COUNT = 23


async def page(api: Api, **variables: Any) -> dict[str, Any]:
    """Return one page of schedules."""
    found: dict[str, Any] = (await api.data(SCHEDULES, **variables))["schedules"]
    return found


async def keys(api: Api, **variables: Any) -> set[str]:
    """Return the keys of one page."""
    return {node["key"] for node in (await page(api, first=100, **variables))["nodes"]}


@pytest.fixture
async def many(api: Api) -> Api:
    """An API with schedules whose sort keys repeat, and some of which have none."""
    job_id = await api.create_job()
    bulk = """mutation($inputs: [ScheduleCreateInput!]!) {
        schedulesCreate(inputs: $inputs) { results { ok } errors { message } } }"""
    inputs = [
        {
            "jobId": job_id,
            "key": f"s{n:02}",
            "paused": n % 4 == 0,
            "fields": {
                "name": f"Name {n % 5}",
                "timings": [{"cron": {"expression": f"{n % 3} 3 1 1 *"}}],
                "tags": [{"key": "parity", "value": str(n % 2)}],
            },
            "allowDuplicate": True,
        }
        for n in range(COUNT)
    ]
    payload = (await api.data(bulk, inputs=inputs))["schedulesCreate"]
    assert payload["errors"] == []
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "UPDATE schedule_counters SET failure_count = f.n % 4, last_run_at ="
                " CASE WHEN f.n % 3 > 0 THEN timestamptz '2026-01-01' + f.n % 5 * interval '1h' END"
                " FROM (SELECT id, row_number() OVER (ORDER BY key) AS n FROM schedule) AS f"
                " WHERE f.id = schedule_id"
            )
        )
    return api


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_in_either_direction_make_up_the_list(many: Api, direction: str) -> None:
    for field in ("NAME", "NEXT_RUN_AT", "LAST_RUN_AT", "CREATED_AT", "FAILURE_COUNT"):
        order = {"field": field, "direction": direction}
        whole = [node["key"] for node in (await page(many, first=100, orderBy=order))["nodes"]]
        assert len(whole) == len(set(whole)) == COUNT
        for size in (2, 7):
            assert await forwards(many, size, order) == whole
            assert await backwards(many, size, order) == whole


async def forwards(api: Api, size: int, order: dict[str, str]) -> list[str]:
    """Return the whole list, page by page from its front."""
    seen: list[str] = []
    after, more = None, True
    while more:
        found = await page(api, first=size, after=after, orderBy=order)
        seen += [node["key"] for node in found["nodes"]]
        after, more = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
    return seen


async def backwards(api: Api, size: int, order: dict[str, str]) -> list[str]:
    """Return the whole list, page by page from its end."""
    seen: list[str] = []
    before, more = None, True
    while more:
        found = await page(api, last=size, before=before, orderBy=order)
        seen = [node["key"] for node in found["nodes"]] + seen
        before, more = found["pageInfo"]["startCursor"], found["pageInfo"]["hasPreviousPage"]
    return seen


async def test_what_is_null_comes_last_either_way(many: Api) -> None:
    for direction in ("ASC", "DESC"):
        order = {"field": "NEXT_RUN_AT", "direction": direction}
        found = await page(many, first=100, orderBy=order)
        tail = [int(node["key"][1:]) % 4 for node in found["nodes"]][-6:]
        assert tail == [0] * 6


async def test_default_page_has_twenty_and_a_hundred_are_the_most(many: Api) -> None:
    found = await page(many)
    assert len(found["nodes"]) == 20
    assert found["totalCount"] == {"value": COUNT, "exact": True}
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    capped = await many.data("{ schedules { totalCount(cap: 5) { value exact } } }")
    assert capped["schedules"]["totalCount"] == {"value": 5, "exact": False}


async def test_impossible_page_is_refused(api: Api) -> None:
    for argument, given in (
        ("first", {"first": 101}),
        ("first", {"first": -1}),
        ("last", {"last": 101}),
        ("last", {"first": 5, "last": 5}),
        ("after", {"after": "nonsense"}),
        ("before", {"before": "WzFd"}),
    ):
        (error,) = (await api.ask(SCHEDULES, **given))["errors"]
        assert error["extensions"]["path"] == [argument]


async def test_cursor_of_another_order_is_refused(many: Api) -> None:
    cursor = (await page(many, first=1))["pageInfo"]["endCursor"]
    order = {"field": "NAME", "direction": "ASC"}
    (error,) = (await many.ask(SCHEDULES, after=cursor, orderBy=order))["errors"]
    assert "another order" in error["message"]


async def test_row_that_comes_meanwhile_moves_no_page(many: Api) -> None:
    first = await page(many, first=10)
    await many.create_schedule(await many.create_job("other"), "newcomer")
    second = await page(many, first=100, after=first["pageInfo"]["endCursor"])
    seen = [node["key"] for node in (*first["nodes"], *second["nodes"])]
    assert sorted(seen) == sorted(f"s{n:02}" for n in range(COUNT))


async def test_filters_combine(many: Api) -> None:
    odd = {f"s{n:02}" for n in range(1, COUNT, 2)}
    paused = {f"s{n:02}" for n in range(0, COUNT, 4)}
    everything = {f"s{n:02}" for n in range(COUNT)}
    parity = {"tags": [{"key": "parity", "value": "1"}]}
    assert await keys(many, filter=parity) == odd
    assert await keys(many, filter={"state": ["PAUSED"]}) == paused
    assert await keys(many, filter={"or": [parity, {"state": ["PAUSED"]}]}) == odd | paused
    assert await keys(many, filter={"not": parity}) == everything - odd
    assert await keys(many, filter={"and": [parity, {"state": ["PAUSED"]}]}) == set()
    assert await keys(many, filter={"frequency": ["CRON"], "jobKind": ["PYTHON"]}) == everything
    assert await keys(many, filter={"frequency": ["ONCE", "DAILY"]}) == set()
    assert await keys(many, filter={"timezone": ["UTC"], "due": False, "failing": False})
    assert await keys(many, search="name 3") == {f"s{n:02}" for n in range(3, COUNT, 5)}
    assert await keys(many, search="'; DROP") == set()


async def test_search_is_by_the_beginnings_of_words_whatever_is_typed(api: Api) -> None:
    """Fails without the trigger, and if a search is made into a query by its text."""
    job_id = await api.create_job()
    given: dict[str, dict[str, Any]] = {
        "nightly_export": {"name": "Émigré Straße", "description": "Sends invoices to ACME-Corp."},
        "hourly": {"name": "हिन्दी 東京", "tags": [{"key": "team", "value": "billing-ops"}]},
        "other": {"name": "a'b:c & d | !e <-> (f) \\\\ g*"},
    }
    for key, fields in given.items():
        await api.create_schedule(job_id, key, **fields)
    everything = {"nightly_export", "hourly", "other"}
    for search, expected in {
        "EXPO": {"nightly_export"},
        "corp invo": {"nightly_export"},
        "xport": set(),
        "émi stra": {"nightly_export"},
        "E\u0301mi": {"nightly_export"},
        "हिन्": {"hourly"},
        "ops team": {"hourly"},
        "": everything,
        " ...'& ": everything,
        "a'b:c & d | !e <-> (f) \\ g*": {"other"},
        " ".join(["o"] * 200): {"other", "hourly"},
        "x" * 300: set(),
    }.items():
        assert await keys(api, search=search) == expected, search
    (error,) = (await api.ask(SCHEDULES, search="o" * 501))["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert error["extensions"]["path"] == ["search"]


async def test_search_sees_an_edit_at_once_and_no_tick_disturbs_it(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), name="Before")
    update = "mutation($i: ScheduleUpdateInput!) { scheduleUpdate(input: $i) { errors { code } } }"
    given = {"id": schedule["id"], "fields": {"name": "After", "timezone": "Europe/Berlin"}}
    await api.data(update, i=given)
    assert await keys(api, search="before") == set()
    assert await keys(api, search="after", filter={"timezone": ["Europe/Berlin"]}) == {"schedule"}
    assert await keys(api, filter={"timezone": ["UTC"]}) == set()


async def test_jobs_are_searched_as_schedules_are(api: Api) -> None:
    await api.create_job("nightly", description="Sends it.", tags=[{"key": "team", "value": "ops"}])
    await api.create_job("other")
    query = """query($s: String!) { jobs(search: $s) {
        totalCount { value } nodes { key } } }"""
    for search, expected in (("SEND night", ["nightly"]), ("op", ["nightly"]), ("end", [])):
        found = (await api.data(query, s=search))["jobs"]
        assert [node["key"] for node in found["nodes"]] == expected
        assert found["totalCount"]["value"] == len(expected)


async def test_filter_that_nests_too_deep_is_refused(many: Api) -> None:
    nested: dict[str, Any] = {"due": True}
    for _ in range(6):
        nested = {"not": nested}
    (error,) = (await many.ask(SCHEDULES, filter=nested))["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_runs_are_listed_by_their_filters(api: Api) -> None:
    schedule = await api.create_schedule(
        await api.create_job(tags=[{"key": "team", "value": "ops"}]), overlap="ALLOW"
    )
    trigger = "mutation($i: ScheduleTriggerInput!) { scheduleTrigger(input: $i) { run { id } } }"
    for _ in range(3):
        await api.data(trigger, i={"id": schedule["id"]})
    query = """query($f: RunFilter, $o: RunOrder) {
        runs(filter: $f, orderBy: $o) { totalCount { value } nodes { id } } }"""
    for narrowed, expected in (
        ({"scheduleId": schedule["id"]}, 3),
        ({"tags": [{"key": "team", "value": "ops"}]}, 3),
        ({"tags": [{"key": "team", "value": "dev"}]}, 0),
        ({"cause": ["MANUAL"], "state": ["QUEUED"], "queue": ["default"]}, 3),
        ({"scheduledFor": {"lt": "2020-01-01T00:00:00Z"}}, 0),
        ({"reason": ["ERROR"]}, 0),
        # They have no reason, no end and no backfill, so none that is excluded.
        ({"not": {"reason": ["ERROR"]}}, 3),
        ({"not": {"finishedAt": {"gte": "2020-01-01T00:00:00Z"}}}, 3),
        ({"not": {"not": {"reason": ["ERROR"]}}}, 0),
    ):
        found = (await api.data(query, f=narrowed))["runs"]
        assert (found["totalCount"]["value"], len(found["nodes"])) == (expected, expected)
    for field in ("SCHEDULED_FOR", "STARTED_AT", "FINISHED_AT", "CREATED_AT"):
        found = (await api.data(query, o={"field": field, "direction": "ASC"}))["runs"]
        assert len(found["nodes"]) == 3
