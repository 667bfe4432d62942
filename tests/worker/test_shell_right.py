"""Shell lines are a right of a project, given and taken by the instance's administrator alone."""

from collections.abc import AsyncIterator

import pytest_asyncio

from app.core.vocabulary import Role
from tests.schema.api import JOB_CREATE, Api, running_api
from tests.schema.test_run_control import act
from tests.worker.control import Services, a_worker, attempt, do, trigger, until

UPDATE = """mutation($input: ProjectInput!) { projectUpdate(input: $input) {
    project { shellAllowed version } errors { code message path } } }"""
RUN = "query($id: ID!) { run(id: $id) { state reason error { type } log { nodes { text } } } }"
SHELL = {"key": "shell", "kind": "COMMAND", "config": {"shell": "echo a && echo b"}}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """Return a client of a server whose operator allows shell lines."""
    async with running_api(database_url, redis_url, allow_shell=True) as client:
        yield client


async def grant(api: Api, allowed: bool | None) -> None:
    """Give or take the right."""
    payload = await do(api, UPDATE, key="default", name="Default", shellAllowed=allowed)
    assert payload["project"]["shellAllowed"] is bool(allowed)


async def test_without_the_right_a_shell_line_is_refused_when_it_is_saved(api: Api) -> None:
    """Made to fail by asking the setting alone."""
    [error] = (await attempt(api, JOB_CREATE, **SHELL))["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["config", "shell"])
    await grant(api, True)
    await do(api, JOB_CREATE, **SHELL)


async def test_an_administrator_of_the_project_cannot_give_it(api: Api) -> None:
    """Made to fail by asking for the role ADMIN alone."""
    await act(api, Role.ADMIN)
    given = {"key": "default", "name": "Default"}
    [error] = (await attempt(api, UPDATE, **given, shellAllowed=True))["errors"]
    assert (error["code"], error["path"]) == ("FORBIDDEN", ["shellAllowed"])
    # To repeat what holds already is no change, and asks for no right.
    await do(api, UPDATE, **given, shellAllowed=False)


async def test_the_right_does_not_help_where_the_operator_allows_no_shell(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, allow_shell=False) as api:
        await grant(api, True)
        [error] = (await attempt(api, JOB_CREATE, **SHELL))["errors"]
        assert error["path"] == ["config", "shell"]


async def test_a_right_that_was_taken_counts_when_the_run_starts(
    api: Api, services: Services
) -> None:
    """Made to fail by leaving the right out of the claim."""
    await grant(api, True)
    job_id = (await do(api, JOB_CREATE, **SHELL))["job"]["id"]
    async with a_worker(services, allow_shell=True):
        allowed = await trigger(api, job_id)
        await until(api, [allowed], "SUCCEEDED")
        texts = [n["text"] for n in (await api.data(RUN, id=allowed))["run"]["log"]["nodes"]]
        assert texts[:2] == ["a", "b"]
        await grant(api, None)
        refused = await trigger(api, job_id)
        await until(api, [refused], "FAILED")
    run = (await api.data(RUN, id=refused))["run"]
    assert (run["reason"], run["error"]["type"]) == ("REJECTED", "InvalidConfiguration")
    assert run["log"]["nodes"] == []
