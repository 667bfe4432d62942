"""Let `print` and `logging` inside a run write to that run's log.

Inline and thread runs share one process and one `sys.stdout`. A context variable says which run is
speaking: it follows `await`, and a thread is started with a copy. Outside a run everything goes
where it went before. Child processes need none of this; their streams are pipes.
"""

import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from app.core.vocabulary import LogLevel
from app.handlers.execution import RunOutput, Stream
from app.handlers.output_text import MAX_LINE, clean

_LEVELS = ((logging.ERROR, LogLevel.ERROR), (logging.WARNING, LogLevel.WARNING))


class RunVoice:
    """What one run says: whole lines of both streams, and log records.

    As a context manager it takes what is printed and logged inside, to the last word.
    """

    def __init__(self, output: RunOutput) -> None:
        self._output = output
        self._rest: dict[Stream, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._token = _voice.set(self)

    def __exit__(self, *_: object) -> None:
        _voice.reset(self._token)
        self.finish()

    def say(self, stream: Stream, text: str) -> None:
        """Take printed text; lines go out when they are whole."""
        with self._lock:
            *lines, rest = (self._rest.get(stream, "") + text).split("\n")
            cut = max(len(rest) - 1, 0) // MAX_LINE * MAX_LINE
            self._rest[stream] = rest[cut:]
        for line in lines:
            self._output.write(clean(line), stream=stream)
        for start in range(0, cut, MAX_LINE):
            piece = clean(rest[start : start + MAX_LINE])
            self._output.write(piece, stream=stream, goes_on=True)

    def record(self, record: logging.LogRecord, text: str) -> None:
        """Take a log record."""
        self._output.write(clean(text), stream="log", level=level_of(record.levelno))

    def finish(self) -> None:
        """Write out what has no line end."""
        for stream, rest in self._rest.items():
            if rest:
                self._output.write(clean(rest), stream=stream)
        self._rest = {}


_voice: ContextVar[RunVoice | None] = ContextVar("tickwheel_run_voice", default=None)


def level_of(number: int) -> LogLevel:
    """Translate a level of `logging`."""
    for least, level in _LEVELS:
        if number >= least:
            return level
    return LogLevel.INFO if number >= logging.INFO else LogLevel.DEBUG


@contextmanager
def attributed_to(voice: RunVoice) -> Iterator[None]:
    """Attribute what is said inside, and by threads started inside, to this run."""
    token = _voice.set(voice)
    try:
        yield
    finally:
        _voice.reset(token)


class RunLogHandler(logging.Handler):
    """Sends records to the run that is speaking, or to the one it was made for."""

    def __init__(self, voice: RunVoice | None = None) -> None:
        super().__init__()
        self._own = voice

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record to the run's log, if a run is speaking."""
        voice = self._own or _voice.get()
        if voice is not None:
            voice.record(record, self.format(record))


class _RoutedStream(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`."""

    def __init__(self, original: TextIO, stream: Stream) -> None:
        self.original = original
        self._stream: Stream = stream

    def write(self, text: str) -> int:
        voice = _voice.get()
        if voice is None:
            return self.original.write(text)
        voice.say(self._stream, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        if _voice.get() is None:
            self.original.flush()

    def isatty(self) -> bool:
        return _voice.get() is None and self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def close(self) -> None:
        """The stream is not ours to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class Capture:
    """Puts the routing in place for as long as a worker is open."""

    def __init__(self) -> None:
        self._handler = RunLogHandler()
        self._stdout = _RoutedStream(sys.stdout, "stdout")
        self._stderr = _RoutedStream(sys.stderr, "stderr")

    def begin(self) -> None:
        """Route from now on."""
        sys.stdout, sys.stderr = self._stdout, self._stderr
        logging.getLogger().addHandler(self._handler)

    def end(self) -> None:
        """Put back what was there, unless somebody has replaced it since."""
        logging.getLogger().removeHandler(self._handler)
        if sys.stdout is self._stdout:
            sys.stdout = self._stdout.original
        if sys.stderr is self._stderr:
            sys.stderr = self._stderr.original
