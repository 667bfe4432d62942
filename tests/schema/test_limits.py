"""Bounds that a small request could otherwise escape, and what looking at it costs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from graphql import GraphQLError, get_introspection_query, parse
from strawberry.types.execution import PreExecutionError

from app.schema import limits
from app.schema.documents import Documents
from app.schema.limits import (
    MOST_VALUES,
    Walk,
    check_document,
    check_text,
    check_variables,
    has_too_many_values,
)
from app.schema.schema import build_schema
from bench.hostile_requests import HOSTILE
from tests.schema.api import Api

SCHEMA = build_schema()
_NESTED = """query($n: Int) { runs(first: $n) { nodes { schedule { runs(first: 100) {
    nodes { schedule { runs(first: 100) { nodes { id } } } } } } } } }"""


def code_of(query: str, variables: dict[str, Any] | None = None) -> str | None:
    """Return the code of the refusal, or None."""
    ready = SCHEMA.make_ready(query, variables)
    if not isinstance(ready, PreExecutionError):
        return None
    assert ready.errors
    return code_of_error(ready.errors[0])


def code_of_error(error: GraphQLError | None) -> str:
    """Return the code of an error."""
    assert error is not None
    return str((error.extensions or {})["code"])


@pytest.mark.parametrize("size", [100, 1])
def test_lists_inside_lists_are_counted_by_how_long_they_may_be(size: int) -> None:
    """100 x 100 x 100 rows take a dozen tokens; made to pass by counting fields alone."""
    assert code_of(_NESTED, {"n": size}) == "LIMIT_EXCEEDED"


def test_the_longest_list_with_a_short_one_in_each_is_allowed() -> None:
    assert (
        code_of("{ schedules(first: 100) { nodes { runs(first: 20) { nodes { id } } } } }") is None
    )


def test_a_list_without_a_size_counts_with_its_default() -> None:
    query = "{ runs { nodes { schedule { runs { nodes { id } } } } } }"
    ready = SCHEMA.make_ready(query)
    assert not isinstance(ready, PreExecutionError), ready
    assert ready.cost == 20 + 20 * 20


def test_cost_follows_the_variables_and_not_those_of_the_time_before() -> None:
    query = "query($n: Int) { schedules(first: $n) { nodes { id } } }"
    for size in (7, 3, 7):
        ready = SCHEMA.make_ready(query, {"n": size})
        assert not isinstance(ready, PreExecutionError)
        assert ready.cost == size


def test_a_fragment_may_have_more_fields_than_an_operation_has_at_its_root() -> None:
    fields = " ".join(f"a{number}: key" for number in range(21))
    fragment = f"fragment Wide on Schedule {{ {fields} }}"
    assert code_of(f"query {{ schedules {{ nodes {{ ...Wide }} }} }} {fragment}") is None
    spread = "fragment Root on Query { " + fields.replace("key", "__typename") + " }"
    assert code_of(f"query {{ ...Root }} {spread}") == "LIMIT_EXCEEDED"


def test_introspection_as_every_client_sends_it_is_allowed() -> None:
    assert code_of(get_introspection_query(input_value_deprecation=True)) is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query a { __typename } query b { __typename }", "OPERATION_RESOLUTION_FAILURE"),
        ("fragment a on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ('{ job(id: "a\\u0000") { id } }', "INVALID"),
    ],
)
def test_what_is_wrong_with_a_document_has_a_code(query: str, code: str) -> None:
    assert code_of(query) == code


def test_many_fields_of_one_name_are_refused_and_some_are_not() -> None:
    assert code_of("{ jobs { nodes { " + "id " * 950 + "} } }") == "LIMIT_EXCEEDED"
    assert code_of("{ jobs { nodes { " + "id " * 40 + "} } }") is None


@pytest.mark.parametrize(
    "text",
    [
        '"""' + "{" * 500 + '"""',
        '"""\\"""' + "{" * 500 + '"""',
        '"\\"' + "[" * 500 + '"',
        "#" + "(" * 500,
    ],
)
def test_brackets_in_texts_and_comments_are_no_nesting(text: str) -> None:
    assert check_text(f"{{ a(b: {text}\n) }}") is None
    # What follows the text is not taken for a part of it.
    assert check_text(f"{{ a(b: {text}\n) }}" + "{" * 101) is not None


def test_a_backslash_before_the_end_of_a_block_hides_no_nesting() -> None:
    r"""In a block `\\` is two characters; taking it for one escape would open what follows."""
    assert check_text('{ a(b: """\\\\"""') is None
    assert check_text('"""\\\\""" """ ' + "{" * 101) is not None


def test_variables_are_bounded_in_number_and_depth() -> None:
    deep: Any = []
    for _ in range(101):
        deep = [deep]
    for variables, code in (
        ({"a": deep}, "LIMIT_EXCEEDED"),
        ({"a": [0] * MOST_VALUES}, "LIMIT_EXCEEDED"),
        ({"a": {"b": ["\0"]}}, "INVALID"),
        ({"a": {"b\0": 1}}, "INVALID"),
    ):
        assert code_of_error(check_variables(variables)) == code
    problem = check_variables({"a": [1, {"b": "\0"}]})
    assert problem is not None
    assert "'$a'[1].b" in problem.message
    assert check_variables({"a": [[0] * 100] * 100}) is None


def test_values_of_a_body_are_counted_outside_of_texts() -> None:
    commas = json.dumps({"variables": {"a": "," * 2 * MOST_VALUES + '\\"'}}).encode()
    assert not has_too_many_values(commas)
    assert has_too_many_values(json.dumps([0] * (MOST_VALUES + 1)).encode())


def _doubling(size: int) -> str:
    steps = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(size))
    return f"{steps} fragment f{size} on Query {{ __typename }} {{ ...f0 }}"


def _chain(size: int) -> str:
    steps = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(size))
    return f"{steps} fragment f{size} on Query {{ __typename }} {{ ...f0 }}"


@pytest.mark.parametrize("make", [_doubling, _chain])
def test_walking_over_twice_as_many_fragments_visits_twice_as_many_parts(
    make: Callable[[int], str],
) -> None:
    """Made to fail by measuring a fragment each time it is spread: 2 ** 40 visits."""
    visits = []
    for size in (40, 80):
        document = parse(make(size))
        walk = Walk(document)
        walk.measure(document.definitions[-1])  # type: ignore[arg-type] # the operation is last
        visits.append(walk.visited)
    assert visits[1] <= 2 * visits[0] + 2
    assert check_document(parse(_doubling(40))) is not None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.schema.documents._MOST_REMEMBERED_CHARACTERS", 5_000)
    documents = Documents(SCHEMA._schema)
    first = documents.prepare("{ __typename }")
    assert documents.prepare("{ __typename }") is first
    for number in range(20):
        documents.prepare(f"{{ __typename }} #{number}")
    assert len(documents._prepared) == 10
    assert documents.prepare("{ __typename }") is not first


async def test_each_hostile_request_is_refused_before_anything_is_executed(api: Api) -> None:
    """`python -m bench hostile` shows what each of them costs."""
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    for name, body in HOSTILE.items():
        if len(body(1, 0)) > 2_000_000:
            continue  # Answered while it is still being sent; see test_http.
        async with api.http.post(api.url, data=body(1, 0), headers=headers) as response:
            answer = await response.json()
        assert response.status in {200, 400, 413}, name
        assert answer.get("data") is None, name
        assert all(error["extensions"]["code"] for error in answer["errors"]), name
        assert len(answer["errors"]) <= 4, name


async def test_cost_is_announced_with_each_answer(api: Api) -> None:
    answer = await api.ask("{ jobs(first: 30) { nodes { id } } }")
    assert answer["extensions"]["cost"] == {"requested": 30, "limit": limits.MOST_ROWS}
    answer = await api.ask("{ jobs(first: 100) { nodes { runs(first: 100) { nodes { id } } } } }")
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert answer["extensions"]["cost"]["requested"] == 100 + 100 * 100
