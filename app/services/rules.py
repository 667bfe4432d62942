"""The bounds every definition keeps: keys, names, tags, sizes."""

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson
from jsonschema_rs import Draft202012Validator, ReferencingError, RegexOptions, ValidationError

from app.core.errors import Invalid, InvalidInput
from app.core.secret_references import AnySecret, references_in, with_secrets
from app.core.vocabulary import JobKind
from app.handlers.task_modules import function_schema
from app.models import Job

MOST_TAGS = 50
_MOST_PARAMETER_ERRORS = 20
MOST_REASON = 1_000
MOST_JSON_BYTES = 64 * 1024
LOWEST_PRIORITY, HIGHEST_PRIORITY = -1_000, 1_000
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


def check_key(key: str) -> str:
    """Return a key that people can type and URLs can hold."""
    if not _KEY.fullmatch(key):
        raise Invalid(
            f"{key[:80]!r} is not a key: it has 1 to 200 letters, digits or any of . _ : / - "
            "and begins with a letter or a digit.",
            path=("key",),
        )
    return key


def check_name(name: str) -> str:
    """Return a name that fits."""
    if not name.strip() or len(name) > 200:
        raise Invalid("A name has between 1 and 200 characters.", path=("name",))
    return name


def check_description(description: str | None) -> str | None:
    """Return a description that fits."""
    if description is not None and len(description) > 10_000:
        raise Invalid("A description has at most 10,000 characters.", path=("description",))
    return description


def check_queue(queue: str) -> str:
    """Return the name of a queue."""
    if not _QUEUE.fullmatch(queue):
        raise Invalid(
            f"{queue[:80]!r} is not the name of a queue: it has 1 to 100 letters, digits or any "
            "of . _ : - and begins with a letter or a digit.",
            path=("queue",),
        )
    return queue


def check_priority(priority: int | None) -> int | None:
    """Return a priority within its bounds."""
    if priority is not None and not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise Invalid(
            f"A priority lies between {LOWEST_PRIORITY} and {HIGHEST_PRIORITY}; "
            f"{priority} does not.",
            path=("priority",),
        )
    return priority


def check_reason(reason: str | None) -> str | None:
    """Return a reason that fits, or None for one that says nothing."""
    if reason is not None and len(reason) > MOST_REASON:
        raise Invalid(f"A reason has at most {MOST_REASON:,} characters.", path=("reason",))
    return (reason or "").strip() or None


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags that fit."""
    if len(tags) > MOST_TAGS:
        raise Invalid(f"At most {MOST_TAGS} tags are allowed, not {len(tags)}.", path=("tags",))
    for key, value in tags.items():
        if not 1 <= len(key) <= 100 or len(value) > 200:
            raise Invalid(
                "A tag's key has 1 to 100 characters and its value at most 200; "
                f"{key[:40]!r} has not.",
                path=("tags",),
            )
    return dict(tags)


def check_object(value: Any, name: str) -> dict[str, Any]:
    """Return a JSON object that is not too big."""
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be a JSON object, like {{}}.", path=(name,))
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise Invalid(f"{name} cannot be kept as JSON: {error}.", path=(name,)) from error
    if size > MOST_JSON_BYTES:
        raise Invalid(f"{name} may take at most {MOST_JSON_BYTES // 1024} kB.", path=(name,))
    return value


def check_parameters_schema(schema: dict[str, Any]) -> None:
    """Raise `Invalid` unless `schema` is a JSON Schema that refers to nothing outside itself."""
    path = ("parametersSchema",)
    if any(not reference.startswith("#") for reference in _references(schema)):
        raise Invalid("A parameters schema may refer to nothing outside itself.", path=path)
    try:
        _validator(schema)
    except (ValidationError, ReferencingError) as error:
        raise Invalid(f"This is not a JSON Schema: {_first_line(error)}", path=path) from error


def parameters_schema_of(job: Job) -> Mapping[str, Any] | None:
    """Return the JSON Schema of a job's parameters: its own, or that of its function."""
    if job.parameters_schema is not None or job.kind is not JobKind.PYTHON:
        return job.parameters_schema
    return function_schema(job.config.get("function"))


def check_parameters(parameters: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise `InvalidInput`, with a path for each failure, unless parameters satisfy the schema.

    What a reference to a secret stands for is not known before the run: it counts as any text.
    """
    if schema is None:
        return
    referring = {where for where, _ in references_in(parameters)}
    values = with_secrets(parameters, AnySecret()) if referring else dict(parameters)
    try:
        found = (_parameter_error(error) for error in _validator(schema).iter_errors(values))
        known = (error for error in found if error.path[1:] not in referring)
        errors = list(islice(known, _MOST_PARAMETER_ERRORS))
    except (ValidationError, ReferencingError) as error:
        message = f"The job's parameters schema cannot be used: {_first_line(error)}"
        raise Invalid(message, path=("parameters",)) from error
    if errors:
        raise InvalidInput(errors)


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return _validator_of(orjson.dumps(schema))


# Every run of a job asks for the same one.
@lru_cache(maxsize=1024)
def _validator_of(schema: bytes) -> Draft202012Validator:
    # The linear engine: with a backtracking one a pattern like ^(a+)+$ stops the whole process.
    return Draft202012Validator(
        orjson.loads(schema), pattern_options=RegexOptions(), retriever=_fetch_nothing
    )


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is outside the schema")


def _parameter_error(error: ValidationError) -> Invalid:
    where = tuple(str(step) for step in error.instance_path)
    return Invalid(error.message[:500], path=("parameters", *where))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:500]


def _references(schema: Any) -> list[str]:
    found: list[str] = []
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found.extend(
                part[key] for key in ("$ref", "$dynamicRef") if isinstance(part.get(key), str)
            )
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found
