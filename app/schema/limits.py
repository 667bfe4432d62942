"""Bounds on a document, found in one linear walk.

Strawberry's own limiters for depth and aliases follow fragments again and again, which takes
exponential time for a document of a few hundred bytes. Here each fragment is measured once and its
measure is used wherever it is spread.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    SelectionSetNode,
    TokenKind,
    ValueNode,
    VariableNode,
)
from strawberry.extensions import ValidationCache

from app.schema.connections import DEFAULT_SIZE

MOST_TOKENS = 2_000
MOST_DEPTH = 15
MOST_ALIASES = 50
MOST_ROOT_FIELDS = 20
MOST_FIELDS = 1_000
MOST_NESTING = 100
# Rows an operation may ask for, if every list were as long as it may be.
MOST_ROWS = 10_000
# Introspection, as every client sends it, is deeper than other operations; graphql-core bounds
# what makes it expensive.
_INTROSPECTION = ("__schema", "__type")
_INTROSPECTION_DEPTH = 20
_STRINGS = re.compile(r'"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*', re.DOTALL)
_TEXTS = (TokenKind.STRING, TokenKind.BLOCK_STRING)
_BRACKETS = re.compile(r"[{}()\[\]]")


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a selection with its fragments spread."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    root_fields: int = 0
    rows: int = 0


def check_document(
    document: DocumentNode, variables: Mapping[str, Any] | None = None
) -> GraphQLError | None:
    """Return why a document is refused, or None."""
    walk = _Walk(document, variables or {})
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            problem = _problem(walk.measure(definition.selection_set))
            if problem is not None:
                return GraphQLError(problem, nodes=definition)
    return None


def check_unnamed(document: DocumentNode) -> GraphQLError | None:
    """Return why a document cannot be executed without the name of an operation, or None."""
    operations = [
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    if len(operations) < 2:
        return None
    return GraphQLError("The document has several operations: name one.", nodes=operations)


def _problem(measure: Measure) -> str | None:
    bounds = (
        (measure.depth, MOST_DEPTH, "is nested {} deep; at most {} is allowed"),
        (measure.root_fields, MOST_ROOT_FIELDS, "has {} root fields; at most {} are allowed"),
        (measure.aliases, MOST_ALIASES, "has {} aliases; at most {} are allowed"),
        (measure.fields, MOST_FIELDS, "has {} fields; at most {} are allowed"),
        (measure.rows, MOST_ROWS, "asks for up to {:,} rows; at most {:,} are allowed"),
    )
    for value, most, words in bounds:
        if value > most:
            return f"The operation {words.format(value, most)}."
    return None


class _Walk:
    """One walk over a document; a fragment is measured when it is first spread."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measures: dict[str, Measure | None] = {}

    def measure(self, selections: SelectionSetNode | None) -> Measure:
        """Return the size of a selection set."""
        depth = fields = aliases = root_fields = rows = 0
        for part in () if selections is None else selections.selections:
            if isinstance(part, FieldNode):
                below = self._below(part)
                depth = max(depth, below.depth + 1)
                fields += below.fields + 1
                aliases += below.aliases + (part.alias is not None)
                root_fields += 1
                page = self._page_size(part)
                rows += page + max(page, 1) * below.rows
                continue
            spread = self._spread(part)
            depth = max(depth, spread.depth)
            fields += spread.fields
            aliases += spread.aliases
            root_fields += spread.root_fields
            rows += spread.rows
        return Measure(depth, fields, aliases, root_fields, rows)

    def _page_size(self, field: FieldNode) -> int:
        """Return how many rows a field may ask for: its `first` or `last`, or the default."""
        given = {argument.name.value: argument.value for argument in field.arguments or ()}
        sizes = [self._number(given[name]) for name in ("first", "last") if name in given]
        if sizes:
            return max(sizes)
        return DEFAULT_SIZE if _asks_for_rows(field) else 0

    def _number(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            number = self._variables.get(value.name.value)
        else:
            number = value.value if isinstance(value, IntValueNode) else None
        try:
            return min(abs(int(number)), MOST_ROWS + 1) if number is not None else DEFAULT_SIZE
        except (TypeError, ValueError):
            # Not a number: validation refuses it.
            return DEFAULT_SIZE

    def _below(self, field: FieldNode) -> Measure:
        below = self.measure(field.selection_set)
        if field.name.value in _INTROSPECTION and below.depth <= _INTROSPECTION_DEPTH:
            return Measure(0, below.fields, below.aliases)
        return below

    def _spread(self, part: object) -> Measure:
        if isinstance(part, InlineFragmentNode):
            return self.measure(part.selection_set)
        assert isinstance(part, FragmentSpreadNode)
        name = part.name.value
        if name not in self._measures:
            # A fragment that spreads itself is refused by validation; here it counts as empty.
            self._measures[name] = None
            fragment = self._fragments.get(name)
            self._measures[name] = self.measure(fragment.selection_set if fragment else None)
        return self._measures[name] or Measure()


def _asks_for_rows(field: FieldNode) -> bool:
    """Return whether a field is a connection, by what is asked of it."""
    selections = () if field.selection_set is None else field.selection_set.selections
    return any(
        isinstance(part, FieldNode) and part.name.value in ("nodes", "edges") for part in selections
    )


def check_nesting(query: str) -> GraphQLError | None:
    """Return why a text is refused before it is parsed: the parser descends a call a level."""
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", query)):
        depth += 1 if bracket in "{[(" else -1
        if depth > MOST_NESTING:
            return GraphQLError(f"The document nests brackets more than {MOST_NESTING} deep.")
    return None


def check_texts(document: DocumentNode, variables: Mapping[str, Any] | None) -> GraphQLError | None:
    """Return why a text is refused: PostgreSQL stores every character but NUL."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in _TEXTS and "\0" in (token.value or ""):
            return GraphQLError(
                f"The text at line {token.line}, column {token.column} contains NUL (U+0000)."
            )
        token = token.next
    waiting: list[tuple[str, Any]] = [
        (f"'${name}'", each) for name, each in (variables or {}).items()
    ]
    for place, value in waiting:
        if isinstance(value, str) and "\0" in value:
            return GraphQLError(f"Variable {place} contains NUL (U+0000).")
        if isinstance(value, list):
            waiting.extend((f"{place}[{index}]", each) for index, each in enumerate(value))
        elif isinstance(value, dict):
            waiting.extend((f"{place}.{name}", each) for name, each in value.items())
            waiting.extend((f"{place} (a key)", name) for name in value)
    return None


class CheckedDocument(ValidationCache):
    """Parses and validates nothing that is too big, and the same document only once."""

    def on_operation(self) -> Iterator[None]:
        """Bound the number of tokens."""
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_validate(self) -> Iterator[None]:
        """Check the size of the parsed document and its texts, and then validate it."""
        document = self.execution_context.graphql_document
        assert document is not None, "parsed before it is validated"
        # Strawberry would execute the first of several operations; which one is meant is not ours
        # to guess. The name as it was given has no public accessor.
        named = self.execution_context._provided_operation_name is not None
        error = (
            check_document(document, self.execution_context.variables)
            or (None if named else check_unnamed(document))
            or check_texts(document, self.execution_context.variables)
        )
        if error is None:
            yield from super().on_validate()
            return
        self.execution_context.pre_execution_errors = [error]
        yield
