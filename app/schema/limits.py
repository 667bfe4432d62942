"""Bounds on a request, found in one linear walk over each of its parts.

The text is looked at before it is parsed, the document before it is validated, the variables
before they are coerced. Strawberry's own limiters for depth and aliases follow fragments again and
again, which takes exponential time for a document of a few hundred bytes. Here each fragment is
measured once and its measure is used wherever it is spread.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TokenKind,
    ValueNode,
    VariableNode,
)

from app.core.errors import ErrorCode
from app.schema.connections import DEFAULT_SIZE

MOST_CHARACTERS = 100_000
MOST_WORD = 200
MOST_NESTING = 100
MOST_TOKENS = 2_000
MOST_OPERATIONS = 20
MOST_DEPTH = 15
MOST_ALIASES = 50
MOST_ROOT_FIELDS = 20
MOST_FIELDS = 1_000
MOST_SPREADS = 500
MOST_DIRECTIVES = 100
# Rows an operation may ask for, if every list were as long as it may be.
MOST_ROWS = 10_000
# Values in the variables: a thousand schedules at once have some twenty each.
MOST_VALUES = 50_000
# Introspection, as every client sends it, is deeper than other operations; graphql-core bounds
# what makes it expensive.
_INTROSPECTION = ("__schema", "__type")
_INTROSPECTION_DEPTH = 20
_TEXTS = (TokenKind.STRING, TokenKind.BLOCK_STRING)
# Strings and comments, whether they end or not, as the lexer reads them, and brackets. Nothing is
# given back once it is read, so the time is linear in whatever a stranger sends.
_PARTS = re.compile(
    r'"""(?:[^"\\]++|\\"""|\\|"(?!""))*+(?:""")?'
    r'|"(?:[^"\\\n\r]++|\\.)*+"?'
    r"|#[^\n\r]*+"
    r"|[{}()\[\]]",
    re.DOTALL,
)
_JSON_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_WORD = re.compile(rf"(?<!\w)\w{{{MOST_WORD + 1}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a selection with its fragments spread."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    root_fields: int = 0
    spreads: int = 0
    directives: int = 0
    rows: int = 0


_NOTHING = Measure()


def refusal(message: str, *nodes: Any) -> GraphQLError:
    """Return the error of a request that is too big."""
    extensions = {"code": ErrorCode.LIMIT_EXCEEDED.value}
    return GraphQLError(message, nodes=list(nodes) or None, extensions=extensions)


def check_text(query: str) -> GraphQLError | None:
    """Return why a text is refused before it is parsed: the parser descends a call a level."""
    if len(query) > MOST_CHARACTERS:
        return refusal(
            f"The document has {len(query):,} characters; at most {MOST_CHARACTERS:,} are allowed. "
            "Put long values into variables."
        )
    depth = 0
    for part in _PARTS.finditer(query):
        bracket = part[0]
        if bracket in "{[(":
            depth += 1
            if depth > MOST_NESTING:
                return refusal(f"The document nests brackets more than {MOST_NESTING} deep.")
        elif bracket in "}])":
            depth -= 1
    if _LONG_WORD.search(_PARTS.sub(" ", query)):
        return refusal(f"A name or number has more than {MOST_WORD} characters.")
    return None


def has_too_many_values(body: bytes) -> bool:
    """Return whether a JSON text has more values than variables may have, before it is parsed."""
    if len(body) <= MOST_VALUES or _most_values(body) <= MOST_VALUES:
        return False
    return _most_values(_JSON_STRINGS.sub(b"", body)) > MOST_VALUES


def _most_values(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def check_document(document: DocumentNode) -> GraphQLError | None:
    """Return why a document is refused, whatever its variables are, or None."""
    walk = Walk(document)
    operations = 0
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            operations += 1
            measured = walk.measure(definition)
        elif isinstance(definition, FragmentDefinitionNode):
            # One that nobody spreads is validated all the same. Its fields are an operation's only
            # where that spreads it at its root.
            measured = replace(walk.measure_fragment(definition.name.value), root_fields=0)
        else:
            continue
        problem = _problem(measured)
        if problem is not None:
            return refusal(problem, definition)
    if operations > MOST_OPERATIONS:
        return refusal(
            f"The document has {operations} operations; at most {MOST_OPERATIONS} are allowed."
        )
    return None


def _problem(measure: Measure) -> str | None:
    bounds = (
        (measure.depth, MOST_DEPTH, "is nested {} deep; at most {} is allowed"),
        (measure.root_fields, MOST_ROOT_FIELDS, "has {} root fields; at most {} are allowed"),
        (measure.aliases, MOST_ALIASES, "has {} aliases; at most {} are allowed"),
        (measure.fields, MOST_FIELDS, "has {} fields; at most {} are allowed"),
        (measure.spreads, MOST_SPREADS, "spreads {} fragments; at most {} are allowed"),
        (measure.directives, MOST_DIRECTIVES, "has {} directives; at most {} are allowed"),
    )
    for value, most, words in bounds:
        if value > most:
            return f"The operation {words.format(value, most)}."
    return None


def check_cost(rows: int, operation: OperationDefinitionNode) -> GraphQLError | None:
    """Return why an operation is refused that asks for so many rows, or None."""
    if rows <= MOST_ROWS:
        return None
    return refusal(
        f"The operation asks for up to {rows:,} rows; at most {MOST_ROWS:,} are allowed.", operation
    )


class Walk:
    """One walk over a document; a fragment is measured when it is first spread."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any] | None = None) -> None:
        self.visited = 0
        # Whether a page's size came from a variable, so that the measure holds for these only.
        self.has_variable_sizes = False
        self._variables = variables or {}
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measures: dict[str, Measure | None] = {}

    def measure(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> Measure:
        """Return the size of an operation or fragment."""
        directives = len(definition.directives or ())
        if isinstance(definition, OperationDefinitionNode):
            for variable in definition.variable_definitions or ():
                directives += len(variable.directives or ())
        return self._sum(definition.selection_set, directives)

    def measure_fragment(self, name: str) -> Measure:
        """Return the size of a fragment, which is walked over once."""
        if name not in self._measures:
            # A fragment that spreads itself is refused by validation; here it counts as empty.
            self._measures[name] = None
            fragment = self._fragments.get(name)
            self._measures[name] = _NOTHING if fragment is None else self.measure(fragment)
        return self._measures[name] or _NOTHING

    def _sum(self, selections: SelectionSetNode | None, directives: int = 0) -> Measure:
        depth = fields = aliases = root_fields = spreads = rows = 0
        for part in () if selections is None else selections.selections:
            self.visited += 1
            directives += len(part.directives or ())
            if isinstance(part, FieldNode):
                below = self._below(part)
                depth = max(depth, below.depth + 1)
                fields += below.fields + 1
                aliases += below.aliases + (part.alias is not None)
                root_fields += 1
                page = self._page_size(part)
                rows += page + max(page, 1) * below.rows
            else:
                below = self._spread(part)
                depth = max(depth, below.depth)
                fields += below.fields
                aliases += below.aliases
                root_fields += below.root_fields
                spreads += 1
                rows += below.rows
            spreads += below.spreads
            directives += below.directives
        return Measure(depth, fields, aliases, root_fields, spreads, directives, rows)

    def _page_size(self, field: FieldNode) -> int:
        """Return how many rows a field may ask for: its `first` or `last`, or the default."""
        sizes = [
            self._number(argument.value)
            for argument in field.arguments or ()
            if argument.name.value in ("first", "last")
        ]
        if sizes:
            return max(sizes)
        return DEFAULT_SIZE if _asks_for_rows(field) else 0

    def _number(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            self.has_variable_sizes = True
            number = self._variables.get(value.name.value)
        else:
            number = value.value if isinstance(value, IntValueNode) else None
        try:
            return min(abs(int(number)), MOST_ROWS + 1) if number is not None else DEFAULT_SIZE
        except (TypeError, ValueError, OverflowError):
            # Not a number: validation refuses it.
            return DEFAULT_SIZE

    def _below(self, field: FieldNode) -> Measure:
        below = self._sum(field.selection_set)
        if field.name.value in _INTROSPECTION and below.depth <= _INTROSPECTION_DEPTH:
            return Measure(0, below.fields, below.aliases, 0, below.spreads, below.directives)
        return below

    def _spread(self, part: SelectionNode) -> Measure:
        if isinstance(part, InlineFragmentNode):
            return self._sum(part.selection_set)
        assert isinstance(part, FragmentSpreadNode)
        return self.measure_fragment(part.name.value)


def _asks_for_rows(field: FieldNode) -> bool:
    """Return whether a field is a connection, by what is asked of it."""
    selections = () if field.selection_set is None else field.selection_set.selections
    return any(
        isinstance(part, FieldNode) and part.name.value in ("nodes", "edges") for part in selections
    )


def check_literals(document: DocumentNode) -> GraphQLError | None:
    """Return why a text in a document is refused: PostgreSQL stores every character but NUL."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in _TEXTS and "\0" in (token.value or ""):
            return GraphQLError(
                f"The text at line {token.line}, column {token.column} contains NUL (U+0000).",
                extensions={"code": ErrorCode.INVALID.value},
            )
        token = token.next
    return None


def check_variables(variables: Mapping[str, Any] | None) -> GraphQLError | None:
    """Return why variables are refused: too many values, too deep, or a NUL."""
    found = _Values(variables or {})
    for index, value in enumerate(found.values):
        if isinstance(value, str):
            if "\0" in value:
                return _invalid(f"Variable {found.place_of(index)} contains NUL (U+0000).")
            continue
        if not isinstance(value, dict | list):
            continue
        if found.depths[index] > MOST_NESTING:
            return refusal(f"The variables are nested more than {MOST_NESTING} deep.")
        if len(found.values) + len(value) > MOST_VALUES:
            return refusal(f"The variables have more than {MOST_VALUES:,} values.")
        if isinstance(value, dict) and any("\0" in name for name in value):
            return _invalid(f"Variable {found.place_of(index)} (a key) contains NUL (U+0000).")
        found.add(index, value)
    return None


class _Values:
    """The values in variables, each after the one it stands in."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.values: list[Any] = list(variables.values())
        self.depths = [1] * len(self.values)
        # A place is put together only for an error: a long key would be copied for each value.
        self._parents: list[int] = [-1] * len(self.values)
        self._names: list[str | int] = list(variables)

    def add(self, index: int, value: dict[str, Any] | list[Any]) -> None:
        """Add what stands in the value at an index."""
        names: Any = value if isinstance(value, dict) else range(len(value))
        self.values.extend(value.values() if isinstance(value, dict) else value)
        self._names.extend(names)
        self._parents.extend([index] * len(value))
        self.depths.extend([self.depths[index] + 1] * len(value))

    def place_of(self, index: int) -> str:
        """Return where a value stands."""
        steps: list[str] = []
        while self._parents[index] >= 0:
            name = self._names[index]
            steps.append(f"[{name}]" if isinstance(name, int) else f".{name[:MOST_WORD]}")
            index = self._parents[index]
        return f"'${self._names[index]}'{''.join(reversed(steps))}"


def _invalid(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": ErrorCode.INVALID.value})
