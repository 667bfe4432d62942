"""Registered functions are listed with their schemas, and a job has its function's."""

from tests.schema.api import JOB_CREATE, Api

TASKS = "{ tasks { name doc parametersSchema isolation } }"
TRIGGER = """mutation($input: JobTriggerInput!) { jobTrigger(input: $input) {
    run { parameters } errors { code path message } } }"""
JOB = "query($id: ID!) { job(id: $id) { parametersSchema } }"
SLEEP = "app.handlers.builtin.sleep"


async def test_functions_are_listed_with_schema_and_docstring(api: Api) -> None:
    tasks = {task["name"]: task for task in (await api.data(TASKS))["tasks"]}
    builtin = [name for name in tasks if name.startswith("app.handlers.builtin.")]
    assert {name.rpartition(".")[2] for name in builtin} >= {
        *("noop", "sleep", "fail", "echo"),
        *("http_check", "export_runs", "purge"),
    }
    sleep = tasks[SLEEP]
    assert sleep["isolation"] == "inline"
    assert sleep["doc"].startswith("Take `seconds` of time")
    assert sleep["parametersSchema"]["properties"]["seconds"]["type"] == "number"
    export = tasks["app.handlers.builtin.export_runs"]["parametersSchema"]
    # The context is not a parameter.
    assert "context" not in export["properties"]
    assert export["required"] == ["to"]


async def test_a_jobs_schema_is_its_functions_unless_it_has_its_own(api: Api) -> None:
    """Made to fail by checking against the stored schema alone."""
    job_id = await api.create_job("sleep", config={"function": SLEEP})
    schema = (await api.data(JOB, id=job_id))["job"]["parametersSchema"]
    assert schema["properties"]["seconds"]["default"] == 1.0
    refused = {"id": job_id, "parameters": {"seconds": "long"}}
    [error] = (await api.data(TRIGGER, input=refused))["jobTrigger"]["errors"]
    assert (error["code"], error["path"]) == ("INVALID", ["parameters", "seconds"])
    unknown = {"id": job_id, "parameters": {"minutes": 1}}
    assert (await api.data(TRIGGER, input=unknown))["jobTrigger"]["errors"] != []
    taken = {"id": job_id, "parameters": {"seconds": 2}}
    payload = (await api.data(TRIGGER, input=taken))["jobTrigger"]
    assert payload["run"] == {"parameters": {"seconds": 2}}
    own = await api.create_job(
        "own", config={"function": SLEEP}, parametersSchema={"type": "object"}
    )
    assert (await api.data(JOB, id=own))["job"]["parametersSchema"] == {"type": "object"}


async def test_a_function_nobody_has_registered_is_refused(api: Api) -> None:
    given = {"key": "x", "kind": "PYTHON", "config": {"function": "os.system"}}
    [error] = (await api.data(JOB_CREATE, input=given))["jobCreate"]["errors"]
    assert error["path"] == ["config", "function"]
