"""Call a function to its end, and describe its failure to the person who wrote it."""

import asyncio
import os
import traceback
from pathlib import Path
from typing import Any

from tickwheel.tasks import ParametersRefused, Task

_OUR_FOLDER = f"{Path(__file__).parent}{os.sep}"
_ASYNCIO_FOLDER = f"{Path(asyncio.__file__).parent}{os.sep}"


def call_to_end(task: Task, arguments: dict[str, Any]) -> Any:
    """Call the function here and now, in a thread or process of its own."""
    if task.is_async:
        return asyncio.run(task.function(**arguments))
    return task.function(**arguments)


def failure_message(error: BaseException) -> dict[str, Any]:
    """Return an exception as values that fit through a pipe."""
    return {
        "kind": "failure",
        "refused": isinstance(error, ParametersRefused),
        "type": type_name(error),
        "message": message_of(error),
        "detail": detail_of(error),
    }


def type_name(error: BaseException) -> str:
    """Return the name people know the exception by."""
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """Return what the exception says, even if saying it fails."""
    if isinstance(error, SystemExit):
        return f"The function asked to exit with {error.code!r}."
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__


def detail_of(error: BaseException) -> str:
    """Return the traceback from where the user's code begins."""
    at = error.__traceback__
    while at is not None and _is_ours(at.tb_frame.f_code.co_filename) and at.tb_next is not None:
        at = at.tb_next
    return "".join(traceback.format_exception(type(error), error, at))


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OUR_FOLDER, _ASYNCIO_FOLDER))
