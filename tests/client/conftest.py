"""One instance for all tests of the client, and its commands as processes."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio
from typer.testing import CliRunner

from app.cli import cli
from app.client.errors import ClientError
from app.dev.postgres import EmbeddedPostgres
from tests.dev.processes import PATIENCE_SECONDS, eventually
from tests.faults.nursery import Nursery
from tests.live_instance import LiveInstance, live_instance


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        """Return what `-o json` printed."""
        assert self.code == 0, self
        return json.loads(self.stdout)

    def line(self, word: str) -> str:
        """Return the first line that holds a word."""
        return next(line for line in self.stdout.splitlines() if word in line)


class Running:
    """A command that goes on; what it says is kept in files."""

    def __init__(self, directory: Path) -> None:
        self.heard = directory / "heard"
        self.stdout = directory / "stdout"
        self.stderr = directory / "stderr"
        self._read = 0
        self._end: Future[int] = Future()
        self._pid = 0

    def start(self, nursery: Nursery, arguments: Sequence[str], given: Mapping[str, str]) -> None:
        """Start it; this waits until it has."""
        self._pid, self._end = nursery.launch(
            given, self.stderr, command=arguments, said=self.stdout, heard=self.heard
        )

    async def line(self, accepts: Callable[[str], bool] = lambda _: True) -> str:
        """Return the next line that is accepted."""
        return await eventually(lambda: self._next(accepts))

    async def end(self) -> Said:
        """Return what it has said, once it has ended by itself."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            code = await asyncio.wrap_future(self._end)
        said = Said(code, self.stdout.read_text(), self.stderr.read_text())
        assert "Traceback" not in said.stderr, said.stderr
        return said

    async def interrupt(self) -> Said:
        """Type Ctrl-C."""
        os.kill(self._pid, signal.SIGINT)
        return await self.end()

    def kill(self) -> None:
        """End it, if it has not."""
        if self._pid and not self._end.done():
            os.kill(self._pid, signal.SIGKILL)

    def _next(self, accepts: Callable[[str], bool]) -> str:
        lines = self.stdout.read_text().splitlines() if self.stdout.exists() else []
        for number, line in enumerate(lines[self._read :], start=self._read + 1):
            if accepts(line):
                self._read = number
                return line
        assert not self._end.done(), self.stderr.read_text()
        return ""


@dataclass(frozen=True)
class Shell:
    """Where commands are typed: an environment that names the instance."""

    instance: LiveInstance
    nursery: Nursery

    async def tickwheel(self, *arguments: str, stdin: str = "", **environment: str) -> Said:
        """Run a command to its end."""
        async with self.going_on(*arguments, stdin=stdin, **environment) as command:
            return await command.end()

    @asynccontextmanager
    async def going_on(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> AsyncIterator[Running]:
        """Run a command while the block lasts."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = {
            "TICKWHEEL_URL": f"http://127.0.0.1:{self.instance.door.port}",
            "TICKWHEEL_TOKEN": self.instance.token,
            "TICKWHEEL_DATA_DIR": "/nonexistent",
            "COLUMNS": "200",
            **environment,
        }
        with tempfile.TemporaryDirectory(prefix="tickwheel-test-") as directory:
            command = Running(Path(directory))
            command.heard.write_text(stdin)
            await asyncio.to_thread(command.start, self.nursery, arguments, kept | given)
            try:
                yield command
            finally:
                command.kill()


def typed(arguments: Sequence[str], environment: Mapping[str, str]) -> Said:
    """Run a command that asks no server in this process, and end as `tickwheel` would."""
    ran = CliRunner().invoke(cli, list(arguments), env=environment)
    failure = ran.exception
    if isinstance(failure, ClientError):
        said = "".join(f"{line}\n" for line in failure.lines())
        return Said(failure.exit_code, ran.stdout, ran.stderr + said)
    if failure is not None and not isinstance(failure, SystemExit):
        raise failure
    return Said(ran.exit_code, ran.stdout, ran.stderr)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def instance(
    postgres: EmbeddedPostgres, nursery: Nursery, services_directory: Path
) -> AsyncIterator[LiveInstance]:
    async with live_instance(postgres, nursery, services_directory) as instance:
        yield instance


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def shell(instance: LiveInstance, nursery: Nursery) -> Shell:
    return Shell(instance, nursery)
