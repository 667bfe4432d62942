# ruff: noqa: ASYNC220, ASYNC240 - these tests look at processes and files while nothing else waits
"""A command gets what it should, says what it did, and leaves nothing behind."""

import asyncio
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.core.errors import InvalidInput
from app.core.vocabulary import FailureReason, JobKind, RunState
from app.handlers.confinement import command_user
from app.handlers.execution import KILL_NOW, Outcome, Refused
from app.handlers.options import HandlerOptions
from app.handlers.registry import Handlers, validate_config
from app.handlers.survivors import WORKER_MARK, end_survivors
from tests.handlers.conftest import (
    DEADLINE_SECONDS,
    RecordedOutput,
    alive_with_mark,
    execution_of,
    gone,
    is_alive,
    opened,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that an unprivileged user can use too, unlike pytest's."""
    directory = Path(tempfile.mkdtemp(prefix="tickwheel-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


async def run(
    script: str, output: RecordedOutput, *, config: dict[str, Any] | None = None, **changes: Any
) -> Outcome:
    options = changes.pop("options", {})
    async with opened(allow_commands=True, **options) as handlers:
        execution = execution_of(
            JobKind.COMMAND, {"argv": ["sh", "-c", script], **(config or {})}, **changes
        )
        return await handlers.execute(execution, output)


async def test_output_of_both_streams_arrives_line_by_line(output: RecordedOutput) -> None:
    outcome = await run("echo one; echo two >&2; printf three", output)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.exit_code == 0
    assert output.texts("stdout") == ["one", "three"]
    assert output.texts("stderr") == ["two"]


async def test_a_line_arrives_while_the_command_still_runs(output: RecordedOutput) -> None:
    async with opened(allow_commands=True) as handlers:
        execution = execution_of(
            JobKind.COMMAND, {"argv": ["sh", "-c", "echo ready; read word; echo $word"]}
        )
        attempt = asyncio.create_task(handlers.execute(execution, output))
        await output.line("ready")
        await attempt


async def test_exit_codes_that_are_not_ok_fail_the_run(output: RecordedOutput) -> None:
    outcome = await run("exit 7", output)
    assert outcome.state is RunState.FAILED
    assert outcome.exit_code == 7
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.ERROR


async def test_exit_codes_that_the_job_calls_ok_succeed(output: RecordedOutput) -> None:
    outcome = await run("exit 7", output, config={"okExitCodes": [0, 7]})
    assert outcome.state is RunState.SUCCEEDED


async def test_a_signal_is_named_in_the_failure(output: RecordedOutput) -> None:
    outcome = await run("kill -SEGV $$", output)
    assert outcome.exit_code == 128 + signal.SIGSEGV
    assert outcome.error is not None
    assert "SIGSEGV" in outcome.error.message


async def test_a_program_that_does_not_exist_is_a_failure(output: RecordedOutput) -> None:
    outcome = await run("", output, config={"argv": ["/no/such/program"]})
    assert outcome.state is RunState.FAILED
    assert outcome.error is not None
    assert "No such file" in outcome.error.message


async def test_environment_is_an_allow_list_with_context_and_parameters(
    output: RecordedOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    execution = {"parameters": {"region": "eu west", "days": 3, "odd-name": [1]}}
    await run("env", output, config={"env": {"MODE": "full"}}, **execution)
    environment = dict(line.split("=", 1) for line in output.texts("stdout"))
    assert "DATABASE_PASSWORD" not in environment
    assert environment["MODE"] == "full"
    assert environment["TICKWHEEL_PARAM_REGION"] == "eu west"
    assert environment["TICKWHEEL_PARAM_DAYS"] == "3"
    assert environment["TICKWHEEL_PARAM_ODD_NAME"] == "[1]"
    assert environment["TICKWHEEL_ATTEMPT"] == "1"
    assert environment["TICKWHEEL_SCHEDULED_FOR"] == "2026-03-29T01:30:00+00:00"
    assert "TICKWHEEL_CHANNEL" not in environment


async def test_parameters_are_never_part_of_a_shell_text(output: RecordedOutput) -> None:
    await run('echo "$TICKWHEEL_PARAM_X"', output, parameters={"x": "$(echo spliced)"})
    assert output.texts("stdout") == ["$(echo spliced)"]


async def test_stdin_carries_the_parameters_when_asked(output: RecordedOutput) -> None:
    await run("cat", output, config={"stdin": "parameters"}, parameters={"a": [1, "é"]})
    assert output.texts("stdout") == ['{"a":[1,"é"]}']


async def test_stdin_carries_a_text(output: RecordedOutput) -> None:
    await run("cat", output, config={"stdin": "hello"})
    assert output.texts("stdout") == ["hello"]


async def test_stdin_that_nobody_reads_is_no_failure(output: RecordedOutput) -> None:
    outcome = await run("exit 0", output, config={"stdin": "x" * 500_000})
    assert outcome.state is RunState.SUCCEEDED


async def test_without_stdin_a_reader_sees_its_end(output: RecordedOutput) -> None:
    outcome = await run("cat; echo done", output)
    assert outcome.state is RunState.SUCCEEDED
    assert output.texts("stdout") == ["done"]


async def test_directory_is_fresh_writable_and_removed(output: RecordedOutput) -> None:
    await run("pwd; ls -A | wc -l; mkdir -p a/b; touch a/b/c; echo $HOME", output)
    directory, entries, home = output.texts("stdout")
    assert entries.strip() == "0"
    assert home == directory
    assert not Path(directory).exists()


async def test_given_directory_is_used_and_kept(
    output: RecordedOutput, shared_directory: Path
) -> None:
    await run("pwd", output, config={"cwd": str(shared_directory)})
    assert output.texts("stdout") == [str(shared_directory)]
    assert shared_directory.exists()


async def test_the_operator_chooses_where_directories_are_made(
    output: RecordedOutput, shared_directory: Path
) -> None:
    await run("pwd", output, options={"work_directory": str(shared_directory)})
    assert output.texts("stdout")[0].startswith(f"{shared_directory}/tickwheel-")
    assert list(shared_directory.iterdir()) == []


async def test_a_directory_that_cannot_be_made_is_a_failure(output: RecordedOutput) -> None:
    outcome = await run("pwd", output, options={"work_directory": "/no/such/place"})
    assert outcome.error is not None
    assert "No such file" in outcome.error.message


async def test_what_a_command_leaves_behind_is_ended(output: RecordedOutput) -> None:
    await run("(setsid sleep 1000 >/dev/null 2>&1 & echo $!)", output)
    assert await output.line("left behind")
    assert not is_alive(int(output.texts("stdout")[0]))


# Each writes the pid of a process that tries to get away.
ESCAPES = {
    "child": "sleep 1000 & echo pid $!; wait",
    "setsid": "setsid sh -c 'echo pid $$; exec sleep 1000' & wait",
    "double fork": "(setsid sh -c 'sh -c \"echo pid \\$\\$; exec sleep 1000\" &' &) ; sleep 1000",
    "deaf to TERM": "trap '' TERM; (trap '' TERM; echo pid $$; while :; do sleep 0.1; done)",
    "nohup": "nohup sh -c 'echo pid $$; sleep 1000' 2>/dev/null & wait",
    "stopped": "sh -c 'echo pid $$; kill -STOP $$' & wait",
}


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES)
async def test_nothing_survives_a_cancel(script: str, output: RecordedOutput) -> None:
    async with opened(allow_commands=True, grace_seconds=0.2) as handlers:
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
        attempt = asyncio.create_task(handlers.execute(execution, output))
        pid = int((await output.line(r"pid (\d+)"))[1])
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        # At once, without waiting: the cancellation is the confirmation.
        assert not is_alive(pid)
        assert alive_with_mark(execution.run_id) == []


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES)
async def test_nothing_survives_a_time_out(script: str, output: RecordedOutput) -> None:
    async with opened(allow_commands=True, grace_seconds=0.2) as handlers:
        execution = execution_of(
            JobKind.COMMAND, {"argv": ["sh", "-c", script]}, timeout_seconds=1.0
        )
        outcome = await handlers.execute(execution, output)
        assert outcome.state is RunState.TIMED_OUT
        assert not is_alive(int((await output.line(r"pid (\d+)"))[1]))
        assert alive_with_mark(execution.run_id) == []


async def test_cancel_before_the_command_has_started_leaves_nothing(output: RecordedOutput) -> None:
    async with opened(allow_commands=True, grace_seconds=0.2) as handlers:
        for steps in range(12):
            execution = execution_of(JobKind.COMMAND, {"argv": ["sleep", "1000"]})
            attempt = asyncio.create_task(handlers.execute(execution, output))
            for _ in range(steps):
                await asyncio.sleep(0)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            assert alive_with_mark(execution.run_id) == []


async def test_term_comes_first_so_that_a_command_can_clean_up(output: RecordedOutput) -> None:
    async with opened(allow_commands=True, grace_seconds=DEADLINE_SECONDS) as handlers:
        script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
        attempt = asyncio.create_task(handlers.execute(execution, output))
        await output.line("ready")
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert "cleaned" in output.texts("stdout")


# The moment after `ready` is the one in which a shell forks what comes next: a TERM that hits the
# copy before it has become that program is swallowed by the shell's own handler.
FORKING = {
    "a shell about to start a program": "trap 'echo cleaned; exit 0' TERM; echo ready; sleep 1000",
    "a shell in a shell": (
        "sh -c 'trap \"sleep 0.1; echo cleaned; exit 0\" TERM; echo ready; sleep 1000'; echo after"
    ),
}


@pytest.mark.parametrize("script", FORKING.values(), ids=FORKING)
async def test_a_shell_comes_to_its_trap_whatever_it_is_about_to_start(script: str) -> None:
    """A guard that tells nobody a second time fails it when the moment is hit, which is seldom."""
    async with opened(allow_commands=True, grace_seconds=DEADLINE_SECONDS) as handlers:
        for _ in range(15):
            output = RecordedOutput()
            execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
            attempt = asyncio.create_task(handlers.execute(execution, output))
            await output.line("ready")
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(attempt, DEADLINE_SECONDS / 2)
            assert "cleaned" in output.texts("stdout")


async def test_a_stopped_command_is_woken_to_hear_its_term(output: RecordedOutput) -> None:
    async with opened(allow_commands=True, grace_seconds=DEADLINE_SECONDS) as handlers:
        script = "trap 'echo cleaned; exit 0' TERM; echo ready $$; kill -STOP $$"
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
        attempt = asyncio.create_task(handlers.execute(execution, output))
        pid = int((await output.line(r"ready (\d+)"))[1])
        async with asyncio.timeout(DEADLINE_SECONDS):
            while psutil.Process(pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert "cleaned" in output.texts("stdout")


@pytest.mark.parametrize("orders", [[KILL_NOW], [None, None]], ids=["kill now", "cancelled twice"])
async def test_an_urgent_cancel_does_not_wait_for_the_grace(
    orders: list[str | None], output: RecordedOutput
) -> None:
    async with opened(allow_commands=True, grace_seconds=10_000) as handlers:
        script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
        attempt = asyncio.create_task(handlers.execute(execution, output))
        await output.line("ready")
        for order in orders:
            attempt.cancel(order)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(attempt, DEADLINE_SECONDS)
        assert alive_with_mark(execution.run_id) == []


async def test_a_fork_storm_is_ended(output: RecordedOutput) -> None:
    # Bounded by the number of processes it keeps, endless in forks.
    storm = "while :; do (sleep 0.01 & ); (setsid sleep 0.01 &); done"
    async with opened(allow_commands=True, grace_seconds=0.1) as handlers:
        execution = execution_of(
            JobKind.COMMAND, {"argv": ["sh", "-c", f"echo on; {storm}"]}, timeout_seconds=1.0
        )
        outcome = await handlers.execute(execution, output)
        assert outcome.state is RunState.TIMED_OUT
        assert alive_with_mark(execution.run_id) == []


WORKER = """
import asyncio, sys
from tests.handlers.conftest import RecordedOutput, execution_of, opened
from app.core.vocabulary import JobKind

class Spoken(RecordedOutput):
    def write(self, text, **_):
        print(text, flush=True)

async def main():
    # Without cgroups, which would end all of it whatever is killed.
    async with opened(allow_commands=True, cgroup="/no/such/place") as handlers:
        script = ("echo pid $$; (setsid sh -c 'echo pid $$; exec sleep 1000' &); "
                  "trap '' TERM HUP; sleep 1000 & echo pid $!; wait")
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", script]})
        outcome = await handlers.execute(execution, Spoken())
        print(outcome.error, flush=True)

asyncio.run(main())
"""


THREE = ("worker", "standby", "guard")


@pytest.mark.parametrize("killed", [*combinations(THREE, 1), *combinations(THREE, 2), THREE])
async def test_whoever_is_left_of_worker_standby_and_guard_ends_everything(
    killed: tuple[str, ...],
) -> None:
    """They are stopped before they are killed, so that none of them can still do anything.

    Of all three only the sweep is left. Made to fail, each in its own case, by a guard without a
    standby, by one that does not see that its standby is gone, and by a sweep that finds nothing.
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert worker.stdout is not None
        pids = [int(worker.stdout.readline().split()[1]) for _ in range(3)]
        guard = psutil.Process(pids[0]).parent()
        assert guard is not None
        standby = guard.parent()
        assert standby is not None
        assert standby.ppid() == worker.pid
        directory = Path(psutil.Process(pids[0]).cwd())
        three = dict(zip(THREE, (worker.pid, standby.pid, guard.pid), strict=True))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for which in killed:
                os.kill(three[which], number)
        if killed == THREE:
            # The command itself is the kernel's to kill. What has left its session lives on, unless
            # another worker of this machine has already looked.
            await gone(pids[0], *three.values())
            await asyncio.to_thread(end_survivors)
        await gone(*pids, *(three[which] for which in killed))
        if "worker" not in killed:
            assert "its guard process was killed" in worker.stdout.read()
        if killed != THREE:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while directory.exists():  # noqa: ASYNC110 - another process removes it
                    await asyncio.sleep(0.02)
    finally:
        worker.kill()
        worker.communicate()


async def test_what_belongs_to_others_is_not_taken_for_a_survivor(output: RecordedOutput) -> None:
    """A run of this worker, and a process whose worker has its number in another namespace."""
    other = subprocess.Popen(["sleep", "1000"], env={WORKER_MARK: "boot/pid:[1]/999999-1"})
    try:
        async with opened(allow_commands=True) as handlers:
            execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", "echo on; sleep 1000"]})
            attempt = asyncio.create_task(handlers.execute(execution, output))
            await output.line("on")
            await asyncio.to_thread(end_survivors)
            assert alive_with_mark(execution.run_id)
            attempt.cancel()
            await asyncio.wait([attempt])
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


async def test_short_of_memory_the_kernel_takes_the_job_before_its_guard(
    output: RecordedOutput,
) -> None:
    await run("cat /proc/self/oom_score_adj; ps -o sess= -p $$; echo $$", output)
    score, session, own = output.texts("stdout")
    assert score == "500"
    assert session.strip() == own


async def test_a_guard_ignores_the_terms_meant_for_its_service_group(
    output: RecordedOutput,
) -> None:
    async with opened(allow_commands=True, grace_seconds=0.1) as handlers:
        execution = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", "echo on; sleep 1000"]})
        attempt = asyncio.create_task(handlers.execute(execution, output))
        await output.line("on")
        guards = [c for c in psutil.Process().children() if "command_guard" in str(c.cmdline())]
        for guard in guards:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                guard.send_signal(number)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert alive_with_mark(execution.run_id) == []


async def test_limits_reach_the_command(output: RecordedOutput) -> None:
    limits = {"files": 64, "fileSizeMb": 2, "memoryMb": 512, "cpuSeconds": 9, "processes": 4000}
    await run("ulimit -n; ulimit -c; ulimit -v; ulimit -t", output, config={"limits": limits})
    assert output.texts("stdout") == ["64", "0", str(512 * 1024), "9"]


async def test_a_file_larger_than_allowed_ends_its_writer(output: RecordedOutput) -> None:
    outcome = await run(
        "exec head -c 3000000 /dev/zero >big", output, config={"limits": {"fileSizeMb": 1}}
    )
    assert outcome.state is RunState.FAILED
    assert outcome.exit_code == 128 + signal.SIGXFSZ


async def test_cpu_time_is_limited_and_the_reason_is_told(output: RecordedOutput) -> None:
    outcome = await run("while :; do :; done", output, config={"limits": {"cpuSeconds": 1}})
    assert outcome.error is not None
    assert "CPU time" in outcome.error.message


async def test_every_command_has_a_cpu_limit_and_no_core(output: RecordedOutput) -> None:
    await run("ulimit -t; ulimit -c", output, timeout_seconds=10.0)
    assert output.texts("stdout") == [str(10 * (os.cpu_count() or 1)), "0"]


async def test_a_root_worker_runs_commands_as_nobody_and_another_as_itself(
    output: RecordedOutput,
) -> None:
    await run("id -un; grep NoNewPrivs /proc/self/status; touch mine && echo wrote", output)
    expected = "nobody" if os.geteuid() == 0 else getpass.getuser()
    assert output.texts("stdout") == [expected, "NoNewPrivs:\t1", "wrote"]


async def test_the_operator_of_a_root_worker_chooses_the_user_and_another_has_no_choice(
    output: RecordedOutput,
) -> None:
    if os.geteuid() == 0:
        await run("id -un", output, options={"command_user": "daemon"})
        await run("id -un", output, options={"command_user": "root"})
        assert output.texts("stdout") == ["daemon", "root"]
    else:
        with pytest.raises(Refused):
            await Handlers.open(HandlerOptions(allow_commands=True, command_user="daemon"))


async def test_a_worker_that_cannot_have_its_user_does_not_open() -> None:
    with pytest.raises(Refused):
        await Handlers.open(HandlerOptions(allow_commands=True, command_user="no-such-user"))
    await (await Handlers.open(HandlerOptions(command_user="no-such-user"))).close()


def test_a_user_that_does_not_exist_is_refused_instead_of_running_as_root() -> None:
    with pytest.raises(Refused):
        command_user("no-such-user")


def test_an_ordinary_worker_cannot_promise_another_user() -> None:
    privileged = os.geteuid()
    ordinary = pwd.getpwnam("nobody") if privileged == 0 else pwd.getpwuid(privileged)
    os.seteuid(ordinary.pw_uid)
    try:
        assert command_user(ordinary.pw_name) is None
        with pytest.raises(Refused):
            command_user("root")
    finally:
        os.seteuid(privileged)


async def test_signals_are_as_every_program_expects_them(output: RecordedOutput) -> None:
    # Signals 32 and 33 are glibc's own: no program uses them, and what `make` starts ignores them.
    of_glibc = 1 << 31 | 1 << 32
    await run("grep -E 'Sig(Ign|Blk)' /proc/self/status", output)
    unusual = [int(line.split()[1], base=16) for line in output.texts("stdout")]
    assert [signals & ~of_glibc for signals in unusual] == [0, 0]


async def test_only_the_three_streams_are_open(output: RecordedOutput) -> None:
    await run("ls /proc/self/fd", output)
    assert output.texts("stdout") == ["0", "1", "2", "3"]  # 3 is the listing itself.


async def test_a_flood_is_cut_and_counted_but_its_end_is_kept(output: RecordedOutput) -> None:
    output.room_left = 100
    await run("seq 1 100000; echo the reason >&1", output)
    lines = output.texts("stdout")
    assert lines[:100] == [str(number) for number in range(1, 101)]
    assert lines[-2:] == ["100000", "the reason"]
    assert output.dropped + len(lines) == 100_001


async def test_bytes_that_cannot_be_stored_are_replaced(output: RecordedOutput) -> None:
    await run(r"printf 'a\000b\377c\n'", output)
    assert output.texts("stdout") == ["a�b�c"]


async def test_slots_bound_the_number_of_processes(output: RecordedOutput) -> None:
    async with opened(allow_commands=True, process_slots=1, grace_seconds=0.1) as handlers:
        first = execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", "echo first; sleep 1000"]})
        second = execution_of(JobKind.COMMAND, {"argv": ["echo", "second"]}, timeout_seconds=1)
        one = asyncio.create_task(handlers.execute(first, output))
        await output.line("first")
        two = asyncio.create_task(handlers.execute(second, output))
        await asyncio.sleep(0)
        assert "second" not in output.texts("stdout")
        one.cancel()
        await asyncio.wait([one])
        assert (await two).state is RunState.SUCCEEDED


async def test_a_job_saved_while_commands_were_allowed_is_refused_later(
    output: RecordedOutput,
) -> None:
    async with opened() as handlers:
        outcome = await handlers.execute(
            execution_of(JobKind.COMMAND, {"argv": ["echo", "no"]}), output
        )
    assert outcome.error is not None
    assert outcome.error.reason is FailureReason.REJECTED
    assert output.lines == []


BAD_CONFIGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no program": ({}, ("config", "argv")),
    "not a list": ({"argv": "rm -rf"}, ("config", "argv")),
    "not a text": ({"argv": ["x", 1]}, ("config", "argv", "1")),
    "nul": ({"argv": ["x", "a\0b"]}, ("config", "argv", "1")),
    "shell": ({"shell": "echo"}, ("config", "shell")),
    "user": ({"argv": ["x"], "user": "root"}, ("config", "user")),
    "unknown limit": ({"argv": ["x"], "limits": {"cores": 1}}, ("config", "limits", "cores")),
    "limit of zero": ({"argv": ["x"], "limits": {"files": 0}}, ("config", "limits", "files")),
    "our variable": (
        {"argv": ["x"], "env": {"TICKWHEEL_RUN_ID": "1"}},
        ("config", "env", "TICKWHEEL_RUN_ID"),
    ),
    "odd variable": ({"argv": ["x"], "env": {"A=B": "1"}}, ("config", "env", "A=B")),
    "relative": ({"argv": ["x"], "cwd": "../.."}, ("config", "cwd")),
    "exit code": ({"argv": ["x"], "okExitCodes": [256]}, ("config", "okExitCodes", "0")),
}


@pytest.mark.parametrize(("config", "path"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_wrong_configuration_is_refused_where_it_is_wrong(
    config: dict[str, Any], path: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_config(JobKind.COMMAND, config, options=HandlerOptions(allow_commands=True))
    assert path in [error.path for error in caught.value.errors]


def test_commands_are_off_unless_allowed() -> None:
    with pytest.raises(InvalidInput, match="does not allow commands"):
        validate_config(JobKind.COMMAND, {"argv": ["true"]}, options=HandlerOptions())


async def test_shell_is_a_right_of_its_own(output: RecordedOutput) -> None:
    async with opened(allow_commands=True, allow_shell=True) as handlers:
        job = {"shell": "echo a && echo b"}
        await handlers.execute(execution_of(JobKind.COMMAND, job, shell_allowed=True), output)
    assert output.texts("stdout") == ["a", "b"]
