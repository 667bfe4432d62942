"""Make inputs of what a client has sent, quickly.

graphql-core has checked and coerced a value by then; what is left is to make our input types of it.
Strawberry asks each field of a type for its name and type, each time, whether it was given or not:
most of what a thousand schedules in one request cost. Here a reader is made once for each type, and
looks only at what was given. It takes the hook that Strawberry has for it, `from_input`.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import strawberry
from strawberry.types.arguments import InputContext
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.lazy_type import LazyType

_Read: TypeAlias = Callable[[Any], Any]


def read_inputs_quickly(schema: strawberry.Schema) -> None:
    """Give every input type of a schema its reader."""
    readers: dict[type, InputReader] = {}
    for type_ in schema.schema_converter.type_map.values():
        definition = type_.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input:
            reader = readers[definition.origin] = InputReader(schema, definition, readers)
            definition.from_input = reader.from_input


class InputReader:
    """Makes values of one input type; `readers` are those of all types, which may contain it."""

    def __init__(
        self,
        schema: strawberry.Schema,
        definition: StrawberryObjectDefinition,
        readers: Mapping[type, "InputReader"],
    ) -> None:
        self._schema = schema
        self._definition = definition
        self._readers = readers

    @cached_property
    def _fields(self) -> Mapping[str, tuple[str, _Read | None]]:
        """Return what becomes of each field, by its name in GraphQL."""
        name_of = self._schema.config.name_converter.from_field
        return {
            name_of(field): (
                field.python_name,
                self._read_of(field.resolve_type(type_definition=self._definition)),
            )
            for field in self._definition.fields
        }

    def from_input(self, type_: type, value: Mapping[str, Any], _: InputContext) -> Any:
        """Return an instance of the type; what was not given has its default."""
        return self.read(value)

    def read(self, value: Mapping[str, Any]) -> Any:
        """Return an instance of the type; what was not given has its default."""
        fields, columns = self._fields, dict[str, Any]()
        for name, given in value.items():
            column, read = fields[name]
            columns[column] = given if read is None or given is None else read(given)
        return self._definition.origin(**columns)

    def _read_of(self, type_: Any) -> _Read | None:
        """Return what makes a value of a type; None where a value is taken as it is."""
        if isinstance(type_, StrawberryOptional):
            return self._read_of(type_.of_type)
        if isinstance(type_, LazyType):
            return self._read_of(type_.resolve_type())
        if isinstance(type_, StrawberryList):
            read = self._read_of(type_.of_type)
            # A copy in any case: a default belongs to the schema.
            return list if read is None else _each(read)
        reader = self._readers.get(type_)
        return None if reader is None else reader.read


def _each(read: _Read) -> _Read:
    def read_each(values: Any) -> Any:
        return [None if value is None else read(value) for value in values]

    return read_each
