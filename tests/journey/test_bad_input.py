"""What is wrong is refused in words, with a path where there is one, and nothing is written."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import pytest_asyncio

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from tests.journey.processes import free_ports, running, until_ready
from tests.journey.visitor import Record

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "admin-token-of-the-bad-input-tests-" + "0" * 16
_ERRORS = "errors { code message path }"
JOB = (
    f"mutation($input: JobCreateInput!) {{ jobCreate(input: $input) {{ job {{ id }} {_ERRORS} }} }}"
)
SCHEDULE = f"""mutation($input: ScheduleCreateInput!) {{
    scheduleCreate(input: $input) {{ schedule {{ id }} {_ERRORS} }} }}"""
SCHEDULES = f"""mutation($inputs: [ScheduleCreateInput!]!) {{
    schedulesCreate(inputs: $inputs) {{ results {{ ok {_ERRORS} }} {_ERRORS} }} }}"""
UPDATE = f"""mutation($input: ScheduleUpdateInput!) {{
    scheduleUpdate(input: $input) {{ schedule {{ id }} {_ERRORS} }} }}"""
TRIGGER = f"""mutation($input: ScheduleTriggerInput!) {{
    scheduleTrigger(input: $input) {{ run {{ id }} {_ERRORS} }} }}"""
PAUSE = f"""mutation($input: SchedulePauseInput!) {{
    schedulePause(input: $input) {{ schedule {{ id }} {_ERRORS} }} }}"""
RUNS = "query($filter: RunFilter) { runs(filter: $filter) { nodes { id } } }"
ECHO = {"function": "app.handlers.builtin.echo"}
NOBODY = "0" * 32
TIMING = "fields.timings.0"
EXPRESSION = f"{TIMING}.cron.expression"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str

    @property
    def body(self) -> Record:
        """Return the JSON."""
        return dict(json.loads(self.text))

    def refusals(self) -> list[tuple[str, str]]:
        """Return code and path of each error that came as data."""
        [payload] = self.body["data"].values()
        assert all(error["message"] for error in payload["errors"])
        return [(error["code"], ".".join(error["path"])) for error in payload["errors"]]

    def complaint(self) -> str:
        """Return the words of a request that was not even tried."""
        assert 200 <= self.status < 500, self
        [error] = self.body["errors"]
        assert error.get("extensions", {}).get("code") != "INTERNAL", self
        return str(error["message"])


@dataclass(frozen=True)
class Desk:
    """An API that has one job and one schedule, and its database."""

    url: str
    http: aiohttp.ClientSession
    database: asyncpg.Connection
    job_id: str = ""
    schedule_id: str = ""

    async def post(self, body: str | bytes, **headers: str) -> Answer:
        """Send a body as it is."""
        given = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        async with self.http.post(self.url, data=body, headers=given) as answer:
            return Answer(answer.status, await answer.text())

    async def ask(self, query: str, **variables: Any) -> Answer:
        """Send an operation."""
        return await self.post(json.dumps({"query": query, "variables": variables}))

    def job(self, **given: Any) -> Record:
        """Return a new job that would be right but for `given`."""
        return {"key": "new", "kind": "PYTHON", "config": ECHO, **given}

    def schedule(self, **given: Any) -> Record:
        """Return a new schedule that would be right but for `given`."""
        timings = [{"cron": {"expression": given.pop("cron", "7 7 7 7 *")}}]
        own: Record = {name: given.pop(name) for name in ("key", "jobId") if name in given}
        return {
            "jobId": self.job_id,
            "key": "new",
            "fields": {"timings": timings, **given},
            **own,
        }

    async def rows(self) -> Mapping[str, str]:
        """Return a digest of the rows of every table.

        But for what the watchdog finds, and tells, meanwhile: nobody has asked it to.
        """
        tables = await self.database.fetch(
            "SELECT relname FROM pg_stat_user_tables"
            " WHERE schemaname = 'public' AND relname NOT LIKE 'health_%'"
        )
        only_asked = {"event": "WHERE t.subject <> 'FINDING'"}
        return {
            table: await self.database.fetchval(
                "SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), ''))"
                f" FROM {table} t {only_asked.get(table, '')}"
            )
            for (table,) in tables
        }

    @asynccontextmanager
    async def nothing_written(self) -> AsyncIterator[None]:
        """Assert that no table changes within the block."""
        before = await self.rows()
        yield
        assert await self.rows() == before


def shortly(value: object) -> str:
    """Return the name of a case."""
    return repr(value)[:60]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(
    postgres: EmbeddedPostgres, redis_server: EmbeddedRedis, tmp_path_factory: Any
) -> AsyncIterator[Desk]:
    name = f"test_{uuid4().hex}"
    database_url = await postgres.create_database(name, template="tickwheel")
    directory: Path = tmp_path_factory.mktemp("bad-input")
    [port] = free_ports(1)
    servers = {"database_url": database_url, "redis_url": redis_server.url}
    connection = await asyncpg.connect(database_url)
    try:
        async with (
            running("api", directory, port=port, admin_token=TOKEN, **servers),
            aiohttp.ClientSession() as http,
        ):
            await until_ready(port)
            yield await furnished(Desk(f"http://127.0.0.1:{port}/graphql", http, connection))
    finally:
        await connection.close()
        await postgres.drop_database(name)


async def furnished(bare: Desk) -> Desk:
    """Return the desk with its job and its schedule."""
    job = (await bare.ask(JOB, input=bare.job(key="taken"))).body["data"]["jobCreate"]
    with_job = Desk(bare.url, bare.http, bare.database, job["job"]["id"])
    given = with_job.schedule(key="taken", cron="5 5 5 5 *")
    schedule = (await bare.ask(SCHEDULE, input=given)).body["data"]["scheduleCreate"]
    return Desk(bare.url, bare.http, bare.database, with_job.job_id, schedule["schedule"]["id"])


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"cron": "0 0 31 2 *"}, ("INVALID", EXPRESSION)),
        ({"cron": "0 25 * * *"}, ("INVALID", EXPRESSION)),
        ({"cron": "* * * *"}, ("INVALID", EXPRESSION)),
        ({"cron": "*/0 * * * *"}, ("INVALID", EXPRESSION)),
        ({"cron": "٣ * * * *"}, ("INVALID", EXPRESSION)),
        ({"cron": "* " * 200}, ("INVALID", EXPRESSION)),
        ({"timezone": "Europe/Berln"}, ("INVALID", "fields.timezone")),
        ({"timezone": "../etc/passwd"}, ("INVALID", "fields.timezone")),
        ({"jobId": f"job_{NOBODY}"}, ("NOT_FOUND", "jobId")),
        ({"jobId": f"run_{NOBODY}"}, ("NOT_FOUND", "jobId")),
        ({"jobId": "💥"}, ("NOT_FOUND", "jobId")),
        ({"key": "taken"}, ("ALREADY_EXISTS", "key")),
        ({"key": "white space"}, ("INVALID", "key")),
        ({"key": "x" * 201}, ("INVALID", "key")),
        ({"cron": "5 5 5 5 *"}, ("ALREADY_EXISTS", "fields")),
        ({"timings": []}, ("INVALID", "fields.timings")),
        ({"timings": [{"interval": {"every": "PT0S"}}]}, ("INVALID", f"{TIMING}.interval.every")),
        ({"timings": [{"once": {"at": "2020-01-01T00:00:00Z"}}]}, ("INVALID", f"{TIMING}.once.at")),
        ({"parameters": "text"}, ("INVALID", "fields.parameters")),
        ({"parameters": {"a": "x" * 70_000}}, ("INVALID", "fields.parameters")),
        ({"catchUp": "ALL", "catchUpWindow": "PT0S"}, ("INVALID", "fields.catchUpWindow")),
        ({"priority": 99_999}, ("INVALID", "fields.priority")),
        ({"name": "x" * 201}, ("INVALID", "fields.name")),
    ],
    ids=shortly,
)  # fmt: skip
async def test_wrong_schedule_is_refused_with_its_path(
    desk: Desk, wrong: Record, refusal: tuple[str, str]
) -> None:
    async with desk.nothing_written():
        answer = await desk.ask(SCHEDULE, input=desk.schedule(**wrong))
    assert answer.refusals() == [refusal]


@pytest.mark.parametrize(
    ("wrong", "refusals"),
    [
        ({"key": "taken"}, [("ALREADY_EXISTS", "key")]),
        ({"config": {**ECHO, "uid": 0}}, [("INVALID", "config.uid")]),
        (
            {"config": {"url": "http://example.com"}},
            [("INVALID", "config.function"), ("INVALID", "config.url")],
        ),
        ({"config": {"function": "os.system"}}, [("INVALID", "config.function")]),
        ({"kind": "HTTP", "config": {"url": "file:///etc"}}, [("INVALID", "config.url")]),
        ({"kind": "HTTP", "config": {"url": "http://127.0.0.1"}}, [("INVALID", "config.url")]),
        ({"kind": "COMMAND", "config": {"argv": ["/bin/true"]}}, [("INVALID", "config")]),
        ({"name": " "}, [("INVALID", "name")]),
        ({"description": "x" * 10_001}, [("INVALID", "description")]),
        ({"parameters": [1]}, [("INVALID", "parameters")]),
        ({"tags": [{"key": "k" * 101, "value": "v"}]}, [("INVALID", "tags")]),
        ({"queue": "white space"}, [("INVALID", "queue")]),
        ({"timeout": "P31D"}, [("INVALID", "timeout")]),
        ({"retry": {"maxAttempts": 0}}, [("INVALID", "retry.maxAttempts")]),
        ({"concurrencyLimit": 0}, [("INVALID", "concurrencyLimit")]),
        ({"parametersSchema": {"type": "nonsense"}}, [("INVALID", "parametersSchema")]),
        ({"parametersSchema": {"$ref": "http://x/y"}}, [("INVALID", "parametersSchema")]),
        ({"idempotencyKey": "x" * 201}, [("INVALID", "idempotencyKey")]),
    ],
    ids=shortly,
)
async def test_wrong_job_is_refused_with_the_path_of_each_fault(
    desk: Desk, wrong: Record, refusals: list[tuple[str, str]]
) -> None:
    async with desk.nothing_written():
        answer = await desk.ask(JOB, input=desk.job(**wrong))
    assert answer.refusals() == refusals


@pytest.mark.parametrize(
    ("document", "given", "refusal"),
    [
        (TRIGGER, {"id": f"schedule_{NOBODY}"}, ("NOT_FOUND", "id")),
        (TRIGGER, {"parameters": [1]}, ("INVALID", "parameters")),
        (TRIGGER, {"parameters": {"a": "x" * 70_000}}, ("INVALID", "parameters")),
        (PAUSE, {"reason": " "}, ("INVALID", "reason")),
        (PAUSE, {"reason": "x" * 1_001}, ("INVALID", "reason")),
        (PAUSE, {"reason": "why", "until": "2020-01-01T00:00:00Z"}, ("INVALID", "until")),
        (UPDATE, {"fields": {}, "expectedVersion": 9}, ("VERSION_CONFLICT", "expectedVersion")),
        (UPDATE, {"fields": {"timezone": "Mars"}}, ("INVALID", "fields.timezone")),
    ],
    ids=shortly,
)
async def test_wrong_change_of_a_schedule_is_refused_with_its_path(
    desk: Desk, document: str, given: Record, refusal: tuple[str, str]
) -> None:
    async with desk.nothing_written():
        answer = await desk.ask(document, input={"id": desk.schedule_id, **given})
    assert answer.refusals() == [refusal]


async def test_one_wrong_schedule_among_many_stops_them_all(desk: Desk) -> None:
    right, wrong = desk.schedule(key="right"), desk.schedule(key="wrong", cron="0 0 31 2 *")
    async with desk.nothing_written():
        answer = await desk.ask(SCHEDULES, inputs=[right, wrong])
    payload = answer.body["data"]["schedulesCreate"]
    assert [result["ok"] for result in payload["results"]] == [False, False]
    [error] = payload["results"][1]["errors"]
    assert ".".join(error["path"]) == f"inputs.1.{EXPRESSION}"


@pytest.mark.parametrize(
    ("document", "variables", "words"),
    [
        (JOB, {"input": {"key": "k", "kind": "PYTHON", "config": ECHO, "uid": 0}}, "'uid'"),
        (JOB, {"input": {"key": "k", "kind": "ROOT", "config": ECHO}}, "at .kind"),
        (JOB, {"input": {"key": "k", "kind": "PYTHON", "config": ECHO, "timeout": "1h"}}, "1h"),
        (JOB, {"input": {"key": "k", "kind": "PYTHON", "config": ECHO, "name": "\0"}}, "NUL"),
        (JOB, {"input": {"key": "k", "kind": "PYTHON", "config": {"\0": 1}}}, "NUL"),
        (RUNS, {"filter": {"queue": ["\0"]}}, "'$filter'.queue[0]"),
        (RUNS, {"filter": {"not": {"not": {"not": {"not": {"not": {}}}}}}}, "5 deep"),
        ('{ job(key: "\\u0000") { id } }', {}, "NUL"),
        ("{ nonsense }", {}, "'nonsense'"),
        ("{ ", {}, "Syntax Error"),
        ("{ ...A } fragment A on Query { ...A }", {}, "itself"),
        ("{" + "jobs{nodes{schedules{nodes{job{" * 4 + "id" + "}" * 21, {}, "deep"),
        ("{" * 5_000, {}, "deep"),
        ("{" + " ".join(f"a{number}: viewer {{ role }}" for number in range(60)) + "}", {}, "60"),
        ("{ __typename " + "@include(if: true) " * 900 + "}", {}, "2000 tokens"),
        ("{ runs(first: 101) { nodes { id } } }", {}, "at most 100"),
        ('{ runs(after: "é") { nodes { id } } }', {}, "cursor"),
    ],
    ids=shortly,
)  # fmt: skip
async def test_request_that_cannot_be_tried_says_why(
    desk: Desk, document: str, variables: Record, words: str
) -> None:
    async with desk.nothing_written():
        answer = await desk.ask(document, **variables)
    assert words in answer.complaint()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("null", 400),
        ("[]", 400),
        ('{"query":', 400),
        (b"\xff\xfe", 400),
        ('{"query": 1}', 400),
        ('{"query": "{ \\ud800 }"}', 400),
        ('{"query": "{ __typename }", "variables": []}', 400),
        ('{"query": "{ __typename }", "variables": {"a": NaN}}', 400),
        ("[" * 100_000, 413),
        ('{"query": "' + " " * 1_100_000 + '"}', 413),
    ],
    ids=range(11),
)
async def test_malformed_body_is_refused(desk: Desk, body: str | bytes, status: int) -> None:
    async with desk.nothing_written():
        answer = await desk.post(body)
    assert answer.status == status
    assert answer.complaint()


async def test_number_that_json_cannot_keep_is_refused_with_its_path(desk: Desk) -> None:
    document = f"""mutation {{ jobCreate(input: {{ key: "new", kind: PYTHON,
        config: {{ function: "app.handlers.builtin.echo" }},
        parameters: {{ n: {10**30} }} }}) {{ job {{ id }} {_ERRORS} }} }}"""
    async with desk.nothing_written():
        answer = await desk.ask(document)
    assert answer.refusals() == [("INVALID", "parameters")]


async def test_schema_that_leads_nowhere_is_refused_with_its_path(desk: Desk) -> None:
    given = desk.job(key=f"lost-{uuid4().hex}", parametersSchema={"$ref": "#/nowhere"})
    async with desk.nothing_written():
        answer = await desk.ask(JOB, input=given)
    assert answer.refusals() == [("INVALID", "parametersSchema")]


async def test_every_other_text_comes_back_as_it_was(desk: Desk) -> None:
    text = "Grüße, שלום, 您好 👩‍👩‍👧 e\u0301 \u202eabc\u202c \\ ' \" \u2028 \x7f"
    given = desk.job(key="any-text", name=text, description=text, parameters={text: text})
    answer = await desk.ask(
        "mutation($input: JobCreateInput!) {"
        "jobCreate(input: $input) { job { name description parameters } } }",
        input=given,
    )
    job = answer.body["data"]["jobCreate"]["job"]
    assert job == {"name": text, "description": text, "parameters": {text: text}}
