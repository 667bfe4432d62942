"""What a function may know and say about the run it is part of.

A function that annotates a parameter with `RunContext` receives one; any object of this shape
will do in a test. The names are part of the public interface: they are only ever added to.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable


class RunLog(Protocol):
    """Writes lines into the run's log; a `logging.Logger` is one."""

    def debug(self, msg: str, *args: object) -> None:
        """Write a line that only an investigation needs."""

    def info(self, msg: str, *args: object) -> None:
        """Write a line."""

    def warning(self, msg: str, *args: object) -> None:
        """Write a line that somebody should look at."""

    def error(self, msg: str, *args: object) -> None:
        """Write a line about something that went wrong."""

    def exception(self, msg: str, *args: object) -> None:
        """Write a line and the traceback of the exception being handled."""


@runtime_checkable
class RunContext(Protocol):
    """One attempt of a run, seen from inside."""

    @property
    def run_id(self) -> str:
        """The run; the same in every attempt, so it serves as an idempotency key."""

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1."""

    @property
    def scheduled_for(self) -> datetime:
        """The occurrence this run stands for, in UTC: what the run is about, not when it began."""

    @property
    def previous_success_at(self) -> datetime | None:
        """The occurrence of the last success: with `scheduled_for` the interval yet to be done."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters in effect, as given."""

    @property
    def log(self) -> RunLog:
        """The run's log."""

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled or timed out. Long loops look here and stop early."""

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is, between 0 and 1."""
