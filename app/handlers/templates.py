"""Texts with `{{ expressions }}`, filled in from a run's parameters, context, endpoint and secrets.

The syntax is Jinja's, cut down to what cannot surprise: names, their members, a few filters,
comparisons, `a if b else c`. There are no statements, calls, arithmetic or macros; so there are no
loops, and output and time are bounded by the text. Members are members of JSON values and nothing
else: no attribute of a Python object is ever looked up. What a name stands for must exist, unless
`default(...)` or `is defined` says otherwise.

Templates are read when a job is saved and again when it runs; what is wrong is the same both times.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.environment import TemplateExpression
from jinja2.sandbox import ImmutableSandboxedEnvironment

RUN_NAMES = (
    "attempt",
    "id",
    "job",
    "maxAttempts",
    "previousSuccessAt",
    "project",
    "schedule",
    "scheduledDate",
    "scheduledFor",
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may use: its roots, and what its `run` has."""

    roots: tuple[str, ...]
    run_names: tuple[str, ...]


OF_A_RUN = Scope(("parameters", "run", "endpoint", "secrets"), RUN_NAMES)
"""What a run of an HTTP job fills its configuration in from."""

MOST_EXPRESSIONS = 200
"""How many expressions all the texts of a configuration hold together."""

_DEEPEST = 12
_EITHER = (nodes.CondExpr, nodes.And, nodes.Or)
_COMBINING = (*_EITHER, nodes.Compare, nodes.Operand, nodes.Not)
_MOST_RENDERED = 1_000_000


class TemplateInvalid(ValueError):
    """The text cannot be a template; the message says why."""


class TemplateFailed(ValueError):
    """A run has not what its template asks for."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a template uses: `parameters.day` is `("parameters", "day")`.

    `is_optional`: the template says what to do without it.
    """

    root: str
    member: str | None
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between `{{` and `}}`."""

    evaluate: TemplateExpression
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A text in its parts."""

    parts: tuple[str | Expression, ...]

    @property
    def names(self) -> Iterator[Name]:
        """Yield the names it uses."""
        for part in self.parts:
            if isinstance(part, Expression):
                yield from part.names

    @property
    def plain(self) -> str | None:
        """Return the text of a template without expressions."""
        if not self.parts:
            return ""
        only = self.parts[0]
        return only if len(self.parts) == 1 and isinstance(only, str) else None


class Rendering:
    """The values for one request, and how much may still be written."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._left = _MOST_RENDERED

    def text(self, template: Template, *, encode: Callable[[str], str] | None = None) -> str:
        """Return the text; `encode` is applied to each value that is filled in."""
        written = []
        for part in template.parts:
            if isinstance(part, Expression):
                text = _as_text(self._value(part))
                part = text if encode is None else encode(text)  # noqa: PLW2901 - filled in
            self._spend(len(part))
            written.append(part)
        return "".join(written)

    def value(self, template: Template) -> Any:
        """Return the text, or of a template that is one expression the value itself."""
        if len(template.parts) == 1 and isinstance(template.parts[0], Expression):
            value = self._value(template.parts[0])
            self._spend(len(orjson.dumps(value)))
            return value
        return self.text(template)

    def tree(self, tree: Any) -> Any:
        """Return a JSON value with each template in it filled in."""
        match tree:
            case Template():
                return self.value(tree)
            case list():
                return [self.tree(item) for item in tree]
            case dict():
                return {key: self.tree(item) for key, item in tree.items()}
        return tree

    def _value(self, expression: Expression) -> Any:
        try:
            value = expression.evaluate(self._values)
            if isinstance(value, Undefined):
                str(value)  # Raises, naming what is missing.
        except UndefinedError as error:
            raise TemplateFailed(f"A template asks for what is not: {error.message}.") from None
        except (TypeError, ValueError) as error:
            raise TemplateFailed(f"A template cannot be filled in: {error}.") from None
        return value

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TemplateFailed(f"What it fills in is larger than {_MOST_RENDERED:,} characters.")


@lru_cache(maxsize=4096)
def compile_template(text: str, scope: Scope = OF_A_RUN) -> Template:
    """Read a template. Raises TemplateInvalid."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return Template((text,) if text else ())
    try:
        parsed = _ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        raise TemplateInvalid(f"This is not a template: {error.message}") from None
    except RecursionError:
        raise TemplateInvalid("This template is nested too deeply.") from None
    return Template(tuple(_parts(parsed, scope)))


def secret_template(key: str) -> Template:
    """Return the template of a reference to a secret."""
    return compile_template(f"{{{{ secrets[{orjson.dumps(key).decode()}] }}}}")


def _parts(parsed: nodes.Template, scope: Scope) -> Iterator[str | Expression]:
    for output in parsed.body:
        if not isinstance(output, nodes.Output):
            raise TemplateInvalid("Only {{ expressions }} are understood, no {% statements %}.")
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                yield node.data
            else:
                names = tuple(_names(node, scope, depth=0, optional=False))
                yield Expression(_compiled(node), names)


def _compiled(node: nodes.Expr) -> TemplateExpression:
    """Compile one expression, as `Environment.compile_expression` does with a text."""
    assign = nodes.Assign(nodes.Name("result", "store"), node, lineno=1)
    template = _ENVIRONMENT.from_string(nodes.Template([assign], lineno=1))
    return TemplateExpression(template, undefined_to_none=False)


def _names(node: nodes.Node, scope: Scope, *, depth: int, optional: bool) -> Iterator[Name]:
    """Yield the names of an expression; raise TemplateInvalid for what it may not hold."""
    if depth > _DEEPEST:
        raise TemplateInvalid("This expression is nested too deeply.")
    match node:
        case nodes.Const():
            return
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            yield _name(node, scope, optional=optional)
        case nodes.Filter(node=nodes.Expr(), name=str(), kwargs=[], dyn_args=None, dyn_kwargs=None):
            yield from _filtered(node, scope, depth, optional)
        case nodes.Test(name="defined", args=[], kwargs=[]):
            yield from _names(node.node, scope, depth=depth + 1, optional=True)
        case _ if isinstance(node, _COMBINING):
            # Of `a if b else c` only one is looked at; what it needs is known when it runs.
            is_open = optional or isinstance(node, _EITHER)
            for child in node.iter_child_nodes():
                yield from _names(child, scope, depth=depth + 1, optional=is_open)
        case _:
            kind = type(node).__name__.lower()
            raise TemplateInvalid(f"An expression may not hold this here ({kind}).")


def _filtered(node: nodes.Filter, scope: Scope, depth: int, optional: bool) -> Iterator[Name]:
    if node.name not in _FILTERS:
        raise TemplateInvalid(
            f"There is no filter {node.name!r}; there are {', '.join(sorted(_FILTERS))}."
        )
    if len(node.args) != (node.name == "default"):
        raise TemplateInvalid(f"The filter {node.name} has another number of arguments.")
    assert node.node is not None, "only a filter block has no node"
    is_open = optional or node.name == "default"
    yield from _names(node.node, scope, depth=depth + 3, optional=is_open)
    for argument in node.args:
        yield from _names(argument, scope, depth=depth + 3, optional=optional)


def _name(
    node: nodes.Name | nodes.Getattr | nodes.Getitem, scope: Scope, *, optional: bool
) -> Name:
    """Return the root of a chain of members, and its first one."""
    members: list[Any] = []
    part: nodes.Node = node
    while isinstance(part, (nodes.Getattr, nodes.Getitem)):
        if isinstance(part, nodes.Getattr):
            members.append(part.attr)
        elif isinstance(part.arg, nodes.Const) and isinstance(part.arg.value, (str, int)):
            members.append(part.arg.value)
        else:
            raise TemplateInvalid("What stands in [brackets] is a text or a number.")
        part = part.node
    if not isinstance(part, nodes.Name) or part.name not in scope.roots:
        known = ", ".join(scope.roots)
        named = getattr(part, "name", "this")
        raise TemplateInvalid(f"{named!r} is not known here; there are {known}.")
    if len(members) > _DEEPEST:
        raise TemplateInvalid("This expression is nested too deeply.")
    first = members[-1] if members else None
    if part.name == "secrets" and (not isinstance(first, str) or len(members) > 1):
        raise TemplateInvalid('Name one secret: secrets.key, or secrets["a-key"].')
    if part.name == "run" and first is not None and first not in scope.run_names:
        raise TemplateInvalid(f"A run has no {first!r}; it has {', '.join(scope.run_names)}.")
    return Name(part.name, None if first is None else str(first), optional)


class _Environment(ImmutableSandboxedEnvironment):
    """Looks up members of JSON values, and nothing else, however they are spelled."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a member."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return a member of an object or an item of a list."""
        try:
            if isinstance(obj, Mapping):
                return obj[argument]
            if isinstance(obj, list) and isinstance(argument, int):
                return obj[argument]
        except LookupError:
            pass
        if isinstance(obj, Undefined):
            str(obj)
        return self.undefined(obj=obj, name=argument, hint=f"there is no {argument!r}")


def _as_text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
    return orjson.dumps(value).decode()


def _length(value: Any) -> int:
    if isinstance(value, (str, Sequence, Mapping)):
        return len(value)
    raise TypeError("only texts, lists and objects have a length")


def _default(value: Any, otherwise: Any) -> Any:
    return otherwise if isinstance(value, Undefined) or value is None else value


def _of_defined(apply: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def filter_(value: Any) -> Any:
        if isinstance(value, Undefined):
            str(value)  # Raises, naming what is missing.
        return apply(value)

    return filter_


_FILTERS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "length": _of_defined(_length),
    "lower": _of_defined(lambda value: _as_text(value).lower()),
    "string": _of_defined(_as_text),
    "tojson": _of_defined(lambda value: orjson.dumps(value).decode()),
    "trim": _of_defined(lambda value: _as_text(value).strip()),
    "upper": _of_defined(lambda value: _as_text(value).upper()),
    "urlencode": _of_defined(lambda value: quote(_as_text(value), safe="")),
}
_ENVIRONMENT = _Environment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, cache_size=0
)
_ENVIRONMENT.filters = _FILTERS
_ENVIRONMENT.globals = {}
