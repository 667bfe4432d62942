"""PYTHON jobs: a registered function, inline, in a thread, or in a process of its own.

inline   a coroutine on the worker's event loop. Cheapest by far (the herd of no-ops is measured
         with it), ended by cancelling it; it must not block.
thread   a thread per run. Nothing can kill a thread: it is asked to stop (`context.cancelled`, and
         an exception raised in it), and the attempt is over when it has.
process  a child under the same guard as a command: it can be killed, with all it started.

In every case the attempt ends only when the function no longer runs, which is what makes a
confirmed cancel mean something.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import coroutine
from typing import Any, cast

import orjson

from app.core.vocabulary import RunState
from app.handlers.command_job import (
    how_it_ended,
    parameter_environment,
    report_end,
    run_environment,
)
from app.handlers.config_fields import Fields
from app.handlers.confinement import Confinement, read_limits
from app.handlers.execution import (
    SUCCEEDED,
    Execution,
    Outcome,
    RunOutput,
    failed,
    rejected,
    timed_out,
)
from app.handlers.guarded_process import Listeners, ProcessEnd, Program, run_guarded
from app.handlers.options import HandlerOptions
from app.handlers.output_text import LineWriter, ResultRefused, clean, storable_result
from app.handlers.python_calls import (
    detail_of,
    message_of,
    type_name,
)
from app.handlers.python_thread import TaskThread, ThreadRelay
from app.handlers.run_capture import RunLogHandler, RunVoice, attributed_to, level_of
from app.handlers.run_context import Cancellation, LiveContext, Within
from app.handlers.task_modules import known_names_hint
from tickwheel.tasks import ISOLATIONS, Isolation, ParametersRefused, Task, registered_task

RESULT_BYTES = 256 * 1024
_CHILD = str(Path(__file__).with_name("python_child.py"))
_MAX_MESSAGE = 16 * 1024 * 1024
_LOG = b'{"kind": "log"'
_LAST_WORDS = 20


@dataclass(frozen=True, slots=True)
class PythonConfig:
    """A PYTHON job's configuration, checked."""

    task: Task
    isolation: Isolation
    limits: Mapping[str, float] = field(default_factory=dict)


def read_python_config(config: Mapping[str, Any]) -> PythonConfig:
    """Check a PYTHON job's configuration. Raises InvalidInput.

    The operator's modules must have been loaded.
    """
    fields = Fields(config)
    name = fields.text("function", required=True) or ""
    task = registered_task(name)
    if name and task is None:
        fields.problem(
            f"No function is registered as {name}.", "function", hint=known_names_hint(name)
        )
    isolation = fields.text("isolation")
    if isolation is not None and isolation not in ISOLATIONS:
        fields.problem(f"isolation is one of {', '.join(ISOLATIONS)}.", "isolation")
    elif isolation == "inline" and task is not None and not task.is_async:
        fields.problem("Only an async function can run inline.", "isolation")
    limits, limit_fields = read_limits(fields)
    chosen = _isolation(isolation) or (task.isolation if task is not None else None)
    if limits and chosen not in ("process", None):
        fields.problem("Only a function in a process of its own can have limits.", "limits")
    fields.finish(limit_fields)
    found = cast(Task, task)
    return PythonConfig(found, chosen or found.isolation, limits)


def _isolation(text: str | None) -> Isolation | None:
    return next((known for known in ISOLATIONS if known == text), None)


class PythonHandler:
    """Runs PYTHON jobs of one worker."""

    def __init__(
        self,
        options: HandlerOptions,
        confinement: Confinement,
        within: Callable[[Execution, RunOutput], Within],
    ) -> None:
        self._options = options
        self._confinement = confinement
        self._within = within
        # A job's configuration is read once for each of its (few) distinct forms.
        self._read: dict[tuple[object, object], PythonConfig] = {}

    def config_of(self, execution: Execution) -> PythonConfig:
        """Return the checked configuration. Raises InvalidInput."""
        config = execution.config
        key = (config.get("function"), config.get("isolation"))
        if len(config) > len(key) or any(type(part) not in (str, type(None)) for part in key):
            return read_python_config(config)
        known = self._read.get(key)
        if known is None:
            known = self._read[key] = read_python_config(config)
        return known

    async def execute(
        self, execution: Execution, config: PythonConfig, output: RunOutput
    ) -> Outcome:
        """Call the function in the isolation that was chosen."""
        try:
            match config.isolation:
                case "inline":
                    return await self._inline(config.task, execution, output)
                case "thread":
                    return await self._thread(config.task, execution, output)
            return await self._process(config, execution, output)
        except ParametersRefused as error:
            return rejected("InvalidParameters", str(error))

    async def _inline(self, task: Task, execution: Execution, output: RunOutput) -> Outcome:
        voice = RunVoice(output)
        context = _context(
            execution, output, voice, Cancellation(), self._within(execution, output)
        )
        arguments = task.arguments(execution.parameters, context)
        deadline: asyncio.Timeout | None = None
        with voice:
            try:
                call = task.function(**arguments)
                # Most functions of a herd never wait, and need no timer.
                try:
                    awaited = call.send(None)
                except StopIteration as end:
                    return _success(end.value)
                async with asyncio.timeout(execution.timeout_seconds) as deadline:
                    value = await _rest_of(call, awaited)
            except asyncio.CancelledError as error:
                # Ours, or one the function let slip from something it had cancelled itself?
                if _is_being_cancelled():
                    raise
                return _failure(error)
            except BaseException as error:  # SystemExit would take the whole worker along.
                if deadline is not None and deadline.expired():
                    return timed_out(execution.timeout_seconds)
                return _failure(error)
        return timed_out(execution.timeout_seconds) if deadline.expired() else _success(value)

    async def _thread(self, task: Task, execution: Execution, output: RunOutput) -> Outcome:
        cancellation = Cancellation()
        relay = ThreadRelay(output, asyncio.get_running_loop())
        voice = RunVoice(relay)
        arguments = task.arguments(
            execution.parameters, _context(execution, relay, voice, cancellation)
        )
        with attributed_to(voice):
            thread = TaskThread(
                task,
                lambda: task.function(**arguments),
                name=f"tickwheel run {execution.run_id}",
                grace_seconds=self._options.grace_seconds,
            )
        try:
            async with asyncio.timeout(execution.timeout_seconds) as deadline:
                await thread.ended()
        except TimeoutError:
            await thread.stop(cancellation)
        except asyncio.CancelledError:
            await thread.stop(cancellation)
            raise
        finally:
            voice.finish()
            relay.flush()
        if deadline.expired():
            return timed_out(execution.timeout_seconds)
        return _success(thread.value) if thread.error is None else _failure(thread.error)

    async def _process(
        self, config: PythonConfig, execution: Execution, output: RunOutput
    ) -> Outcome:
        listener = _ChildListener(output)
        stdout = LineWriter(output, "stdout")
        stderr = LineWriter(output, "stderr")
        end = await run_guarded(
            self._child(config, execution),
            Listeners(stdout.feed, stderr.feed, listener.feed),
            timeout_seconds=execution.timeout_seconds,
        )
        stdout.finish()
        stderr.finish()
        report_end(end, self._confinement, output)
        return _process_outcome(end, execution, listener.last)

    def _child(self, config: PythonConfig, execution: Execution) -> Program:
        previous = execution.previous_success_at
        order = {
            "path": [path or os.getcwd() for path in sys.path],
            "modules": self._options.task_modules,
            "function": config.task.name,
            "parameters": dict(execution.parameters),
            "run_id": execution.public_run_id,
            "attempt": execution.attempt,
            "scheduled_for": execution.scheduled_for,
            "previous_success_at": previous,
        }
        return Program(
            # Unbuffered, so that a line is heard when it is printed; UTF-8 whatever the locale.
            argv=(sys.executable, "-I", "-u", "-X", "utf8", _CHILD),
            environment=_child_environment(execution),
            directory=os.getcwd(),
            limits=self._confinement.limits_of(
                config.limits, run_id=execution.run_id, timeout_seconds=execution.timeout_seconds
            ),
            grace_seconds=self._options.grace_seconds,
            stdin=orjson.dumps(order),
        )


def _child_environment(execution: Execution) -> dict[str, str]:
    """The worker's own environment (it is the operator's code) without Tickwheel's secrets."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TICKWHEEL_")}
    return {
        **inherited,
        **run_environment(execution),
        **parameter_environment(execution.parameters),
    }


def _context(
    execution: Execution,
    output: RunOutput,
    voice: RunVoice,
    cancellation: Cancellation,
    within: Within | None = None,
) -> LiveContext:
    return LiveContext(
        execution,
        progress=output.progress,
        log_handler=lambda: RunLogHandler(voice),
        cancellation=cancellation,
        within=within,
    )


@coroutine
def _rest_of(call: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """Go on with a call that has begun and waits for `awaited`; return what it returns."""
    try:
        while True:
            try:
                answer = yield awaited
            except BaseException as error:
                awaited = call.throw(error)
            else:
                awaited = call.send(answer)
    except StopIteration as end:
        return end.value


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _success(value: Any) -> Outcome:
    if value is None:
        return SUCCEEDED
    try:
        return Outcome(RunState.SUCCEEDED, storable_result(value, limit_bytes=RESULT_BYTES))
    except ResultRefused as error:
        return failed("ResultRefused", str(error))


def _failure(error: BaseException) -> Outcome:
    return failed(type_name(error), clean(message_of(error)), detail=clean(detail_of(error)))


class _ChildListener:
    """Reads the JSON lines of a child; what does not fit the protocol is ignored."""

    def __init__(self, output: RunOutput) -> None:
        self.last: dict[str, Any] | None = None
        self._output = output
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[:_MAX_MESSAGE]
        for left, line in zip(range(len(lines), 0, -1), lines, strict=True):
            # Of a flood only the last few, which may be the last words, are worth reading.
            if left > _LAST_WORDS and line.startswith(_LOG) and self._output.room() <= 0:
                self._output.drop(1)
                continue
            try:
                self._hear(orjson.loads(line))
            except (orjson.JSONDecodeError, LookupError, TypeError):
                continue

    def _hear(self, message: dict[str, Any]) -> None:
        match message["kind"]:
            case "log":
                level = level_of(int(message["level"]))
                self._output.write(clean(message["text"]), stream="log", level=level)
            case "progress":
                self._output.progress(float(message["fraction"]), message["message"])
            case "result" | "failure":
                self.last = message


def _process_outcome(end: ProcessEnd, execution: Execution, last: dict[str, Any] | None) -> Outcome:
    if end.timed_out:
        return timed_out(execution.timeout_seconds)
    match last:
        case {"kind": "result", "value": value}:
            return _success(value)
        case {"kind": "failure", "refused": True, "message": message}:
            return rejected("InvalidParameters", clean(str(message)))
        case {"kind": "failure", "type": type_, "message": message, "detail": detail}:
            return failed(str(type_), clean(str(message)), detail=clean(str(detail)))
    if end.killed_by is not None:
        return failed("Killed", f"{how_it_ended(end)}.")
    return failed("ProcessEnded", end.error or f"It ended with exit code {end.exit_code}.")
