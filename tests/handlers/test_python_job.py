"""Functions run where they were meant to, typed, heard, and stopped for good."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.errors import InvalidInput
from app.core.vocabulary import FailureReason, JobKind, LogLevel, RunState
from app.handlers.execution import Execution, Outcome
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers, validate_config
from app.handlers.task_modules import TaskModuleBroken
from tests.handlers.conftest import (
    DEADLINE_SECONDS,
    RecordedOutput,
    alive_with_mark,
    execution_of,
    is_alive,
    opened,
)
from tickwheel import Task, tasks

TASKS = "tests.handlers.sample_tasks"
BUILT_IN = "app.handlers.builtin"
EVERYWHERE = ("thread", "process")


async def attempt(
    execution: Execution, output: RecordedOutput, *, grace_seconds: float = 0.3
) -> Outcome:
    # Opened inside the test: pytest replaces sys.stdout between a fixture and its test.
    async with opened(task_modules=(TASKS,), grace_seconds=grace_seconds) as handlers:
        return await handlers.execute(execution, output)


def call(name: str, isolation: str | None = None, /, **changes: Any) -> Execution:
    function = name if "." in name else f"{TASKS}.{name}"
    config = {"function": function} | ({"isolation": isolation} if isolation else {})
    return execution_of(JobKind.PYTHON, config, **changes)


async def test_built_in_noop_succeeds_whatever_the_parameters(output: RecordedOutput) -> None:
    outcome = await attempt(call(f"{BUILT_IN}.noop", parameters={"a": 1}), output)
    assert outcome == Outcome(RunState.SUCCEEDED)


async def test_built_in_echo_returns_its_parameters(output: RecordedOutput) -> None:
    outcome = await attempt(call(f"{BUILT_IN}.echo", parameters={"a": [1]}), output)
    assert outcome.result == {"a": [1]}


async def test_built_in_fail_fails_with_its_message(output: RecordedOutput) -> None:
    outcome = await attempt(call(f"{BUILT_IN}.fail", parameters={"message": "as asked"}), output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert outcome.error.message == "as asked"
    assert outcome.error.reason is FailureReason.ERROR


async def test_built_in_sleep_takes_longer_than_a_short_time_out(output: RecordedOutput) -> None:
    execution = call(f"{BUILT_IN}.sleep", parameters={"seconds": 1000}, timeout_seconds=0.05)
    assert (await attempt(execution, output)).state is RunState.TIMED_OUT


@pytest.mark.parametrize("isolation", EVERYWHERE)
async def test_parameters_arrive_typed_and_defaults_apply(
    isolation: str, output: RecordedOutput
) -> None:
    added = await attempt(call("add", isolation, parameters={"a": 40}), output)
    typed = await attempt(call("days_until", isolation, parameters={"day": "2026-03-29"}), output)
    assert (added.result, typed.result) == (42, "date 2026")


@pytest.mark.parametrize("isolation", EVERYWHERE)
@pytest.mark.parametrize("parameters", [{}, {"a": "x"}, {"a": 1, "c": 2}])
async def test_parameters_that_do_not_fit_are_rejected(
    isolation: str, parameters: dict[str, Any], output: RecordedOutput
) -> None:
    outcome = await attempt(call("add", isolation, parameters=parameters), output)
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED
    assert outcome.error.type == "InvalidParameters"


@pytest.mark.parametrize("isolation", EVERYWHERE)
async def test_what_a_function_says_goes_to_its_runs_log(
    isolation: str, output: RecordedOutput
) -> None:
    await attempt(call("speak", isolation), output)
    assert output.texts("stdout") == ["printed", "no line end"]
    assert output.texts("stderr") == ["wrong"]
    assert ("log", LogLevel.WARNING, "warned") in output.lines


async def test_a_child_logs_from_info_on(output: RecordedOutput) -> None:
    await attempt(call("speak", "process"), output)
    assert ("log", LogLevel.INFO, "logged 1") in output.lines


@pytest.mark.parametrize("isolation", EVERYWHERE)
async def test_a_context_tells_and_takes(isolation: str, output: RecordedOutput) -> None:
    previous = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)
    execution = call("report", isolation, attempt=2, previous_success_at=previous)
    outcome = await attempt(execution, output)
    pid = outcome.result.pop("pid")
    assert outcome.result == {
        "run_id": execution.public_run_id,
        "attempt": 2,
        "scheduled_for": "2026-03-29T01:30:00+00:00",
        "previous_success_at": str(previous),
        "parameters": {},
        "cancelled": False,
    }
    assert output.reports == [(0.5, "half")]
    assert ("log", LogLevel.DEBUG, "deep detail") in output.lines
    assert (pid == os.getpid()) is (isolation == "thread")


@pytest.mark.parametrize("isolation", EVERYWHERE)
async def test_an_exception_is_told_with_the_users_own_traceback(
    isolation: str, output: RecordedOutput
) -> None:
    outcome = await attempt(call("explode", isolation, parameters={"message": "boom\0"}), output)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "boom�")
    assert outcome.error.detail is not None
    assert "in explode" in outcome.error.detail
    assert "app/handlers" not in outcome.error.detail


@pytest.mark.parametrize(
    ("name", "isolation"), [("leave", "thread"), ("leave", "process"), ("leave_inline", "inline")]
)
async def test_a_function_cannot_end_its_worker(
    name: str, isolation: str, output: RecordedOutput
) -> None:
    parameters = {"code": 3} if name == "leave" else {}
    outcome = await attempt(call(name, isolation, parameters=parameters), output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert outcome.error.message == "The function asked to exit with 3."


async def test_a_child_that_ends_without_a_word_has_failed(output: RecordedOutput) -> None:
    outcome = await attempt(call("die"), output)
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert "exit code 9" in outcome.error.message


@pytest.mark.parametrize("ended_by", ["cancel", "time-out"])
async def test_nothing_of_a_child_survives(ended_by: str, output: RecordedOutput) -> None:
    timeout_seconds = 1.5 if ended_by == "time-out" else 1000
    execution = call("spin", timeout_seconds=timeout_seconds)
    running = asyncio.create_task(attempt(execution, output))
    pid = int((await output.line(r"pid (\d+)"))[1])
    own = int((await output.line(r"self (\d+)"))[1])
    if ended_by == "cancel":
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        assert (await running).state is RunState.TIMED_OUT
    assert not is_alive(pid)
    assert not is_alive(own)
    assert alive_with_mark(execution.run_id) == []


@pytest.mark.parametrize("isolation", EVERYWHERE)
async def test_a_function_that_looks_at_cancelled_can_clean_up(
    isolation: str, output: RecordedOutput
) -> None:
    execution = call("work_until_told", isolation)
    running = asyncio.create_task(attempt(execution, output, grace_seconds=DEADLINE_SECONDS))
    await output.line("working")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "cleaned up" in output.texts("stdout")


async def test_a_thread_that_never_looks_is_stopped(output: RecordedOutput) -> None:
    outcome = await attempt(call("spin_in_thread", timeout_seconds=0.2), output)
    assert outcome.state is RunState.TIMED_OUT
    assert output.texts("stdout") == ["spinning"]


async def test_a_coroutine_in_a_thread_is_cancelled(output: RecordedOutput) -> None:
    running = asyncio.create_task(attempt(call("wait_in_thread"), output))
    await output.line("waiting")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, DEADLINE_SECONDS)


async def test_a_thread_cancelled_before_it_runs_ends(output: RecordedOutput) -> None:
    for steps in range(6):
        running = asyncio.create_task(attempt(call("spin_in_thread"), output))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, DEADLINE_SECONDS)


async def test_a_child_is_heard_at_once_in_any_language(
    output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    running = asyncio.create_task(attempt(call("snowman"), output))
    await output.line("☃ é")
    # Not thanks to this locale: it is the one in which Python would not choose UTF-8 mode itself.
    await output.line("^1$")
    running.cancel()
    await asyncio.wait([running])


async def test_a_child_has_limits(output: RecordedOutput) -> None:
    outcome = await attempt(call("limits", timeout_seconds=10.0), output)
    assert outcome.result == [0, 10 * (os.cpu_count() or 1)]


async def test_a_broken_signature_is_told_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Task("tests.broken", None, "inline", lambda day: None)
    broken.function.__annotations__["day"] = "NoSuchType"
    monkeypatch.setitem(tasks._registered, broken.name, broken)
    with pytest.raises(TaskModuleBroken, match=r"tests\.broken"):
        await Handlers.open(HandlerOptions())


async def test_an_inline_function_is_cancelled(output: RecordedOutput) -> None:
    running = asyncio.create_task(attempt(call("wait_for_ever"), output))
    await output.line("waiting")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_function_that_swallows_its_time_out_has_timed_out(output: RecordedOutput) -> None:
    outcome = await attempt(call("ignore_cancel", timeout_seconds=0.05), output)
    assert outcome.state is RunState.TIMED_OUT


async def test_a_cancellation_that_is_not_ours_is_a_failure(output: RecordedOutput) -> None:
    outcome = await attempt(call("cancel_itself"), output)
    assert outcome.state is RunState.FAILED


async def test_runs_side_by_side_do_not_mix_their_words() -> None:
    outputs = {word: RecordedOutput() for word in ("red", "blue")}
    async with opened(task_modules=(TASKS,)) as handlers:
        await asyncio.gather(
            *(
                handlers.execute(call("speak_inline", parameters={"word": word}), output)
                for word, output in outputs.items()
            )
        )
    for word, output in outputs.items():
        assert output.texts("stdout") == [f"{word} one", f"{word} two"]
        assert output.texts("log") == [f"{word} three"]


async def test_what_is_printed_outside_a_run_goes_where_it_went(
    output: RecordedOutput, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout = sys.stdout
    async with opened():
        assert sys.stdout is not stdout
    assert sys.stdout is stdout
    await attempt(call("speak_inline", parameters={"word": "in"}), output)
    print("out")
    assert "in one" not in capsys.readouterr().out


async def test_parameters_may_have_any_name(output: RecordedOutput) -> None:
    parameters = {"json": 1, "copy": "y", "model_config": 2}
    outcome = await attempt(call("reports.odd", parameters=parameters), output)
    assert outcome.result == parameters


async def test_a_result_is_made_storable(output: RecordedOutput) -> None:
    outcome = await attempt(call("unstorable"), output)
    assert outcome.result == {"a": "x�y", "nan": None, "when": "2026-01-01"}


async def test_a_result_that_is_too_large_is_a_failure(output: RecordedOutput) -> None:
    outcome = await attempt(call("enormous"), output)
    assert outcome.error is not None
    assert outcome.error.type == "ResultRefused"


async def test_a_child_sees_the_operators_environment_without_our_secrets(
    output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKWHEEL_DATABASE_URL", "secret")
    monkeypatch.setenv("SHOP_DATABASE_URL", "theirs")
    await attempt(call("environment", "process"), output)
    said = output.texts("stdout")
    assert "SHOP_DATABASE_URL=theirs" in said
    assert not any("TICKWHEEL_DATABASE_URL" in line for line in said)
    assert any(line.startswith("TICKWHEEL_RUN_ID=") for line in said)


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.run", "tests.handlers.sample_tasks.logger", "app", ""]
)
def test_only_registered_functions_can_be_named(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(
            JobKind.PYTHON, {"function": name}, options=HandlerOptions(task_modules=(TASKS,))
        )
    assert caught.value.errors[0].path == ("config", "function")


async def test_a_function_that_is_no_longer_registered_is_rejected(output: RecordedOutput) -> None:
    outcome = await attempt(call("os.system"), output)
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED


def test_a_misspelt_function_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(JobKind.PYTHON, {"function": f"{BUILT_IN}.nop"}, options=HandlerOptions())
    assert f"Did you mean {BUILT_IN}.noop?" in getattr(caught.value.errors[0], "hint", "")


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"function": f"{BUILT_IN}.noop", "isolation": "vm"}, ("config", "isolation")),
        ({"function": f"{TASKS}.add", "isolation": "inline"}, ("config", "isolation")),
        ({"function": f"{BUILT_IN}.noop", "args": []}, ("config", "args")),
        ({}, ("config", "function")),
    ],
)
def test_a_wrong_configuration_is_refused(config: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(JobKind.PYTHON, config, options=HandlerOptions(task_modules=(TASKS,)))
    assert [error.path for error in caught.value.errors] == [path]


async def test_a_module_that_cannot_be_imported_is_told_at_start() -> None:
    with pytest.raises(TaskModuleBroken, match="no_such_module"):
        await Handlers.open(HandlerOptions(task_modules=("no_such_module",)))
