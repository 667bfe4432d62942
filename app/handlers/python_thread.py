"""One run's own thread, and how it is asked to stop.

Nothing can kill a thread. It is asked: `context.cancelled` for a function that has a context (with
a grace, like a process), then an exception raised inside it; a coroutine is cancelled. The attempt
is over when the thread is, however long that takes, so that a finished run never still works.

A thread serves one run only. A request to stop that arrives late then hits nobody else.
"""

import asyncio
import ctypes
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from app.core.vocabulary import LogLevel
from app.handlers.execution import RunOutput, Stream
from app.handlers.run_context import Cancellation
from tickwheel.tasks import Task

_LOOK_SECONDS = 1.0
_MOST_WAITING = 2_000


class StopRequested(BaseException):
    """Raised inside a thread whose run was cancelled or timed out."""


class TaskThread:
    """Calls a function in a thread of its own."""

    def __init__(
        self, task: Task, call: Callable[[], Any], *, name: str, grace_seconds: float
    ) -> None:
        self._task = task
        self._call = call
        self._grace_seconds = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._coroutine: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        context = copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._run), name=name, daemon=True
        )
        self._thread.start()

    async def ended(self) -> None:
        """Wait for the thread to end."""
        while not self._done.is_set() and self._thread.is_alive():
            # The look is for a thread that was stopped before it could set up to say so.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), _LOOK_SECONDS)

    async def stop(self, cancellation: Cancellation) -> None:
        """Ask the thread to stop, and wait until it has, however often we are cancelled."""
        cancellation.requested = True
        stopping = asyncio.create_task(self._stop())
        interrupted = None
        while not stopping.done():
            try:
                await asyncio.shield(stopping)
            except asyncio.CancelledError as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    async def _stop(self) -> None:
        if self._task.wants_context:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended(), self._grace_seconds)
        if not self._done.is_set():
            self._interrupt()
        await self.ended()

    def _interrupt(self) -> None:
        if self._coroutine is not None:
            loop, running = self._coroutine
            with suppress(RuntimeError):  # Its loop has just closed: it ended by itself.
                loop.call_soon_threadsafe(running.cancel)
            return
        # Takes effect at the thread's next instruction; a call that blocks in C returns first.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(StopRequested)
        )

    def _run(self) -> None:
        try:
            self._call_and_keep()
            self._say_done()
        except StopRequested:
            # It arrived when the function had already ended. There is only ever one.
            self._say_done()

    def _call_and_keep(self) -> None:
        try:
            self.value = asyncio.run(self._watched()) if self._task.is_async else self._call()
        except BaseException as error:
            self.error = error

    async def _watched(self) -> Any:
        current = asyncio.current_task()
        if current is not None:
            self._coroutine = asyncio.get_running_loop(), current
        return await self._call()

    def _say_done(self) -> None:
        with suppress(RuntimeError):  # The worker's loop is gone; nobody waits.
            self._loop.call_soon_threadsafe(self._done.set)


class ThreadRelay:
    """Carries a thread's words to the event loop, many at a time.

    A thread that says more than the loop takes loses the oldest of what waits.
    """

    def __init__(self, output: RunOutput, loop: asyncio.AbstractEventLoop) -> None:
        self._output = output
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Stream, LogLevel, bool]] = deque()
        self._dropped = 0
        # Streams of which the beginning of a line is lost, so that the rest of it is, too.
        self._beheaded: set[Stream] = set()

    def write(
        self,
        text: str,
        *,
        stream: Stream = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        """Take a line, from any thread."""
        with self._lock:
            if stream in self._beheaded:
                self._dropped += 1
                if not goes_on:
                    self._beheaded.discard(stream)
                return
            is_first = not self._waiting
            self._waiting.append((text, stream, level, goes_on))
            if len(self._waiting) > _MOST_WAITING:
                self._lose_oldest()
        if is_first:
            self._loop.call_soon_threadsafe(self.flush)

    def room(self) -> int:
        """Return how many lines may wait."""
        return _MOST_WAITING - len(self._waiting)

    def drop(self, lines: int) -> None:
        """Count lines, from any thread."""
        with self._lock:
            self._dropped += lines

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Take progress, from any thread."""
        self._loop.call_soon_threadsafe(self._output.progress, fraction, message)

    def flush(self) -> None:
        """On the loop: hand over what is waiting."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._output.drop(dropped)
        for text, stream, level, goes_on in waiting:
            self._output.write(text, stream=stream, level=level, goes_on=goes_on)

    def _lose_oldest(self) -> None:
        _, stream, _, goes_on = self._waiting.popleft()
        self._dropped += 1
        if not goes_on:
            return
        kept: deque[tuple[str, Stream, LogLevel, bool]] = deque()
        for line in self._waiting:
            if goes_on and line[1] == stream:
                self._dropped += 1
                goes_on = line[3]
            else:
                kept.append(line)
        self._waiting = kept
        if goes_on:
            self._beheaded.add(stream)
