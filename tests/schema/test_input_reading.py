"""Inputs are read as Strawberry reads them, only in less time."""

from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryObjectDefinition

from app.schema.schema import build_schema

SCHEMA = build_schema()
INPUTS = {
    name: type_
    for name, type_ in SCHEMA.schema_converter.type_map.items()
    if isinstance(type_.definition, StrawberryObjectDefinition) and type_.definition.is_input
}


def made(type_: GraphQLInputType, *, whole: bool, nulls: bool, depth: int = 0) -> Any:
    """Return a value as graphql-core hands it over: the least, or everything, or its nulls."""
    if is_non_null_type(type_):
        return made(type_.of_type, whole=whole, nulls=False, depth=depth)
    if nulls:
        return None
    if is_list_type(type_):
        return [made(type_.of_type, whole=whole, nulls=nulls, depth=depth)] * 2
    if isinstance(type_, GraphQLInputObjectType):
        return {
            name: made(field.type, whole=whole, nulls=nulls, depth=depth + 1)
            for name, field in type_.fields.items()
            if is_required_input_field(field) or (whole and depth < 3)
        }
    if isinstance(type_, GraphQLEnumType):
        return next(iter(type_.values.values())).value
    return f"a {type_}"


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_is_read_as_strawberry_reads_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks it: reading the items of a list as they are."""
    definition = INPUTS[name].definition
    assert isinstance(definition, StrawberryObjectDefinition)
    implementation = INPUTS[name].implementation
    assert isinstance(implementation, GraphQLInputObjectType)
    values = [made(implementation, whole=whole, nulls=False) for whole in (False, True)]
    values.append(
        {
            key: made(field.type, whole=True, nulls=True)
            for key, field in implementation.fields.items()
        }
    )
    quick = [read(definition, value) for value in values]
    for each in INPUTS.values():
        monkeypatch.setattr(each.definition, "from_input", None)
    assert quick == [read(definition, value) for value in values]
    assert all(isinstance(one, definition.origin) for one in quick)


def read(definition: StrawberryObjectDefinition, value: Any) -> Any:
    """Convert a value as the resolver of a mutation does."""
    converter = SCHEMA.schema_converter
    return convert_argument(value, definition.origin, converter.scalar_registry, SCHEMA.config)
