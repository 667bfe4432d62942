"""Templates of schedules and jobs: defaults in which some values are left open.

`defaults` has the fields of a schedule, as the API takes them, and under `job` those of a job.
Where a value is open it says `{"parameter": "name"}`, or `{{ name }}` inside a text. What is filled
in is a value, never a part of the template.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_NAME = "parameter"
_IN_TEXT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
JOB: Final = "job"


@dataclass(frozen=True, slots=True)
class BuiltInTemplate:
    """A template that every project has."""

    key: str
    name: str
    description: str
    parameters_schema: Mapping[str, Any]
    defaults: Mapping[str, Any]


def open_names(value: Any) -> Iterator[str]:
    """Yield the name of each parameter that a value leaves open."""
    if isinstance(value, str):
        yield from _IN_TEXT.findall(value)
    elif isinstance(value, Mapping):
        name = _named(value)
        if name is not None:
            yield name
            return
        for item in value.values():
            yield from open_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from open_names(item)


def fill_in(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Return the value with every parameter in its place. Raises KeyError for a missing one."""
    if isinstance(value, str):
        return _IN_TEXT.sub(lambda found: _as_text(parameters[found[1]]), value)
    if isinstance(value, Mapping):
        name = _named(value)
        if name is not None:
            return parameters[name]
        return {key: fill_in(item, parameters) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, parameters) for item in value]
    return value


def defaults_of_schema(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values that a JSON Schema gives to parameters that are left out."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {
        name: about["default"]
        for name, about in properties.items()
        if isinstance(about, Mapping) and "default" in about
    }


def _named(value: Mapping[str, Any]) -> str | None:
    name = value.get(_NAME) if len(value) == 1 else None
    return name if isinstance(name, str) else None


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parameters(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, about in properties.items() if "default" not in about],
        "additionalProperties": False,
    }


_HOUR = {"type": "integer", "minimum": 0, "maximum": 23, "default": 3}
_ZONE = {"type": "string", "default": "UTC"}


def _cron(expression: str, **more: Any) -> dict[str, Any]:
    timings = [{"cron": {"expression": expression}}]
    return {"timings": timings, "timezone": {"parameter": "timezone"}, **more}


BUILT_IN: Final = (
    BuiltInTemplate(
        "nightly",
        "Every night",
        "Once a night at a local hour; a night that was missed is made up for within six hours.",
        _parameters(hour=_HOUR, timezone=_ZONE),
        _cron("0 {{ hour }} * * *", catchUp="LATEST", catchUpWindow="PT6H"),
    ),
    BuiltInTemplate(
        "weekday-mornings",
        "On weekdays",
        "Monday to Friday at a local hour.",
        _parameters(hour={**_HOUR, "default": 8}, timezone=_ZONE),
        _cron("0 {{ hour }} * * MON-FRI"),
    ),
    BuiltInTemplate(
        "month-end",
        "On the last day of the month",
        "At a local hour of the last day of each month.",
        _parameters(hour={**_HOUR, "default": 18}, timezone=_ZONE),
        _cron("0 {{ hour }} L * *", catchUp="LATEST", catchUpWindow="P1D"),
    ),
    BuiltInTemplate(
        "every-minutes",
        "Every few minutes",
        "Every N minutes of elapsed time; a run that is still busy is not joined by another.",
        _parameters(minutes={"type": "integer", "minimum": 1, "default": 5}),
        {"timings": [{"interval": {"every": "PT{{ minutes }}M"}}], "overlap": "SKIP"},
    ),
    BuiltInTemplate(
        "website-check",
        "Watch a URL",
        "Asks a URL every few minutes, and tries again before it says that something is wrong.",
        _parameters(
            url={"type": "string", "minLength": 1},
            minutes={"type": "integer", "minimum": 1, "default": 5},
            text={"type": ["string", "null"], "default": None},
        ),
        {
            "timings": [{"interval": {"every": "PT{{ minutes }}M"}}],
            "catchUp": "NONE",
            "job": {
                "kind": "PYTHON",
                "config": {"function": "app.handlers.builtin.http_check"},
                "parameters": {
                    "url": {"parameter": "url"},
                    "contains": {"parameter": "text"},
                },
                "timeout": "PT1M",
                "retry": {"maxAttempts": 3, "initialDelay": "PT10S"},
            },
        },
    ),
    BuiltInTemplate(
        "weekly-export",
        "Export the runs of a week",
        "Every Monday morning the newest runs, to a file or a URL.",
        _parameters(
            to={"type": "string", "minLength": 1},
            format={"enum": ["csv", "json", "markdown", "html"], "default": "csv"},
            timezone=_ZONE,
        ),
        _cron(
            "0 6 * * MON",
            job={
                "kind": "PYTHON",
                "config": {"function": "app.handlers.builtin.export_runs"},
                "parameters": {"to": {"parameter": "to"}, "format": {"parameter": "format"}},
            },
        ),
    ),
)
