"""Templates, every project's and its own, count where whoever uses them is silent."""

from typing import Any

import pytest

from app.core.vocabulary import Role
from app.services.templates import BUILT_IN_TEMPLATES
from tests.schema.api import ERRORS, JOB_CREATE, SCHEDULE_CREATE, Api
from tests.schema.test_run_control import act

TEMPLATE = "id key name description version builtIn parametersSchema defaults"
TEMPLATES = f"{{ templates {{ {TEMPLATE} }} }}"
PUT = f"""mutation($input: TemplateInput!) {{
    templatePut(input: $input) {{ template {{ {TEMPLATE} }} {ERRORS} }} }}"""
DELETE = f"""mutation($key: String!) {{
    templateDelete(key: $key) {{ template {{ key }} {ERRORS} }} }}"""
SCHEDULE = """query($key: String!) { schedule(key: $key) {
    name timezone overlap parameters timings { ... on CronTiming { expression }
    ... on IntervalTiming { every } } } }"""
JOB = "query($key: String!) { job(key: $key) { config parameters timeout retry { maxAttempts } } }"
BUSINESS = {
    "key": "business-hours",
    "name": "In business hours",
    "parametersSchema": {
        "type": "object",
        "properties": {"hour": {"type": "integer"}, "region": {"default": "eu"}},
        "required": ["hour"],
        "additionalProperties": False,
    },
    "defaults": {
        "name": "Hour {{ hour }}, {{ region }}",
        "timezone": "Europe/Berlin",
        "overlap": "QUEUE_ONE",
        "timings": [{"cron": {"expression": "0 {{hour}} * * MON-FRI"}}],
        "parameters": {"region": {"parameter": "region"}, "hour": {"parameter": "hour"}},
    },
}


async def put(api: Api, **given: Any) -> dict[str, Any]:
    payload = (await api.data(PUT, input=given))["templatePut"]
    assert payload["errors"] == [], payload
    template: dict[str, Any] = payload["template"]
    return template


async def refused(api: Api, mutation: str, **variables: Any) -> dict[str, Any]:
    (payload,) = (await api.data(mutation, **variables)).values()
    error: dict[str, Any] = payload["errors"][0]
    return error


async def create(api: Api, job_id: str, **given: Any) -> dict[str, Any]:
    return await api.try_schedule(jobId=job_id, fields={}, allowDuplicate=True, **given)


async def test_every_built_in_template_makes_a_schedule_that_is_accepted(api: Api) -> None:
    """Made to fail by a template with a wrong field."""
    samples = {"url": "https://example.org/", "to": "runs.csv"}
    job_id = await api.create_job()
    listed = (await api.data(TEMPLATES))["templates"]
    assert [template["key"] for template in listed] == [t.key for t in BUILT_IN_TEMPLATES]
    for template in listed:
        assert template["builtIn"] is True
        wanted = template["parametersSchema"]["required"]
        given = {name: samples[name] for name in wanted}
        how = {"templateId": template["id"], "templateParameters": given}
        payload = await create(api, job_id, key=template["key"], **how)
        assert payload["errors"] == [], template["key"]
        job = template["defaults"].get("job")
        if job is not None:
            of_job = {"key": template["key"], "kind": job["kind"], "config": {}, **how}
            made = (await api.data(JOB_CREATE, input=of_job))["jobCreate"]
            assert made["errors"] == [], template["key"]


async def test_what_a_template_says_counts_where_nothing_is_given(api: Api) -> None:
    """Made to fail by letting the template win."""
    template = await put(api, **BUSINESS)
    job_id = await api.create_job()
    payload = await api.try_schedule(
        jobId=job_id,
        key="mine",
        templateId=template["id"],
        templateParameters={"hour": 9},
        fields={"timezone": "Asia/Kolkata"},
    )
    assert payload["errors"] == []
    assert (await api.data(SCHEDULE, key="mine"))["schedule"] == {
        "name": "Hour 9, eu",
        "timezone": "Asia/Kolkata",
        "overlap": "QUEUE_ONE",
        "parameters": {"region": "eu", "hour": 9},
        "timings": [{"expression": "0 9 * * MON-FRI"}],
    }


async def test_a_job_is_made_from_a_template(api: Api) -> None:
    [check] = [t for t in (await api.data(TEMPLATES))["templates"] if t["key"] == "website-check"]
    given = {
        "key": "site",
        "kind": "PYTHON",
        "config": {},
        "timeout": "PT2M",
        "templateId": check["id"],
        "templateParameters": {"url": "https://example.org/"},
    }
    payload = (await api.data(JOB_CREATE, input=given))["jobCreate"]
    assert payload["errors"] == []
    assert (await api.data(JOB, key="site"))["job"] == {
        "config": {"function": "app.handlers.builtin.http_check"},
        "parameters": {"url": "https://example.org/", "contains": None},
        "timeout": "PT2M",
        "retry": {"maxAttempts": 3},
    }
    other = {**given, "key": "other", "kind": "HTTP"}
    assert (await refused(api, JOB_CREATE, input=other))["path"] == ["kind"]


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({}, ["templateParameters"]),
        ({"hour": "nine"}, ["templateParameters", "hour"]),
        ({"hour": 9, "minute": 1}, ["templateParameters"]),
        ([9], ["templateParameters"]),
    ],
)
async def test_parameters_must_satisfy_the_templates_schema(
    parameters: Any, path: list[str], api: Api
) -> None:
    template = await put(api, **BUSINESS)
    payload = await create(
        api,
        await api.create_job(),
        key="x",
        templateId=template["id"],
        templateParameters=parameters,
    )
    assert payload["schedule"] is None
    assert payload["errors"][0]["path"][: len(path)] == path


async def test_a_filled_in_value_is_checked_like_one_that_was_given(api: Api) -> None:
    template = await put(api, **BUSINESS)
    how = {"templateId": template["id"], "templateParameters": {"hour": 25}}
    payload = await create(api, await api.create_job(), key="x", **how)
    assert payload["errors"][0]["code"] == "INVALID"
    assert "25" in payload["errors"][0]["message"]


async def test_a_template_is_replaced_and_what_was_made_stays(api: Api) -> None:
    template = await put(api, **BUSINESS)
    how = {"templateId": template["id"], "templateParameters": {"hour": 9}}
    await create(api, await api.create_job(), key="made", **how)
    changed = await put(api, **{**BUSINESS, "defaults": {"timezone": "UTC"}})
    assert (changed["id"], changed["version"]) == (template["id"], 2)
    same = await put(api, **{**BUSINESS, "defaults": {"timezone": "UTC"}})
    assert same["version"] == 2
    deleted = (await api.data(DELETE, key="business-hours"))["templateDelete"]
    assert deleted == {"template": {"key": "business-hours"}, "errors": []}
    assert (await api.data(SCHEDULE, key="made"))["schedule"]["timezone"] == "Europe/Berlin"
    assert (await refused(api, DELETE, key="business-hours"))["code"] == "NOT_FOUND"


WRONG = {
    "unknown field": ({"timezon": "UTC"}, ["defaults", "timezon"]),
    "wrong type": ({"maxRuns": "many"}, ["defaults", "maxRuns"]),
    "wrong enum": ({"overlap": "MAYBE"}, ["defaults", "overlap"]),
    "unknown in the job": ({"job": {"kind": "HTTP", "cmd": 1}}, ["defaults", "job", "cmd"]),
    "job without a kind": ({"job": {}}, ["defaults", "job"]),
    "no object": ([], ["defaults"]),
    "open without a property": ({"name": "{{ nobody }}"}, ["defaults"]),
}


@pytest.mark.parametrize(("defaults", "path"), WRONG.values(), ids=WRONG)
async def test_wrong_defaults_are_refused_when_they_are_put(
    defaults: Any, path: list[str], api: Api
) -> None:
    error = await refused(api, PUT, input={"key": "x", "name": "X", "defaults": defaults})
    assert error["path"] is not None
    assert error["path"][: len(path)] in (path, path[:-1])
    assert [t["builtIn"] for t in (await api.data(TEMPLATES))["templates"]].count(False) == 0


async def test_built_in_templates_are_nobodys_to_change(api: Api) -> None:
    given = {"key": "nightly", "name": "Mine", "defaults": {}}
    assert (await refused(api, PUT, input=given))["code"] == "ALREADY_EXISTS"
    assert (await refused(api, DELETE, key="nightly"))["code"] == "STATE_CONFLICT"


async def test_templates_are_found_by_id_and_only_in_their_project(api: Api) -> None:
    template = await put(api, **BUSINESS)
    node = "query($id: ID!) { node(id: $id) { id ... on Template { key } } }"
    assert (await api.data(node, id=template["id"]))["node"]["key"] == "business-hours"
    unknown = {"key": "x", "jobId": await api.create_job(), "fields": {}}
    error = await refused(
        api, SCHEDULE_CREATE, input={**unknown, "templateId": "template_" + "0" * 32}
    )
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["templateId"])
    alone = await refused(api, SCHEDULE_CREATE, input={**unknown, "templateParameters": {"a": 1}})
    assert alone["path"] == ["templateParameters"]


async def test_a_viewer_reads_templates_and_changes_none(api: Api) -> None:
    await act(api, Role.VIEWER)
    assert (await api.data(TEMPLATES))["templates"] != []
    assert (await refused(api, PUT, input=BUSINESS))["code"] == "FORBIDDEN"
    assert (await refused(api, DELETE, key="x"))["code"] == "FORBIDDEN"
