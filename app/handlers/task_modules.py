"""Find registered functions; never import what the API names.

The operator lists modules (`TICKWHEEL_TASKS`); importing them registers their functions. A job's
`function` is then only looked up.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from app.handlers.execution import Refused
from tickwheel.tasks import Task, registered_task, registered_tasks

_BUILT_IN = "app.handlers.builtin"


class TaskModuleBroken(Exception):
    """A module in TICKWHEEL_TASKS cannot be used as it is; told at start."""


def load_modules(names: Iterable[str]) -> None:
    """Import the built-in functions and the operator's. Raises TaskModuleBroken."""
    import_module(_BUILT_IN)
    for name in names:
        try:
            import_module(name)
        except Exception as error:
            raise TaskModuleBroken(f"TICKWHEEL_TASKS names {name}: {error!r}.") from error


def check_signatures() -> None:
    """Read every signature now: what is wrong with one should not wait for its first run."""
    for task in registered_tasks():
        try:
            _ = task.parameters_schema
        except Exception as error:
            raise TaskModuleBroken(f"The parameters of {task.name}: {error}") from error


def function_schema(name: object) -> Mapping[str, Any] | None:
    """Return the JSON Schema of a function's parameters; None where it is not registered."""
    task = registered_task(name) if isinstance(name, str) else None
    return None if task is None else task.parameters_schema


def find_task(name: str) -> Task:
    """Return the function of that name. Raises Refused."""
    task = registered_task(name)
    if task is None:
        raise Refused(f"No function is registered as {name}.", type_name="UnknownFunction")
    return task


def known_names_hint(name: str) -> str:
    """Help somebody who got a name wrong."""
    names = [task.name for task in registered_tasks()]
    close = get_close_matches(name, names, n=1)
    listed = f"Registered: {', '.join(names)}."
    return f"Did you mean {close[0]}? {listed}" if close else listed
