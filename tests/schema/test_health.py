"""Findings as clients see them: lists, acknowledgements, permissions, the live feed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.core.health import Observation
from app.core.ids import split_id
from app.core.vocabulary import FindingCode, Role, Severity
from app.models import Project
from app.models.columns import new_id
from app.services.access import issue_token
from app.services.health.findings import settle_findings
from app.store.findings import read_open_findings
from app.store.instants import read_now
from tests.schema.api import ERRORS, Api

FINDING = """id code severity message since openedAt resolvedAt note acknowledgedAt
    acknowledgedBy { name } schedule { key } revision"""
FINDINGS = f"""query($first: Int, $after: String, $open: Boolean, $min: Severity) {{
    healthFindings(first: $first, after: $after, open: $open, minSeverity: $min) {{
        nodes {{ {FINDING} }} pageInfo {{ hasNextPage endCursor }} totalCount {{ value exact }} }}
}}"""
ACKNOWLEDGE = f"""mutation($id: ID!, $note: String) {{
    healthFindingAcknowledge(id: $id, note: $note) {{ finding {{ {FINDING} }} {ERRORS} }} }}"""
WATCH = f"subscription {{ healthFindingChanged {{ {FINDING} }} }}"


async def observe(api: Api, *observed: Observation) -> None:
    """Let these be all that is wrong, with the instance and with every schedule they are about."""
    async with api.runtime.database.reading(None) as connection:
        standing = await read_open_findings(connection)
        ids = [each.schedule_id for each in observed if each.schedule_id is not None]
        standing += await read_open_findings(connection, schedule_ids=ids)
    await settle_findings(api.runtime, observed=observed, standing=standing)


async def silent(api: Api, severity: Severity = Severity.CRITICAL) -> Observation:
    async with api.runtime.database.reading(None) as connection:
        now = await read_now(connection)
    return Observation(FindingCode.TICKER_SILENT, severity, now, "Silent.")


async def failing(api: Api, schedule_id: str) -> Observation:
    found = split_id(schedule_id)
    assert found is not None
    return Observation(
        FindingCode.CONSECUTIVE_FAILURES,
        Severity.WARNING,
        (await silent(api)).since,
        "It fails.",
        subject=found[1].hex,
        schedule_id=found[1],
    )


async def findings(api: Api, **given: Any) -> list[dict[str, Any]]:
    return list((await api.data(FINDINGS, **given))["healthFindings"]["nodes"])


async def codes(api: Api, **given: Any) -> Sequence[str]:
    return [finding["code"] for finding in await findings(api, **given)]


async def token(api: Api, role: Role, project_id: UUID | None = None) -> str:
    """Make a token for the default project, or another."""
    async with api.runtime.database.transaction() as transaction:
        if project_id is None:
            viewer = await api.data("{ viewer { project { id } } }")
            found = split_id(viewer["viewer"]["project"]["id"])
            assert found is not None
            project_id = found[1]
        now = await read_now(transaction)
        row, secret = issue_token(name=role, role=role, project_id=project_id, created_at=now)
        transaction.add(row)
    return secret


async def other_project(api: Api) -> UUID:
    """Make a project that has nothing."""
    project = Project(id=new_id(), key="other", name="Other", created_at=(await silent(api)).since)
    async with api.runtime.database.transaction() as transaction:
        transaction.add(project)
    return project.id


async def test_findings_are_listed_open_ones_unless_asked(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await observe(api, await silent(api), await failing(api, schedule["id"]))
    shown = await findings(api)
    assert [(each["code"], each["severity"], each["schedule"]) for each in shown] == [
        ("CONSECUTIVE_FAILURES", "WARNING", {"key": "schedule"}),
        ("TICKER_SILENT", "CRITICAL", None),
    ]
    assert await codes(api, min="CRITICAL") == ["TICKER_SILENT"]
    await observe(api, await failing(api, schedule["id"]))
    assert await codes(api) == ["CONSECUTIVE_FAILURES"]
    assert await codes(api, open=False) == ["TICKER_SILENT"]
    assert await codes(api, open=None) == ["CONSECUTIVE_FAILURES", "TICKER_SILENT"]
    (past,) = await findings(api, open=False)
    node = await api.data("query($id: ID!) { node(id: $id) { id __typename } }", id=past["id"])
    assert node["node"] == {"id": past["id"], "__typename": "HealthFinding"}


async def test_findings_come_in_pages(api: Api) -> None:
    job_id = await api.create_job()
    schedules = [await api.create_schedule(job_id, f"s{number}") for number in range(5)]
    await observe(api, *[await failing(api, schedule["id"]) for schedule in schedules])
    seen, after = [], None
    while True:
        page = (await api.data(FINDINGS, first=2, after=after))["healthFindings"]
        assert page["totalCount"] == {"value": 5, "exact": True}
        seen += [node["schedule"]["key"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert sorted(seen) == ["s0", "s1", "s2", "s3", "s4"]


async def test_project_sees_its_own_findings_and_the_instances_whatever_the_role(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await observe(api, await silent(api), await failing(api, schedule["id"]))
    mine = next(each for each in await findings(api) if each["schedule"])
    api.token = await token(api, Role.VIEWER, await other_project(api))
    assert await codes(api) == ["TICKER_SILENT"]
    assert (await api.data("query($id: ID!) { node(id: $id) { id } }", id=mine["id"])) == {
        "node": None
    }
    async with api.watching(WATCH) as stream:
        assert (await anext(stream))["code"] == "TICKER_SILENT"


async def test_operator_acknowledges_a_schedules_finding_and_says_why(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await observe(api, await failing(api, schedule["id"]))
    (finding,) = await findings(api)
    api.token = await token(api, Role.OPERATOR)
    payload = await api.data(ACKNOWLEDGE, id=finding["id"], note="The target is down.")
    shown = payload["healthFindingAcknowledge"]["finding"]
    assert (shown["note"], shown["acknowledgedBy"]) == ("The target is down.", {"name": "OPERATOR"})
    assert shown["resolvedAt"] is None
    # It stays, and is known when it changes or ends.
    await observe(api, await failing(api, schedule["id"]))
    assert await findings(api) == [shown]


async def test_acknowledging_is_refused_with_the_reason(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await observe(api, await silent(api), await failing(api, schedule["id"]))
    mine, instance = await findings(api)
    admin = api.token

    async def refused(id_: str, **more: Any) -> tuple[str, Any]:
        payload = (await api.data(ACKNOWLEDGE, id=id_, **more))["healthFindingAcknowledge"]
        assert payload["finding"] is None
        (error,) = payload["errors"]
        return error["code"], error["path"]

    assert await refused("finding_" + "0" * 32) == ("NOT_FOUND", ["id"])
    assert await refused(schedule["id"]) == ("NOT_FOUND", ["id"])
    assert await refused(mine["id"], note="x" * 2_001) == ("INVALID", ["note"])
    operator, viewer = await token(api, Role.OPERATOR), await token(api, Role.VIEWER)
    stranger = await token(api, Role.ADMIN, await other_project(api))
    api.token = viewer
    assert (await refused(mine["id"]))[0] == "FORBIDDEN"
    api.token = operator
    assert (await refused(instance["id"]))[0] == "FORBIDDEN"
    api.token = stranger
    assert (await refused(mine["id"]))[0] == "NOT_FOUND"
    api.token = admin
    await observe(api, await failing(api, schedule["id"]))
    assert (await refused(instance["id"]))[0] == "STATE_CONFLICT"


async def test_watcher_gets_the_open_findings_at_once_and_then_each_change(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await observe(api, await failing(api, schedule["id"]))
    async with api.watching(WATCH) as stream:
        first = await anext(stream)
        assert (first["code"], first["schedule"]) == ("CONSECUTIVE_FAILURES", {"key": "schedule"})
        warning = await silent(api, Severity.WARNING)
        await observe(api, warning, await failing(api, schedule["id"]))
        opened = await anext(stream)
        assert (opened["code"], opened["severity"]) == ("TICKER_SILENT", "WARNING")
        await observe(api, await silent(api), await failing(api, schedule["id"]))
        assert (await anext(stream))["severity"] == "CRITICAL"
        await api.data(ACKNOWLEDGE, id=opened["id"])
        assert (await anext(stream))["acknowledgedBy"] == {"name": "admin"}
        await observe(api, await failing(api, schedule["id"]))
        over = await anext(stream)
        assert (over["id"], over["revision"]) == (opened["id"], 4)
        assert over["resolvedAt"] is not None
        assert over["since"] == opened["since"]


STATS = "from until total byState { state count } successRate durationP50 lateness { p99 count }"


async def test_statistics_are_there_for_the_project_its_jobs_and_its_schedules(api: Api) -> None:
    job_id = await api.create_job()
    for number in range(3):
        await api.create_schedule(job_id, f"s{number}", cron=f"{number} 0 * * *")
    await api.data(
        "mutation($input: JobTriggerInput!) { jobTrigger(input: $input) { errors { message } } }",
        input={"id": job_id},
    )
    found = await api.data(
        f"""query($job: ID!) {{
            statistics(window: {{ last: "PT1H" }}) {{
                totalSchedules activeSchedules pausedSchedules
                byFrequency {{ frequency count }}
                runs {{ {STATS} series(bucket: "PT30M") {{ total failed durationP95 }} }}
            }}
            job(id: $job) {{ stats {{ {STATS} }} }}
            schedules {{ nodes {{ lateness {{ p50 p99 max count }} stats {{ {STATS} }} }} }} }}""",
        job=job_id,
    )
    numbers = found["statistics"]
    assert (numbers["totalSchedules"], numbers["activeSchedules"]) == (3, 3)
    assert numbers["byFrequency"] == [{"frequency": "CRON", "count": 3}]
    assert numbers["runs"]["byState"] == [{"state": "QUEUED", "count": 1}]
    assert [bucket["total"] for bucket in numbers["runs"]["series"]] == [0, 1]
    assert found["job"]["stats"]["total"] == 1
    shown = found["schedules"]["nodes"]
    assert [(each["lateness"], each["stats"]["total"]) for each in shown] == [(None, 0)] * 3


async def test_unbounded_statistics_are_refused_with_the_path(api: Api) -> None:
    answer = await api.ask('{ statistics(window: { last: "P400D" }) { totalSchedules } }')
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "path": ["window", "last"]}
