"""Bounds of definitions that no request may break."""

import pytest

from app.core.errors import Invalid, InvalidInput
from app.services.rules import check_parameters, check_parameters_schema


def test_pattern_that_backtracks_for_ever_elsewhere_is_answered_at_once() -> None:
    """Made to hang by validating with Python's own regular expressions."""
    schema = {"properties": {"name": {"pattern": "^(a+)+$"}}}
    check_parameters_schema(schema)
    with pytest.raises(InvalidInput) as refused:
        check_parameters({"name": "a" * 60 + "!"}, schema)
    assert refused.value.errors[0].path == ("parameters", "name")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": {"name": {"pattern": "(?=look-around)"}}},
        {"$ref": "#/nowhere"},
        {"$ref": "http://127.0.0.3/schema"},
        {"$id": "http://127.0.0.3/", "$ref": "other"},
    ],
)
def test_schema_that_cannot_be_used_is_refused_and_nothing_is_fetched(
    schema: dict[str, object],
) -> None:
    with pytest.raises(Invalid) as refused:
        check_parameters_schema(schema)
    assert refused.value.path == ("parametersSchema",)


def test_schema_that_refers_to_itself_without_end_is_answered() -> None:
    schema = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    check_parameters_schema(schema)
    check_parameters({}, schema)
