"""The executor: graphql-core's, but for what most fields are.

Most fields of a list are plain attributes of known types. For each of them graphql-core makes a
path, an object with all there is to know about the operation, and several calls. Here a plain field
is read and written down; rows that refer to others are loaded together; and whatever is not quite
as usual (a null that is not allowed, a value of another type, an error, arguments) is left to
graphql-core, which answers it as it always does. Tests hold both against each other.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any, NamedTuple, cast

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    TypeNameMetaFieldDef,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import Path, gather_with_cancel
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from app.schema.relations import UNKNOWN, Relation

_DEFINITION = "strawberry-definition"
_INT_LIMIT = 2**31
_NO_OBJECT = (None, None)
Read = Callable[[Any], Any]
Write = Callable[[Any], Any]


class Plain(NamedTuple):
    """A field without arguments that is read from its source, without awaiting anything."""

    read: Read
    # None for an object or a list, whose fields are executed in turn.
    write: Write | None
    is_nullable: bool
    relation: Relation[Any, Any] | None
    where: "Where"
    type: GraphQLOutputType
    # Of a single object: its type, and the class of its values.
    object_type: GraphQLObjectType | None = None
    origin: Any = None


class Where(NamedTuple):
    """What completing a value asks of the field's surroundings: what its errors name."""

    parent_type: GraphQLObjectType
    field_name: str


class Selected(NamedTuple):
    """A field of a selection, and how it is read if it is plain."""

    response_name: str
    details: FieldDetailsList
    plain: Plain | None


class Selection(NamedTuple):
    """The fields selected on a type."""

    fields: list[Selected]
    relations: list[Relation[Any, Any]]
    grouped: GroupedFieldSet


class TickwheelExecutor(Executor[None]):
    """Executes one operation; none of ours is answered in parts."""

    # What Strawberry's resolvers are told, without what it does for answers in parts.
    build_resolve_info = StrawberryGraphQLCoreExecutionContext.build_resolve_info
    operation_extensions = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By the identity of what was grouped, which the selection keeps alive.
        self._selections: dict[int, Selection] = {}
        self._shown: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._plain: PlainFields = self.schema.extensions[PlainFields.KEY]

    def build_per_event_executor(self, payload: Any) -> Executor[Any]:
        """Return an executor for one event, which remembers nothing of those before."""
        executor = cast("TickwheelExecutor", super().build_per_event_executor(payload))
        # Each event's fields are collected anew: what is kept by them would never be found again.
        executor._selections = {}
        executor._relevant_sub_fields = {}
        executor._shown = {}
        return executor

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> Any:
        """Execute the fields selected on one source."""
        selection = self._selection(parent_type, grouped_field_set)
        results: dict[str, Any] = {}
        awaited: list[str] = []
        try:
            for name, details, plain in selection.fields:
                if plain is not None:
                    value = self._read(plain, source_value)
                    if value is not UNKNOWN:
                        if plain.write is not None or value is None:
                            results[name] = value
                            continue
                        value = self._complete(plain, parent_type, name, details, path, value)
                        results[name] = value
                        if self.is_awaitable(value):
                            awaited.append(name)
                        continue
                value = self.execute_field(
                    parent_type,
                    source_value,
                    details,
                    Path(path, name, parent_type.name),
                    position_context,
                )
                if value is not Undefined:
                    results[name] = value
                    if self.is_awaitable(value):
                        awaited.append(name)
        except Exception:
            if awaited:
                self.settle_in_background([results[name] for name in awaited])
            raise
        return self._gathered(results, awaited) if awaited else results

    async def _gathered(self, results: Any, awaited: list[Any]) -> Any:
        """Put in what is awaited: into an object by names, into a list by indices."""
        if len(awaited) == 1:
            results[awaited[0]] = await results[awaited[0]]
            return results
        values = await gather_with_cancel(*(results[place] for place in awaited))
        for place, value in zip(awaited, values, strict=True):
            results[place] = value
        return results

    def _selection(self, type_: GraphQLObjectType, grouped: GroupedFieldSet) -> Selection:
        selection = self._selections.get(id(grouped))
        if selection is None:
            fields = [
                Selected(name, details, self._plain_of(type_, details))
                for name, details in grouped.items()
            ]
            plains = [field.plain for field in fields if field.plain is not None]
            relations = [plain.relation for plain in plains if plain.relation is not None]
            selection = self._selections[id(grouped)] = Selection(fields, relations, grouped)
        return selection

    def _plain_of(self, type_: GraphQLObjectType, details: FieldDetailsList) -> Plain | None:
        node = details[0].node
        if node.arguments or self.middleware_manager:
            return None
        return self._plain.find(type_, node.name.value)

    def _read(self, plain: Plain, source: Any) -> Any:
        """Return a plain field's value, written down if it is a leaf, or `UNKNOWN`."""
        try:
            if plain.relation is None:
                value = plain.read(source)
            else:
                value = self._follow(plain.relation, source)
            if value is None:
                return None if plain.is_nullable else UNKNOWN
            if plain.write is None:
                return UNKNOWN if isinstance(value, Exception) else value
            return plain.write(value)
        except Exception:
            # It is read once more, by graphql-core, which says what went wrong, and where.
            return UNKNOWN

    def _follow(self, relation: Relation[Any, Any], source: Any) -> Any:
        """Return what a source refers to; what many refer to is shown once."""
        loader = relation.loader(self.context_value.loaders)
        row = relation.known(source, loader)
        if row is UNKNOWN:
            return UNKNOWN
        key = (id(relation), id(row))
        found = self._shown.get(key)
        if found is None:
            # The row is kept with it, so that no other one comes by its identity.
            found = self._shown[key] = (row, relation.show(row, self.context_value))
        return found[1]

    def _complete(
        self,
        plain: Plain,
        parent_type: GraphQLObjectType,
        name: str,
        details: FieldDetailsList,
        path: Path | None,
        value: Any,
    ) -> Any:
        """Complete an object or a list as `execute_field` does once the field is resolved."""
        path = Path(path, name, parent_type.name)
        if type(value) is plain.origin:
            return self._complete_object(plain, details, path, value)
        where = cast("Any", plain.where)
        if self.is_awaitable(value):
            return self.complete_awaitable_value(plain.type, details, where, path, value, None)
        try:
            completed = self.complete_value(plain.type, details, where, path, value, None)
        except Exception as error:
            self.handle_field_error(error, plain.type, details, path)
            return None
        if self.is_awaitable(completed):
            return self._guarded(completed, plain.type, details, path)
        return completed

    def _complete_object(
        self, plain: Plain, details: FieldDetailsList, path: Path, value: Any
    ) -> Any:
        object_type = cast("GraphQLObjectType", plain.object_type)
        grouped, deferred, _ = self.collect_subfields(object_type, details)
        assert not deferred, "the schema has no @defer"
        try:
            completed = self.execute_fields(object_type, value, path, grouped, None)
        except Exception as error:
            self.handle_field_error(error, plain.type, details, path)
            return None
        if type(completed) is dict:
            return completed
        return self._guarded(completed, plain.type, details, path)

    async def _guarded(
        self, value: Any, type_: GraphQLOutputType, details: FieldDetailsList, path: Path
    ) -> Any:
        try:
            return await value
        except Exception as error:
            self.handle_field_error(error, type_, details, path)
            return None

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: Any,
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        """Complete a list: one of our own objects, all of one type, at once."""
        object_type, origin = self._plain.object_of(item_type)
        rows = list(items) if isinstance(items, list | tuple) else None
        if object_type is None or rows is None or any(type(row) is not origin for row in rows):
            return super().complete_iterable_value(
                item_type, field_details_list, info, path, items, position_context
            )
        grouped, deferred, _ = self.collect_subfields(object_type, field_details_list)
        assert not deferred, "the schema has no @defer"
        selection = self._selection(object_type, grouped)
        rest = (object_type, item_type, field_details_list, path, rows, selection, position_context)
        if len(rows) > 1:
            pending = [
                future
                for relation in selection.relations
                for future in self._started(relation, rows)
            ]
            if pending:
                return self._rows_after(pending, rest)
        return self._rows(*rest)

    def _started(self, relation: Relation[Any, Any], rows: list[Any]) -> list[Any]:
        try:
            return relation.start(rows, relation.loader(self.context_value.loaders))
        except Exception:
            return []

    async def _rows_after(self, pending: list[Any], rest: Any) -> Any:
        for future in pending:
            try:
                await future
            except Exception:  # noqa: S112 - each row that needs it awaits it again, and tells
                continue
        rows = self._rows(*rest)
        return await rows if self.is_awaitable(rows) else rows

    def _rows(
        self,
        object_type: GraphQLObjectType,
        item_type: GraphQLOutputType,
        details: FieldDetailsList,
        path: Path,
        rows: list[Any],
        selection: Selection,
        position_context: Any,
    ) -> Any:
        results: list[Any] = []
        awaited: list[int] = []
        try:
            for index, row in enumerate(rows):
                place = Path(path, index, None)
                try:
                    value = self.execute_fields(
                        object_type, row, place, selection.grouped, position_context
                    )
                except Exception as error:
                    self.handle_field_error(error, item_type, details, place)
                    value = None
                if type(value) is not dict and value is not None:
                    value = self._guarded(value, item_type, details, place)
                    awaited.append(index)
                results.append(value)
        except Exception:
            if awaited:
                self.settle_in_background([results[index] for index in awaited])
            raise
        return self._gathered(results, awaited) if awaited else results


class PlainFields:
    """Which fields of a schema are plain, found out once for each."""

    KEY = "plain-fields"

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Plain | None] = {}
        self._objects: dict[GraphQLOutputType, tuple[GraphQLObjectType | None, type | None]] = {}

    def find(self, type_: GraphQLObjectType, name: str) -> Plain | None:
        """Return how a field is read, or None if that is graphql-core's affair."""
        key = (type_.name, name)
        if key not in self._found:
            self._found[key] = _find(type_, name)
        return self._found[key]

    def object_of(self, type_: GraphQLOutputType) -> tuple[GraphQLObjectType | None, type | None]:
        """Return the object type of a list's items and the class of its values, if it is ours."""
        if type_ not in self._objects:
            inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
            self._objects[type_] = _NO_OBJECT
            if isinstance(inner, GraphQLObjectType) and _is_ours(inner):
                self._objects[type_] = (inner, _origin_of(inner))
        return self._objects[type_]


def _origin_of(type_: GraphQLObjectType) -> type:
    return cast("StrawberryObjectDefinition", type_.extensions[_DEFINITION]).origin


def _is_ours(type_: GraphQLObjectType) -> bool:
    """Return whether values of a type are told by their class, and by nothing else."""
    definition = type_.extensions.get(_DEFINITION)
    if not isinstance(definition, StrawberryObjectDefinition):
        return False
    return definition.is_type_of is None and definition.concrete_of is None


def _find(type_: GraphQLObjectType, name: str) -> Plain | None:
    where = Where(type_, name)
    if name == "__typename":
        of_type = TypeNameMetaFieldDef.type
        return Plain(lambda _: type_.name, _as_it_is, False, None, where, of_type)
    definition = type_.fields.get(name)
    if definition is None or definition.args:
        return None
    read, relation = _reading(type_, definition)
    if read is None and relation is None:
        return None
    is_nullable = not isinstance(definition.type, GraphQLNonNull)
    named = get_named_type(definition.type)
    write: Write | None = None
    if isinstance(named, GraphQLObjectType):
        if not _is_ours(named):
            return None
    elif not is_leaf_type(get_nullable_type(definition.type)):
        # A list of leaves, or something whose type has to be resolved.
        return None
    else:
        write = _WRITERS.get(named.name) or _writer(named)
    single = get_nullable_type(definition.type)
    object_type = single if isinstance(single, GraphQLObjectType) else None
    return Plain(
        read or _never,
        write,
        is_nullable,
        relation,
        where,
        definition.type,
        object_type,
        None if object_type is None else _origin_of(object_type),
    )


def _reading(
    type_: GraphQLObjectType, definition: GraphQLField
) -> tuple[Read | None, Relation[Any, Any] | None]:
    field = definition.extensions.get(_DEFINITION)
    if not isinstance(field, StrawberryField) or field.extensions or field.is_subscription:
        return None, None
    if field.base_resolver is None:
        if field.default_resolver is not getattr:
            return None, None
        lazy = getattr(_origin_of(type_), "__reads__", {})
        return lazy.get(field.python_name) or attrgetter(field.python_name), None
    marks: Mapping[str, Any] = getattr(field.base_resolver.wrapped_func, "__dict__", {})
    if "relation" in marks:
        return None, marks["relation"]
    return marks.get("shortcut"), None


def _never(_: Any) -> Any:
    return UNKNOWN


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return value if type(value) is str else UNKNOWN


def _integer(value: Any) -> Any:
    return value if type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT else UNKNOWN


def _truth(value: Any) -> Any:
    return value if type(value) is bool else UNKNOWN


_WRITERS: dict[str, Write] = {
    "String": _text,
    "ID": _text,
    "Int": _integer,
    "Boolean": _truth,
}


def _writer(type_: Any) -> Write:
    """Return how an enum or any other scalar is written."""
    names: dict[Any, str] = {}

    def write_member(value: Any) -> Any:
        if not isinstance(value, Enum):
            return UNKNOWN
        name = names.get(value)
        if name is None:
            name = names[value] = type_.coerce_output_value(value)
        return name

    def write_scalar(value: Any) -> Any:
        if hasattr(value, "__await__") or isinstance(value, Exception):
            return UNKNOWN
        written = type_.coerce_output_value(value)
        return UNKNOWN if written is None or written is Undefined else written

    return write_member if isinstance(type_, GraphQLEnumType) else write_scalar
