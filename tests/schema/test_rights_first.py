"""Who may not make a change is told that, whatever else is wrong with what was sent.

Else anybody could try out what an input may be, and learn from the answers what there is. Reading
the input of any mutation before its right was asked for makes this fail.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    is_required_argument,
    is_required_input_field,
)

from app.core.vocabulary import Role
from app.schema.schema import build_schema
from tests.schema.api import ADMIN_TOKEN, Api, running_api
from tests.schema.rules_of_access import INSTANCE, MUTATIONS, Rule
from tests.schema.test_projects import CREATE as PROJECT_CREATE
from tests.schema.test_tokens import CREATE as TOKEN_CREATE

MUTATION_TYPE = build_schema()._schema.type_map["Mutation"]
ROLES = list(Role)
# Each is a value of its scalar, so that it gets as far as the server's own rules.
WRONG = {
    "ID": "nothing",
    "String": "",
    "JSON": [1],
    "Int": -1,
    "Float": -1.0,
    "Boolean": True,
    "DateTime": "1999-01-01T00:00:00Z",
    "LocalDateTime": "1999-01-01T00:00:00",
    "Duration": "PT0S",
    "TimeZone": "Nowhere/At_All",
    "Cursor": "nothing",
}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """Return a client of a server."""
    async with running_api(database_url, redis_url) as client:
        yield client


@pytest.mark.parametrize("levels", [3, 0], ids=["with everything", "with the least"])
async def test_right_is_asked_for_before_anything_is_read(api: Api, levels: int) -> None:
    tokens = await tokens_of_roles(api)
    told_something_else, accepted = [], []
    for field, rule in MUTATIONS.items():
        lesser = next_lesser(rule)
        if lesser is None:
            continue
        document, variables = wrongly(field, levels=levels)
        api.token = tokens[lesser]
        codes = codes_of(await api.ask(document, **variables))
        if codes != ["FORBIDDEN"]:
            told_something_else.append((field, codes))
        # Those who have the right are told what is wrong: so something was.
        api.token = ADMIN_TOKEN
        codes = codes_of(await api.ask(document, **variables))
        if not codes or "FORBIDDEN" in codes:
            accepted.append((field, codes))
    assert told_something_else == []
    assert accepted == []


async def tokens_of_roles(api: Api) -> dict[Role, str]:
    made = await api.data(PROJECT_CREATE, input={"key": "own", "name": "Own"})
    assert made["projectCreate"]["errors"] == []
    tokens = {}
    for role in ROLES:
        answer = await api.ask(
            TOKEN_CREATE,
            headers={"X-Tickwheel-Project": "own"},
            input={"name": str(role), "role": role},
        )
        tokens[role] = answer["data"]["apiTokenCreate"]["secret"]
    return tokens


def next_lesser(rule: Rule) -> Role | None:
    """Return the highest role that has not the right, if there is one."""
    if rule is INSTANCE:
        return Role.ADMIN
    rank = ROLES.index(Role(rule))
    return ROLES[rank - 1] if rank else None


def wrongly(field: str, *, levels: int) -> tuple[str, dict[str, Any]]:
    """Return a call with wrong values for what it must be given, and so many levels of the rest."""
    arguments = MUTATION_TYPE.fields[field].args  # type: ignore[attr-defined] # an object type
    variables = {
        name: wrong(argument.type, levels=levels)
        for name, argument in arguments.items()
        if levels or is_required_argument(argument)
    }
    declared = ", ".join(f"${name}: {arguments[name].type}" for name in variables)
    passed = ", ".join(f"{name}: ${name}" for name in variables)
    return f"mutation({declared}) {{ {field}({passed}) {{ errors {{ code }} }} }}", variables


def wrong(type_: GraphQLInputType, *, levels: int) -> Any:
    match type_:
        case GraphQLNonNull():
            return wrong(type_.of_type, levels=levels)
        case GraphQLList():
            return [wrong(type_.of_type, levels=levels)]
        case GraphQLEnumType():
            return list(type_.values)[-1]
        case GraphQLInputObjectType():
            fields = {
                name: wrong(each.type, levels=max(levels - 1, 0))
                for name, each in type_.fields.items()
                if levels or is_required_input_field(each)
            }
            if not type_.extensions["strawberry-definition"].is_one_of:
                return fields
            first = next(iter(type_.fields))
            return {first: wrong(type_.fields[first].type, levels=levels)}
    return WRONG[type_.name]


def codes_of(answer: dict[str, Any]) -> list[str]:
    codes = [error.get("extensions", {}).get("code") for error in answer.get("errors") or ()]
    for value in (answer.get("data") or {}).values():
        codes += [error["code"] for error in value.get("errors") or () if "code" in error]
    return codes
