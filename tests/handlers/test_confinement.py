# ruff: noqa: ASYNC240 - these tests look at files while nothing else waits
"""Runs are confined by what this machine gives, and the worker says what that is.

Real cgroups are used where the machine lets the tests make one; what is written into the files of
a cgroup is tried on an ordinary directory, on every machine.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.core.errors import InvalidInput
from app.core.vocabulary import JobKind, RunState
from app.handlers import cgroups
from app.handlers.cgroups import Cgroups, end_abandoned, open_cgroups, own_cgroup
from app.handlers.confinement import Confinement
from app.handlers.guard_cgroup import RunCgroup
from app.handlers.options import HandlerOptions
from app.handlers.registry import validate_config
from tests.handlers.conftest import (
    DEADLINE_SECONDS,
    RecordedOutput,
    alive_with_mark,
    execution_of,
    gone,
    is_alive,
    opened,
)

MANY = "for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" TERM; exec sleep 1000' & done; "


@pytest.fixture
def real() -> Iterator[Cgroups | None]:
    """A worker's cgroup, where this machine gives one."""
    found = open_cgroups(None)
    yield found
    if found is not None:
        found.close()
        assert not Path(found.path).exists()


def stand_in(directory: Path, *controllers: str) -> Cgroups:
    return Cgroups(str(directory), controllers)


def test_limits_of_a_run_are_written_before_it_enters(tmp_path: Path) -> None:
    limits = {"memoryMb": 64, "processes": 20, "cpus": 0.5, "files": 10}
    files = stand_in(tmp_path, "cpu", "memory", "pids").limits(limits)
    run = RunCgroup.make(str(tmp_path / "run"), files)
    run.enter()
    written = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert written == {
        "memory.max": str(64 * 1024 * 1024),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "20",
        "cpu.max": "50000 100000",
        "cgroup.procs": "0",
    }


def test_what_a_cgroup_counts_is_not_counted_for_each_process_too(tmp_path: Path) -> None:
    """200 MB of addresses stop node from starting. Made to fail by setting both."""
    options = HandlerOptions()
    run = execution_of(JobKind.COMMAND, {}).run_id
    own = {"memoryMb": 64, "processes": 20}

    def resources(cgroup: Cgroups | None) -> set[int]:
        confinement = Confinement(options, None, cgroup)
        limits = confinement.limits_of(own, run_id=run, timeout_seconds=1).resources
        return {limit for limit, _ in limits}

    without = resources(None)
    within = resources(stand_in(tmp_path, "memory", "pids"))
    assert len(without - within) == 2
    assert within < without
    assert resources(stand_in(tmp_path)) == without


def test_usage_and_the_want_of_memory_are_read_for_all_processes(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (tmp_path / "memory.peak").write_text("2097152\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\n")
    usage = RunCgroup(str(tmp_path)).usage()
    assert usage == {"cpu_seconds": 1.5, "memory_kb": 2048, "out_of_memory": 3}


def test_a_directory_that_is_no_cgroup_or_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    assert open_cgroups(str(tmp_path)) is None
    assert open_cgroups("/no/such/place") is None
    assert RunCgroup.make("/no/such/place/run", {}).path is None


@pytest.mark.parametrize(
    ("limit", "controller", "script"),
    [
        ({"memoryMb": 64}, "memory", "head -c 150000000 /dev/zero | tail > /dev/null"),
        ({"processes": 8}, "pids", "for i in $(seq 30); do sleep 30 & done; wait"),
    ],
    ids=["memory", "processes"],
)
async def test_limit_holds_at_the_level_that_is_reported(
    output: RecordedOutput, limit: dict[str, int], controller: str, script: str
) -> None:
    """By the cgroup of the run where its controller is handed down, else by each process.

    Made to fail by reporting a controller that is not there, and so setting no limit at all.
    """
    config = {"argv": ["sh", "-c", script], "limits": limit}
    async with opened(allow_commands=True) as handlers:
        told = handlers.confinement.as_json()
        outcome = await handlers.execute(execution_of(JobKind.COMMAND, config), output)
        cgroups = handlers.confinement.cgroups
    assert outcome.state is RunState.FAILED
    assert told["cgroup"] is (cgroups is not None)
    [said] = [text for text in output.texts("log") if "confined by" in text]
    assert (controller in said.partition("confined by")[2]) is (controller in told["controllers"])


async def test_a_run_is_in_its_own_cgroup_from_its_first_instruction(
    output: RecordedOutput, real: Cgroups | None
) -> None:
    """Made to fail by entering after the fork of the command, from the guard."""
    async with opened(allow_commands=True) as handlers:
        execution = execution_of(
            JobKind.COMMAND, {"argv": ["sh", "-c", "cat /proc/self/cgroup; cat /proc/$PPID/cgroup"]}
        )
        outcome = await handlers.execute(execution, output)
        assert outcome.state is RunState.SUCCEEDED
        where = handlers.confinement.cgroups
    inside = [line for line in output.texts("stdout") if execution.run_id.hex in line]
    # The command, but not its guard.
    assert len(inside) == (0 if real is None else 1)
    if where is not None:
        assert not Path(where.path).exists()
    [said] = [text for text in output.texts("log") if "confined by" in text]
    assert ("a cgroup" in said) is (real is not None)


async def test_a_cgroup_ends_what_its_guard_cannot(
    output: RecordedOutput, real: Cgroups | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard and worker are both gone: what left its session is found by the next worker."""
    if real is None:
        assert own_cgroup() is None or not os.access(str(own_cgroup()), os.W_OK)
        return
    path = Path(real.path) / "run"
    run = RunCgroup.make(str(path), {})
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", f"echo $$ > {path}/cgroup.procs; {MANY} wait", start_new_session=True
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len((path / "cgroup.procs").read_text().split()) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    pids = [int(pid) for pid in (path / "cgroup.procs").read_text().split()]
    # Its worker lives: nothing of it is abandoned.
    end_abandoned(Path(real.path).parent)
    assert all(is_alive(pid) for pid in pids)
    monkeypatch.setattr(cgroups, "started", lambda _: "another time")
    end_abandoned(Path(real.path).parent)
    await child.wait()
    await gone(*pids)
    run.remove()
    assert not path.exists()


async def test_nothing_of_a_storm_survives_its_cancel(output: RecordedOutput) -> None:
    """Twenty commands, each with children that left its session and are deaf to TERM.

    Without cgroups, which would end them whatever the guard does. Made to fail by killing process
    groups instead of descendants.
    """
    options = {"grace_seconds": 0.2, "process_slots": 20, "cgroup": "/no/such/place"}
    async with opened(allow_commands=True, **options) as handlers:
        executions = [
            execution_of(JobKind.COMMAND, {"argv": ["sh", "-c", f"{MANY} echo up; wait"]})
            for _ in range(20)
        ]
        outputs = [RecordedOutput() for _ in executions]
        attempts = [
            asyncio.create_task(handlers.execute(execution, said))
            for execution, said in zip(executions, outputs, strict=True)
        ]
        for said in outputs:
            await said.line("up")
        for attempt in attempts:
            attempt.cancel()
        await asyncio.wait(attempts)
        assert all(attempt.cancelled() for attempt in attempts)
        assert [alive_with_mark(execution.run_id) for execution in executions] == [[]] * 20
    ours = [c for c in psutil.Process().children() if "command_guard" in str(c.cmdline())]
    assert ours == []


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        ({"cpus": 0}, ("config", "limits", "cpus")),
        ({"cpus": "2"}, ("config", "limits", "cpus")),
        ({"memory": 1}, ("config", "limits", "memory")),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, object], path: tuple[str, ...]) -> None:
    options = HandlerOptions(allow_commands=True)
    with pytest.raises(InvalidInput) as caught:
        validate_config(JobKind.COMMAND, {"argv": ["x"], "limits": limits}, options=options)
    assert [error.path for error in caught.value.errors] == [path]


def test_only_a_python_process_can_have_limits() -> None:
    config = {"function": "app.handlers.builtin.noop", "limits": {"files": 5}}
    with pytest.raises(InvalidInput, match="process of its own"):
        validate_config(JobKind.PYTHON, config, options=HandlerOptions())
    isolated = {**config, "isolation": "process"}
    validate_config(JobKind.PYTHON, isolated, options=HandlerOptions())
