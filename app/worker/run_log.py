"""The log of one run under way, and the loop that writes the logs of all of them.

A run writes lines into memory and never waits; the writer takes what has gathered a few times a
second, for all runs in one statement. Until that is confirmed the lines stay here, and go once more
with the transaction that ends their attempt, so that a finished run's log is whole.

A log is bounded in lines, in bytes, in lines a second and in what may wait in memory. What is too
much is counted, except for the last few lines, which are kept for the end: that is where programs
say what went wrong.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import TypeVar

import structlog

from app.core.clock import elapsed_seconds, utc_now
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

# Of a run, over all its attempts, each of which is left its share.
MOST_LINES = 100_000
MOST_BYTES = 8 * 1024 * 1024
LEAST_LINES = 200
# In the first second of an attempt, or after a rest; then a second.
BURST_LINES = 5_000
LINES_A_SECOND = 1_000
# Of all runs of a worker, waiting to be written.
MOST_PENDING_BYTES = 16 * 1024 * 1024
_LINE_BYTES = 200  # What a line takes in memory besides its text.
_TAIL_LINES = 50
_TAIL_BYTES = 16 * 1024
_LONGEST_LINE = 16 * 1024
_LONGEST_MESSAGE = 1024
_FLUSH_SECONDS = 0.25

_Item = TypeVar("_Item")
_Line = tuple[int, str, str, str]
_log = structlog.get_logger(__name__)


class Memory:
    """What the logs of a worker may keep in memory, together."""

    def __init__(self, most_bytes: int = MOST_PENDING_BYTES) -> None:
        self.left_bytes = most_bytes


class RunLog:
    """What one attempt says; the `RunOutput` its handler is given."""

    def __init__(self, run: ClaimedRun, memory: Memory | None = None) -> None:
        self._run = run
        self._memory = memory or Memory()
        self._next_sequence = run.log_lines + 1
        attempts_left = max(run.execution.max_attempts - run.attempt + 1, 1)
        self._lines_left = max((MOST_LINES - run.log_lines) // attempts_left, LEAST_LINES)
        self._bytes_left = MOST_BYTES * self._lines_left // MOST_LINES
        self._now_left = float(BURST_LINES)
        self._now_since = elapsed_seconds()
        self._pending: list[_Line] = []
        self._pending_bytes = 0
        self._unwritten: list[LogChunk] = []
        self._unwritten_bytes = 0
        self._tail: deque[_Line] = deque()
        self._tail_bytes = 0
        self._dropped = 0
        self._dropped_before = 0
        self._is_interrupted = False
        self._progress: Progress | None = None
        self.last_progress: Progress | None = None

    def write(
        self,
        text: str,
        *,
        stream: Stream = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        """Add one line."""
        kept = clean(text[:_LONGEST_LINE])
        line = (int(utc_now().timestamp() * 1000), level.value, stream, kept)
        if self.room() > 0:
            self._forget_tail()
            self._say_what_is_missing()
            self._add(line)
        else:
            self._add_to_tail(line)

    def room(self) -> int:
        """Return how many lines may be written now; others are counted, not kept."""
        if self._bytes_left <= 0 or self._memory.left_bytes <= 0:
            return 0
        now = elapsed_seconds()
        # Whole seconds, so that what is kept of a flood are stretches, not single lines.
        if now - self._now_since >= 1:
            gained = LINES_A_SECOND * (now - self._now_since)
            self._now_left = min(self._now_left + gained, BURST_LINES)
            self._now_since = now
        return min(int(self._now_left), self._lines_left)

    def drop(self, lines: int) -> None:
        """Count lines that were not even written here, because there was no room."""
        self._dropped += lines
        self._is_interrupted = self._is_interrupted or lines > 0

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

    def unwritten(self) -> list[LogChunk]:
        """Return every chunk that is not known to be written; the lines so far become one."""
        # Nothing but drops: now and then is enough, or a flood would leave a row each time.
        if self._pending or self._dropped > self._dropped_before:
            self._cut()
        return list(self._unwritten)

    def rest(self) -> tuple[LogChunk, ...]:
        """Return what is not known to be written at the end of the attempt, with the last words."""
        self._say_what_is_missing()
        for line in self._tail:
            self._append(line)
        self._tail.clear()
        if self._pending or self._dropped:
            self._cut()
        self._memory.left_bytes += self._unwritten_bytes
        self._unwritten_bytes = 0
        return tuple(self._unwritten)

    def confirm(self, chunks: Sequence[LogChunk]) -> None:
        """Forget chunks that are written."""
        done = {chunk.sequence for chunk in chunks}
        self._unwritten = [chunk for chunk in self._unwritten if chunk.sequence not in done]
        if not self._unwritten:
            self._memory.left_bytes += self._unwritten_bytes
            self._unwritten_bytes = 0

    def take_progress(self) -> Progress | None:
        """Return how far the run is if that is not written yet."""
        taken, self._progress = self._progress, None
        return taken

    def _add(self, line: _Line) -> None:
        self._lines_left -= 1
        self._now_left -= 1
        self._bytes_left -= len(line[3])
        self._append(line)

    def _append(self, line: _Line) -> None:
        self._pending.append(line)
        size = len(line[3]) + _LINE_BYTES
        self._pending_bytes += size
        self._memory.left_bytes -= size

    def _add_to_tail(self, line: _Line) -> None:
        self._tail.append(line)
        self._tail_bytes += len(line[3])
        while len(self._tail) > _TAIL_LINES or self._tail_bytes > _TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft()[3])
            self.drop(1)

    def _forget_tail(self) -> None:
        """Count what was kept for the end, which has not come yet."""
        if self._tail:
            self.drop(len(self._tail))
            self._tail.clear()
            self._tail_bytes = 0

    def _say_what_is_missing(self) -> None:
        if self._is_interrupted:
            self._is_interrupted = False
            at = int(utc_now().timestamp() * 1000)
            text = "… lines are missing here: the log is full or came too fast …"
            self._append((at, LogLevel.WARNING.value, "log", text))

    def _cut(self) -> None:
        lines, self._pending = self._pending, []
        dropped, self._dropped = self._dropped, 0
        self._dropped_before += dropped
        self._unwritten_bytes += self._pending_bytes
        self._pending_bytes = 0
        self._unwritten.append(
            LogChunk(
                run_id=self._run.id,
                fencing_token=self._run.fencing_token,
                sequence=self._next_sequence,
                line_count=len(lines),
                attempt=self._run.attempt,
                dropped=dropped,
                lines=to_json(lines),
            )
        )
        # A chunk of nothing but a count takes a number too: it is part of the key.
        self._next_sequence += max(len(lines), 1)


class RunLogWriter:
    """Writes the logs of all runs under way, a few times a second."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._memory = Memory()
        self._logs: set[RunLog] = set()

    def open(self, run: ClaimedRun) -> RunLog:
        """Start the log of an attempt."""
        log = RunLog(run, self._memory)
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
        waiting = {log: chunks for log in self._logs if (chunks := log.unwritten())}
        progress = list(_present(log.take_progress() for log in self._logs))
        if not waiting and not progress:
            return
        try:
            await write_logs(
                self._runtime, [chunk for chunks in waiting.values() for chunk in chunks], progress
            )
        except Exception as error:
            note_failure(_log, "run_log.write_failed", error)
            if is_refused(error):
                await self._write_apart(waiting)
            return
        for log, chunks in waiting.items():
            log.confirm(chunks)

    async def _write_apart(self, waiting: Mapping[RunLog, Sequence[LogChunk]]) -> None:
        """Find the log whose lines were refused: it must not hold up the others, nor itself."""
        for log, chunks in waiting.items():
            try:
                await write_logs(self._runtime, chunks, ())
            except Exception as error:
                if not is_refused(error):
                    return
                log.drop(sum(chunk.line_count + chunk.dropped for chunk in chunks))
            log.confirm(chunks)


def _present(items: Iterable[_Item | None]) -> Iterable[_Item]:
    return (item for item in items if item is not None)
