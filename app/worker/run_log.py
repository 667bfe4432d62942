"""The log of one run under way, and the loop that writes the logs of all of them.

A run writes lines into memory and never waits; the writer takes what has gathered a few times a
second, for all runs in one statement. What is left when an attempt ends is written in the
transaction that ends it, so that a finished run's log is whole. The log of a run is bounded in
lines and in bytes; what is dropped is counted.
"""

import asyncio
from collections.abc import Iterable
from math import isnan
from typing import TypeVar

import structlog

from app.core.clock import utc_now
from app.core.vocabulary import LogLevel
from app.handlers.execution import Stream
from app.handlers.output_text import clean
from app.runtime import Runtime
from app.services.claiming import ClaimedRun
from app.services.logging_runs import write_logs
from app.store.database import is_refused
from app.store.firing import to_json
from app.store.run_logs import LogChunk, Progress
from app.worker.failures import note_failure

MOST_LINES = 100_000
MOST_BYTES = 8 * 1024 * 1024
_LONGEST_LINE = 16 * 1024
_LONGEST_MESSAGE = 1024
_MOST_PENDING_LINES = 5_000
_FLUSH_SECONDS = 0.25

_Item = TypeVar("_Item")
_log = structlog.get_logger(__name__)


class RunLog:
    """What one attempt says; the `RunOutput` its handler is given."""

    def __init__(self, run: ClaimedRun) -> None:
        self._run = run
        self._next_sequence = run.log_lines + 1
        self._bytes = 0
        self._pending: list[tuple[int, str, str, str]] = []
        self._dropped = 0
        self._progress: Progress | None = None
        self.last_progress: Progress | None = None

    def write(
        self, text: str, *, stream: Stream = "stdout", level: LogLevel = LogLevel.INFO
    ) -> None:
        """Add one line."""
        size = len(text)
        full = self._next_sequence + len(self._pending) > MOST_LINES
        if full or self._bytes + size > MOST_BYTES or len(self._pending) >= _MOST_PENDING_LINES:
            self._dropped += 1
            return
        self._bytes += size
        kept = clean(text[:_LONGEST_LINE])
        self._pending.append((int(utc_now().timestamp() * 1000), level.value, stream, kept))

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is."""
        if isnan(fraction):
            return
        self._progress = self.last_progress = Progress(
            self._run.id,
            self._run.fencing_token,
            min(max(fraction, 0.0), 1.0),
            None if message is None else clean(message[:_LONGEST_MESSAGE]),
        )

    def take_chunk(self) -> LogChunk | None:
        """Return the lines that are not written yet, and forget them."""
        if not self._pending and not self._dropped:
            return None
        lines, self._pending = self._pending, []
        dropped, self._dropped = self._dropped, 0
        chunk = LogChunk(
            run_id=self._run.id,
            fencing_token=self._run.fencing_token,
            sequence=self._next_sequence,
            line_count=len(lines),
            attempt=self._run.attempt,
            dropped=dropped,
            lines=to_json(lines),
        )
        # A chunk of nothing but a count takes a number too: it is part of the key.
        self._next_sequence += max(len(lines), 1)
        return chunk

    def take_progress(self) -> Progress | None:
        """Return how far the run is if that is not written yet."""
        taken, self._progress = self._progress, None
        return taken


class RunLogWriter:
    """Writes the logs of all runs under way, a few times a second."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._logs: set[RunLog] = set()
        self._unwritten: list[LogChunk] = []

    def open(self, run: ClaimedRun) -> RunLog:
        """Start the log of an attempt."""
        log = RunLog(run)
        self._logs.add(log)
        return log

    def close(self, log: RunLog) -> None:
        """Stop writing a log; what is left of it goes with the end of its attempt."""
        self._logs.discard(log)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered; keep it for the next time if PostgreSQL is away."""
        self._unwritten.extend(_present(log.take_chunk() for log in self._logs))
        progress = list(_present(log.take_progress() for log in self._logs))
        if not self._unwritten and not progress:
            return
        chunks, self._unwritten = self._unwritten, []
        try:
            await write_logs(self._runtime, chunks, progress)
        except Exception as error:
            note_failure(_log, "run_log.write_failed", error)
            # Lines that cannot be written must not hold up all those that come after them.
            if not is_refused(error):
                self._unwritten[:0] = chunks


def _present(items: Iterable[_Item | None]) -> Iterable[_Item]:
    return (item for item in items if item is not None)
