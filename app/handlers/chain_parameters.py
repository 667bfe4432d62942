"""The parameters of a chained run, filled in from the run that has ended before it.

Texts are templates with the syntax of HTTP jobs, over other names: `result`, `parameters` and `run`
of the run that has ended, and `item` where a list is fanned out. A reference to a secret stands as
it is written; what comes from a run can never become one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.core.chaining import CannotFollow
from app.core.errors import Invalid, InvalidInput, TickwheelError
from app.core.secret_references import reference_to, references_in
from app.handlers.json_path import PathInvalid, Step, at_path, read_path
from app.handlers.templates import (
    MOST_EXPRESSIONS,
    Expression,
    Rendering,
    Scope,
    Template,
    TemplateFailed,
    TemplateInvalid,
    compile_template,
)

_RUN_NAMES = ("attempt", "id", "job", "message", "reason", "scheduledFor", "state")
_ONCE = Scope(("result", "parameters", "run"), _RUN_NAMES)
_PER_ITEM = Scope(("result", "parameters", "run", "item"), _RUN_NAMES)


def read_mapping(parameters: Mapping[str, Any], *, fans_out: bool) -> Any:
    """Return parameters with the templates in them compiled.

    Raises InvalidInput, with a path below `parameters`, for texts that are none.
    """
    problems: list[TickwheelError] = []
    mapping = _read(parameters, _PER_ITEM if fans_out else _ONCE, problems, "parameters")
    if sum(1 for _ in _expressions(mapping)) > MOST_EXPRESSIONS:
        message = f"At most {MOST_EXPRESSIONS} expressions are allowed."
        problems.append(Invalid(message, path=("parameters",)))
    if problems:
        raise InvalidInput(problems)
    return mapping


def is_filled_in(mapping: Any) -> bool:
    """Return whether a mapping has anything to fill in."""
    return any(True for _ in _expressions(mapping))


def fill_mapping(
    parameters: Mapping[str, Any], values: Mapping[str, Any], *, fans_out: bool
) -> dict[str, Any]:
    """Return parameters as a chained run has them. Raises CannotFollow.

    A fan-out without parameters of its own takes each item, an object, as the parameters.
    """
    if fans_out and not parameters:
        filled = values["item"]
        if not isinstance(filled, dict):
            raise CannotFollow("This item of the list is no object that could be the parameters.")
    else:
        try:
            filled = Rendering(values).tree(read_mapping(parameters, fans_out=fans_out))
        except TemplateFailed as error:
            raise CannotFollow(str(error)) from None
        except InvalidInput as error:
            raise CannotFollow(f"The chain's parameters cannot be read: {error}") from None
    if set(references_in(filled)) != set(references_in(parameters)):
        raise CannotFollow("What comes from the run before it may not refer to secrets.")
    return dict(filled)


def check_fan_out(text: str) -> None:
    """Raise Invalid unless a text names a place in a result."""
    try:
        read_path(text)
    except PathInvalid as error:
        raise Invalid(str(error), path=("fanOut",)) from None


def list_in(result: Any, fan_out: str) -> list[Any]:
    """Return the list that a result has at a path. Raises CannotFollow."""
    steps: tuple[Step, ...] = read_path(fan_out)
    try:
        found = at_path(result, steps)
    except LookupError as error:
        raise CannotFollow(f"The result has no list to fan out: {error}.") from None
    if not isinstance(found, list):
        raise CannotFollow(f"What the result has at {fan_out} is no list to fan out.")
    return found


def _read(value: Any, scope: Scope, problems: list[TickwheelError], *path: str) -> Any:
    if reference_to(value) is not None:
        return value
    if isinstance(value, str):
        try:
            return compile_template(value, scope)
        except TemplateInvalid as error:
            problems.append(Invalid(str(error), path=path))
            return value
    if isinstance(value, Mapping):
        return {key: _read(item, scope, problems, *path, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, scope, problems, *path, str(index)) for index, item in enumerate(value)]
    return value


def _expressions(mapping: Any) -> Iterator[Expression]:
    match mapping:
        case Template():
            yield from (part for part in mapping.parts if isinstance(part, Expression))
        case dict():
            for item in mapping.values():
                yield from _expressions(item)
        case list():
            for item in mapping:
                yield from _expressions(item)
