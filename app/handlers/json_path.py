"""Name a part of a JSON value: `items.0.id`, or as JSONPath writes it, `$.items[0]["the id"]`.

Only paths to one place, no wildcards or filters: what is taken is one value or nothing.
"""

import re
from typing import Any

Step = str | int

_STEP = re.compile(
    r"""\.?(?:
        (?P<name>[^.\[\]"'\s]+)
      | \[(?P<index>\d{1,9})\]
      | \[(?P<quote>["'])(?P<quoted>(?:(?!(?P=quote)).)+)(?P=quote)\]
    )""",
    re.VERBOSE,
)


class PathInvalid(ValueError):
    """The text names no path."""


def read_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path; none for the whole value. Raises PathInvalid."""
    rest = text.removeprefix("$")
    steps: list[Step] = []
    while rest:
        match = _STEP.match(rest)
        if match is None or (steps and match["name"] and not rest.startswith(".")):
            raise PathInvalid('A path names one place, like items.0.id or $.items[0]["the id"].')
        index = match["index"]
        steps.append(match["name"] or match["quoted"] if index is None else int(index))
        rest = rest[match.end() :]
    return tuple(steps)


def at_path(value: Any, path: tuple[Step, ...]) -> Any:
    """Return what a path leads to. Raises LookupError when there is nothing."""
    for step in path:
        try:
            value = value[int(step)] if isinstance(value, list) else value[str(step)]
        except (LookupError, ValueError, TypeError):
            shown = ".".join(str(each) for each in path)
            raise LookupError(f"it has no {shown}") from None
    return value
