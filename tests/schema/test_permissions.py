"""Every field of the schema, for every role, in one's own project and about another one's.

The rules stand in `rules_of_access.py`. Taking `principal.require` out of any service, or the
project out of any query of the store, makes one of these fail.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from sqlalchemy import text

from app.core.vocabulary import Role
from app.schema.schema import build_schema
from app.sealing import new_key
from tests.schema.api import ADMIN_TOKEN, SCHEDULE_CREATE, Api, running_api
from tests.schema.rules_of_access import INSTANCE, RULES, VIEWER, Rule, arguments
from tests.schema.test_projects import CREATE as PROJECT_CREATE
from tests.schema.test_tokens import CREATE as TOKEN_CREATE

SCHEMA = build_schema()._schema
# In every text of the other project, and nowhere else.
MARK = "BELONGS-TO-THE-OTHERS"
_TEXTS = ("String!", "JSON!")
ROLES = list(Role)


@dataclass
class Things:
    """The ids of one thing of each kind in one project, and tokens for its roles."""

    project: str
    tokens: dict[Role, str]
    job: str = ""
    schedule: str = ""
    run: str = ""
    backfill: str = ""
    calendar: str = ""
    token: str = ""
    finding: str = ""


def cases() -> Iterator[tuple[str, str, Rule]]:
    """Return every field of the roots that has a rule."""
    for root, rules in RULES.items():
        for field, rule in rules.items():
            yield root, field, rule


def test_every_field_has_a_rule_and_every_rule_a_field() -> None:
    for root, rules in RULES.items():
        fields = SCHEMA.type_map[root].fields  # type: ignore[attr-defined] # an object type
        assert set(rules) == set(fields), root


def test_every_field_that_takes_arguments_is_tried_with_some() -> None:
    given = arguments(Things("x", {}))
    for root, field, _ in cases():
        required = {
            name
            for name, argument in _field(root, field).args.items()
            if is_required_argument(argument)
        }
        assert required <= set(given.get(field, {})), field


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """Return a client of a server that can keep secrets."""
    async with running_api(database_url, redis_url, secret_keys=new_key("a")) as client:
        yield client


@pytest_asyncio.fixture
async def own(api: Api) -> Things:
    """Return a project with one thing of each kind."""
    return await furnish(api, "own", "Own")


@pytest_asyncio.fixture
async def foreign(api: Api, own: Things) -> Things:
    """Return another project, in which every text bears the mark."""
    return await furnish(api, "foreign", MARK)


async def furnish(api: Api, project: str, name: str) -> Things:
    """Create a project with one thing of each kind, and a token for each role."""
    api.token = ADMIN_TOKEN
    created = await api.data(PROJECT_CREATE, input={"key": project, "name": name})
    assert created["projectCreate"]["errors"] == []
    tokens = {}
    for role in ROLES:
        made = await _ask(api, project, TOKEN_CREATE, input={"name": name, "role": role})
        tokens[role] = made["apiTokenCreate"]["secret"]
    spare = await _ask(api, project, TOKEN_CREATE, input={"name": name, "role": VIEWER})
    things = Things(project, tokens, token=spare["apiTokenCreate"]["token"]["id"])
    api.token = tokens[Role.ADMIN]
    things.job = await api.create_job(
        "thing", name=name, description=name, parameters={"text": name}, tags=[_tag(name)]
    )
    fields = {
        "name": name,
        "description": name,
        "timings": [{"cron": {"expression": "0 0 1 1 *"}}],
        "parameters": {"text": name},
        "startAt": "2020-01-01T00:00:00Z",
    }
    schedule = await _ask(
        api, project, SCHEDULE_CREATE, input={"jobId": things.job, "key": "thing", "fields": fields}
    )
    things.schedule = schedule["scheduleCreate"]["schedule"]["id"]
    run = await _do(api, "scheduleTrigger", {"input": {"id": things.schedule}}, "run { id }")
    things.run = run["run"]["id"]
    calendar = await _do(
        api, "calendarPut", {"input": {"key": "thing", "name": name}}, "calendar { id }"
    )
    things.calendar = calendar["calendar"]["id"]
    template = {"input": {"key": "thing", "name": name, "defaults": {"name": name}}}
    await _do(api, "templatePut", template, "template { id }")
    await _do(api, "secretPut", {"input": {"key": name, "value": "x" * 20}}, "secret { id }")
    backfill = await _do(
        api, "backfillStart", arguments(things)["backfillStart"], "backfill { id }"
    )
    things.backfill = backfill["backfill"]["id"]
    things.finding = await _find_something(api, things, name)
    api.token = ADMIN_TOKEN
    return things


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_its_rules_say_and_nothing_else(
    api: Api, own: Things, role: Role
) -> None:
    api.token = own.tokens[role]
    wrong = []
    for root, field, rule in cases():
        is_allowed = rule is not INSTANCE and ROLES.index(role) >= ROLES.index(Role(rule))
        answer = await _try(api, root, field, own)
        if _is_forbidden(answer) is is_allowed:
            wrong.append((field, rule, answer))
    assert wrong == []


async def test_administrator_of_the_instance_may_do_everything(api: Api, own: Things) -> None:
    wrong = []
    for root, field, _ in cases():
        answer = await _try(api, root, field, own, project=own.project)
        if _is_forbidden(answer):
            wrong.append((field, answer))
    assert wrong == []


async def test_stranger_may_do_nothing(api: Api, own: Things) -> None:
    api.token = "tw_" + "0" * 32 + ".secret"
    for root, field, _ in cases():
        if root != "Subscription":
            answer = await _try(api, root, field, own)
            assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", field


async def test_nothing_of_another_project_is_shown_or_changed(
    api: Api, own: Things, foreign: Things
) -> None:
    before = await _all_rows_of(api, foreign)
    assert MARK in before
    api.token = own.tokens[Role.ADMIN]
    for root, field, rule in cases():
        if rule is not INSTANCE:
            answer = await _try(api, root, field, foreign)
            assert MARK not in json.dumps(answer), (field, answer)
    assert await _all_rows_of(api, foreign) == before


async def test_the_mark_would_be_seen(api: Api, own: Things, foreign: Things) -> None:
    """The selections of this test reach what they must not show: to those who may see it."""
    api.token = foreign.tokens[Role.ADMIN]
    shown = [
        field
        for root, field, rule in cases()
        if root == "Query" and rule is not INSTANCE
        if MARK in json.dumps(await _try(api, root, field, foreign))
    ]
    assert {"node", "nodes", "job", "jobs", "schedule", "run", "runs", "calendars"} <= set(shown)
    assert {"backfill", "secrets", "apiTokens", "audit", "healthFindings"} <= set(shown)


async def _try(
    api: Api, root: str, field: str, things: Things, *, project: str | None = None
) -> dict[str, Any]:
    """Return the answer to one field, with everything of it that can be asked for at once."""
    variables = arguments(things).get(field, {})
    document = _document(root, field, variables)
    headers = {} if project is None else {"X-Tickwheel-Project": project}
    if root != "Subscription":
        return await api.ask(document, headers=headers, **variables)
    payload = {"query": document, "variables": variables}
    async with api.socket(**({} if project is None else {"project": project})) as connection:
        await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        message: dict[str, Any] = json.loads(await connection.recv())
    payload = message.get("payload") or {}
    return {"errors": payload} if isinstance(payload, list) else payload


def _is_forbidden(answer: dict[str, Any]) -> bool:
    codes = [error.get("extensions", {}).get("code") for error in answer.get("errors") or ()]
    for value in (answer.get("data") or {}).values():
        if isinstance(value, dict):
            codes += [error["code"] for error in value.get("errors") or () if "code" in error]
    return "FORBIDDEN" in codes


def _field(root: str, field: str) -> GraphQLField:
    found: GraphQLField = SCHEMA.type_map[root].fields[field]  # type: ignore[attr-defined]
    return found


def _document(root: str, field: str, variables: dict[str, Any]) -> str:
    declared = ", ".join(f"${name}: {_field(root, field).args[name].type}" for name in variables)
    passed = ", ".join(f"{name}: ${name}" for name in variables)
    head = f"{root.lower()}({declared})" if declared else root.lower()
    call = f"{field}({passed})" if passed else field
    type_ = get_named_type(_field(root, field).type)
    selection = _selection(type_, depth=3 if type_.name.endswith("Connection") else 2)
    return f"{head} {{ {call} {selection} }}"


def _selection(type_: GraphQLNamedType, depth: int) -> str:
    """Return every field that needs no argument, so many levels deep; '' for a leaf."""
    if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
        members = SCHEMA.get_possible_types(type_)
        parts = [f"... on {each.name} {_texts(each)}" for each in members]
        return f"{{ __typename {' '.join(parts)} }}"
    if not isinstance(type_, GraphQLObjectType):
        return ""
    chosen = []
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        if any(is_required_argument(argument) for argument in field.args.values()):
            continue
        if inner.name == "UserError":
            chosen.append(f"{name} {{ code message path }}")
        elif is_leaf_type(inner):
            chosen.append(name)
        elif depth > 1 and not (depth == 2 and inner.name.endswith("Connection")):
            chosen.append(f"{name} {_selection(inner, depth - 1)}")
    return f"{{ __typename {' '.join(chosen)} }}"


def _texts(type_: GraphQLObjectType) -> str:
    """Return the fields of one member of several that hold text, and are alike in all of them."""
    names = [name for name, field in type_.fields.items() if str(field.type) in _TEXTS]
    return f"{{ __typename {' '.join(names)} }}"


def _tag(name: str) -> dict[str, str]:
    return {"key": "text", "value": name}


async def _ask(api: Api, project: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = await api.ask(query, headers={"X-Tickwheel-Project": project}, **variables)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


async def _do(api: Api, field: str, variables: dict[str, Any], wanted: str) -> dict[str, Any]:
    """Make a change that is accepted and return its payload."""
    declared = ", ".join(
        f"${name}: {_field('Mutation', field).args[name].type}" for name in variables
    )
    passed = ", ".join(f"{name}: ${name}" for name in variables)
    document = f"mutation({declared}) {{ {field}({passed}) {{ {wanted} errors {{ message }} }} }}"
    payload: dict[str, Any] = (await api.data(document, **variables))[field]
    assert payload["errors"] == [], payload
    return payload


async def _find_something(api: Api, things: Things, message: str) -> str:
    """Open a finding about the schedule, as the health monitor does."""
    async with api.runtime.database.transaction() as transaction:
        found = await transaction.execute(
            text(
                "INSERT INTO health_finding (id, project_id, code, subject, severity, schedule_id,"
                " message, since, opened_at, seen_at, revision)"
                " SELECT gen_random_uuid(), project_id, 'STALE', id::text, 'WARNING', id, :message,"
                " now(), now(), now(), 1 FROM schedule WHERE id = :id RETURNING id"
            ),
            {"id": things.schedule.removeprefix("schedule_"), "message": message},
        )
        return f"finding_{found.scalar_one().hex}"


async def _all_rows_of(api: Api, things: Things) -> str:
    """Return every row of every table that belongs to a project, but for when it was looked at."""
    async with api.runtime.database.reading(None) as connection:
        tables = await connection.execute(
            text(
                "SELECT table_name FROM information_schema.columns"
                " WHERE column_name = 'project_id' AND table_schema = 'public' ORDER BY 1"
            )
        )
        rows = []
        for table in tables.scalars():
            found = await connection.execute(
                text(
                    f"SELECT (to_jsonb(t) - 'last_used_at')::text FROM {table} AS t"
                    " WHERE project_id = (SELECT id FROM project WHERE key = :key) ORDER BY 1"
                ),
                {"key": things.project},
            )
            rows += [f"{table} {row}" for row in found.scalars()]
    return "\n".join(rows)
