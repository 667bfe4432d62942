"""Endpoints through the API, and what jobs may ask of them.

Breaks that were tried: `_check_references` does not look for the endpoint or its variables;
`remove_endpoint` and `put_endpoint` do not look for users; a schedule is not held to the parameters
that its job's templates name.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from app.core.vocabulary import Role
from app.sealing import new_key
from tests.schema.api import ERRORS, JOB_CREATE, Api, running_api
from tests.schema.test_secrets import as_role, delete, put

PUT = f"""mutation($input: EndpointInput!) {{ endpointPut(input: $input) {{
    endpoint {{ id key baseUrl headers variables auth version }} {ERRORS} }} }}"""
DELETE = f"""mutation($key: String!) {{
    endpointDelete(key: $key) {{ endpoint {{ key }} {ERRORS} }} }}"""
CRM = {
    "key": "crm",
    "baseUrl": "https://{{ endpoint.instance }}.crm.test/api",
    "headers": {"X-Account": "{{ endpoint.account }}"},
    "variables": {"instance": "eu1", "account": 42},
    "auth": {"type": "bearer", "token": {"secret": "crm"}},
}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A server with one secret."""
    async with running_api(database_url, redis_url, secret_keys=new_key("a")) as client:
        await put(client)
        yield client


async def put_endpoint(api: Api, **changes: Any) -> dict[str, Any]:
    return dict((await api.data(PUT, input={**CRM, **changes}))["endpointPut"])


async def delete_endpoint(api: Api, key: str = "crm") -> list[dict[str, Any]]:
    return list((await api.data(DELETE, key=key))["endpointDelete"]["errors"])


async def save(api: Api, **given: Any) -> list[dict[str, Any]]:
    """Try to create an HTTP job, and return what is wrong with it."""
    config = {"connection": "crm", "path": "/contacts", **given.pop("config", {})}
    job = {"key": "job", "kind": "HTTP", "config": config, **given}
    return list((await api.data(JOB_CREATE, input=job))["jobCreate"]["errors"])


async def test_an_endpoint_is_put_replaced_and_deleted(api: Api) -> None:
    created = (await put_endpoint(api))["endpoint"]
    assert {name: created[name] for name in CRM} == CRM
    same = (await put_endpoint(api))["endpoint"]
    assert (created["version"], same["version"]) == (1, 1)
    changed = (await put_endpoint(api, variables={"instance": "eu2", "account": 1}))["endpoint"]
    assert (changed["id"], changed["version"]) == (created["id"], 2)
    assert (await api.data("{ endpoints { key version } }"))["endpoints"] == [
        {"key": "crm", "version": 2}
    ]
    node = await api.data("query($id: ID!) { node(id: $id) { id } }", id=created["id"])
    assert node["node"] == {"id": created["id"]}
    assert await delete_endpoint(api) == []
    assert (await delete_endpoint(api))[0]["__typename"] == "NotFoundError"


async def test_everything_wrong_with_an_endpoint_is_told_at_once(api: Api) -> None:
    payload = await put_endpoint(
        api, key="a b", baseUrl="ftp://x", headers=[], auth={"type": "bearer", "token": "plain"}
    )
    paths = {tuple(error["path"]) for error in payload["errors"]}
    assert paths == {("key",), ("baseUrl",), ("headers",), ("auth", "token")}
    assert (await api.data("{ endpoints { key } }"))["endpoints"] == []


async def test_an_endpoint_may_only_refer_to_secrets_that_are_there(api: Api) -> None:
    payload = await put_endpoint(
        api,
        auth={"type": "bearer", "token": {"secret": "nope"}},
        headers={"X": "{{ secrets.neither }}"},
    )
    paths = {tuple(error["path"]) for error in payload["errors"]}
    assert paths == {("auth", "token"), ("headers", "X")}
    assert (await put_endpoint(api))["errors"] == []
    (error,) = await delete(api)
    assert "(endpoint crm)" in error["message"]


async def test_editors_change_endpoints_and_viewers_see_them(api: Api) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        caller = await as_role(api, role)
        assert (await put_endpoint(caller))["errors"][0]["code"] == "FORBIDDEN"
        assert (await delete_endpoint(caller))[0]["code"] == "FORBIDDEN"
    assert (await put_endpoint(await as_role(api, Role.EDITOR)))["errors"] == []
    viewer = await as_role(api, Role.VIEWER)
    assert len((await viewer.data("{ endpoints { auth } }"))["endpoints"]) == 1


async def test_a_job_whose_endpoint_or_variable_is_missing_is_refused(api: Api) -> None:
    (error,) = await save(api)
    assert error["path"] == ["config", "connection"]
    await put_endpoint(api)
    (error,) = await save(api, config={"path": "/{{ endpoint.entity }}"})
    assert error["path"] == ["config", "path"]
    assert "'entity'; it has account, instance" in error["message"]
    assert await save(api, config={"path": "/{{ endpoint.entity | default('all') }}"}) == []
    without = {"url": "https://x.test/{{ endpoint.account }}", "connection": None, "path": None}
    (error,) = await save(api, key="other", config=without)
    assert error["path"] == ["config", "url"]


async def test_a_job_names_secrets_in_its_templates_that_are_there(api: Api) -> None:
    await put_endpoint(api)
    for config in ({"headers": {"X": "k {{ secrets.nope }}"}}, {"sign": "nope"}):
        (error,) = await save(api, config=config)
        assert error["path"] == ["config"]
        assert "'nope'" in error["message"]
    assert await save(api, config={"headers": {"X": "k {{ secrets.crm }}"}}) == []
    (error,) = await delete(api)
    assert "job job" in error["message"]


async def test_an_endpoint_in_use_is_not_deleted_and_loses_no_variable(api: Api) -> None:
    await put_endpoint(api)
    await put_endpoint(api, key="crm2")
    assert await save(api, config={"path": "/{{ endpoint.account }}"}) == []
    (error,) = await delete_endpoint(api)
    assert error["__typename"] == "StateConflictError"
    assert "(job job)" in error["message"]
    assert await delete_endpoint(api, "crm2") == []
    less = {"variables": {"instance": "eu1"}, "headers": {}}
    (error,) = (await put_endpoint(api, **less))["errors"]
    assert error["path"] == ["variables"]
    assert "job job would miss something" in error["message"]
    assert (await put_endpoint(api, variables={"instance": "x", "account": 7}))["errors"] == []


async def test_a_parameter_that_nobody_can_give_is_refused(api: Api) -> None:
    await put_endpoint(api)
    schema = {"properties": {"day": {}}, "additionalProperties": False}
    given = {"parametersSchema": schema, "config": {"path": "/{{ parameters.dya }}"}}
    (error,) = await save(api, **given)
    assert error["path"] == ["config", "path"]
    assert "'dya'" in error["message"]
    given = {"parametersSchema": schema, "config": {"path": "/{{ parameters.day }}"}}
    assert await save(api, **given) == []


async def test_a_schedule_gives_what_its_job_names(api: Api) -> None:
    await put_endpoint(api)
    config = {"connection": "crm", "path": "/{{ parameters.day }}"}
    job_id = await api.create_job("http", kind="HTTP", config=config)
    timings = {"timings": [{"frequency": "DAILY"}]}
    payload = await api.try_schedule(jobId=job_id, key="s", fields=timings)
    (error,) = payload["errors"]
    assert error["path"] == ["fields", "parameters"]
    assert "'day' (in config.path)" in error["message"]
    given = {**timings, "parameters": {"day": "monday"}}
    assert (await api.try_schedule(jobId=job_id, key="s", fields=given))["errors"] == []
    trigger = f"""mutation($input: JobTriggerInput!) {{
        jobTrigger(input: $input) {{ run {{ id }} {ERRORS} }} }}"""
    (error,) = (await api.data(trigger, input={"id": job_id}))["jobTrigger"]["errors"]
    assert error["path"] == ["parameters"]
