"""Secrets through the API: written, never read.

Breaks that were tried: `remove_secret` does not look for users; `share_referenced` is not asked
when a job or a schedule is saved; `check_given_parameters` does not ask for the role.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from app.core.ids import split_id
from app.core.vocabulary import Role
from app.runtime import open_runtime
from app.sealing import new_key
from app.services.access import issue_token
from app.services.secrets import open_secret, rotate_secrets
from app.store.instants import read_now
from app.store.secrets import read_secrets_of_project
from tests.schema.api import ERRORS, JOB_CREATE, Api, running_api, settings_for

OLD, NEW = new_key("old"), new_key("new")
VALUE = "correct horse battery"
PUT = f"""mutation($input: SecretPutInput!) {{
    secretPut(input: $input) {{ secret {{ id key version updatedAt }} {ERRORS} }} }}"""
DELETE = f"mutation($key: String!) {{ secretDelete(key: $key) {{ secret {{ key }} {ERRORS} }} }}"
LIST = "{ secrets { id key version } }"
UPDATE = f"""mutation($input: ScheduleUpdateInput!) {{
    scheduleUpdate(input: $input) {{ schedule {{ id }} {ERRORS} }} }}"""
TRIGGER = f"""mutation($input: JobTriggerInput!) {{
    jobTrigger(input: $input) {{ run {{ parameters }} {ERRORS} }} }}"""
NOOP = {"function": "app.handlers.builtin.noop"}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A server that can seal."""
    async with running_api(database_url, redis_url, secret_keys=OLD) as client:
        yield client


async def put(api: Api, key: str = "crm", value: str = VALUE) -> dict[str, Any]:
    return dict((await api.data(PUT, input={"key": key, "value": value}))["secretPut"])


async def delete(api: Api, key: str = "crm") -> list[dict[str, Any]]:
    return list((await api.data(DELETE, key=key))["secretDelete"]["errors"])


async def save_job(api: Api, **given: Any) -> list[dict[str, Any]]:
    job = {"key": "job", "kind": "PYTHON", "config": NOOP, **given}
    return list((await api.data(JOB_CREATE, input=job))["jobCreate"]["errors"])


async def as_role(api: Api, role: Role) -> Api:
    """Return the same server for a caller of the project with a role."""
    async with api.runtime.database.transaction() as transaction:
        now = await read_now(transaction)
        project_id = (await api.data("{ viewer { project { id } } }"))["viewer"]["project"]["id"]
        row, text = issue_token(name=role, role=role, project_id=_uuid(project_id), created_at=now)
        transaction.add(row)
    other = Api(api.port, api.http, api.runtime)
    other.token = text
    return other


def _uuid(public: str) -> Any:
    found = split_id(public)
    assert found is not None
    return found[1]


async def test_putting_again_counts_the_version_and_shows_no_value(api: Api) -> None:
    first, second = await put(api), await put(api, value="another value")
    assert (first["secret"]["version"], second["secret"]["version"]) == (1, 2)
    assert first["secret"]["id"] == second["secret"]["id"]
    (shown,) = (await api.data(LIST))["secrets"]
    assert shown == {"id": first["secret"]["id"], "key": "crm", "version": 2}
    (fields,) = (await api.data('{ __type(name: "Secret") { fields { name } } }')).values()
    assert {field["name"] for field in fields["fields"]} == {"id", "key", "updatedAt", "version"}


async def test_a_value_that_cannot_be_struck_out_or_kept_is_refused(api: Api) -> None:
    for value in ("", "12345", "   1234   ", "x" * 32_769):
        (error,) = (await put(api, value=value))["errors"]
        assert (error["code"], error["path"]) == ("INVALID", ["value"])
        assert value == "" or value not in error["message"]
    (error,) = (await put(api, key="a key"))["errors"]
    assert error["path"] == ["key"]
    assert (await api.data(LIST))["secrets"] == []


async def test_a_value_of_another_type_is_not_repeated_to_the_log(api: Api, capfd: Any) -> None:
    answer = await api.ask(PUT, input={"key": "crm", "value": {"deep": VALUE}})
    assert answer["errors"]
    assert VALUE not in "".join(capfd.readouterr())


async def test_without_a_key_no_secret_is_taken(database_url: str, redis_url: str) -> None:
    async with running_api(database_url, redis_url) as api:
        (error,) = (await put(api))["errors"]
    assert error["code"] == "DEPENDENCY_UNAVAILABLE"
    assert "TICKWHEEL_SECRET_KEYS_FILE" in error["message"]


async def test_only_an_administrator_sees_or_changes_secrets(api: Api) -> None:
    """VIEWER, OPERATOR and EDITOR are refused, also by id."""
    secret_id = (await put(api))["secret"]["id"]
    for role in (Role.VIEWER, Role.OPERATOR, Role.EDITOR):
        caller = await as_role(api, role)
        (error,) = (await put(caller))["errors"]
        assert error["code"] == "FORBIDDEN"
        (error,) = await delete(caller)
        assert error["code"] == "FORBIDDEN"
        answer = await caller.ask(LIST)
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        node = await caller.data("query($id: ID!) { node(id: $id) { id } }", id=secret_id)
        assert node == {"node": None}
    assert (await (await as_role(api, Role.ADMIN)).data(LIST))["secrets"][0]["key"] == "crm"
    node = await api.data("query($id: ID!) { node(id: $id) { id } }", id=secret_id)
    assert node["node"] == {"id": secret_id}


async def test_a_job_may_only_refer_to_secrets_that_are_there(api: Api) -> None:
    await put(api)
    references: dict[tuple[str, ...], dict[str, Any]] = {
        ("parameters", "a", "0"): {"parameters": {"a": [{"secret": "nope"}]}},
        ("config", "env", "TOKEN"): {
            "kind": "COMMAND",
            "config": {"argv": ["true"], "env": {"TOKEN": {"secret": "nope"}}},
        },
        ("config", "headers", "X-Key"): {
            "kind": "HTTP",
            "config": {"url": "http://127.0.0.1/", "headers": {"X-Key": {"secret": "nope"}}},
        },
    }
    for path, given in references.items():
        (error,) = await save_job(api, **given)
        assert (error["__typename"], error["path"]) == ("NotFoundError", list(path))
        assert "'nope'" in error["message"]
        there = {**given, "key": "there"}
        assert await save_job(api, **_renamed(there, f"there-{len(path)}-{path[-1]}")) == []


def _renamed(job: dict[str, Any], key: str) -> dict[str, Any]:
    text = json.dumps({**job, "key": key}).replace("nope", "crm")
    return dict(json.loads(text))


async def test_a_secret_is_no_argument_of_a_command(api: Api) -> None:
    await put(api)
    config = {"argv": ["curl", "-u", {"secret": "crm"}]}
    (error,) = await save_job(api, kind="COMMAND", config=config)
    assert error["path"] == ["config", "argv", "2"]


async def test_a_schedule_may_only_refer_to_secrets_that_are_there(api: Api) -> None:
    await put(api)
    job_id = await api.create_job()
    timings = [{"cron": {"expression": "0 0 1 1 *"}}]
    payload = await api.try_schedule(
        jobId=job_id,
        key="s",
        fields={"timings": timings, "parameters": {"token": {"secret": "nope"}}},
    )
    assert payload["errors"][0]["path"] == ["fields", "parameters", "token"]
    schedule = await api.create_schedule(job_id, parameters={"token": {"secret": "crm"}})
    edit = {"id": schedule["id"], "fields": {"parameters": {"token": {"secret": "nope"}}}}
    (error,) = (await api.data(UPDATE, input=edit))["scheduleUpdate"]["errors"]
    assert error["path"] == ["fields", "parameters", "token"]


async def test_who_may_only_trigger_chooses_no_secrets(api: Api) -> None:
    await put(api)
    job_id = await api.create_job(parameters={"token": {"secret": "crm"}})
    given = {"id": job_id, "parameters": {"token": {"secret": "crm"}}}
    operator = await as_role(api, Role.OPERATOR)
    refused = (await operator.data(TRIGGER, input=given))["jobTrigger"]
    assert refused["errors"][0]["code"] == "FORBIDDEN"
    # What the job itself refers to is the editor's choice.
    allowed = (await operator.data(TRIGGER, input={"id": job_id}))["jobTrigger"]
    assert allowed["run"]["parameters"] == {"token": {"secret": "crm"}}
    editor = await as_role(api, Role.EDITOR)
    assert (await editor.data(TRIGGER, input=given))["jobTrigger"]["errors"] == []
    given["parameters"] = {"token": {"secret": "nope"}}
    (error,) = (await editor.data(TRIGGER, input=given))["jobTrigger"]["errors"]
    assert error["path"] == ["parameters", "token"]


async def test_a_reference_satisfies_any_schema_of_a_text(api: Api) -> None:
    await put(api)
    schema = {"properties": {"token": {"type": "string", "pattern": "^[0-9]+$"}}}
    job_id = await api.create_job(parametersSchema=schema)
    await api.create_schedule(job_id, parameters={"token": {"secret": "crm"}})
    payload = await api.try_schedule(
        jobId=job_id,
        key="other",
        fields={"timings": [{"frequency": "DAILY"}], "parameters": {"token": "letters"}},
    )
    assert payload["errors"][0]["path"] == ["fields", "parameters", "token"]


async def test_a_secret_in_use_is_not_deleted_and_its_users_are_named(api: Api) -> None:
    await put(api)
    await put(api, key="crm/2")
    job_id = await api.create_job("by-parameter", parameters={"a": {"secret": "crm"}})
    other = await api.create_job("by-schedule")
    await api.create_schedule(other, "nightly", parameters={"b": [{"secret": "crm"}]})
    assert await save_job(api, key="mentions", parameters={"crm": "crm", "secret": "crm"}) == []
    (error,) = await delete(api)
    assert error["__typename"] == "StateConflictError"
    assert "(job by-parameter, schedule nightly)" in error["message"]
    assert await delete(api, "crm/2") == []
    (error,) = await delete(api, "crm/2")
    assert error["__typename"] == "NotFoundError"
    archive = "mutation($id: ID!) { jobArchive(id: $id) { errors { message } } }"
    assert (await api.data(archive, id=job_id))["jobArchive"]["errors"] == []
    (error,) = await delete(api)
    assert "(schedule nightly)" in error["message"]


async def test_the_audit_tells_who_put_a_secret_and_not_what(api: Api) -> None:
    await put(api)
    await delete(api)
    entries = (await api.data("{ audit { nodes { action summary changes { path } } } }"))["audit"]
    assert [(entry["action"], entry["summary"]) for entry in entries["nodes"]] == [
        ("secretDelete", "Deleted secret crm, version 1."),
        ("secretPut", "Put secret crm, version 1."),
    ]


async def test_rotation_seals_everything_with_the_first_key_and_changes_nothing(
    api: Api, database_url: str, redis_url: str
) -> None:
    """Fails when a batch is sealed with the key that sealed it before."""
    for number in range(3):
        await put(api, key=f"s{number}")
    before = (await api.data(LIST))["secrets"]
    both = settings_for(database_url, redis_url, secret_keys=f"{NEW},{OLD}")
    async with open_runtime(both) as runtime:
        assert (await rotate_secrets(runtime)).resealed == 3
        assert (await rotate_secrets(runtime)).resealed == 0
    async with running_api(database_url, redis_url, secret_keys=NEW) as renewed:
        assert (await renewed.data(LIST))["secrets"] == before
    async with open_runtime(both) as runtime, runtime.database.reading(None) as connection:
        rows = await read_secrets_of_project(connection, _uuid(await _project(api)), limit=10)
        assert {row.key_id for row in rows} == {"new"}
        assert {open_secret(runtime.keyring, row) for row in rows} == {VALUE}


async def _project(api: Api) -> str:
    return str((await api.data("{ viewer { project { id } } }"))["viewer"]["project"]["id"])
