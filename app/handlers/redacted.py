"""The sink of a run, with its secrets struck out of all that goes through.

Everything a handler says or leaves behind passes here, whatever kind of job it runs.
"""

from dataclasses import replace

from app.core.redaction import Redaction
from app.core.vocabulary import LogLevel
from app.handlers.execution import Failure, Outcome, RunOutput, Stream
from app.handlers.output_text import MAX_LINE


class RedactedOutput:
    """A `RunOutput` that strikes out secrets before it passes anything on.

    Of a line that goes on, the end is held back for as long as a secret may have begun there.
    """

    def __init__(self, output: RunOutput, redaction: Redaction) -> None:
        self._output = output
        self._redaction = redaction
        self._held: dict[Stream, str] = {}

    def write(
        self,
        text: str,
        *,
        stream: Stream = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        """Add one line, without its line end."""
        whole = self._held.pop(stream, "") + text
        if goes_on:
            decided = self._redaction.decided(whole)
            whole, self._held[stream] = whole[:decided], whole[decided:]
            if not whole:
                return
        struck_out = self._redaction.text(whole)
        for start in range(0, max(len(struck_out), 1), MAX_LINE):
            piece = struck_out[start : start + MAX_LINE]
            self._output.write(piece, stream=stream, level=level)

    def room(self) -> int:
        """Return how many lines are kept at this moment."""
        return self._output.room()

    def drop(self, lines: int) -> None:
        """Count lines that were not written. What was held back may be half of a secret."""
        self._held.clear()
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
