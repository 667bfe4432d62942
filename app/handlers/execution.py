"""The seam between the engine and what a job does.

An `Execution` is everything a handler may know about one attempt; a `RunOutput` is the only way it
speaks while it works; an `Outcome` is what came of it. All three are plain values or protocols, so
that a handler can be tried without an engine and the engine without a handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from app.core.ids import Kind, public_id
from app.core.redaction import Redaction
from app.core.vocabulary import FailureReason, JobKind, LogLevel, RunState

Stream = Literal["stdout", "stderr", "log"]

# `task.cancel(KILL_NOW)` skips the grace that processes have between TERM and KILL: for a lost
# lease, where another attempt may already have begun.
KILL_NOW: Final = "kill now"


@dataclass(frozen=True, slots=True)
class EndpointDefinition:
    """An endpoint as it is stored. `generation` changes with it and with each of its secrets."""

    id: UUID
    key: str
    generation: str
    base_url: str
    headers: Mapping[str, Any]
    variables: Mapping[str, Any]
    auth: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt of one run."""

    run_id: UUID
    attempt: int
    max_attempts: int
    job_key: str
    schedule_key: str | None
    project_key: str
    kind: JobKind
    # With secrets in them: not for logs.
    config: Mapping[str, Any] = field(repr=False)
    parameters: Mapping[str, Any] = field(repr=False)
    scheduled_for: datetime
    previous_success_at: datetime | None
    timeout_seconds: float
    lease_token: int
    # References to secrets are resolved already, but in the `config` of an HTTP job, whose texts
    # are templates: those are filled in from here. All of them, and what a handler learns, are in
    # `redaction`.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    redaction: Redaction | None = None
    # The right of its project, as it is at the claim.
    shell_allowed: bool = False
    # What an HTTP job's `connection` names.
    endpoint: EndpointDefinition | None = None

    @property
    def public_run_id(self) -> str:
        """Return the run's id as the API shows it: the one that leaves this process."""
        return public_id(Kind.RUN, self.run_id)


class RunOutput(Protocol):
    """Where a run's words go. It never blocks: it buffers, caps and counts what it drops."""

    def write(
        self,
        text: str,
        *,
        stream: Stream = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        """Add one line, without its line end.

        `goes_on`: it is too long for one, and the next one of the stream begins where it stops.
        """

    def room(self) -> int:
        """Return how many lines are kept at this moment; more are counted, but for the last few."""

    def drop(self, lines: int) -> None:
        """Count lines that were not written, because there was no room for them.

        What was written before does not go on after that, nor if none are counted.
        """

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is, between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed, in words for the person who is woken by it."""

    reason: FailureReason
    type: str
    message: str
    detail: str | None = None
    retry_after_seconds: float | None = None
    # Another attempt would only fail in the same way: there is none, whatever the policy.
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. By then nothing of it is alive."""

    state: RunState
    result: Any = None
    error: Failure | None = None
    exit_code: int | None = None
    http_status: int | None = None


SUCCEEDED: Final = Outcome(RunState.SUCCEEDED)


class Refused(Exception):
    """Our own rules forbid this attempt; trying again as it is will not help."""

    def __init__(self, message: str, *, type_name: str = "Refused") -> None:
        super().__init__(message)
        self.type_name = type_name


def failed(type_name: str, message: str, *, detail: str | None = None) -> Outcome:
    """Return the outcome of an attempt that went wrong by itself."""
    return Outcome(RunState.FAILED, error=Failure(FailureReason.ERROR, type_name, message, detail))


def rejected(type_name: str, message: str) -> Outcome:
    """Return the outcome of an attempt that our rules refused."""
    return Outcome(RunState.FAILED, error=Failure(FailureReason.REJECTED, type_name, message))


def timed_out(timeout_seconds: float) -> Outcome:
    """Return the outcome of an attempt that took longer than it may."""
    message = f"It took longer than its time-out of {timeout_seconds:g} s and was ended."
    return Outcome(RunState.TIMED_OUT, error=Failure(FailureReason.TIMEOUT, "TimedOut", message))
