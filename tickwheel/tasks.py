"""The register of functions that may be run as jobs.

Registration is explicit (`@task`) because a job names its function in text that comes through the
API: only what the operator's own code registered can be reached by name, never an arbitrary
import. The register is the one piece of state a decorator cannot do without; it is filled by
importing modules and never emptied.

The signature is the contract: pydantic turns it into the JSON Schema that clients see and into
the typed values the function receives. That work is done on first use, once per function, so that
importing a module of tasks does not import pydantic.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints, overload

from tickwheel.context import RunContext

if TYPE_CHECKING:
    from pydantic import BaseModel

Isolation = Literal["inline", "thread", "process"]
ISOLATIONS: tuple[Isolation, ...] = ("inline", "thread", "process")

Function = TypeVar("Function", bound=Callable[..., Any])


class ParametersRefused(ValueError):
    """The parameters do not fit the signature; `problems` has (path, message) for each."""

    def __init__(self, problems: tuple[tuple[tuple[str, ...], str], ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(path)}: {message}" for path, message in problems))


@dataclass(frozen=True)
class Task:
    """A registered function."""

    name: str
    doc: str | None
    isolation: Isolation
    function: Callable[..., Any]

    @cached_property
    def is_async(self) -> bool:
        """Whether calling the function gives a coroutine."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def wants_context(self) -> bool:
        """Whether the function takes a RunContext."""
        return self._context_name is not None

    @cached_property
    def parameters_schema(self) -> dict[str, Any]:
        """The JSON Schema of the function's parameters."""
        return self._model.model_json_schema(by_alias=True)

    def arguments(self, parameters: Mapping[str, Any], context: RunContext) -> dict[str, Any]:
        """Return the keyword arguments for a call, typed as the signature says.

        Raises ParametersRefused.
        """
        arguments = self._typed(parameters) if self._needs_model else dict(parameters)
        if self._context_name is not None:
            arguments[self._context_name] = context
        return arguments

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise ParametersRefused unless the function could be called with these."""
        if self._needs_model:
            self._typed(parameters)

    def _typed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            checked = self._model.model_validate(dict(parameters))
        except ValidationError as error:
            raise ParametersRefused(
                tuple(
                    (tuple(str(part) for part in problem["loc"]), problem["msg"])
                    for problem in error.errors(include_url=False, include_context=False)
                )
            ) from None
        # Fields are numbered: parameters may be called `copy` or `json` without shadowing pydantic.
        arguments = {
            name: getattr(checked, f"parameter_{index}") for index, name in enumerate(self._named)
        }
        return arguments | (checked.model_extra or {})

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def _context_name(self) -> str | None:
        return next((name for name, hint in self._hints.items() if _is_context(hint)), None)

    @cached_property
    def _takes_any(self) -> bool:
        return any(
            parameter.kind is parameter.VAR_KEYWORD
            for parameter in self._signature.parameters.values()
        )

    @cached_property
    def _named(self) -> dict[str, inspect.Parameter]:
        return {
            name: parameter
            for name, parameter in self._signature.parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD and name != self._context_name
        }

    @cached_property
    def _needs_model(self) -> bool:
        # Without named parameters and with `**`, anything fits and nothing needs typing: the
        # built-in `noop` is run by the thousand a second.
        return bool(self._named) or not self._takes_any

    @cached_property
    def _model(self) -> "type[BaseModel]":
        from pydantic import ConfigDict, Field, create_model

        fields: dict[str, Any] = {}
        for index, (name, parameter) in enumerate(self._named.items()):
            default = ... if parameter.default is parameter.empty else parameter.default
            title = name.replace("_", " ").capitalize()
            fields[f"parameter_{index}"] = (
                self._hints.get(name, Any),
                Field(default, alias=name, title=title),
            )
        config = ConfigDict(
            extra="allow" if self._takes_any else "forbid", arbitrary_types_allowed=False
        )
        return create_model(
            f"{self.name.rpartition('.')[2]}_parameters", __config__=config, **fields
        )


_registered: dict[str, Task] = {}


def registered_tasks() -> tuple[Task, ...]:
    """Return every function registered so far, by name."""
    return tuple(_registered[name] for name in sorted(_registered))


def registered_task(name: str) -> Task | None:
    """Return the function registered under `name`."""
    return _registered.get(name)


@overload
def task(function: Function, /) -> Function: ...
@overload
def task(
    *, name: str | None = None, isolation: Isolation | None = None
) -> Callable[[Function], Function]: ...
def task(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    isolation: Isolation | None = None,
) -> Function | Callable[[Function], Function]:
    """Register a function as runnable; the function itself stays what it was.

    `name` defaults to the dotted name of the function. `isolation` defaults to `inline` for
    `async def` (it shares the worker's event loop, so it must not block) and to `process` for a
    plain function (it runs in a child that can be killed).
    """

    def register(function: Function) -> Function:
        _register(function, name, isolation)
        return function

    return register if function is None else register(function)


def _register(function: Callable[..., Any], name: str | None, isolation: Isolation | None) -> None:
    if "<locals>" in function.__qualname__:
        raise TypeError(
            f"{function.__qualname__}: register tasks at the top level of a module, "
            "where a child process can find them."
        )
    is_async = inspect.iscoroutinefunction(function)
    registered = Task(
        name=name or f"{function.__module__}.{function.__qualname__}",
        doc=inspect.getdoc(function),
        isolation=isolation or ("inline" if is_async else "process"),
        function=function,
    )
    _refuse_the_impossible(registered)
    _registered[registered.name] = registered


def _refuse_the_impossible(new: Task) -> None:
    if new.isolation not in ISOLATIONS:
        raise TypeError(f"{new.name}: isolation is one of {', '.join(ISOLATIONS)}.")
    if new.isolation == "inline" and not new.is_async:
        raise TypeError(
            f"{new.name}: a plain function inline would stop every other run of its worker; "
            "make it `async def`, or choose thread or process."
        )
    for parameter in inspect.signature(new.function).parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(f"{new.name}: parameters come by name, {parameter.name} cannot.")
    known = _registered.get(new.name)
    if known is not None and _origin(known.function) != _origin(new.function):
        raise TypeError(f"{new.name}: two functions are registered under this name.")


def _origin(function: Callable[..., Any]) -> tuple[str, str]:
    # A module imported again (a reload) registers the same function anew, and may.
    return function.__module__, function.__qualname__


def _is_context(hint: object) -> bool:
    return hint is RunContext or RunContext in getattr(hint, "__args__", ())
