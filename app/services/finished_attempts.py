"""What a worker hands over when an attempt has ended."""

from dataclasses import dataclass

from app.core.vocabulary import FailureReason, RunState
from app.handlers.execution import Failure, Outcome
from app.services.claiming import ClaimedRun
from app.store.run_logs import LogChunk


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """One attempt that has ended, as its worker measured it on a monotonic clock.

    `given_back`: the worker is leaving and the attempt does not count.
    """

    run: ClaimedRun
    outcome: Outcome
    entry_seconds: float
    duration_seconds: float
    progress: float | None = None
    progress_message: str | None = None
    # What of its log is not known to be written.
    log: tuple[LogChunk, ...] = ()
    given_back: bool = False

    def stripped(self) -> "FinishedAttempt":
        """Return this end without anything the job has said: what PostgreSQL takes for sure."""
        outcome, cause = self.outcome, self.outcome.error
        error = Failure(
            # Not tried again: the job has done its work, and would say the same once more.
            FailureReason.REJECTED if cause is None else cause.reason,
            "EndRefused",
            "PostgreSQL refused to store what came of this attempt.",
        )
        succeeded = outcome.state is RunState.SUCCEEDED
        state = RunState.FAILED if succeeded else outcome.state
        return FinishedAttempt(
            self.run, Outcome(state, error=error), 0.0, 0.0, given_back=self.given_back
        )
