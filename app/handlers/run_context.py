"""The `tickwheel.RunContext` that functions receive, in the worker and in a child process.

It is made of plain values and two callables, so that the child can make the same one from what it
was sent. The logger is built on first use: most runs never ask for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from app.handlers.execution import Outcome


class Occurrence(Protocol):
    """The part of an `Execution` that a context repeats."""

    @property
    def public_run_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def scheduled_for(self) -> datetime: ...
    @property
    def previous_success_at(self) -> datetime | None: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


@dataclass
class Cancellation:
    """Whether a run was told to stop; set once, read from anywhere."""

    requested: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request brought that was made as part of a run."""

    outcome: "Outcome"
    body: str


@dataclass(frozen=True, slots=True)
class Within:
    """What the built-in functions may use. Inline only, and not for the functions of users."""

    # Takes an HTTP job's configuration and its parameters; guarded and logged like one.
    request: Callable[[Mapping[str, Any], Mapping[str, Any]], Awaitable[Answer]]
    # What the services have put there for their own functions.
    instance: object


class OnlyWithin(Exception):
    """A built-in function was called where it has nothing to work on."""

    def __init__(self) -> None:
        super().__init__("This function runs inline in a worker, and nowhere else.")


def within(context: object) -> Within:
    """Return what a built-in function may use. Raises OnlyWithin."""
    found = getattr(context, "within", None)
    if not isinstance(found, Within):
        raise OnlyWithin
    return found


class LiveContext:
    """A run seen from inside."""

    def __init__(
        self,
        occurrence: Occurrence,
        *,
        progress: Callable[[float, str | None], None],
        log_handler: Callable[[], logging.Handler],
        cancellation: Cancellation,
        within: Within | None = None,
    ) -> None:
        self._occurrence = occurrence
        self._progress = progress
        self._log_handler = log_handler
        self._cancellation = cancellation
        self.within = within

    @property
    def run_id(self) -> str:
        """The run; the same in every attempt."""
        return self._occurrence.public_run_id

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""
        return self._occurrence.attempt

    @property
    def scheduled_for(self) -> datetime:
        """The occurrence this run stands for."""
        return self._occurrence.scheduled_for

    @property
    def previous_success_at(self) -> datetime | None:
        """The occurrence of the last success."""
        return self._occurrence.previous_success_at

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters in effect."""
        return self._occurrence.parameters

    @property
    def cancelled(self) -> bool:
        """Whether the run was told to stop."""
        return self._cancellation.requested

    @cached_property
    def log(self) -> logging.Logger:
        """The run's log. Not part of the tree of loggers: its level is nobody else's business."""
        logger = logging.Logger("tickwheel.run", logging.DEBUG)
        logger.addHandler(self._log_handler())
        return logger

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is."""
        self._progress(min(max(float(fraction), 0.0), 1.0), message)
