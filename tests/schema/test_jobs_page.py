"""docs/jobs.md is right: each of its examples is put, created and executed as it stands there.

Only the host is another one: a server of the test's own.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from app.sealing import new_key
from tests.handlers.test_http_job import Server, serving
from tests.schema.api import ERRORS, Api, running_api
from tests.schema.test_endpoints import PUT as ENDPOINT_PUT
from tests.schema.test_secrets import PUT as SECRET_PUT
from tests.worker.control import Services, a_worker, trigger, until

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```json (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEY = new_key("docs")
RESULT = """query($id: ID!) { run(id: $id) { result job { key } log { nodes { text } } } }"""


@pytest.fixture
def services(database_url: str, redis_url: str, tmp_path: Path) -> Services:
    return Services(database_url, redis_url, tmp_path)


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with running_api(database_url, redis_url, secret_keys=KEY) as client:
        yield client


async def be_a_service(request: web.Request) -> web.StreamResponse:
    if request.path == "/oauth/token":
        return web.json_response({"access_token": "from-the-page", "expires_in": 60})
    return web.json_response({"items": [{"id": 7}]})


async def test_every_example_is_executed(api: Api, services: Services) -> None:
    async with serving(be_a_service) as server:
        jobs = [
            await put(api, kind, json.loads(text))
            for kind, text in EXAMPLE.findall(
                PAGE.replace("https://api.example.com", server.origin)
            )
        ]
        networks = {"secret_keys": KEY, "http_allow_networks": "127.0.0.1/32"}
        async with a_worker(services, **networks):
            ids = [await trigger(api, job_id) for job_id in jobs if job_id]
            await until(api, ids, "SUCCEEDED")
    runs = [(await api.data(RESULT, id=run_id))["run"] for run_id in ids]
    results = {run["job"]["key"]: run["result"] for run in runs}
    assert results == {
        "nightly-export": 7,
        "tell-the-shop": {"items": [{"id": 7}]},
        "sync-contacts": {"items": [{"id": 7}]},
        "rebuild-index": None,
        "greet": {"greeting": "Hello", "token": "[secret]"},
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


async def put(api: Api, kind: str, given: dict[str, object]) -> str | None:
    """Put one example; return the id of a job."""
    if kind == "job":
        create = f"""mutation($input: JobCreateInput!) {{
            jobCreate(input: $input) {{ job {{ id }} {ERRORS} }} }}"""
        payload = (await api.data(create, input=given))["jobCreate"]
        assert payload["errors"] == [], payload
        return str(payload["job"]["id"])
    document = {"secret": SECRET_PUT, "endpoint": ENDPOINT_PUT}[kind]
    (payload,) = (await api.data(document, input=given)).values()
    assert payload["errors"] == [], payload
    return None
