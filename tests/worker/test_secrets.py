"""Secrets reach the jobs that refer to them, and appear nowhere else.

Each kind of job says its secret in every spelling it can, also across the place where a long line
is cut. Breaks that were tried: `Handlers.execute` passes the output or the outcome on unredacted;
the process-wide log does not strike out (with a job that logs). Each fails
`test_no_kind_of_job_leaves_a_secret_anywhere`.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from app.runtime import open_runtime
from app.sealing import new_key
from app.services.secrets import rotate_secrets
from tests.engine import Engine, open_engine
from tests.faults.cluster import Cluster, cluster_on
from tests.faults.nursery import Nursery
from tests.handlers.test_http_endpoint import authority
from tests.handlers.test_http_job import serving
from tests.schema.api import ERRORS, Api, running_api, settings_for
from tests.spellings import as_said, spellings
from tests.worker.control import Services, a_worker, do, trigger, until

KEY = new_key("first")
# Characters that each encoding writes otherwise, and a length that three does not divide.
SECRET = "s3cr3t/+?& \"quoted\" ünd 'so' on~"
PUT = f"""mutation($input: SecretPutInput!) {{
    secretPut(input: $input) {{ secret {{ id key version }} {ERRORS} }} }}"""
ENDPOINT_PUT = f"""mutation($input: EndpointInput!) {{
    endpointPut(input: $input) {{ endpoint {{ id }} {ERRORS} }} }}"""
EVERYTHING = """{
    runs(first: 100) { nodes { id state reason message parameters result progressMessage
        error { type message detail } attempts { error { type message detail } }
        log(first: 50) { nodes { text stream } } } }
    jobs(first: 100) { nodes { key config parameters } }
    secrets { id key version updatedAt }
    audit(first: 100) { nodes { action summary changes { path before after } } } }"""
TOKEN = {"secret": "crm/token"}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A server that can seal."""
    async with running_api(database_url, redis_url, secret_keys=KEY, tasks=TASKS) as client:
        yield client


@pytest_asyncio.fixture
async def cluster(
    nursery: Nursery, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Workers that can open what the server seals, and a look behind it."""
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, nursery, database_url, redis_url, tmp_path) as cluster,
    ):
        cluster.environment |= {
            "TICKWHEEL_TASKS": "tests.worker.tasks",
            "TICKWHEEL_SECRET_KEYS": KEY,
            "TICKWHEEL_ALLOW_COMMANDS": "true",
            "TICKWHEEL_HTTP_ALLOW_NETWORKS": "127.0.0.1/32",
            "TICKWHEEL_LOG_LEVEL": "DEBUG",
        }
        yield cluster


TASKS = ("tests.worker.tasks",)
_LEAK = "tests.worker.tasks.leak"
_SCRIPT = """
printf '%s\\n' "plain $TOKEN"; printf %s "user:$TOKEN" | base64 -w0; echo
printf '%s\\n' "$TICKWHEEL_PARAM_TOKEN" >&2; cat; echo
for before in "" x xx; do
    printf '%*s' 16370 ""; printf '%s' "$before$TOKEN" | base64 -w0; echo
done
printf '%*s%s\\n' 16370 "" "$TOKEN"
printf '%*s' 16350 ""; printf '%s' "$TOKEN" | od -An -v -tx1 | tr -d ' \\n'; echo
exit $CODE
"""


def jobs(origin: str) -> dict[str, dict[str, Any]]:
    """Return jobs of every kind that say their secret in every way they can."""
    found: dict[str, dict[str, Any]] = {}
    for fails in (False, True):
        how = "fails" if fails else "succeeds"
        for isolation, function in (
            ("inline", _LEAK),
            ("thread", f"{_LEAK}_blocking"),
            ("process", f"{_LEAK}_blocking"),
        ):
            found[f"python {isolation} {how}"] = {
                "kind": "PYTHON",
                "config": {"function": function, "isolation": isolation},
                "parameters": {"token": TOKEN, "fails": fails},
            }
        found[f"command {how}"] = {
            "kind": "COMMAND",
            "config": {
                "argv": ["sh", "-c", _SCRIPT],
                "env": {"TOKEN": TOKEN, "CODE": "3" if fails else "0"},
                "stdin": TOKEN,
            },
            "parameters": {"token": TOKEN},
        }
        found[f"http {how}"] = {
            "kind": "HTTP",
            "config": {
                "url": f"{origin}/{'500' if fails else '200'}",
                "headers": {"X-Api-Key": {"secret": "crm/header"}},
                "query": {"token": TOKEN},
                "json": {"deep": [{"token": TOKEN}]},
            },
        }
    found["http that nobody answers"] = {
        "kind": "HTTP",
        "config": {"url": "http://127.0.0.1:9/", "query": {"token": TOKEN}},
    }
    found["parameters that do not fit"] = {
        "kind": "PYTHON",
        "config": {"function": _LEAK, "isolation": "inline"},
        "parametersSchema": {"properties": {"token": {"type": "string", "maxLength": 8}}},
        "parameters": {"token": TOKEN},
    }
    return found


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with all that came, as a debugging server would."""
    body = await request.read()
    told = {"url": str(request.url), "headers": dict(request.headers), "body": body.decode()}
    if token := request.query.get("token"):
        told |= as_said(token)
        told["long"] = " ".join(
            "." * (16 * 1024 - len(text)) + text for text in as_said(token).values()
        )
    return web.json_response(told, status=int(request.path.strip("/")))


async def test_no_kind_of_job_leaves_a_secret_anywhere(
    api: Api, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    header = SECRET.encode("ascii", "ignore").decode()
    await do(api, PUT, key="crm/token", value=SECRET)
    await do(api, PUT, key="crm/header", value=header)
    async with serving(echo) as server:
        worker = await cluster.start()
        ids = [
            await trigger(api, await api.create_job(name.replace(" ", "-"), **job))
            for name, job in jobs(server.origin).items()
        ]
        await until(api, ids, "SUCCEEDED", "FAILED")
        process_log = worker.log.read_text()
    # They did receive it.
    assert [json.loads(body) for *_, body in server.requests] == [{"deep": [{"token": SECRET}]}] * 2
    assert all(headers["X-Api-Key"] == header for _, _, headers, _ in server.requests)
    answers = await api.data(EVERYTHING)
    states = {run["state"] for run in answers["runs"]["nodes"]}
    assert states == {"SUCCEEDED", "FAILED"}
    said = json.dumps(answers, ensure_ascii=False)
    assert said.count("[secret]") > 60
    places = {
        "API answers": said,
        "worker's log": process_log,
        "API's log": "".join(capfd.readouterr()),
        **await every_table(cluster.engine),
    }
    assert "run_log" in places
    found = [
        f"{secret[:3]} {spelling} in {place}"
        for secret in (SECRET, header)
        for spelling, text in spellings(secret).items()
        for place, content in places.items()
        if text in content or json.dumps(text)[1:-1] in content
    ]
    assert found == []


async def every_table(engine: Engine) -> dict[str, str]:
    """Return the content of every table as text."""
    names = await engine.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        row["tablename"]: json.dumps(
            await engine.rows(f"SELECT to_jsonb(t)::text AS row FROM {row['tablename']} AS t"),
            ensure_ascii=False,
        )
        for row in names
    }


async def test_what_a_run_shows_of_its_parameters_is_the_reference(
    api: Api, services: Services
) -> None:
    await do(api, PUT, key="crm/token", value=SECRET)
    job_id = await api.create_job(parameters={"token": TOKEN, "day": "today"})
    run_id = await trigger(api, job_id)
    run = await api.data("query($id: ID!) { run(id: $id) { parameters } }", id=run_id)
    assert run["run"]["parameters"] == {"token": TOKEN, "day": "today"}


async def test_a_run_whose_secret_no_key_opens_says_so(api: Api, services: Services) -> None:
    await do(api, PUT, key="crm/token", value=SECRET)
    job_id = await api.create_job(parameters={"token": TOKEN})
    async with a_worker(services, secret_keys=new_key("other")):
        run_id = await trigger(api, job_id)
        (run,) = await until(api, [run_id], "FAILED")
    assert "'first', which this process does not have" in run["message"]


async def test_parameters_are_checked_at_the_run_against_the_schema_of_now(
    api: Api, services: Services
) -> None:
    """Fails when the claim does not check: the job's schema changed after its run was queued."""
    job_id = await api.create_job(parameters={"day": "today"})
    run_id = await trigger(api, job_id)
    changed = f"""mutation($input: JobUpdateInput!) {{
        jobUpdate(input: $input) {{ job {{ id }} {ERRORS} }} }}"""
    schema = {"properties": {"day": {"enum": ["monday"]}}}
    await do(api, changed, id=job_id, parametersSchema=schema)
    async with a_worker(services):
        (run,) = await until(api, [run_id], "FAILED")
    assert run["reason"] == "REJECTED"
    assert "schema" in run["message"]
    assert "monday" in run["message"]


async def test_workers_share_an_endpoint_s_token_and_keep_it_sealed(
    api: Api, cluster: Cluster
) -> None:
    """Two workers, one token; when it is refused, one more. Fails without `SharedTokens`."""
    async with authority() as there:
        await do(api, PUT, key="client", value=SECRET)
        there.life_seconds = 3600
        await do(
            api,
            ENDPOINT_PUT,
            key="crm",
            baseUrl=there.server.origin,
            auth={**there.auth, "clientSecret": {"secret": "client"}},
        )
        config = {"connection": "crm", "path": "/contacts", "method": "GET"}
        job_id = await api.create_job("http", kind="HTTP", config=config)
        first = await cluster.start()
        await until(api, [await trigger(api, job_id)], "SUCCEEDED")
        first.send(signal.SIGKILL)
        second = await cluster.start()
        await until(api, [await trigger(api, job_id)], "SUCCEEDED")
        assert there.issued == ["access-token-1"]
        there.revoked.add("access-token-1")
        await until(api, [await trigger(api, job_id)], "SUCCEEDED")
        assert there.issued == ["access-token-1", "access-token-2"]
    tables = await every_table(cluster.engine)
    assert "endpoint_token" in tables
    said = {**tables, "log": second.log.read_text()}
    hexadecimal = b"access-token-".hex()
    assert [name for name, text in said.items() if "access-token-" in text] == []
    assert [name for name, text in said.items() if hexadecimal in text] == []


async def test_a_status_that_another_try_cannot_change_ends_the_run(
    api: Api, cluster: Cluster
) -> None:
    """Fails when `is_final` is not asked: the policy allows three attempts."""
    async with serving(echo) as server:
        await cluster.start()
        retry = {"maxAttempts": 3, "initialDelay": "PT0S", "backoff": "FIXED"}
        ids = [
            await trigger(
                api,
                await api.create_job(
                    f"http-{status}",
                    kind="HTTP",
                    config={"url": f"{server.origin}/{status}"},
                    retry=retry,
                ),
            )
            for status in (404, 429, 503)
        ]
        found = {run["id"]: run["attempt"] for run in await until(api, ids, "FAILED")}
    assert [found[run_id] for run_id in ids] == [1, 3, 3]


async def test_secrets_are_rotated_while_runs_use_them(
    api: Api, cluster: Cluster, database_url: str, redis_url: str
) -> None:
    """Keys are changed as `tickwheel secrets rotate` does it, back and forth; no run notices.

    Made to fail by sealing with the new key and leaving the old one's id on the row.
    """
    await do(api, PUT, key="crm/token", value=SECRET)
    job_id = await api.create_job(
        "echo", config={"function": "app.handlers.builtin.echo"}, parameters={"token": TOKEN}
    )
    other = new_key("second")
    await cluster.start(2, secret_keys=f"{KEY},{other}")
    sealed_by = set()
    for keys in (f"{other},{KEY}", f"{KEY},{other}") * 4:
        settings = settings_for(database_url, redis_url, secret_keys=keys)
        async with open_runtime(settings) as runtime:
            rotation, _ = await asyncio.gather(
                rotate_secrets(runtime),
                asyncio.gather(*(trigger(api, job_id) for _ in range(5))),
            )
        sealed_by.add(rotation.key_id)
    await cluster.until(
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM run WHERE state IN ('QUEUED', 'RUNNING'))"
    )
    ended = await cluster.engine.rows("SELECT state, result ->> 'token' AS token FROM run")
    assert len(ended) == 40
    assert {(row["state"], row["token"]) for row in ended} == {("SUCCEEDED", "[secret]")}
    assert sealed_by == {"first", "second"}
