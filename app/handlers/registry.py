"""The handlers of one worker, and the check of a job's configuration when it is saved.

`Handlers.execute` is total: whatever a job does becomes an `Outcome`. Only a cancellation passes
through it, and only after nothing of the run is alive. Everything expensive (connections, user
look-ups, imports) happens in `open`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self

from app.core.errors import Invalid, InvalidInput, TickwheelError
from app.core.secret_references import AnySecret, references_in, with_secrets
from app.core.vocabulary import JobKind, LogLevel
from app.handlers.command_job import CommandHandler, read_command_config
from app.handlers.confinement import Confinement
from app.handlers.execution import (
    Execution,
    Outcome,
    Refused,
    RunOutput,
    Stream,
    failed,
    rejected,
)
from app.handlers.http_config import read_http_config
from app.handlers.http_job import HttpHandler, network_guard
from app.handlers.http_tokens import NoTokenStore, TokenStore
from app.handlers.network_guard import Resolve, system_resolve
from app.handlers.options import HandlerOptions
from app.handlers.python_calls import detail_of, type_name
from app.handlers.python_job import PythonHandler, read_python_config
from app.handlers.redacted import RedactedOutput, redacted_outcome
from app.handlers.run_capture import Capture
from app.handlers.run_context import Answer, Within
from app.handlers.task_modules import check_signatures, load_modules


def validate_config(kind: JobKind, config: Mapping[str, Any], *, options: HandlerOptions) -> None:
    """Raise InvalidInput, with all that is wrong, unless a job may be saved with this.

    Whether there are the secrets and the endpoint that it refers to is not known here.
    """
    if kind is JobKind.COMMAND:
        _refuse_visible_secrets(config)
    if kind is not JobKind.HTTP:
        config = with_secrets(config, AnySecret())
    match kind:
        case JobKind.HTTP:
            read_http_config(config, network_guard(options))
        case JobKind.COMMAND:
            read_command_config(config, options)
        case JobKind.PYTHON:
            load_modules(options.task_modules)
            read_python_config(config)


def _refuse_visible_secrets(config: Mapping[str, Any]) -> None:
    visible = [
        Invalid(
            "Arguments are visible to every user of the machine: pass a secret in env or stdin.",
            path=("config", *where),
        )
        for name in ("argv", "shell")
        for where, _ in references_in(config.get(name), name)
    ]
    if visible:
        raise InvalidInput(visible)


class Handlers:
    """Everything a worker needs to do what jobs ask."""

    def __init__(
        self,
        options: HandlerOptions,
        http: HttpHandler,
        confinement: Confinement,
        instance: object = None,
    ) -> None:
        self.confinement = confinement
        self._http = http
        self._instance = instance
        self._command = CommandHandler(options, confinement)
        self._python = PythonHandler(options, confinement, self._within)
        self._capture = Capture()
        # Waiting for a slot is not counted in a run's time-out.
        self._processes = asyncio.Semaphore(options.process_slots)
        self._threads = asyncio.Semaphore(options.thread_slots)

    @classmethod
    async def open(
        cls,
        options: HandlerOptions,
        *,
        tokens: TokenStore | None = None,
        instance: object = None,
        resolve: Resolve = system_resolve,
    ) -> Self:
        """Open the client and import the operator's functions.

        `tokens` is where workers share the tokens of endpoints; without it each has its own.
        `instance` is for the built-in functions of the services.

        Raises TaskModuleBroken or Refused when the operator's settings cannot be had.
        """
        load_modules(options.task_modules)
        check_signatures()
        confinement = Confinement.open(options)
        http = await HttpHandler.open(options, tokens or NoTokenStore(), resolve)
        handlers = cls(options, http, confinement, instance)
        handlers._capture.begin()
        return handlers

    async def close(self) -> None:
        """Give everything back. The engine has ended its runs before."""
        self._capture.end()
        await self._http.close()
        self.confinement.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def execute(self, execution: Execution, output: RunOutput) -> Outcome:
        """Make the attempt. Raises nothing but CancelledError.

        Neither the output nor the outcome holds a secret that the attempt was given.
        """
        redaction = execution.redaction
        if redaction is None:
            return await self._outcome(execution, output)
        outcome = await self._outcome(execution, RedactedOutput(output, redaction))
        return redacted_outcome(outcome, redaction)

    async def _outcome(self, execution: Execution, output: RunOutput) -> Outcome:
        try:
            return await self._perform(execution, output)
        except Refused as error:
            return rejected(error.type_name, str(error))
        except InvalidInput as error:
            return rejected("InvalidConfiguration", str(error))
        except TickwheelError as error:
            return rejected(type(error).__name__, error.message)
        except Exception as error:
            return failed(type_name(error), str(error), detail=detail_of(error))

    async def _perform(self, execution: Execution, output: RunOutput) -> Outcome:
        match execution.kind:
            case JobKind.PYTHON:
                return await self._call(execution, output)
            case JobKind.HTTP:
                return await self._http.execute(execution, output)
        async with self._processes:
            return await self._command.execute(execution, output)

    async def _call(self, execution: Execution, output: RunOutput) -> Outcome:
        config = self._python.config_of(execution)
        if config.isolation == "inline":
            return await self._python.execute(execution, config, output)
        async with self._threads if config.isolation == "thread" else self._processes:
            return await self._python.execute(execution, config, output)

    def _within(self, execution: Execution, output: RunOutput) -> Within:
        return Within(partial(self._request, execution, output), self._instance)

    async def _request(
        self,
        execution: Execution,
        output: RunOutput,
        config: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> Answer:
        """Make an HTTP request as part of a run of another kind."""
        heard = Overheard(output)
        asked = replace(execution, kind=JobKind.HTTP, config=config, parameters=parameters)
        outcome = await self._outcome(asked, heard)
        return Answer(outcome, heard.text)


class Overheard:
    """A RunOutput that also keeps what an answer says."""

    def __init__(self, output: RunOutput) -> None:
        self._output = output
        self._heard: list[str] = []

    @property
    def text(self) -> str:
        """Return what was heard so far, with its own line ends only."""
        return "".join(self._heard).removesuffix("\n")

    def write(
        self,
        text: str,
        *,
        stream: Stream = "stdout",
        level: LogLevel = LogLevel.INFO,
        goes_on: bool = False,
    ) -> None:
        """Add one line."""
        if stream == "stdout":
            self._heard.append(text if goes_on else f"{text}\n")
        self._output.write(text, stream=stream, level=level, goes_on=goes_on)

    def room(self) -> int:
        """Return how many lines are kept at this moment."""
        return self._output.room()

    def drop(self, lines: int) -> None:
        """Count lines that were not written."""
        self._output.drop(lines)

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how far the run is."""
        self._output.progress(fraction, message)
