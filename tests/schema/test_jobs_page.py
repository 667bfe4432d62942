"""docs/jobs.md is right: each of its examples is put, created and executed as it stands there.

Only the host is another one: a server of the test's own.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from app.core.errors import Invalid, InvalidInput
from app.core.vocabulary import JobKind
from app.handlers.options import HandlerOptions
from app.handlers.registry import validate_config
from app.sealing import new_key
from tests.handlers.test_http_job import Server, serving
from tests.schema.api import ERRORS, Api, running_api
from tests.schema.test_chains import PUT as CHAIN_PUT
from tests.schema.test_endpoints import PUT as ENDPOINT_PUT
from tests.schema.test_notifications import PUT as RULE_PUT
from tests.schema.test_secrets import PUT as SECRET_PUT
from tests.worker.control import Services, a_worker, do, trigger, until
from tests.worker.test_shell_right import UPDATE as PROJECT_UPDATE

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```json (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = new_key("docs")
MUTATIONS = {
    "job": f"""mutation($input: JobCreateInput!) {{
        jobCreate(input: $input) {{ job {{ id }} {ERRORS} }} }}""",
    "secret": SECRET_PUT,
    "endpoint": ENDPOINT_PUT,
    "chain": CHAIN_PUT,
    "notificationRule": RULE_PUT,
    "template": f"""mutation($input: TemplateInput!) {{
        templatePut(input: $input) {{ template {{ id }} {ERRORS} }} }}""",
}
CHAINED = "query($id: ID!) { run(id: $id) { chained { nodes { id } } } }"
RESULT = """query($id: ID!) { run(id: $id) { result job { key } log { nodes { text } } } }"""


@pytest.fixture
def services(database_url: str, redis_url: str, tmp_path: Path) -> Services:
    return Services(database_url, redis_url, tmp_path)


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    open_ = {"allow_shell": True, "http_allow_networks": ("127.0.0.1/32",)}
    async with running_api(database_url, redis_url, secret_keys=KEY, **open_) as client:
        yield client


async def be_a_service(request: web.Request) -> web.StreamResponse:
    if request.path == "/oauth/token":
        return web.json_response({"access_token": "from-the-page", "expires_in": 60})
    return web.json_response({"items": [{"id": 7}]})


async def test_every_example_is_executed(api: Api, services: Services) -> None:
    await do(api, PROJECT_UPDATE, key="default", name="Default", shellAllowed=True)
    async with serving(be_a_service) as server:
        jobs: dict[str, str] = {}
        for kind, text in examples(server.origin):
            await put(api, kind, json.loads(text), jobs)
        settings = {"secret_keys": KEY, "http_allow_networks": "127.0.0.1/32", "allow_shell": True}
        async with a_worker(services, **settings):
            ids = [await trigger(api, job_id) for job_id in jobs.values()]
            await until(api, ids, "SUCCEEDED")
            contacts = await api.data(CHAINED, id=ids[list(jobs).index("sync-contacts")])
            [greeted] = contacts["run"]["chained"]["nodes"]
            await until(api, [greeted["id"]], "SUCCEEDED")
            greeting = (await api.data(RESULT, id=greeted["id"]))["run"]["result"]
    assert greeting == {"greeting": "Hello 7", "token": "[secret]"}
    runs = [(await api.data(RESULT, id=run_id))["run"] for run_id in ids]
    results = {run["job"]["key"]: run["result"] for run in runs}
    assert results == {
        "nightly-export": 7,
        "tell-the-shop": {"items": [{"id": 7}]},
        "sync-contacts": {"items": [{"id": 7}]},
        "rebuild-index": None,
        "greet": {"greeting": "Hello", "token": "[secret]"},
        "order-paper": {"items": [{"id": 7}]},
        "say-hello": {"items": [{"id": 7}]},
        "count-files": None,
        "wait-apart": None,
    }
    check_requests(server)
    (command,) = [run for run in runs if run["job"]["key"] == "rebuild-index"]
    assert command["log"]["nodes"][0]["text"].startswith("orders at 20")


def check_requests(server: Server) -> None:
    asked = {path.partition("?")[0]: headers for _, path, headers, _ in server.requests}
    bearer = "Bearer correct horse battery staple"
    assert asked["/exports/orders"]["Authorization"] == bearer
    assert asked["/hooks/tickwheel"]["webhook-signature"].startswith("v1,")
    assert asked["/v2/contacts"]["Authorization"] == "Bearer from-the-page"
    assert asked["/v2/contacts"]["X-Account"] == "4711"
    bodies = {path: body for _, path, _, body in server.requests}
    assert bodies["/orders"] == b"boxes=2&article=A4"
    assert bodies["/hello"] == b"Hello from say-hello, attempt 1."


@pytest.mark.parametrize("kind", JobKind)
def test_every_key_of_a_configuration_is_in_an_example(kind: JobKind) -> None:
    """The keys are those that an unknown one is answered with."""
    jobs = [json.loads(text) for what, text in examples("https://example.com") if what == "job"]
    shown = {key for job in jobs if job["kind"] == kind for key in job["config"]}
    options = HandlerOptions(allow_commands=True, allow_shell=True)
    with pytest.raises(InvalidInput) as refused:
        validate_config(kind, {"unknown": 1}, options=options)
    [hint] = [each.hint for each in refused.value.errors if isinstance(each, Invalid) and each.hint]
    assert shown == set(re.findall(r"\w+", hint.removeprefix("Allowed: ")))


def examples(origin: str) -> list[tuple[str, str]]:
    """Return each example of the page, which kind it is and its text, of a service at `origin`."""
    found: list[tuple[str, str]] = EXAMPLE.findall(PAGE.replace("https://api.example.com", origin))
    return found


async def put(api: Api, kind: str, given: dict[str, Any], jobs: dict[str, str]) -> None:
    """Put one example; the id of a job is noted by its key."""
    if kind == "chain":
        given |= {name: jobs[given[name]] for name in ("jobId", "targetId")}
    (payload,) = (await api.data(MUTATIONS[kind], input=given)).values()
    assert payload["errors"] == [], payload
    if kind == "job":
        jobs[given["key"]] = payload["job"]["id"]
