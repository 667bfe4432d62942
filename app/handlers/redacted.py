"""The sink of a run, with its secrets struck out of all that goes through.

Everything a handler says or leaves behind passes here, whatever kind of job it runs.
"""

from dataclasses import replace

from app.core.redaction import Redaction
from app.core.vocabulary import LogLevel
from app.handlers.execution import Failure, Outcome, RunOutput, Stream


class RedactedOutput:
    """A `RunOutput` that strikes out secrets before it passes anything on."""

    def __init__(self, output: RunOutput, redaction: Redaction) -> None:
        self._output = output
        self._redaction = redaction

    def write(
        self, text: str, *, stream: Stream = "stdout", level: LogLevel = LogLevel.INFO
    ) -> None:
        """Add one line, without its line end."""
        self._output.write(self._redaction.text(text), stream=stream, level=level)

    def room(self) -> int:
        """Return how many lines are kept at this moment."""
        return self._output.room()

    def drop(self, lines: int) -> None:
        """Count lines that were not written."""
        self._output.drop(lines)

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is, between 0 and 1."""
        self._output.progress(fraction, message and self._redaction.text(message))


def redacted_outcome(outcome: Outcome, redaction: Redaction) -> Outcome:
    """Return what came of an attempt, without the secrets."""
    if not redaction:
        return outcome
    error = outcome.error and _redacted_failure(outcome.error, redaction)
    return replace(outcome, result=redaction.json(outcome.result), error=error)


def _redacted_failure(error: Failure, redaction: Redaction) -> Failure:
    return replace(
        error,
        type=redaction.text(error.type),
        message=redaction.text(error.message),
        detail=error.detail and redaction.text(error.detail),
    )
