"""COMMAND jobs: a program with arguments, run under a guard.

The program gets an environment made for it (an allow-list of the worker's, the run's context, its
parameters, its own `env`), a fresh directory that goes when it goes, and its limits. Parameters
reach it only as environment or standard input, never as part of a shell's text. What it prints
becomes the run's log, line by line, while it runs.

Who may have commands at all is the operator's choice (`HandlerOptions.allow_commands`), and so is
the user they run as; neither is ever read from a job.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.core.vocabulary import RunState
from app.handlers.config_fields import Fields
from app.handlers.confinement import Confinement, read_limits
from app.handlers.execution import (
    Execution,
    Outcome,
    RunOutput,
    failed,
    timed_out,
)
from app.handlers.guarded_process import (
    ATTEMPT_MARK,
    RUN_MARK,
    Listeners,
    ProcessEnd,
    Program,
    run_guarded,
)
from app.handlers.options import HandlerOptions
from app.handlers.output_text import LineWriter, clean

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class CommandConfig:
    """A COMMAND job's configuration, checked."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    stdin: str | None
    directory: str | None
    ok_exit_codes: frozenset[int]
    limits: Mapping[str, float]


def read_command_config(config: Mapping[str, Any], options: HandlerOptions) -> CommandConfig:
    """Check a COMMAND job's configuration. Raises InvalidInput."""
    fields = Fields(config)
    if not options.allow_commands:
        fields.problem("This instance does not allow commands; its operator can.")
    argv = _read_argv(fields, options)
    environment = _read_environment(fields)
    stdin = fields.text("stdin")
    directory = fields.text("cwd")
    if directory is not None and not os.path.isabs(directory):
        fields.problem("cwd must be an absolute path; leave it out for a fresh directory.", "cwd")
    codes = frozenset(_read_exit_codes(fields))
    limits, limit_fields = read_limits(fields)
    fields.finish(limit_fields)
    return CommandConfig(argv, environment, stdin, directory, codes, limits)


def _read_argv(fields: Fields, options: HandlerOptions) -> tuple[str, ...]:
    argv = fields.items("argv", [])
    if not options.allow_shell:
        fields.refuse(
            "shell",
            "This project has no right to shell lines, which the instance's administrator gives; "
            "give the program as argv.",
        )
    elif (shell := fields.text("shell")) is not None:
        if argv:
            fields.problem("Give argv or shell, not both.", "shell")
        return _SHELL, "-c", shell
    if not argv and "shell" not in fields:
        fields.problem("argv is required: the program and its arguments.", "argv")
    for index, argument in enumerate(argv):
        if not isinstance(argument, str) or "\0" in argument or (index == 0 and not argument):
            fields.problem("Each argument must be a text without NUL.", "argv", str(index))
    return tuple(str(argument) for argument in argv)


def _read_environment(fields: Fields) -> dict[str, str]:
    environment = fields.texts("env")
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            fields.problem("A variable's name is letters, digits and _; no NUL.", "env", name)
        elif name.startswith("TICKWHEEL_"):
            fields.problem("Names that begin with TICKWHEEL_ are ours.", "env", name)
    return environment


def _read_exit_codes(fields: Fields) -> tuple[int, ...]:
    codes = fields.items("okExitCodes", [0])
    for index, code in enumerate(codes):
        if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= 255:
            fields.problem("An exit code is a number from 0 to 255.", "okExitCodes", str(index))
    return tuple(code for code in codes if isinstance(code, int))


class CommandHandler:
    """Runs COMMAND jobs of one worker."""

    def __init__(self, options: HandlerOptions, confinement: Confinement) -> None:
        self._options = options
        self._confinement = confinement

    async def execute(self, execution: Execution, output: RunOutput) -> Outcome:
        """Run the command; see `guarded_process.run_guarded` for what is promised at the end."""
        rights = self._options.of_project(shell_allowed=execution.shell_allowed)
        config = read_command_config(execution.config, rights)
        stdout = LineWriter(output, "stdout")
        stderr = LineWriter(output, "stderr")
        end = await run_guarded(
            self._program(execution, config),
            Listeners(stdout.feed, stderr.feed),
            timeout_seconds=execution.timeout_seconds,
        )
        stdout.finish()
        stderr.finish()
        report_end(end, self._confinement, output)
        return command_outcome(end, execution, config.ok_exit_codes)

    def _program(self, execution: Execution, config: CommandConfig) -> Program:
        name = f"tickwheel-{execution.run_id.hex}-{secrets.token_hex(8)}"
        parent = self._options.work_directory or tempfile.gettempdir()
        fresh = None if config.directory else os.path.join(parent, name)
        directory = config.directory or fresh or "/"
        limits = self._confinement.limits_of(
            config.limits, run_id=execution.run_id, timeout_seconds=execution.timeout_seconds
        )
        return Program(
            argv=config.argv,
            environment=self._environment(execution, config, directory),
            directory=directory,
            fresh_directory=fresh,
            user=self._confinement.user,
            limits=limits,
            grace_seconds=self._options.grace_seconds,
            stdin=_stdin_bytes(config.stdin, execution.parameters),
        )

    def _environment(
        self, execution: Execution, config: CommandConfig, directory: str
    ) -> dict[str, str]:
        allowed = self._options.command_environment
        inherited = {name: os.environ[name] for name in allowed if name in os.environ}
        return {
            "PATH": os.defpath,
            "HOME": directory,
            **inherited,
            **config.environment,
            **run_environment(execution),
            **parameter_environment(execution.parameters),
        }


def run_environment(execution: Execution) -> dict[str, str]:
    """Return what every process of a run is told about it."""
    previous = execution.previous_success_at
    return {
        RUN_MARK: execution.public_run_id,
        ATTEMPT_MARK: str(execution.attempt),
        "TICKWHEEL_MAX_ATTEMPTS": str(execution.max_attempts),
        "TICKWHEEL_JOB": execution.job_key,
        "TICKWHEEL_SCHEDULE": execution.schedule_key or "",
        "TICKWHEEL_PROJECT": execution.project_key,
        "TICKWHEEL_SCHEDULED_FOR": execution.scheduled_for.isoformat(),
        "TICKWHEEL_PREVIOUS_SUCCESS_AT": previous.isoformat() if previous else "",
    }


def parameter_environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters as variables: texts as they are, everything else as JSON."""
    return {
        f"TICKWHEEL_PARAM_{re.sub('[^A-Z0-9]', '_', name.upper())}": clean(
            value if isinstance(value, str) else orjson.dumps(value).decode()
        )
        for name, value in sorted(parameters.items())
    }


def _stdin_bytes(stdin: str | None, parameters: Mapping[str, Any]) -> bytes | None:
    if stdin == "parameters":
        return orjson.dumps(parameters)
    return None if stdin is None else stdin.encode()


def report_end(end: ProcessEnd, confinement: Confinement, output: RunOutput) -> None:
    """Say in the log what only the guard has seen."""
    if end.left_behind:
        output.write(f"Processes left behind, and ended: {end.left_behind}", stream="log")
    if end.immortal:
        output.write(f"Processes of another user, not ended: {end.immortal}", stream="log")
    if end.status is not None:
        usage = f"CPU time {end.cpu_seconds:.2f} s, memory {end.memory_kb / 1024:.0f} MB"
        confined = f"confined by {confinement.in_words()}"
        output.write(f"{how_it_ended(end)}; {usage}; {confined}", stream="log")


def command_outcome(end: ProcessEnd, execution: Execution, ok: frozenset[int]) -> Outcome:
    """Translate the end of a program into the outcome of the attempt."""
    if end.timed_out:
        outcome = timed_out(execution.timeout_seconds)
        return Outcome(outcome.state, error=outcome.error, exit_code=end.exit_code)
    if end.error is not None:
        return failed("CannotRun", f"{execution.kind.lower()} did not run: {end.error}.")
    if end.killed_by is None and end.exit_code in ok:
        return Outcome(RunState.SUCCEEDED, exit_code=end.exit_code)
    outcome = failed("ExitCode" if end.killed_by is None else "Killed", f"{how_it_ended(end)}.")
    return Outcome(outcome.state, error=outcome.error, exit_code=end.exit_code)


def how_it_ended(end: ProcessEnd) -> str:
    """Return in words what ended the program."""
    if end.killed_by is None:
        return f"It ended with exit code {end.exit_code}"
    if end.out_of_memory:
        return f"It needed more memory than it may have and was ended by {end.killed_by.name}"
    if end.killed_by.name == "SIGXCPU":
        return "It used up its CPU time and was ended by SIGXCPU"
    return f"It was ended by {end.killed_by.name}"
