"""The operations in docs/graphql.md are ones that the schema accepts."""

import re
from pathlib import Path

import pytest
from graphql import parse, validate

from app.schema.schema import build_schema

_ROOT = Path(__file__).parents[2]
_OPERATIONS = re.findall(
    r"```graphql\n(.*?)```", (_ROOT / "docs" / "graphql.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_documented_operation_is_valid(operation: str) -> None:
    assert validate(build_schema()._schema, parse(operation)) == []


def test_everything_has_a_description() -> None:
    schema = build_schema()._schema
    undescribed = []
    for name, type_ in schema.type_map.items():
        if name.startswith("__") or name in ("String", "Int", "Float", "Boolean", "ID"):
            continue
        parts = {name: type_}
        for field, definition in getattr(type_, "fields", {}).items():
            parts[f"{name}.{field}"] = definition
            arguments = getattr(definition, "args", {})
            parts.update({f"{name}.{field}({each})": arguments[each] for each in arguments})
        for value, definition in getattr(type_, "values", {}).items():
            parts[f"{name}.{value}"] = definition
        undescribed += [path for path, part in parts.items() if not part.description]
    assert undescribed == []
