"""Documents: parsed, measured and validated once, and remembered.

A text that is too big is refused before it is parsed, and a document before it is validated. What
is remembered is bounded by its characters: a stranger who sends another document each time fills no
memory.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OverlappingFieldsCanBeMergedRule,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ASTValidationRule, ValidationContext
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.schema.limits import (
    MOST_TOKENS,
    Measure,
    Walk,
    check_document,
    check_literals,
    check_text,
    refusal,
)

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
NO_SUCH_OPERATION = "OPERATION_RESOLUTION_FAILURE"
# Each may print an input again, or compare a name with every other.
_MOST_ERRORS = 3
_MOST_COMPARISONS = 5_000
_MOST_REMEMBERED_CHARACTERS = 2_000_000
_ABORTED = "Validation aborted."
# So that a thousand tiny documents count for what they take in memory, too.
_LEAST_WEIGHT = 500


class _Overlapping(OverlappingFieldsCanBeMergedRule):
    """Compares each field with each other of the same name, but not for ever."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.rule_context.remaining_complexity_budget = _MOST_COMPARISONS


_RULES: tuple[type[ASTValidationRule], ...] = (
    *(
        _Overlapping if rule is OverlappingFieldsCanBeMergedRule else rule
        for rule in specified_rules
    ),
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that may be executed, or the errors of one that may not."""

    text: str
    document: DocumentNode | None = None
    errors: tuple[GraphQLError, ...] = ()
    operations: Mapping[str | None, OperationDefinitionNode] = field(default_factory=dict)
    # How many rows an operation asks for, where no variable has a say in it.
    rows: Mapping[str | None, int] = field(default_factory=dict)

    def operation(self, name: str | None) -> OperationDefinitionNode | GraphQLError:
        """Return the operation that is meant: the only one, or that of the name."""
        if name is None:
            if len(self.operations) == 1:
                return next(iter(self.operations.values()))
            several = "several operations: name one" if self.operations else "no operation"
            message = f"The document has {several}."
        elif name in self.operations:
            return self.operations[name]
        else:
            message = f"The document has no operation {name[:200]!r}."
        return GraphQLError(message, extensions={"code": NO_SUCH_OPERATION})

    def cost(self, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> int:
        """Return how many rows an operation asks for, if every list were as long as it may be."""
        known = self.rows.get(_name_of(operation))
        if known is not None:
            return known
        assert self.document is not None, "only what is valid has operations"
        return Walk(self.document, variables).measure(operation).rows


class Documents:
    """What was prepared, the newest last."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._weight = 0

    def prepare(self, text: str) -> Prepared:
        """Return the document of a text, from memory if it was there before."""
        found = self._prepared.get(text)
        if found is not None:
            self._prepared.move_to_end(text)
            return found
        problem = check_text(text)
        if problem is not None:
            return Prepared(text, errors=(problem,))
        prepared = self._prepare(text)
        self._remember(prepared)
        return prepared

    def _remember(self, prepared: Prepared) -> None:
        self._prepared[prepared.text] = prepared
        self._weight += _weight_of(prepared)
        while self._weight > _MOST_REMEMBERED_CHARACTERS:
            _, oldest = self._prepared.popitem(last=False)
            self._weight -= _weight_of(oldest)

    def _prepare(self, text: str) -> Prepared:
        try:
            document = parse(text, max_tokens=MOST_TOKENS)
        except GraphQLError as error:
            return Prepared(text, errors=(_coded(error, PARSE_FAILED),))
        problem = check_document(document) or check_literals(document)
        if problem is not None:
            return Prepared(text, errors=(problem,))
        errors = validate(self._schema, document, _RULES, max_errors=_MOST_ERRORS)
        if errors:
            return Prepared(text, errors=tuple(_shown(error) for error in errors))
        return _measured(text, document)


def _measured(text: str, document: DocumentNode) -> Prepared:
    operations: dict[str | None, OperationDefinitionNode] = {}
    rows: dict[str | None, int] = {}
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        name = _name_of(definition)
        operations[name] = definition
        walk = Walk(document)
        measure: Measure = walk.measure(definition)
        if not walk.has_variable_sizes:
            rows[name] = measure.rows
    return Prepared(text, document, operations=operations, rows=rows)


def _name_of(operation: OperationDefinitionNode) -> str | None:
    return operation.name.value if operation.name else None


def _shown(error: GraphQLError) -> GraphQLError:
    if error.message == _ABORTED:
        return refusal(
            "The document is too complicated to be validated: it repeats fields of one name, or "
            "spreads fragments, too often."
        )
    return _coded(error, VALIDATION_FAILED)


def _coded(error: GraphQLError, code: str) -> GraphQLError:
    # The frames of parser and validation would be remembered with it.
    error = error.with_traceback(None)
    error.extensions = {"code": code, **(error.extensions or {})}
    return error


def _weight_of(prepared: Prepared) -> int:
    return max(len(prepared.text), _LEAST_WEIGHT)
