"""`tickwheel dev` as a process tree: started, killed, stopped, started again.

The API and the worker are stand-ins here (`stand_in.py`); what is tested is who starts, restarts
and stops whom. PostgreSQL and Redis are real.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.sealing import Keyring
from tests.dev.processes import eventually, family_of, is_alive, ordinary_user

PID_FILES = {"postgres": "postmaster.pid", "redis": "redis.pid"}


@dataclass
class Instance:
    """A running `tickwheel dev`."""

    process: asyncio.subprocess.Process
    directory: Path
    banner: str

    def told(self) -> list[str]:
        """Return the lines of the stand-ins."""
        path = self.directory / "told"
        return path.read_text().splitlines() if path.exists() else []

    def pids(self, name: str) -> list[int]:
        """Return the pids under which a stand-in has run, the latest last."""
        return [int(line.split()[2]) for line in self.told() if line.startswith(f"{name} started")]

    def has_ended_after_another_interrupt(self) -> bool:
        """Press Ctrl-C unless the worker has ended, and say whether it has."""
        if not is_alive(self.pids("worker")[0]):
            return True
        self.process.send_signal(signal.SIGINT)
        return False

    async def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal_)
        return await asyncio.wait_for(self.process.wait(), 60)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A data directory that an ordinary user may use."""
    path = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    os.chown(path, ordinary_user(), -1)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def launch(directory: Path, port: int, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.dev.stand_in",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ
        | {
            "TICKWHEEL_DATA_DIR": str(directory),
            "TICKWHEEL_PORT": str(port),
            "TICKWHEEL_WORKER_PORT": "0",
        }
        | environment,
    )


@asynccontextmanager
async def developing(directory: Path, port: int, **environment: str) -> AsyncIterator[Instance]:
    """An instance that has said it is ready; killed at the end if it still runs."""
    process = await launch(directory, port, **environment)
    try:
        yield Instance(process, directory, await _banner(process))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _banner(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        return (await asyncio.wait_for(process.stdout.readuntil(b"the data stays."), 60)).decode()
    except asyncio.IncompleteReadError:
        raise AssertionError((await process.stderr.read()).decode()) from None


async def refused(directory: Path, port: int, **environment: str) -> str:
    """Start one that must not start, and return what it says."""
    process = await launch(directory, port, **environment)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    return said.decode()


async def test_banner_says_where_it_is_and_keeps_the_token_private(
    directory: Path, port: int
) -> None:
    async with developing(directory, port) as instance:
        token = (directory / "admin-token").read_text().strip()
        assert f"http://127.0.0.1:{port}/graphql" in instance.banner
        assert str(directory) in instance.banner
        assert token in instance.banner
        assert "do not run it in production" in instance.banner
        assert (directory / "admin-token").stat().st_mode & 0o777 == 0o600
        assert (directory / "secret-keys").stat().st_mode & 0o777 == 0o600
        assert Keyring.read("", directory / "secret-keys").current_id == "dev"
        assert re.fullmatch(r"tw_admin\.\S{43}", token)


async def test_token_and_keys_stay_the_same_and_a_token_that_is_set_is_not_shown(
    directory: Path, port: int
) -> None:
    async with developing(directory, port) as instance:
        token = (directory / "admin-token").read_text()
        keys = (directory / "secret-keys").read_text()
        await instance.stop()
    async with developing(directory, port, TICKWHEEL_ADMIN_TOKEN="s" * 40) as instance:
        assert "s" * 40 not in instance.banner
        assert (directory / "admin-token").read_text() == token
        assert (directory / "secret-keys").read_text() == keys


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
async def test_signal_leaves_no_process_alive(
    directory: Path, port: int, asked: signal.Signals
) -> None:
    async with developing(directory, port) as instance:
        family = family_of(instance.process.pid)
        assert len(family) > 4
        assert await instance.stop(asked) == 0
        assert [pid for pid in family if is_alive(pid)] == []


async def test_stop_goes_in_order(directory: Path, port: int) -> None:
    async with developing(directory, port) as instance:
        await eventually(lambda: instance.pids("api") and instance.pids("worker"))
        await instance.stop()
        assert instance.told()[-2:] == ["api stopped", "worker stopped with postgres"]


async def test_second_signal_does_not_wait_for_running_work(directory: Path, port: int) -> None:
    async with developing(directory, port, STUBBORN="yes") as instance:
        family = family_of(instance.process.pid)
        await eventually(lambda: instance.pids("worker"))
        instance.process.send_signal(signal.SIGINT)
        await eventually(lambda: "worker asked" in instance.told())
        await eventually(instance.has_ended_after_another_interrupt)
        assert await asyncio.wait_for(instance.process.wait(), 60) == 0
        assert [pid for pid in family if is_alive(pid)] == []


async def test_signal_during_the_start_leaves_no_process_alive(directory: Path, port: int) -> None:
    process = await launch(directory, port)
    try:
        await eventually((directory / "postgres/postgres.log").exists)
        family = family_of(process.pid)
        process.terminate()
        await asyncio.wait_for(process.communicate(), 60)
        await eventually(lambda: not any(is_alive(pid) for pid in family))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("name", ["api", "worker"])
async def test_killed_program_is_started_again(directory: Path, port: int, name: str) -> None:
    async with developing(directory, port) as instance:
        await eventually(lambda: instance.pids(name))
        os.kill(instance.pids(name)[-1], signal.SIGKILL)
        await eventually(lambda: len(instance.pids(name)) == 2)
        assert is_alive(instance.pids(name)[-1])


@pytest.mark.parametrize("name", ["postgres", "redis"])
async def test_killed_service_is_started_again(directory: Path, port: int, name: str) -> None:
    pid_file = directory / name / "data" / PID_FILES[name]
    async with developing(directory, port):
        first = int(pid_file.read_text().split()[0])
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: _pid_in(pid_file) not in (None, first))


async def test_killed_supervisor_leaves_nothing_and_the_next_start_works(
    directory: Path, port: int
) -> None:
    async with developing(directory, port) as instance:
        family = family_of(instance.process.pid)
        instance.process.kill()
        await eventually(lambda: not any(is_alive(pid) for pid in family))
    async with developing(directory, port) as instance:
        assert await instance.stop() == 0


async def test_second_instance_on_a_directory_is_refused(directory: Path, port: int) -> None:
    async with developing(directory, port) as instance:
        said = await refused(directory, port)
        assert f"The data directory {directory} is in use" in said
        assert f"process {instance.process.pid}" in said
        assert f"http://127.0.0.1:{port}" in said
        assert "TICKWHEEL_DATA_DIR" in said


@pytest.mark.parametrize("setting", ["TICKWHEEL_PORT", "TICKWHEEL_WORKER_PORT"])
async def test_port_in_use_is_named_with_its_setting(
    directory: Path, port: int, setting: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        said = await refused(directory, port, **{setting: str(taken)})
    assert f"127.0.0.1 port {taken}: Address already in use" in said
    assert said.rstrip().endswith(f"{setting}.")


async def test_everything_runs_as_an_ordinary_user(directory: Path, port: int) -> None:
    uid = ordinary_user()
    async with developing(directory, port, BECOME=str(uid)) as instance:
        family = family_of(instance.process.pid)
        assert {psutil.Process(pid).uids().effective for pid in family} == {uid}
        assert await instance.stop() == 0


async def test_directory_one_may_not_use_is_refused_in_one_line(directory: Path, port: int) -> None:
    forbidden = directory / "closed" / "data"
    os.mkdir(directory / "closed", mode=0o500)
    os.chown(directory / "closed", ordinary_user(), -1)
    said = await refused(forbidden, port, BECOME=str(ordinary_user()))
    assert f"The data directory {forbidden} cannot be used: Permission denied." in said
    assert "Traceback" not in said


def _pid_in(pid_file: Path) -> int | None:
    words = pid_file.read_text().split() if pid_file.exists() else []
    return int(words[0]) if words else None
