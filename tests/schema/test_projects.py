"""Projects are tenants: each has defaults of its own, and sees nothing of the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.schema.api import ERRORS, Api
from tests.schema.test_tokens import CREATE as TOKEN_CREATE

PROJECT = "project { id key name version defaults retention }"
CREATE = (
    f"mutation($input: ProjectInput!) {{ projectCreate(input: $input) {{ {PROJECT} {ERRORS} }} }}"
)
UPDATE = (
    f"mutation($input: ProjectInput!) {{ projectUpdate(input: $input) {{ {PROJECT} {ERRORS} }} }}"
)
PROJECTS = "{ projects { key } viewer { project { key } timezone } }"
JOB = """query($key: String!) { job(key: $key) {
    timeout concurrencyLimit retry { maxAttempts backoff initialDelay } } }"""
CHOOSE = f"""mutation($t: TimeZone!) {{
    viewerUpdate(timezone: $t) {{ viewer {{ timezone }} {ERRORS} }} }}"""
SCHEDULE = "query($key: String!) { schedule(key: $key) { timezone catchUpWindow } }"


async def changed(api: Api, mutation: str, **given: Any) -> dict[str, Any]:
    """Make a change that is accepted and return the project."""
    (payload,) = (await api.data(mutation, input=given)).values()
    assert payload["errors"] == [], payload
    project: dict[str, Any] = payload["project"]
    return project


async def refused(api: Api, mutation: str, **given: Any) -> dict[str, Any]:
    """Return the only reason why a change was refused."""
    (payload,) = (await api.data(mutation, input=given)).values()
    assert payload["project"] is None
    [error] = payload["errors"]
    reason: dict[str, Any] = error
    return reason


@asynccontextmanager
async def administering(api: Api, project: str) -> AsyncIterator[Api]:
    """Speak as an administrator of one project, who is none of the instance."""
    before = api.token
    made = await api.ask(
        TOKEN_CREATE, headers={"X-Tickwheel-Project": project}, input={"name": "a", "role": "ADMIN"}
    )
    api.token = made["data"]["apiTokenCreate"]["secret"]
    try:
        yield api
    finally:
        api.token = before


async def test_project_gives_its_jobs_and_schedules_their_defaults(api: Api) -> None:
    defaults = {
        "timezone": "Asia/Kolkata",
        "timeout": "PT7M",
        "catchUpWindow": "PT3M",
        "concurrencyLimit": 4,
        "retry": {"maxAttempts": 5, "backoff": "LINEAR", "initialDelay": "PT3S"},
    }
    await changed(api, UPDATE, key="default", name="Default", defaults=defaults)
    job_id = await api.create_job("plain")
    own = {"timeout": "PT1M", "concurrencyLimit": None, "retry": {"maxAttempts": 1}}
    await api.create_job("own", **own)
    await api.create_schedule(job_id, "plain")
    await api.create_schedule(job_id, "own", timezone="UTC", catchUpWindow="PT1M")

    assert (await api.data(JOB, key="plain"))["job"] == {
        "timeout": "PT7M",
        "concurrencyLimit": 4,
        "retry": {"maxAttempts": 5, "backoff": "LINEAR", "initialDelay": "PT3S"},
    }
    assert (await api.data(JOB, key="own"))["job"]["timeout"] == "PT1M"
    plain = (await api.data(SCHEDULE, key="plain"))["schedule"]
    assert plain == {"timezone": "Asia/Kolkata", "catchUpWindow": "PT3M"}
    own_schedule = (await api.data(SCHEDULE, key="own"))["schedule"]
    assert own_schedule == {"timezone": "UTC", "catchUpWindow": "PT1M"}

    # What is there already keeps what it has.
    await changed(api, UPDATE, key="default", name="Default", defaults=None)
    assert (await api.data(SCHEDULE, key="plain"))["schedule"] == plain


async def test_projects_see_nothing_of_each_other(api: Api) -> None:
    await changed(api, CREATE, key="other", name="Another team")
    await api.create_job("ours")
    async with administering(api, "other"):
        seen = await api.data(
            "{ projects { key } jobs { nodes { key } } audit { nodes { action } } }"
        )
        assert seen["projects"] == [{"key": "other"}]
        assert seen["jobs"] == {"nodes": []}
        assert seen["audit"] == {"nodes": [{"action": "apiTokenCreate"}]}
        error = await refused(api, UPDATE, key="default", name="Mine now")
        assert (error["code"], error["path"]) == ("NOT_FOUND", ["key"])
        assert (await refused(api, CREATE, key="third", name="Mine"))["code"] == "FORBIDDEN"
        mine = await changed(api, UPDATE, key="other", name="Renamed", retention="P1D")
        assert (mine["name"], mine["retention"], mine["version"]) == ("Renamed", "P1D", 2)
    assert (await api.data(PROJECTS))["projects"] == [{"key": "default"}, {"key": "other"}]


async def test_key_of_a_project_is_unique(api: Api) -> None:
    error = await refused(api, CREATE, key="default", name="Another")
    assert (error["code"], error["path"]) == ("ALREADY_EXISTS", ["key"])


async def test_wrong_project_is_refused_with_everything_that_is_wrong(api: Api) -> None:
    given = {"key": "no spaces", "name": "", "defaults": {"timeout": "x"}, "retention": "PT1S"}
    payload = (await api.data(CREATE, input=given))["projectCreate"]
    paths = [error["path"] for error in payload["errors"]]
    assert paths == [["key"], ["name"], ["defaults", "timeout"], ["retention"]]
    assert (await api.data(PROJECTS))["projects"] == [{"key": "default"}]


async def test_change_of_a_project_may_insist_on_a_version(api: Api) -> None:
    await changed(api, UPDATE, key="default", name="Second", expectedVersion=1)
    error = await refused(api, UPDATE, key="default", name="Third", expectedVersion=1)
    assert (error["code"], error["currentVersion"]) == ("VERSION_CONFLICT", 2)
    # Saying what is so already changes nothing.
    assert (await changed(api, UPDATE, key="default", name="Second"))["version"] == 2


async def test_caller_chooses_a_zone_of_its_own(api: Api) -> None:
    assert (await api.data(PROJECTS))["viewer"]["timezone"] == "UTC"
    await changed(api, UPDATE, key="default", name="D", defaults={"timezone": "Asia/Tokyo"})
    assert (await api.data(PROJECTS))["viewer"]["timezone"] == "Asia/Tokyo"
    chosen = (await api.data(CHOOSE, t="Europe/Berlin"))["viewerUpdate"]
    assert chosen == {"viewer": {"timezone": "Europe/Berlin"}, "errors": []}
    async with administering(api, "default"):
        assert (await api.data(PROJECTS))["viewer"]["timezone"] == "Asia/Tokyo"
    wrong = (await api.data(CHOOSE, t="Mars/Olympus"))["viewerUpdate"]
    assert wrong["viewer"] is None
    assert wrong["errors"][0]["path"] == ["timezone"]
