"""What a job or schedule gets where it says nothing itself.

The instance has a value for everything, from its settings; a project may replace some of them. The
nearest one counts: the definition's own value, then its project's, then the instance's. Defaults
are taken when something is created or a value is cleared: what is stored does not change when they
do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from app.core.durations import format_duration, parse_duration
from app.core.errors import Invalid, InvalidInput, TickwheelError
from app.core.retry import RetryPolicy
from app.core.time import parse_timezone
from app.core.vocabulary import Backoff, FailureReason

SHORTEST_TIMEOUT, LONGEST_TIMEOUT = timedelta(seconds=1), timedelta(days=30)
LONGEST_WINDOW: Final = timedelta(days=366)
MOST_ATTEMPTS: Final = 100
LONGEST_DELAY: Final = timedelta(days=7)
MOST_CONCURRENT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Defaults:
    """A value for everything that may be left unsaid; no `concurrency_limit` means no limit."""

    timezone: str
    timeout: timedelta
    retry: RetryPolicy
    catch_up_window: timedelta
    concurrency_limit: int | None = None

    def of_project(self, stored: Mapping[str, Any]) -> "Defaults":
        """Return the defaults of a project of this instance."""
        given = _ProjectDefaults.model_validate(stored)
        said = {name: getattr(given, name) for name in given.model_fields_set - {"retry"}}
        if given.retry is not None:
            said["retry"] = replace(self.retry, **given.retry.said())
        return replace(self, **said)


def check_project_defaults(given: Any) -> dict[str, Any]:
    """Return what a project may store of its defaults, or raise everything that is wrong."""
    if not isinstance(given, dict):
        raise Invalid('Defaults are an object, such as { timezone: "Europe/Berlin" }.')
    try:
        _ProjectDefaults.model_validate(given)
    except ValidationError as error:
        raise InvalidInput([_invalid(each) for each in error.errors()]) from None
    return given


def _invalid(error: Any) -> TickwheelError:
    cause = error.get("ctx", {}).get("error")
    message = str(cause) if isinstance(cause, ValueError) else error["msg"]
    if error["type"] == "extra_forbidden":
        message = "There is no such default."
    return Invalid(message, path=tuple(str(step) for step in error["loc"]))


def _zone(name: str) -> str:
    try:
        return parse_timezone(name).key
    except Invalid as error:
        raise ValueError(error.message) from error


def _length(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise ValueError("A duration is a text such as PT5M.")
    try:
        return parse_duration(value)
    except Invalid as error:
        raise ValueError(error.message) from error


def _lasting(shortest: timedelta, longest: timedelta) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            bounds = f"{format_duration(shortest)} and {format_duration(longest)}"
            raise ValueError(f"It lasts between {bounds}.")
        return value

    return AfterValidator(check)


_Length = Annotated[timedelta, BeforeValidator(_length)]
_Delay = Annotated[_Length, _lasting(timedelta(0), LONGEST_DELAY)]
_MODEL = ConfigDict(alias_generator=to_camel, extra="forbid")


class _RetryDefaults(BaseModel):
    """What a project says of retries; the rest is the instance's."""

    model_config = _MODEL

    max_attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS, strict=True)] = 1
    backoff: Backoff = Backoff.EXPONENTIAL
    initial_delay: _Delay = timedelta(0)
    max_delay: _Delay = timedelta(0)
    multiplier: Annotated[float, Field(ge=1, le=100, strict=True)] = 1
    jitter: Annotated[bool, Field(strict=True)] = True
    max_age: _Length | None = None
    retry_on: tuple[FailureReason, ...] = ()

    @model_validator(mode="after")
    def _delays_grow(self) -> Self:
        given = {"initial_delay", "max_delay"} <= self.model_fields_set
        if given and self.max_delay < self.initial_delay:
            raise ValueError("maxDelay is not shorter than initialDelay.")
        return self

    def said(self) -> dict[str, Any]:
        """Return only what was said."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class _ProjectDefaults(BaseModel):
    """What a project may say; everything is optional."""

    model_config = _MODEL

    timezone: Annotated[str, AfterValidator(_zone)] = ""
    timeout: Annotated[_Length, _lasting(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)] = SHORTEST_TIMEOUT
    retry: _RetryDefaults | None = None
    catch_up_window: Annotated[_Length, _lasting(timedelta(0), LONGEST_WINDOW)] = timedelta(0)
    concurrency_limit: Annotated[int | None, Field(ge=1, le=MOST_CONCURRENT, strict=True)] = None
